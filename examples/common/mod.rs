//! What the examples share: the flags that say what is run, the data, and how results are shown.

mod data;
mod device;
mod model;
mod output;
mod plot;
mod policy;
mod setup;

pub use output::{bytes, check_outputs, print};
pub use plot::{Axis, Dash, Figure, Marker, Panel, Point, Rgb, Series};
pub use policy::Policy;
pub use setup::Setup;

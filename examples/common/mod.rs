//! What the examples share: the flags that say what is run, the data, and how results are shown.

mod data;
mod device;
mod exit;
mod files;
mod model;
mod output;
mod plot;
mod policy;
mod setup;
mod used;

pub use exit::exit;
pub use files::{Files, write};
pub use output::{bytes, print};
pub use plot::{Axis, Dash, Figure, Marker, Panel, Point, Rgb, Series};
pub use policy::Policy;
pub use setup::Setup;

//! What the examples share: the flags that say what is run, the data, and how results are shown.

mod data;
mod data_flags;
mod device;
mod exit;
mod files;
mod load;
mod output;
mod plot;
mod setup;
mod used;
mod words;

pub use data::{inputs, read};
pub use device::open;
pub use exit::exit;
pub use files::{Files, write};
pub use output::{bytes, print};
pub use plot::{Axis, Dash, Figure, Marker, Panel, Point, Rgb, Series};
#[allow(unused_imports, reason = "not every example describes names")]
pub use setup::described;
pub use setup::{Setup, parse};
pub use used::check_used;
pub use words::Words;

//! What the commands share: the flags that say what is run, the data, and how results are shown.

mod data;
mod data_flags;
mod device;
#[path = "../../../examples/common/exit.rs"]
mod exit;
mod files;
mod fit;
mod interrupt;
mod kept;
mod lists;
mod load;
mod output;
mod plot;
mod progress;
mod record;
mod setup;
mod source;
mod used;
mod voice;
mod words;

pub use data::{headline, inputs, read};
pub use device::{Threads, choices, open};
pub use exit::{exit, shown};
pub use files::{Files, write};
pub use fit::{Column, Columns, width, wrapped};
pub use interrupt::{Interrupt, ended};
pub use kept::{Kept, Notes};
pub use lists::{List, Output};
#[cfg(feature = "serve")]
pub use load::load;
#[cfg(feature = "search")]
pub use output::hush;
pub use output::{Json, bytes, print, print_json, put};
pub use plot::{Axis, Dash, Figure, Marker, Panel, Point, Rgb, Series};
pub use progress::Progress;
pub use record::Made;
pub use setup::{Setup, described, parse};
pub use source::Source;
pub use used::{check_used, helped};
pub use voice::{Voice, also_to, kernel_times, note};
pub use words::Words;

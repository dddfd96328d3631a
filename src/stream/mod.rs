//! From a file of interactions to the parts of a streaming experiment. Host code only; nothing here knows a device.
//!
//! 1. [`read`] files of any [`Format`]: rows in time order, users and items numbered by first appearance
//!    ([`Interactions`]).
//! 2. [`cut`] the rows into [`Segment`]s, equal ones or by the number of new entities.
//! 3. [`Segment::split`] a segment: the first 80 % trains, the rest tests, the end of the training part validates.
//! 4. [`replay`] draws rows of earlier segments for the training part.
//! 5. [`UserItems`] holds the distinct items of each user: histories, positives, exclusion lists.
//! 6. Where rows are clicks and non-clicks, [`Blocks`] holds what users turned down and what they took next.
//!
//! ```
//! use std::path::Path;
//! use scall_gpu::rng::{Philox, Purpose};
//! use scall_gpu::stream::{Cut, Format, UserItems, cut, read_from, replay};
//!
//! let file = "ann::tea::5::30\nbob::tea::4::10\nann::jam::3::20\nann::jam::4::40\n";
//! let data = read_from(file.as_bytes(), Path::new("ratings.dat"), Format::DoubleColon)?;
//! assert_eq!(data.users(), [0, 1, 1, 1]); // bob came first
//! assert_eq!(data.users_seen(1), 1);
//!
//! let segments = cut(&data, Cut::Equal { segments: 2 })?;
//! let (train, test) = segments[1].split(0.5)?;
//! let earlier = replay(..train.rows.start, 1, &mut Philox::new(7, Purpose::Replay));
//! let history = UserItems::new(data.users_seen(train.rows.end), data.pairs(earlier.into_iter().chain(train.rows)))?;
//! assert!(history.contains(1, 0));
//! assert_eq!(test.rows, 3..4);
//! # Ok::<(), scall_gpu::Error>(())
//! ```
//!
//! Source: `docs/method.md` section 2.

mod blocks;
mod builder;
mod forget;
mod interactions;
mod names;
mod non_clicks;
mod parsed;
mod popularity;
mod readers;
mod replay;
mod segments;
mod user_items;

pub use blocks::{BlockOptions, Blocks};
pub(crate) use forget::Forgotten;
pub use interactions::Interactions;
pub use names::Names;
pub use popularity::{decayed_counts, item_counts};
pub use readers::{
    Column, Columns, Dedup, Encoding, Filter, Format, READ_PROGRESS, ReadOptions, ReadReport, TimeUnit, files, read,
    read_all, read_from,
};
pub use replay::replay;
pub use segments::{Cut, Segment, cut};
pub use user_items::UserItems;

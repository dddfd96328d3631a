//! Embedding tables that live inside a fixed memory budget while their population grows.
//!
//! Recommenders give every user and item an embedding row of one width; as users and items keep arriving, the table
//! outgrows memory. Here each row has its own size. Sizes are drawn from a distribution, scaled to an exact budget, ranked by
//! frequency, and move with the stream: rows grow and shrink, new entities fit in, and the bytes held are the bytes promised.
//!
//! ```text
//! row            0    1   2          sizes 3, 0, 4
//! values       a a a    c c c c      one behind the other, f32 or f16, in as many pages as the device's limits ask for
//! ends           3    3   7          the row directory: 2 bytes a row, and a word a block of rows
//! ```
//!
//! # Quick start
//! A table under a budget of bytes, looked up and resized, on a GPU or on the CPU:
//! ```
//! use scall_gpu::device::Device;
//! use scall_gpu::table::{Account, Counts, RaggedTable, TableOptions};
//!
//! # fn main() -> scall_gpu::Result<()> {
//! let device = Device::cpu(); // Device::auto() takes a hardware GPU where there is one.
//! let account = Account::new(1_000, Counts::default());
//! let mut table = RaggedTable::new(&device, &[4, 0, 2], TableOptions::default(), &account)?;
//!
//! let rows = table.lookup(&[2, 0], 4)?.read()?; // zero-padded, [2, 4]
//! assert_eq!(rows[2..4], [0.0, 0.0]);
//!
//! let plan = table.plan(&[1, 3, 2, 5])?; // row 0 shrinks, row 1 grows, row 3 is new
//! table.resize(&plan)?;
//! assert!(account.used_bytes() <= 1_000);
//! # Ok(()) }
//! ```
//! [`Scall`] drives a whole stream: segments, sizes, resize, train, evaluate. `cargo run --release --example stream` runs it
//! on a year of grocery purchases.
//!
//! # Where things are
//! | module | what |
//! |---|---|
//! | [`device`] | CPU or GPU, buffers, submissions |
//! | [`kernels`] | the operators in WGSL with CPU twins, one room each |
//! | [`table`] | the ragged table, resize plans, the account of bytes |
//! | [`sizing`] | budgets, size profiles, policies |
//! | `agent` | the actor-critic that searches for sizes (feature `search`, on by default) |
//! | [`stream`] | interactions, readers, segments, replay |
//! | [`models`] | recommenders on ragged tables |
//! | [`eval`] | Recall and NDCG, ranking in bounded memory |
//! | [`mod@file`] | files that are written whole or not at all |
//! | [`rng`] | Philox4x32-10, one random stream for all devices |
//! | [`text`] | which characters of a text cannot be seen, and how a text of others is shown |
//!
//! # Guarantees
//! - The budget cannot be passed: a change that would is an error before anything moves.
//! - One seed on one device gives the same bits. GPU and CPU agree in every bit for integers (sizes from given weights, ranks,
//!   triples, random streams) and for fresh rows, and within the tolerance that each kernel states for other floats; so a
//!   sampled weight that lies on an edge may give a size one larger on another device.
//! - A caller's mistake is an [`Error`] that names operator and argument; nothing has been written then.
//!
//! Source of the method: Qu et al., "Scalable Dynamic Embedding Size Search for Streaming Recommendation", CIKM 2024
//! (arXiv 2407.15411), cited as SCALL. `docs/method.md` says what is computed here.

#[cfg(feature = "search")]
pub mod agent;
mod check;
pub mod device;
mod error;
pub mod eval;
pub mod file;
pub mod kernels;
pub mod models;
pub mod rng;
pub mod rows;
mod scall;
pub mod sizing;
pub mod stream;
pub mod table;
#[cfg(test)]
mod testing;
pub mod text;

pub use error::{Error, Result};
pub use scall::{
    EarlyStop, Followed, Phase, ProbeOptions, Replay, Scall, ScallOptions, Seconds, SegmentReport, Summary, follow,
};
pub use wgpu;

/// The code in the documents, compiled and run with the other examples.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../README.md")]
    struct Readme;

    #[doc = include_str!("../CONTRIBUTING.md")]
    struct Contributing;
}

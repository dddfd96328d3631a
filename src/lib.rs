//! Embedding tables that stay inside a fixed memory budget while users and items keep arriving.
//!
//! Recommenders give every user and item an embedding row of one width. As users and items keep arriving, the table
//! outgrows memory. Here each row has its own size. Sizes are drawn from a distribution, scaled to an exact budget, and
//! handed out by frequency. They move with the stream: rows grow and shrink, new entities fit in, and the bytes held
//! are the bytes promised.
//!
//! ```text
//! row            0    1   2          sizes 3, 0, 4
//! values       a a a    c c c c      one row after the other, in as many pages as the limits of the device ask for
//! ends           3    3   7          the row directory: 2 bytes a row, and a word for each block of rows
//! ```
//!
//! # A table
//! Under a budget of bytes, looked up, trained and resized, on a GPU or on the CPU:
//! ```
//! use scall_gpu::device::{Buffer, Device};
//! use scall_gpu::table::{Account, Counts, RaggedTable, TableOptions};
//!
//! # fn main() -> scall_gpu::Result<()> {
//! let device = Device::cpu(); // Device::auto() takes a hardware GPU where there is one.
//! let account = Account::new(64, Counts::default());
//! let mut table = RaggedTable::new(&device, &[4, 0, 2], TableOptions::default(), &account)?;
//!
//! let rows = table.lookup(&[2, 0], 4)?.read()?; // [2, 4], missing dims are zero
//! assert_eq!(rows[2..4], [0.0, 0.0]);
//! table.apply_gradients(&[2, 0], &Buffer::from_slice(&device, &[1.0; 8])?, 4)?;
//!
//! let plan = table.plan(&[1, 3, 2, 5])?; // row 0 shrinks, row 1 grows, row 3 is new
//! table.resize(&plan)?;
//! assert_eq!(account.used_bytes(), 56);
//! assert!(table.append_rows(&[4]).is_err()); // there is no room for it: nothing has moved
//! # Ok(()) }
//! ```
//!
//! # A kernel
//! An operator is a struct of named arguments. It runs at once, as one of many launches in a submission, or in a
//! compute pass of the caller's:
//! ```
//! use scall_gpu::device::{Buffer, Device, Kernel};
//! use scall_gpu::kernels::sizing::rank::Rank;
//!
//! # fn main() -> scall_gpu::Result<()> {
//! let device = Device::cpu();
//! let frequencies = Buffer::from_slice(&device, &[2u32, 7, 0, 7])?;
//! let mut order = Buffer::zeroed(&device, 4)?;
//! let mut workspace = Buffer::zeroed(&device, Rank::workspace_len(4))?;
//! Rank { frequencies: &frequencies, order: &mut order, workspace: &mut workspace }.run(&device)?;
//! assert_eq!(order.read()?, [1, 3, 0, 2]);
//! # Ok(()) }
//! ```
//!
//! # A recommender
//! [`Scall`] takes a stream through segments: sizes, resize, training, evaluation. It follows recorded streams and live
//! ones, with one of the [models](models::ModelOptions) that there are or with [one of your own](models::Recommender).
//! `cargo run --release --example stream` runs it on a year of grocery purchases.
//!
//! # Where things are
//! | module | what |
//! |---|---|
//! | [`device`] | CPU or GPU, buffers, submissions, recording into a caller's pass |
//! | [`rows`] | rows in memory: pages, directory, codecs |
//! | [`kernels`] | the operators, in WGSL with CPU twins |
//! | [`table`] | the ragged table, resize plans, the account of bytes, rows for keys, files |
//! | [`sizing`] | budgets, size profiles, policies |
//! | `agent` | the actor-critic that searches for sizes (feature `search`) |
//! | [`stream`] | interactions, readers, segments, replay |
//! | [`models`] | recommenders on ragged tables |
//! | [`eval`] | Recall and NDCG |
//! | [`run`] | the loop over a stream: search, sizes, resize, training, evaluation, state |
//! | [`mod@file`] | files that are written whole or not at all, and numbers by name |
//! | [`spans`] | what long work says of itself while it goes on, for programs that subscribe to `tracing` |
//! | [`rng`] | Philox4x32-10, one random stream for all devices |
//! | [`text`] | which characters of a text cannot be seen, and how a text of others is shown |
//!
//! # Features
//! | feature | default | what it adds |
//! |---|---|---|
//! | `files` | yes | files of interactions that are packed or in other encodings than UTF-8, dates, patterns of names |
//! | `search` | yes | the module `agent` and the policy that uses it, with burn on the CPU |
//! | `parquet` | no | interactions in Parquet |
//! | `serde` | no | a [`Config`] from and to TOML and JSON |
//!
//! # Guarantees
//! - The budget cannot be passed: a change that would pass it is an error before anything moves.
//! - One seed on one device gives the same bits. GPU and CPU agree in every bit for integers (sizes from given weights,
//!   ranks, triples, random streams) and for new rows. Other floats agree within the tolerance that each kernel states,
//!   so a sampled weight that lies on an edge may give a size that is one larger on another device.
//! - A caller's mistake is an [`Error`] that names operator and argument. Nothing has been written then.
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
pub mod run;
pub mod sizing;
pub mod spans;
pub mod stream;
pub mod table;
#[cfg(test)]
mod testing;
pub mod text;

pub use error::{Error, Result};
pub use run::{
    Config, EarlyStop, Followed, Phase, ProbeOptions, Replay, Scall, ScallOptions, Seconds, SegmentReport, Summary,
    follow,
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

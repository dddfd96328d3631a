//! The stream from outside: good and bad files, arbitrary bytes, laws of the parts, and the figures of real data.

mod bad_input;
mod clicks;
mod columns;
mod data;
mod filters;
mod formats;
mod fuzz;
mod good_input;
mod hostile;
#[cfg(feature = "files")]
mod packed;
#[cfg(all(feature = "files", feature = "parquet"))]
mod parquet;
mod progress;
mod properties;
#[path = "../common/recorded.rs"]
mod recorded;
mod shapes;
mod times;

use std::path::Path;

use scall_gpu::Result;
use scall_gpu::stream::{Column, Columns, Format, Interactions, ReadOptions, read_from};

fn dat() -> ReadOptions {
    Format::DoubleColon.into()
}

fn csv() -> ReadOptions {
    Format::Csv.into()
}

fn tsv() -> ReadOptions {
    Format::Tsv.into()
}

/// A format with other columns than the usual ones.
fn with_columns(format: Format, columns: Columns) -> ReadOptions {
    ReadOptions { columns, ..format.into() }
}

/// Columns by position in a file without a header.
fn positions(user: usize, item: usize, timestamp: usize) -> Columns {
    Columns {
        user: Column::Position(user),
        item: Column::Position(item),
        timestamp: Column::Position(timestamp),
        header: false,
        ..Columns::default()
    }
}

fn read_bytes(bytes: impl AsRef<[u8]>, options: impl Into<ReadOptions>) -> Result<Interactions> {
    read_from(bytes.as_ref(), Path::new("f"), options)
}

/// The rows as texts, in time order.
fn rows(data: &Interactions) -> Vec<(&str, &str, i64)> {
    let pairs = data.pairs(0..data.len()).zip(data.timestamps());
    pairs
        .map(|((user, item), &timestamp)| {
            (data.user_names().get(user).unwrap(), data.item_names().get(item).unwrap(), timestamp)
        })
        .collect()
}

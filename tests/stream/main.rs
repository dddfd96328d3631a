//! The stream from outside: good and bad files, arbitrary bytes, laws of the parts, and the figures of real data.

mod bad_input;
mod data;
mod fuzz;
mod good_input;
mod properties;
#[path = "../common/recorded.rs"]
mod recorded;

use std::path::Path;

use scall_gpu::Result;
use scall_gpu::stream::{Column, Columns, Format, Interactions, read_from};

fn csv() -> Format {
    Format::Csv(Columns::default())
}

fn tsv() -> Format {
    Format::Tsv(Columns::default())
}

/// Columns by position in a file without a header.
fn positions(user: usize, item: usize, timestamp: usize) -> Columns {
    Columns {
        user: Column::Position(user),
        item: Column::Position(item),
        timestamp: Column::Position(timestamp),
        header: false,
    }
}

fn read_bytes(bytes: impl AsRef<[u8]>, format: &Format) -> Result<Interactions> {
    read_from(bytes.as_ref(), Path::new("f"), format)
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

//! A stream with two tastes, and what a run left.

use scall_gpu::Scall;
use scall_gpu::stream::{Cut, Interactions, Segment, cut};

/// Users and items of one parity go together. Users come one after another; what a row takes looks random.
pub fn rows(range: std::ops::Range<i64>) -> impl Iterator<Item = (String, String, i64)> {
    range.map(|row| {
        let user = row * 7919 % (20 + row / 40);
        let item = 2 * (row * row * 31 % 41) + user % 2;
        (format!("u{user}"), format!("i{item}"), row)
    })
}

/// All of it, in four segments.
pub fn recorded() -> (Interactions, Vec<Segment>) {
    let data = Interactions::from_rows(rows(0..1600)).unwrap();
    let segments = cut(&data, Cut::Equal { segments: 4 }).unwrap();
    (data, segments)
}

/// All that a run found, but for the time that it took.
pub fn found(scall: &Scall) -> Vec<String> {
    let timeless = scall.report().iter().cloned().map(|mut report| {
        report.seconds = Default::default();
        format!("{report:?}")
    });
    timeless.collect()
}

/// The bits of all values.
pub fn values(scall: &Scall) -> Vec<u32> {
    let tables = scall.model().embeddings();
    let values = [tables.users(), tables.items()].map(|table| table.read().unwrap()).concat();
    values.into_iter().map(f32::to_bits).collect()
}

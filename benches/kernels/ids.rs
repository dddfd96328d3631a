//! `table/row_map`: batches of 30,000 skewed keys of a million, in a map of 100,000 rows that is full.

use crate::data::skewed;
use criterion::{Criterion, Throughput};
use scall_gpu::table::{RowMap, RowMapOptions};

const ROWS: u32 = 100_000;
const KEYS: usize = 30_000;

pub fn row_map(c: &mut Criterion) {
    let mut group = c.benchmark_group("table/row_map");
    group.throughput(Throughput::Elements(KEYS as u64));
    let batches: Vec<Vec<u64>> =
        (0..50).map(|salt| skewed(KEYS, 1_000_000, salt).into_iter().map(|id| u64::from(id) << 20).collect()).collect();
    let mut ids = RowMap::new(ROWS, RowMapOptions::default()).unwrap();
    batches.iter().for_each(|keys| drop(ids.assign(keys).unwrap()));
    let mut next = batches.iter().cycle();
    group.bench_function("cpu/assign", |b| b.iter(|| ids.assign(next.next().unwrap()).unwrap().rows.len()));
    println!("table/row_map: {} bytes, {} keys", ids.bytes(), ids.len());
}

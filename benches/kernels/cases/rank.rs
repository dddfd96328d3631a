//! Triples, their loss, and the best of many scores.

use std::hint::black_box;

use burn::tensor::{DType, Tensor, TensorData};
use rayon::prelude::*;
use scall_gpu::Result;
use scall_gpu::device::{Buffer, Device};
use scall_gpu::kernels::rank::bpr::{BiasUse, Bpr, UserRows};
use scall_gpu::kernels::rank::log_triples::SampleLogTriples;
use scall_gpu::kernels::rank::top_k::{Ragged, TopK};
use scall_gpu::kernels::rank::triples::SampleTriples;
use scall_gpu::stream::UserItems;

use super::{Case, Meter, assert_close, finish, upload};
use crate::data::{HostRows, skewed, uniform, values};

/// Triples of a batch.
const BATCH: u32 = 10_000;

/// A log of this many rows, over half as many users and as many items.
struct Log {
    users: Vec<u32>,
    items: Vec<u32>,
    history: UserItems,
}

impl Log {
    fn new(rows: usize) -> Result<Self> {
        let half = (rows / 2) as u32;
        let (users, items) = (uniform(rows, half, 2), skewed(rows, half, 3));
        let history = UserItems::new(half, users.iter().copied().zip(items.iter().copied()))?;
        Ok(Self { users, items, history })
    }

    /// Whether a negative was never touched.
    fn check(&self, what: &str, triples: &[u32]) {
        let [users, positives, negatives] = [0, 1, 2].map(|block| &triples[block * BATCH as usize..][..BATCH as usize]);
        for ((&u, p), n) in users.iter().zip(positives).zip(negatives) {
            let touched = self.history.row(u);
            assert!(touched.contains(p) && !touched.contains(n), "{what}: {u}, {p}, {n}");
        }
    }
}

/// Draws of triples from a log.
struct Draws<'a> {
    kernel: &'static str,
    log: &'a Log,
    /// What a triple reads.
    read_bytes: u64,
}

/// Measures draws of a batch, each of another step, and checks the last.
fn measure_draws(
    device: &Device,
    meter: &mut dyn Meter,
    Draws { kernel, log, read_bytes }: Draws<'_>,
    draw: impl Fn(u32, &mut Buffer<u32>) -> Result<()>,
) -> Result<()> {
    let mut triples = Buffer::zeroed(device, 3 * BATCH as usize)?;
    let mut step = 0;
    let run = &mut || {
        step += 1;
        draw(step, &mut triples)
    };
    run()?;
    let name = format!("{BATCH} triples of {} rows", log.users.len());
    meter.measure(Case::new(name, u64::from(BATCH) * (12 + read_bytes)), run, None)?;
    log.check(kernel, &triples.read()?);
    Ok(())
}

pub fn log_triples(device: &Device, meter: &mut dyn Meter, rows: usize) -> Result<()> {
    let log = Log::new(rows)?;
    let (users, items) = (upload(device, &log.users)?, upload(device, &log.items)?);
    let (touched_offsets, touched) = (upload(device, log.history.offsets())?, upload(device, log.history.items())?);
    // Two rows of the log, two offsets.
    let draws = Draws { kernel: "rank/log_triples", log: &log, read_bytes: 8 + 12 };
    measure_draws(device, meter, draws, |step, triples| {
        let sample = SampleLogTriples {
            users: &users,
            items: &items,
            touched_offsets: &touched_offsets,
            touched: &touched,
            window: 5000,
            step,
            steps: 1,
            seed: 1,
            batch: BATCH,
            first: 0,
            count: BATCH,
            triples,
        };
        finish(device, sample)
    })
}

pub fn triples(device: &Device, meter: &mut dyn Meter, rows: usize) -> Result<()> {
    let log = Log::new(rows)?;
    let users: Vec<u32> = (0..log.history.users()).filter(|&user| !log.history.row(user).is_empty()).collect();
    let lengths = users.iter().map(|&user| log.history.row(user).len() as u32);
    let offsets: Vec<u32> = std::iter::once(0)
        .chain(lengths.scan(0, |end, length| {
            *end += length;
            Some(*end)
        }))
        .collect();
    let items: Vec<u32> = (0..(rows / 2) as u32).collect();
    let [users, offsets, positives, items] = [&users, &offsets, log.history.items(), &items];
    let (users, offsets) = (upload(device, users)?, upload(device, offsets)?);
    let (positives, items) = (upload(device, positives)?, upload(device, items)?);
    let draws = Draws { kernel: "rank/triples", log: &log, read_bytes: 16 + 12 };
    measure_draws(device, meter, draws, |step, triples| {
        let sample = SampleTriples {
            users: &users,
            positive_offsets: &offsets,
            positives: &positives,
            items: &items,
            touched_offsets: &offsets,
            touched: &positives,
            step,
            steps: 1,
            seed: 1,
            batch: BATCH,
            triples,
        };
        finish(device, sample)
    })
}

pub fn bpr(device: &Device, meter: &mut dyn Meter, rows: usize) -> Result<()> {
    let (half, dims, batch) = (rows / 2, 64u32, BATCH as usize);
    let host = HostRows::new(vec![dims; half]);
    let (users, items) = (host.on(device, Default::default())?, host.on(device, Default::default())?);
    let host_triples = [4, 5, 6].map(|salt| uniform(batch, half as u32, salt));
    let triples = upload(device, &host_triples.concat())?;
    let width = dims as usize;
    let mut loss = Buffer::zeroed(device, batch)?;
    let mut user_gradients = Buffer::zeroed(device, batch * width)?;
    let mut item_gradients = Buffer::zeroed(device, 2 * batch * width)?;
    let needed = Bpr::workspace_len(BATCH, UserRows::Ragged(&users), &items, [dims; 2]);
    let mut workspace = Buffer::zeroed(device, needed)?;
    let run = &mut || {
        let bpr = Bpr {
            triples: &triples,
            first: 0,
            users: UserRows::Ragged(&users),
            items: &items,
            item_bias: BiasUse::None,
            l2: 0.0,
            l2_bias: 0.0,
            user_dims: dims,
            item_dims: dims,
            loss: &mut loss,
            user_gradients: &mut user_gradients,
            item_gradients: &mut item_gradients,
            workspace: &mut workspace,
        };
        finish(device, bpr)
    };
    run()?;
    let (mut want, mut of_items) = (vec![0.0f32; batch * width], vec![0.0f32; 2 * batch * width]);
    let mut naive = || {
        let (positives, negatives) = of_items.split_at_mut(batch * width);
        for b in 0..batch {
            let [u, p, n] = host_triples.each_ref().map(|ids| host.row(ids[b]));
            let x: f32 = u.iter().zip(p).zip(n).map(|((u, p), n)| u * (p - n)).sum();
            let pull = 1.0 / (1.0 + x.exp()) / batch as f32;
            for j in 0..width {
                want[b * width + j] = -pull * (p[j] - n[j]);
                positives[b * width + j] = -pull * u[j];
                negatives[b * width + j] = pull * u[j];
            }
        }
    };
    naive();
    let bytes = 4 * (6 * batch * width + 4 * batch) as u64;
    let case = Case::new(format!("{batch} triples of {rows} rows of {dims}"), bytes);
    meter.measure(case, run, Some(&mut naive))?;
    assert_close("rank/bpr", &user_gradients.read()?, &want);
    assert_close("rank/bpr", &item_gradients.read()?, &of_items);
    Ok(())
}

pub fn top_k(device: &Device, meter: &mut dyn Meter, candidates: usize) -> Result<()> {
    let (users, items) = ((candidates / 50).clamp(1, 2000) as u32, (candidates * 3 / 10) as u32);
    let [queries, tile] = [users, items].map(|rows| values((rows * WIDTH) as usize));
    let bytes = u64::from(4 * WIDTH) * u64::from(users + items);
    Lists { queries, tile, name: format!("width {WIDTH}"), bytes }.measure(device, meter, None)?;
    ragged_top_k(device, meter, [users, items])
}

/// The same on rows whose sizes fall by a power law to a mean of 8, widest first, beside the bare product of the padded
/// rows.
fn ragged_top_k(device: &Device, meter: &mut dyn Meter, [users, items]: [u32; 2]) -> Result<()> {
    let sizes = |rows: u32| -> Vec<u32> {
        let head = rows / 30 + 1;
        (0..rows).map(|rank| 1 + 63 * head / (rank + head)).collect()
    };
    let padded = |sizes: &[u32]| {
        let mut rows = values(sizes.len() * WIDTH as usize);
        for (row, &size) in rows.chunks_exact_mut(WIDTH as usize).zip(sizes) {
            row[size as usize..].fill(0.0);
        }
        rows
    };
    let [user_sizes, item_sizes] = [users, items].map(sizes);
    let [queries, tile] = [&user_sizes, &item_sizes].map(|sizes| padded(sizes));
    // Ids have nothing to do with sizes.
    let positions: Vec<u32> = (0..items).map(|c| (u64::from(c) * 7919 % u64::from(items)) as u32).collect();
    let places: Vec<u32> = positions.iter().zip(&item_sizes).flat_map(|(&at, &width)| [at, width]).collect();
    let (query_widths, places) = (upload(device, &user_sizes)?, upload(device, &places)?);
    let bytes = 4 * user_sizes.iter().chain(&item_sizes).map(|&size| u64::from(size)).sum::<u64>();
    let ragged = Ragged { query_widths: &query_widths, candidates: &places };
    Lists { queries, tile, name: format!("ragged to {WIDTH}"), bytes }.measure(device, meter, Some(ragged))
}

/// Columns of queries and candidates.
const WIDTH: u32 = 64;

/// The best candidates of each query, rows of `WIDTH` values.
struct Lists {
    queries: Vec<f32>,
    tile: Vec<f32>,
    name: String,
    /// Of the rows.
    bytes: u64,
}

impl Lists {
    fn measure(self, device: &Device, meter: &mut dyn Meter, ragged: Option<Ragged<'_>>) -> Result<()> {
        let Self { queries: host_queries, tile: host_tile, name, bytes } = self;
        let (d, k) = (WIDTH, 20);
        let [users, items] = [&host_queries, &host_tile].map(|rows| rows.len() as u32 / d);
        let (queries, tile) = (upload(device, &host_queries)?, upload(device, &host_tile)?);
        let (excluded_offsets, excluded) = (upload(device, &vec![0u32; users as usize + 1])?, upload(device, &[0u32])?);
        let mut best_scores = Buffer::zeroed(device, (users * k) as usize)?;
        let mut best_positions = Buffer::zeroed(device, (users * k) as usize)?;
        let run = &mut || {
            let top_k = TopK {
                queries: &queries,
                query_count: users,
                candidates: &tile,
                candidate_count: items,
                candidate_base: 0,
                dims: d,
                item_bias: false,
                ragged,
                excluded_offsets: &excluded_offsets,
                excluded: &excluded,
                k,
                fresh: true,
                best_scores: &mut best_scores,
                best_positions: &mut best_positions,
            };
            finish(device, top_k)
        };
        run()?;
        let case = Case::new(format!("{users} x {items}, {name}, k {k}"), bytes + u64::from(8 * users * k));
        let mut naive = bare_product([&host_queries, &host_tile], d as usize);
        meter.measure(case, run, Some(&mut naive))?;

        // The best of the first query.
        let query = &host_queries[..d as usize];
        let score = |item: &[f32]| query.iter().zip(item).map(|(a, b)| a * b).sum::<f32>();
        let best = host_tile.chunks_exact(d as usize).map(score).fold(f32::NEG_INFINITY, f32::max);
        assert_close("rank/top_k", &best_scores.read()?[..1], &[best]);
        Ok(())
    }
}

/// All inner products of two matrices' rows, without a ranking, by burn on the CPU: blocks whose results stay in the
/// caches, on all
/// threads.
fn bare_product(matrices: [&[f32]; 2], d: usize) -> impl FnMut() {
    let tensor = |values: &[f32]| {
        let shape = [values.len() / d, d];
        Tensor::<2>::from_data(TensorData::new(values.to_vec(), shape), (&burn::tensor::Device::flex(), DType::F32))
    };
    let [queries, candidates] = matrices;
    let queries: Vec<_> = queries.chunks(250 * d).map(tensor).collect();
    let candidates: Vec<_> = candidates.chunks(2000 * d).map(|rows| tensor(rows).transpose()).collect();
    move || {
        queries.par_iter().for_each(|queries| {
            for candidates in &candidates {
                black_box(queries.clone().matmul(candidates.clone()).into_data());
            }
        });
    }
}

//! The kernels, each on made-up input of a size: a number of rows, entities or keys.

use scall_gpu::Result;
use scall_gpu::device::{Buffer, Device, Element, Kernel};
use scall_gpu::kernels::graph::spmm::{Operand, Spmm};
use scall_gpu::kernels::prim::scan::Scan;
use scall_gpu::kernels::prim::sort::Sort;
use scall_gpu::kernels::rank::top_k::TopK;
use scall_gpu::kernels::sizing::apportion::{Allotment, Apportion};
use scall_gpu::kernels::sizing::rank::Rank;
use scall_gpu::kernels::sizing::sample::{Distribution, Profile, Sample};
use scall_gpu::kernels::table::bags::{LookupBags, Pooling};
use scall_gpu::kernels::table::lookup::{Lookup, LookupPacked};
use scall_gpu::kernels::table::migrate::{Fill, Migrate};
use scall_gpu::kernels::table::rows::{Layout, Rows};
use scall_gpu::kernels::table::update::{BagGradients, Gradients, Optimizer, Update};
use scall_gpu::kernels::table::update_all::UpdateAll;
use scall_gpu::models::{Bipartite, Normalisation};
use scall_gpu::stream::UserItems;

use crate::data::{HostRows, ragged, skewed, uniform, values};
use crate::steps;
use crate::timing::Timer;

/// A case that was measured.
pub struct Found {
    pub case: String,
    pub bytes: u64,
    pub seconds: f64,
    pub naive_seconds: Option<f64>,
}

type Run = fn(&Device, &Timer, usize) -> Result<Vec<Found>>;

/// The cases of a kernel.
pub struct Family {
    pub name: &'static str,
    pub run: Run,
}

const fn family(name: &'static str, run: Run) -> Family {
    Family { name, run }
}

pub const ALL: [Family; 15] = [
    family("table/lookup", lookup),
    family("table/bags", bags),
    family("table/update", update),
    family("table/update_all", update_all),
    family("table/migrate", migrate),
    family("sizing/sample", sample),
    family("sizing/apportion", apportion),
    family("sizing/rank", rank),
    family("graph/spmm", spmm),
    family("rank/top_k", top_k),
    family("prim/sort", sort),
    family("prim/scan", scan),
    family("step/table", steps::table),
    family("step/bpr_mf", steps::bpr_mf),
    family("step/light_gcn", steps::light_gcn),
];

/// Row sizes 1 to 19.
const MEAN: u32 = 10;
/// Width of padded rows and gradients.
const DIMS: u32 = 32;

fn upload<T: Element>(device: &Device, values: &[T]) -> Result<Buffer<T>> {
    Buffer::from_slice(device, values)
}

/// Runs and waits for the end.
fn finish(device: &Device, kernel: impl Kernel) -> Result<()> {
    kernel.run(device)?;
    device.wait()
}

fn lookup(device: &Device, timer: &Timer, rows: usize) -> Result<Vec<Found>> {
    let count = rows * 3 / 10;
    let (host, host_ids) = (HostRows::new(ragged(rows, MEAN)), uniform(count, rows as u32, 1));
    let (table, ids) = (host.on(device, Default::default())?, upload(device, &host_ids)?);
    let read: u64 = host_ids.iter().map(|&id| host.size(id)).sum();
    // An id, where its row begins and ends, and the base of its block.
    let metadata = 12 * count as u64;

    let mut out = Buffer::<f32>::zeroed(device, count * DIMS as usize)?;
    let seconds = timer.median(|| finish(device, Lookup { rows: &table, ids: &ids, dims: DIMS, out: &mut out }))?;
    let mut naive = vec![0.0f32; count * DIMS as usize];
    let naive_seconds = timer.naive(|| {
        for (out, &id) in naive.chunks_exact_mut(DIMS as usize).zip(&host_ids) {
            let row = host.row(id);
            out[..row.len()].copy_from_slice(row);
            out[row.len()..].fill(0.0);
        }
    })?;
    let padded = Found {
        case: format!("{rows} rows, {count} ids, padded to {DIMS}"),
        bytes: 4 * read + 4 * u64::from(DIMS) * count as u64 + metadata,
        seconds,
        naive_seconds: Some(naive_seconds),
    };

    let mut ends = vec![0u32];
    for &id in &host_ids {
        ends.push(ends[ends.len() - 1] + host.size(id) as u32);
    }
    let (out_offsets, mut out) = (upload(device, &ends)?, Buffer::<f32>::zeroed(device, read as usize)?);
    let seconds = timer.median(|| {
        let (rows, ids, out_offsets, widest) = (&table, &ids, &out_offsets, 2 * MEAN - 1);
        finish(device, LookupPacked { rows, ids, out_offsets, widest, out: &mut out })
    })?;
    let mut naive = vec![0.0f32; read as usize];
    let naive_seconds = timer.naive(|| {
        for (ends, &id) in ends.windows(2).zip(&host_ids) {
            naive[ends[0] as usize..ends[1] as usize].copy_from_slice(host.row(id));
        }
    })?;
    let packed = Found {
        case: format!("{rows} rows, {count} ids, packed"),
        bytes: 8 * read + metadata + 4 * count as u64,
        seconds,
        naive_seconds: Some(naive_seconds),
    };
    Ok(vec![padded, packed])
}

/// Bags of 20 Zipf-like ids over rows of one width.
struct BagInput {
    rows: HostRows,
    ids: Vec<u32>,
    bags: Vec<u32>,
}

const BAG: usize = 20;
const BAG_DIMS: u32 = 128;

fn bag_input(rows: usize) -> BagInput {
    let count = rows.min(100_000) / 6;
    BagInput {
        rows: HostRows::new(vec![BAG_DIMS; rows]),
        ids: skewed(count * BAG, rows as u32, 2),
        bags: (0..=count as u32).map(|bag| bag * BAG as u32).collect(),
    }
}

fn bags(device: &Device, timer: &Timer, rows: usize) -> Result<Vec<Found>> {
    let input = bag_input(rows);
    let (count, dims) = (input.bags.len() - 1, BAG_DIMS as usize);
    let table = input.rows.on(device, Default::default())?;
    let (ids, bags) = (upload(device, &input.ids)?, upload(device, &input.bags)?);
    let mut out = Buffer::<f32>::zeroed(device, count * dims)?;
    let seconds = timer.median(|| {
        let lookup = LookupBags {
            rows: &table,
            ids: &ids,
            bags: &bags,
            longest_bag: BAG as u32,
            weights: None,
            pooling: Pooling::Sum,
            dims: BAG_DIMS,
            out: &mut out,
            winners: None,
        };
        finish(device, lookup)
    })?;
    let mut naive = vec![0.0f32; count * dims];
    let naive_seconds = timer.naive(|| {
        for (out, ids) in naive.chunks_exact_mut(dims).zip(input.ids.chunks_exact(BAG)) {
            out.fill(0.0);
            for &id in ids {
                out.iter_mut().zip(input.rows.row(id)).for_each(|(sum, value)| *sum += value);
            }
        }
    })?;
    Ok(vec![Found {
        case: format!("{rows} rows of {BAG_DIMS}, {count} bags of {BAG}"),
        bytes: 4 * (BAG_DIMS as u64) * (input.ids.len() + count) as u64 + 12 * input.ids.len() as u64,
        seconds,
        naive_seconds: Some(naive_seconds),
    }])
}

fn update(device: &Device, timer: &Timer, rows: usize) -> Result<Vec<Found>> {
    let count = rows * 3 / 10;
    let (host, host_ids) = (HostRows::new(ragged(rows, MEAN)), uniform(count, rows as u32, 1));
    let host_gradients = values(count * DIMS as usize);
    let size = |&id: &u32| host.size(id);
    let mut touched = host_ids.clone();
    touched.sort_unstable();
    touched.dedup();
    let bytes =
        4 * host_ids.iter().map(size).sum::<u64>() + 16 * touched.iter().map(size).sum::<u64>() + 4 * count as u64;
    let optimizer = Optimizer::Adagrad { learning_rate: 0.1, epsilon: 1e-8 };
    let mut table = host.on(device, optimizer.state_size())?;
    let (ids, gradients) = (upload(device, &host_ids)?, upload(device, &host_gradients)?);
    let mut workspace = Buffer::zeroed(device, Update::workspace_len(count as u32, DIMS))?;
    let seconds = timer.median(|| {
        let update = Update {
            rows: &mut table,
            ids: &ids,
            first: 0,
            count: count as u32,
            gradients: (&gradients).into(),
            dims: DIMS,
            rule: optimizer.into(),
            step: 1,
            seed: 0,
            workspace: &mut workspace,
        };
        finish(device, update)
    })?;
    // A dense sum of gradients, then a step of every touched row.
    let (mut naive, mut squares) = (host.values.clone(), vec![0.0f32; host.values.len()]);
    let mut sums = vec![0.0f32; host.values.len()];
    let naive_seconds = timer.naive(|| {
        for (gradient, &id) in host_gradients.chunks_exact(DIMS as usize).zip(&host_ids) {
            sums[host.range(id)].iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g);
        }
        for &id in &touched {
            for at in host.range(id) {
                let g = std::mem::take(&mut sums[at]);
                squares[at] += g * g;
                naive[at] -= 0.1 * g / (squares[at].sqrt() + 1e-8);
            }
        }
    })?;
    let sparse = Found {
        case: format!("{rows} rows, {count} ids, Adagrad"),
        bytes,
        seconds,
        naive_seconds: Some(naive_seconds),
    };
    Ok(vec![sparse, bag_update(device, timer, rows)?])
}

fn bag_update(device: &Device, timer: &Timer, rows: usize) -> Result<Found> {
    let input = bag_input(rows);
    let count = input.bags.len() - 1;
    let mut touched = input.ids.clone();
    touched.sort_unstable();
    touched.dedup();
    let width = u64::from(BAG_DIMS);
    let optimizer = Optimizer::RowWiseAdagrad { learning_rate: 0.1, epsilon: 1e-8 };
    let mut table = input.rows.on(device, optimizer.state_size())?;
    let (ids, bags) = (upload(device, &input.ids)?, upload(device, &input.bags)?);
    let gradients = upload(device, &values(count * BAG_DIMS as usize))?;
    let occurrences = input.ids.len() as u32;
    let mut workspace = Buffer::zeroed(device, Update::bag_workspace_len(occurrences, BAG_DIMS))?;
    let of = BagGradients { gradients: &gradients, bags: &bags, weights: None, pooling: Pooling::Sum, winners: None };
    let seconds = timer.median(|| {
        let update = Update {
            rows: &mut table,
            ids: &ids,
            first: 0,
            count: occurrences,
            gradients: Gradients::Bags(of),
            dims: BAG_DIMS,
            rule: optimizer.into(),
            step: 1,
            seed: 0,
            workspace: &mut workspace,
        };
        finish(device, update)
    })?;
    Ok(Found {
        case: format!("{rows} of {BAG_DIMS}, {count} bags, row-wise"),
        bytes: 4 * width * u64::from(occurrences) + 8 * (width + 1) * touched.len() as u64,
        seconds,
        naive_seconds: None,
    })
}

fn update_all(device: &Device, timer: &Timer, rows: usize) -> Result<Vec<Found>> {
    let host = HostRows::new(ragged(rows, MEAN));
    let optimizer = Optimizer::Adam { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
    let mut table = host.on(device, optimizer.state_size())?;
    let gradients = upload(device, &values(rows * DIMS as usize))?;
    let seconds = timer.median(|| {
        let update =
            UpdateAll { rows: &mut table, gradients: &gradients, dims: DIMS, rule: optimizer.into(), step: 1, seed: 0 };
        finish(device, update)
    })?;
    let bytes = 28 * host.values.len() as u64 + 2 * rows as u64;
    Ok(vec![Found { case: format!("{rows} rows, Adam"), bytes, seconds, naive_seconds: None }])
}

fn migrate(device: &Device, timer: &Timer, rows: usize) -> Result<Vec<Found>> {
    let host = HostRows::new(ragged(rows, MEAN));
    // Every second row shrinks by a quarter, the others grow by one.
    let after = |(i, &size): (usize, &u32)| if i % 2 == 0 { size - size / 4 } else { size + 1 };
    let after: Vec<u32> = host.sizes.iter().enumerate().map(after).collect();
    let kept: u64 = host.sizes.iter().zip(&after).map(|(a, b)| u64::from(*a.min(b))).sum();
    let from = host.on(device, Default::default())?;
    let mut to = Rows::zeroed(device, &after, Layout::default(), Default::default())?;
    let written = to.values();
    let seconds = timer.median(|| {
        for to in to.pages_mut() {
            let fill = Fill::Normal { seed: 1, std: 0.01, zero_dims: 0 };
            Migrate { from: from.pages(), to, widest: 2 * MEAN, fill }.run(device)?;
        }
        device.wait()
    })?;
    let bytes = 4 * (kept + written) + 4 * rows as u64;
    Ok(vec![Found { case: format!("{rows} rows, half of them shrink"), bytes, seconds, naive_seconds: None }])
}

const DRAWS: u32 = 100;

fn sample(device: &Device, timer: &Timer, entities: usize) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for distribution in [Distribution::PowerLaw, Distribution::TruncatedNormal] {
        let profiles = [Profile { distribution, alpha: distribution.alpha(0.1) }];
        let entities = entities as u32;
        let mut out = Buffer::zeroed(device, entities as usize)?;
        let mut workspace = Buffer::zeroed(
            device,
            match device {
                Device::Cpu => 0,
                Device::Gpu(_) => Sample::workspace_len(1, entities, DRAWS),
            },
        )?;
        let seconds = timer.median(|| {
            let (out, workspace) = (&mut out, &mut workspace);
            finish(
                device,
                Sample { profiles: &profiles, entities, draws: DRAWS, seed: 1, first_action: 0, out, workspace },
            )
        })?;
        // Draw, sort, normalise, average.
        let naive_seconds = (distribution == Distribution::PowerLaw).then(|| {
            timer.naive(|| {
                let mut mean = vec![0.0f32; entities as usize];
                for draw in 0..DRAWS {
                    let uniform = uniform(entities as usize, 1 << 24, draw);
                    let mut draws: Vec<f32> =
                        uniform.iter().map(|&u| (u as f32 / (1 << 24) as f32).powf(1.0 / profiles[0].alpha)).collect();
                    draws.sort_unstable_by(|a, b| b.total_cmp(a));
                    let scale = 1.0 / (draws.iter().sum::<f32>() * DRAWS as f32);
                    mean.iter_mut().zip(draws).for_each(|(mean, x)| *mean += x * scale);
                }
                mean
            })
        });
        found.push(Found {
            case: format!("{entities} entities, {DRAWS} draws, {distribution}"),
            bytes: 4 * u64::from(entities),
            seconds,
            naive_seconds: naive_seconds.transpose()?,
        });
    }
    Ok(found)
}

fn apportion(device: &Device, timer: &Timer, entities: usize) -> Result<Vec<Found>> {
    let weights: Vec<f32> = (0..entities).map(|k| 1.0 / (k + 1) as f32).collect();
    let weights = upload(device, &weights)?;
    let mut sizes = Buffer::zeroed(device, entities)?;
    let mut workspace = Buffer::zeroed(device, Apportion::workspace_len(entities as u32))?;
    let allotment = Allotment { total: 8 * entities as u32, d_min: 1, d_max: 256 };
    let seconds = timer.median(|| {
        let (sizes, workspace) = (&mut sizes, &mut workspace);
        finish(device, Apportion { weights: &weights, first: 0, allotment, sizes, workspace })
    })?;
    let bytes = 8 * entities as u64;
    Ok(vec![Found { case: format!("{entities} entities, 1/k"), bytes, seconds, naive_seconds: None }])
}

fn rank(device: &Device, timer: &Timer, entities: usize) -> Result<Vec<Found>> {
    let host = skewed(entities, 5000, 3);
    let frequencies = upload(device, &host)?;
    let mut order = Buffer::zeroed(device, entities)?;
    let mut workspace = Buffer::zeroed(device, Rank::workspace_len(entities as u32))?;
    let seconds = timer.median(|| {
        let (order, workspace) = (&mut order, &mut workspace);
        finish(device, Rank { frequencies: &frequencies, order, workspace })
    })?;
    let naive_seconds = timer.naive(|| {
        let mut order: Vec<u32> = (0..entities as u32).collect();
        order.sort_by_key(|&i| std::cmp::Reverse(host[i as usize]));
        order
    })?;
    let (bytes, naive_seconds) = (8 * entities as u64, Some(naive_seconds));
    Ok(vec![Found { case: format!("{entities} entities, skewed"), bytes, seconds, naive_seconds }])
}

fn spmm(device: &Device, timer: &Timer, nodes: usize) -> Result<Vec<Found>> {
    let (users, items) = ((nodes * 2 / 3) as u32, (nodes / 3) as u32);
    let edges = nodes * 10 / 3;
    let pairs = uniform(edges, users, 3).into_iter().zip(uniform(edges, items, 1));
    let graph = Bipartite::new(&UserItems::new(users, pairs)?, items, Normalisation::Symmetric)?;
    let (rows, d) = ((users + items) as usize, 64usize);
    let host_x = values(rows * d);
    let (row_offsets, columns) = (upload(device, graph.row_offsets())?, upload(device, graph.columns())?);
    let (weights, x) = (upload(device, graph.values())?, upload(device, &host_x)?);
    let mut y = Buffer::zeroed(device, rows * d)?;
    let mut workspace = Buffer::zeroed(device, Spmm::workspace_len(columns.len(), d as u32))?;
    let seconds = timer.median(|| {
        let spmm = Spmm {
            row_offsets: &row_offsets,
            columns: &columns,
            values: &weights,
            x: Operand::Dense(&x),
            x_first: 0,
            dims: d as u32,
            y: &mut y,
            y_first: 0,
            accumulate: None,
            workspace: &mut workspace,
        };
        finish(device, spmm)
    })?;
    let mut naive = vec![0.0f32; rows * d];
    let naive_seconds = timer.naive(|| {
        for (r, y) in naive.chunks_exact_mut(d).enumerate() {
            y.fill(0.0);
            let range = graph.row_offsets()[r] as usize..graph.row_offsets()[r + 1] as usize;
            for (&column, value) in graph.columns()[range.clone()].iter().zip(&graph.values()[range]) {
                y.iter_mut().zip(&host_x[column as usize * d..]).for_each(|(y, x)| *y += value * x);
            }
        }
    })?;
    Ok(vec![Found {
        case: format!("{rows} nodes, {} non-zeros, {d} columns", columns.len()),
        bytes: (4 * d * (columns.len() + rows) + 8 * columns.len() + 4 * rows) as u64,
        seconds,
        naive_seconds: Some(naive_seconds),
    }])
}

fn top_k(device: &Device, timer: &Timer, candidates: usize) -> Result<Vec<Found>> {
    let (users, items, d, k) = (500, (candidates * 3 / 10) as u32, 64u32, 20);
    let (queries, tile) =
        (upload(device, &values((users * d) as usize))?, upload(device, &values((items * d) as usize))?);
    let (excluded_offsets, excluded) = (upload(device, &vec![0u32; users as usize + 1])?, upload(device, &[0u32])?);
    let mut best_scores = Buffer::zeroed(device, (users * k) as usize)?;
    let mut best_positions = Buffer::zeroed(device, (users * k) as usize)?;
    let seconds = timer.median(|| {
        let top_k = TopK {
            queries: &queries,
            query_count: users,
            candidates: &tile,
            candidate_count: items,
            candidate_base: 0,
            dims: d,
            item_bias: false,
            excluded_offsets: &excluded_offsets,
            excluded: &excluded,
            k,
            fresh: true,
            best_scores: &mut best_scores,
            best_positions: &mut best_positions,
        };
        finish(device, top_k)
    })?;
    let bytes = u64::from(4 * d) * u64::from(users + items) + u64::from(8 * users * k);
    let case = format!("{users} x {items}, width {d}, k {k}");
    Ok(vec![Found { case, bytes, seconds, naive_seconds: None }])
}

fn sort(device: &Device, timer: &Timer, count: usize) -> Result<Vec<Found>> {
    let host = uniform(count, 100_000, 4);
    let payload: Vec<u32> = (0..count as u32).collect();
    let mut workspace = Buffer::zeroed(device, Sort::workspace_len(count as u32))?;
    let (mut keys, mut payloads) = (upload(device, &host)?, upload(device, &payload)?);
    let seconds = timer.median(|| {
        // Sorted keys would be easy: they are written anew, which the copy's time hides.
        keys.write(&host)?;
        let (keys, payload, workspace) = (&mut keys, &mut payloads, &mut workspace);
        finish(device, Sort { keys, payload, count: count as u32, bits: 17, workspace })
    })?;
    let naive_seconds = timer.naive(|| {
        let mut order = payload.clone();
        order.sort_by_key(|&i| host[i as usize]);
        order
    })?;
    let case = format!("{count} keys of 17 bits");
    Ok(vec![Found { case, bytes: 16 * count as u64, seconds, naive_seconds: Some(naive_seconds) }])
}

fn scan(device: &Device, timer: &Timer, count: usize) -> Result<Vec<Found>> {
    let mut values = upload(device, &uniform(count, 20, 5))?;
    let mut workspace = Buffer::zeroed(device, Scan::workspace_len(count as u32))?;
    let seconds = timer.median(|| {
        let (values, count, workspace) = (&mut values, count as u32, &mut workspace);
        finish(device, Scan { values, count, inclusive: true, workspace })
    })?;
    let mut naive = uniform(count, 20, 5);
    let naive_seconds = timer.naive(|| {
        let mut sum = 0u32;
        naive.iter_mut().for_each(|value| {
            sum = sum.wrapping_add(*value);
            *value = sum;
        });
    })?;
    let case = format!("{count} values");
    Ok(vec![Found { case, bytes: 8 * count as u64, seconds, naive_seconds: Some(naive_seconds) }])
}

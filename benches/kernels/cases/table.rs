//! The ragged table.

use scall_gpu::Result;
use scall_gpu::device::{Buffer, Device, Kernel};
use scall_gpu::kernels::table::bags::{LookupBags, Pooling};
use scall_gpu::kernels::table::lookup::{Lookup, LookupPacked};
use scall_gpu::kernels::table::migrate::{Fill, Migrate};
use scall_gpu::kernels::table::update::{BagGradients, Gradients, Optimizer, Update};
use scall_gpu::kernels::table::update_all::UpdateAll;
use scall_gpu::rows::{Format, Layout, Rows};

use super::{Case, Meter, Torch, assert_close, finish, upload};
use crate::data::{HostRows, ragged, skewed, uniform, values};

/// Row sizes 1 to 19.
const MEAN: u32 = 10;
/// Width of padded rows and gradients.
const DIMS: u32 = 32;

pub fn lookup(device: &Device, meter: &mut dyn Meter, rows: usize) -> Result<()> {
    lookup_of(device, meter, rows, (MEAN, DIMS), Layout::default())?;
    // Wide rows, but not gigabytes of them.
    if rows <= 2_000_000 {
        for aligned in [false, true] {
            lookup_of(device, meter, rows, (64, 128), Layout { aligned, ..Layout::default() })?;
        }
        lookup_of(device, meter, rows, (64, 128), Layout { format: Format::I8, ..Layout::default() })?;
    }
    Ok(())
}

fn lookup_of(
    device: &Device,
    meter: &mut dyn Meter,
    rows: usize,
    (mean, dims): (u32, u32),
    layout: Layout,
) -> Result<()> {
    let kind = match layout {
        Layout { format: Format::I8, .. } => "i8 ",
        Layout { aligned: true, .. } => "aligned ",
        _ => "",
    };
    let a_value = layout.format.bytes();
    let (count, width) = (rows * 3 / 10, dims as usize);
    let (host, host_ids) = (HostRows::new(ragged(rows, mean)), uniform(count, rows as u32, 1));
    let (table, ids) = (host.laid_out(device, layout, Default::default())?, upload(device, &host_ids)?);
    let read: u64 = host_ids.iter().map(|&id| host.size(id)).sum();
    // An id, where its row begins and ends, and the base of its block.
    let metadata = 12 * count as u64;

    let mut out = Buffer::<f32>::zeroed(device, count * width)?;
    let run = &mut || finish(device, Lookup { rows: &table, ids: &ids, dims, out: &mut out });
    run()?;
    let mut want = vec![0.0f32; count * width];
    let mut naive = || {
        for (out, &id) in want.chunks_exact_mut(width).zip(&host_ids) {
            let row = host.row(id);
            out[..row.len()].copy_from_slice(row);
            out[row.len()..].fill(0.0);
        }
    };
    naive();
    let case = Case {
        torch: Some(Torch { work: "gather and mask", rows, dims, bag: 1, ids: &host_ids }),
        ..Case::new(
            format!("{rows} {kind}rows of {mean}, {count} ids, padded to {dims}"),
            a_value * read + 4 * u64::from(dims) * count as u64 + metadata,
        )
    };
    meter.measure(case, run, Some(&mut naive))?;
    assert_stored("table/lookup", &out.read()?, &want, layout);

    let mut ends = vec![0u32];
    for &id in &host_ids {
        ends.push(ends[ends.len() - 1] + host.size(id) as u32);
    }
    let (out_offsets, mut out) = (upload(device, &ends)?, Buffer::<f32>::zeroed(device, read as usize)?);
    let run = &mut || {
        let (rows, ids, out_offsets, widest) = (&table, &ids, &out_offsets, 2 * mean - 1);
        finish(device, LookupPacked { rows, ids, out_offsets, widest, out: &mut out })
    };
    run()?;
    let mut want = vec![0.0f32; read as usize];
    let mut naive = || {
        for (ends, &id) in ends.windows(2).zip(&host_ids) {
            want[ends[0] as usize..ends[1] as usize].copy_from_slice(host.row(id));
        }
    };
    naive();
    let bytes = (a_value + 4) * read + metadata + 4 * count as u64;
    let case = Case::new(format!("{rows} {kind}rows of {mean}, {count} ids, packed"), bytes);
    meter.measure(case, run, Some(&mut naive))?;
    assert_stored("table/lookup, packed", &out.read()?, &want, layout);
    Ok(())
}

/// Equal, or of a format that rounds within a 63rd of the largest value.
fn assert_stored(what: &str, got: &[f32], want: &[f32], layout: Layout) {
    if layout.format == Format::F32 {
        assert_eq!(got, want, "{what}");
        return;
    }
    let largest = want.iter().fold(0.0f32, |most, value| most.max(value.abs()));
    assert!(got.iter().zip(want).all(|(got, want)| (got - want).abs() <= largest / 63.0), "{what}");
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
    let count = rows.min(1_000_000) / 6;
    BagInput {
        rows: HostRows::new(vec![BAG_DIMS; rows]),
        ids: skewed(count * BAG, rows as u32, 2),
        bags: (0..=count as u32).map(|bag| bag * BAG as u32).collect(),
    }
}

pub fn bags(device: &Device, meter: &mut dyn Meter, rows: usize) -> Result<()> {
    let input = bag_input(rows);
    let (count, dims) = (input.bags.len() - 1, BAG_DIMS as usize);
    let table = input.rows.on(device, Default::default())?;
    let (ids, bags) = (upload(device, &input.ids)?, upload(device, &input.bags)?);
    let mut out = Buffer::<f32>::zeroed(device, count * dims)?;
    let run = &mut || {
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
    };
    run()?;
    let mut want = vec![0.0f32; count * dims];
    let mut naive = || {
        for (out, ids) in want.chunks_exact_mut(dims).zip(input.ids.chunks_exact(BAG)) {
            out.fill(0.0);
            for &id in ids {
                out.iter_mut().zip(input.rows.row(id)).for_each(|(sum, value)| *sum += value);
            }
        }
    };
    naive();
    let case = Case {
        torch: Some(Torch { work: "embedding bag", rows, dims: BAG_DIMS, bag: BAG, ids: &input.ids }),
        ..Case::new(
            format!("{rows} rows of {BAG_DIMS}, {count} bags of {BAG}"),
            4 * u64::from(BAG_DIMS) * (input.ids.len() + count) as u64 + 12 * input.ids.len() as u64,
        )
    };
    meter.measure(case, run, Some(&mut naive))?;
    assert_close("table/bags", &out.read()?, &want);
    Ok(())
}

// So large an epsilon that a gradient near zero makes a small step, and two orders of a sum can be compared by it.
const ADAGRAD: Optimizer = Optimizer::Adagrad { learning_rate: 0.1, epsilon: 1.0 };
const ROW_WISE: Optimizer = Optimizer::RowWiseAdagrad { learning_rate: 0.1, epsilon: 1.0 };

pub fn update(device: &Device, meter: &mut dyn Meter, rows: usize) -> Result<()> {
    let count = rows * 3 / 10;
    let host = HostRows::new(ragged(rows, MEAN));
    let gradients = values(count * DIMS as usize);
    for (kind, ids) in [("even", uniform(count, rows as u32, 1)), ("skewed", skewed(count, rows as u32, 2))] {
        update_of(device, meter, (&host, ADAGRAD), Occurrences { kind, ids, of: &gradients, bag: 1, dims: DIMS })?;
    }
    let BagInput { rows: host, ids, bags } = bag_input(rows);
    let gradients = values((bags.len() - 1) * BAG_DIMS as usize);
    for optimizer in [ROW_WISE, ADAGRAD] {
        let (kind, ids) = ("bags", ids.clone());
        update_of(
            device,
            meter,
            (&host, optimizer),
            Occurrences { kind, ids, of: &gradients, bag: BAG, dims: BAG_DIMS },
        )?;
    }
    Ok(())
}

/// Ids, and a gradient for each or for every bag of so many.
struct Occurrences<'a> {
    kind: &'a str,
    ids: Vec<u32>,
    of: &'a [f32],
    bag: usize,
    dims: u32,
}

fn update_of(
    device: &Device,
    meter: &mut dyn Meter,
    (host, optimizer): (&HostRows, Optimizer),
    Occurrences { kind, ids: host_ids, of: host_gradients, bag, dims }: Occurrences<'_>,
) -> Result<()> {
    let (count, rows, width) = (host_ids.len() as u32, host.sizes.len(), dims as usize);
    let row_wise = optimizer.state_size().per_row > 0;
    let mut touched = host_ids.clone();
    touched.sort_unstable();
    touched.dedup();
    let size = |&id: &u32| host.size(id);
    let held: u64 = touched.iter().map(size).sum();
    // Gradients within the mask read once for each id; values and state of touched rows read and written once.
    let state = if row_wise { touched.len() as u64 } else { held };
    let bytes = 4 * host_ids.iter().map(size).sum::<u64>() + 8 * (held + state) + 4 * u64::from(count);
    let name = if row_wise { "row-wise Adagrad" } else { "Adagrad" };
    let of_torch = Torch { work: "sparse Adagrad", rows, dims, bag, ids: &host_ids };
    let case = Case {
        torch: (bag > 1 && !row_wise).then_some(of_torch),
        ..Case::new(format!("{rows} rows, {count} ids, {kind}, {name}"), bytes)
    };

    let mut table = host.on(device, optimizer.state_size())?;
    let (ids, gradients) = (upload(device, &host_ids)?, upload(device, host_gradients)?);
    let bags: Vec<u32> = (0..=count / bag as u32).map(|number| number * bag as u32).collect();
    let bags = upload(device, &bags)?;
    let of_bags =
        BagGradients { gradients: &gradients, bags: &bags, weights: None, pooling: Pooling::Sum, winners: None };
    let (gradients, needed) = match bag {
        1 => (Gradients::Each(&gradients), Update::workspace_len(count, dims)),
        _ => (Gradients::Bags(of_bags), Update::bag_workspace_len(count, dims)),
    };
    let mut workspace = Buffer::zeroed(device, needed)?;
    let mut step = |rows: &mut Rows| {
        let (ids, rule, workspace) = (&ids, optimizer.into(), &mut workspace);
        finish(
            device,
            Update { rows, ids, first: 0, count, gradients, dims, rule, step: 1, seed: 0, workspace, counter: None },
        )
    };
    // A dense sum of gradients, then a step of every touched row.
    let (mut want, mut squares) = (host.values.clone(), vec![0.0f32; host.values.len()]);
    let mut sums = vec![0.0f32; host.values.len()];
    let mut naive = |want: &mut [f32]| {
        for (i, &id) in host_ids.iter().enumerate() {
            let gradient = &host_gradients[i / bag * width..][..width];
            sums[host.range(id)].iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g);
        }
        for &id in &touched {
            let range = host.range(id);
            let mean = || sums[range.clone()].iter().map(|g| g * g).sum::<f32>() / range.len() as f32;
            let of_row = if row_wise { Some(mean()) } else { None };
            for at in range {
                let g = std::mem::take(&mut sums[at]);
                squares[at] += of_row.unwrap_or(g * g);
                want[at] -= 0.1 * g / (squares[at].sqrt() + 1.0);
            }
        }
    };
    step(&mut table)?;
    naive(&mut want);
    assert_close("table/update", &table.read()?, &want);
    meter.measure(case, &mut || step(&mut table), Some(&mut || naive(&mut want)))
}

pub fn update_all(device: &Device, meter: &mut dyn Meter, rows: usize) -> Result<()> {
    let host = HostRows::new(ragged(rows, MEAN));
    let host_gradients = values(rows * DIMS as usize);
    let adam = Optimizer::Adam { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
    let mut table = host.on(device, adam.state_size())?;
    let gradients = upload(device, &host_gradients)?;
    let step = |rows: &mut Rows| {
        finish(
            device,
            UpdateAll { rows, gradients: &gradients, dims: DIMS, rule: adam.into(), step: 1, seed: 0, counter: None },
        )
    };
    let (mut want, len) = (host.values.clone(), host.values.len());
    let [mut means, mut squares] = [vec![0.0f32; len], vec![0.0f32; len]];
    let mut naive = |want: &mut [f32]| {
        for (id, gradient) in host_gradients.chunks_exact(DIMS as usize).enumerate() {
            for (at, g) in host.range(id as u32).zip(gradient) {
                means[at] = 0.9 * means[at] + 0.1 * g;
                squares[at] = 0.999 * squares[at] + 0.001 * (g * g);
                want[at] -= 1e-3 * means[at] / 0.1 / ((squares[at] / 0.001).sqrt() + 1e-8);
            }
        }
    };
    step(&mut table)?;
    naive(&mut want);
    assert_close("table/update_all", &table.read()?, &want);
    let case = Case::new(format!("{rows} rows, Adam"), 28 * len as u64 + 2 * rows as u64);
    meter.measure(case, &mut || step(&mut table), Some(&mut || naive(&mut want)))
}

pub fn migrate(device: &Device, meter: &mut dyn Meter, rows: usize) -> Result<()> {
    let mean = 16;
    let host = HostRows::new(ragged(rows, mean));
    // Every second row shrinks by a quarter, the others grow by one.
    let after = |(i, &size): (usize, &u32)| if i % 2 == 0 { size - size / 4 } else { size + 1 };
    let after: Vec<u32> = host.sizes.iter().enumerate().map(after).collect();
    let kept = || host.sizes.iter().zip(&after).map(|(a, b)| *a.min(b) as usize);
    let from = host.on(device, Default::default())?;
    let mut to = Rows::zeroed(device, &after, Layout::default(), Default::default())?;
    let written = to.values();
    let run = &mut || {
        for to in to.pages_mut() {
            let fill = Fill::Normal { seed: 1, std: 0.01, zero_dims: 0 };
            Migrate { from: from.pages(), to, widest: 2 * mean, fill }.run(device)?;
        }
        device.wait()
    };
    run()?;
    // Without the draws: what is new stays zero.
    let mut want = vec![0.0f32; written as usize];
    let mut naive = || {
        let mut begin = 0;
        for ((id, &size), kept) in (0..).zip(&after).zip(kept()) {
            want[begin..begin + kept].copy_from_slice(&host.row(id)[..kept]);
            begin += size as usize;
        }
    };
    naive();
    let bytes = 4 * (kept().sum::<usize>() as u64 + written) + 4 * rows as u64;
    meter.measure(Case::new(format!("{rows} rows of {mean}, half of them shrink"), bytes), run, Some(&mut naive))?;
    let (got, mut begin) = (to.read()?, 0);
    for (&size, kept) in after.iter().zip(kept()) {
        assert_eq!(got[begin..begin + kept], want[begin..begin + kept], "table/migrate");
        begin += size as usize;
    }
    Ok(())
}

//! Primitives.

use scall_gpu::Result;
use scall_gpu::device::{Buffer, Device};
use scall_gpu::kernels::prim::reduce::{Operator, Reduce};
use scall_gpu::kernels::prim::scan::Scan;
use scall_gpu::kernels::prim::segments::{Runs, SegmentedSum};
use scall_gpu::kernels::prim::sort::Sort;

use super::{Case, Meter, assert_close, finish, upload};
use crate::data::{uniform, values};

pub fn sort(device: &Device, meter: &mut dyn Meter, count: usize) -> Result<()> {
    let host = uniform(count, 100_000, 4);
    let payload: Vec<u32> = (0..count as u32).collect();
    let mut workspace = Buffer::zeroed(device, Sort::workspace_len(count as u32))?;
    let (mut keys, mut payloads) = (upload(device, &host)?, upload(device, &payload)?);
    let case = Case::new(format!("{count} keys of 17 bits"), 16 * count as u64);
    let mut order = Vec::new();
    let mut naive = || {
        order.clone_from(&payload);
        order.sort_by_key(|&i| host[i as usize]);
    };
    naive();
    let run = &mut || {
        // Sorted keys would be easy: both are written anew, which the copy's time hides.
        keys.write(&host)?;
        payloads.write(&payload)?;
        let (keys, payload, workspace) = (&mut keys, &mut payloads, &mut workspace);
        finish(device, Sort { keys, payload, count: count as u32, bits: 17, workspace })
    };
    run()?;
    meter.measure(case, run, Some(&mut naive))?;
    assert_eq!(payloads.read()?, order, "prim/sort");
    Ok(())
}

pub fn scan(device: &Device, meter: &mut dyn Meter, count: usize) -> Result<()> {
    let host = uniform(count, 20, 5);
    let mut buffer = upload(device, &host)?;
    let mut workspace = Buffer::zeroed(device, Scan::workspace_len(count as u32))?;
    let mut run = |buffer: &mut Buffer<u32>| {
        finish(device, Scan { values: buffer, count: count as u32, inclusive: true, workspace: &mut workspace })
    };
    let mut sums = host;
    let naive = |sums: &mut [u32]| {
        let mut sum = 0u32;
        sums.iter_mut().for_each(|value| {
            sum = sum.wrapping_add(*value);
            *value = sum;
        });
    };
    run(&mut buffer)?;
    naive(&mut sums);
    assert_eq!(buffer.read()?, sums, "prim/scan");
    let case = Case::new(format!("{count} values"), 8 * count as u64);
    meter.measure(case, &mut || run(&mut buffer), Some(&mut || naive(&mut sums)))
}

pub fn reduce(device: &Device, meter: &mut dyn Meter, count: usize) -> Result<()> {
    let host = values(count);
    let input = upload(device, &host)?;
    let mut out = Buffer::zeroed(device, Reduce::<f32>::out_len(count as u32))?;
    let mut sum = 0.0f32;
    let mut naive = || sum = host.iter().sum();
    naive();
    let case = Case::new(format!("sum of {count} values"), 4 * count as u64);
    let run = &mut || finish(device, Reduce { input: &input, operator: Operator::Sum, out: &mut out });
    run()?;
    meter.measure(case, run, Some(&mut naive))?;
    let got = f32::from_bits(out.read()?[0]);
    let exact: f64 = host.iter().map(|&value| f64::from(value)).sum();
    assert!((f64::from(got) - exact).abs() <= 1e-6 * count as f64, "prim/reduce: {got}, not {exact} (in a row {sum})");
    Ok(())
}

pub fn segments(device: &Device, meter: &mut dyn Meter, count: usize) -> Result<()> {
    let mut keys = uniform(count, (count / 5) as u32, 6);
    keys.sort_unstable();
    let buffer = upload(device, &keys)?;
    let [mut runs, mut starts] = [Buffer::zeroed(device, count + 1)?, Buffer::zeroed(device, count + 1)?];
    let mut workspace = Buffer::zeroed(device, Runs::workspace_len(count as u32))?;
    let mut distinct = keys.clone();
    distinct.dedup();
    let case = Case::new(format!("runs of {count} keys"), 4 * count as u64 + 8 * distinct.len() as u64);
    let mut naive = || distinct = keys.chunk_by(|a, b| a == b).map(|run| run[0]).collect();
    naive();
    let run = &mut || {
        let (runs, starts, workspace) = (&mut runs, &mut starts, &mut workspace);
        finish(device, Runs { keys: &buffer, runs, starts, workspace })
    };
    run()?;
    meter.measure(case, run, Some(&mut naive))?;
    let found = runs.read()?;
    assert_eq!(found[0] as usize, distinct.len(), "prim/segments");
    assert_eq!(found[1..=distinct.len()], distinct, "prim/segments");

    let offsets = starts.read()?[..=distinct.len()].to_vec();
    let host = values(count);
    let (summed, offsets_buffer) = (upload(device, &host)?, upload(device, &offsets)?);
    let mut sums = Buffer::zeroed(device, distinct.len())?;
    let case = Case::new(
        format!("sums of {count} values in {} segments", distinct.len()),
        4 * (count + 2 * distinct.len()) as u64,
    );
    let mut want = Vec::new();
    let mut naive = || {
        want.clear();
        want.extend(offsets.windows(2).map(|ends| host[ends[0] as usize..ends[1] as usize].iter().sum::<f32>()));
    };
    naive();
    let longest = offsets.windows(2).map(|ends| ends[1] - ends[0]).max().unwrap_or(0);
    let run =
        &mut || finish(device, SegmentedSum { values: &summed, offsets: &offsets_buffer, longest, sums: &mut sums });
    run()?;
    meter.measure(case, run, Some(&mut naive))?;
    assert_close("prim/segments", &sums.read()?, &want);
    Ok(())
}

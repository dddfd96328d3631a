//! Sizes of rows.

use scall_gpu::Result;
use scall_gpu::device::{Buffer, Device};
use scall_gpu::kernels::sizing::apportion::{Allotment, Apportion};
use scall_gpu::kernels::sizing::rank::Rank;
use scall_gpu::kernels::sizing::sample::{Distribution, Profile, Sample};

use super::{Case, Meter, finish, upload};
use crate::data::{skewed, uniform};

const DRAWS: u32 = 100;

/// Profiles that a search compares at once, on a GPU that is made of hardware.
const ACTIONS: usize = 64;

pub fn sample(device: &Device, meter: &mut dyn Meter, entities: usize) -> Result<()> {
    sample_of(device, meter, entities, (Distribution::PowerLaw, 1, 1))?;
    sample_of(device, meter, entities, (Distribution::TruncatedNormal, 1, 1))?;
    if device.as_gpu().is_some_and(|gpu| !gpu.is_software()) && entities <= 1_000_000 {
        sample_of(device, meter, entities, (Distribution::PowerLaw, ACTIONS, 1))?;
        sample_of(device, meter, entities, (Distribution::PowerLaw, ACTIONS, ACTIONS))?;
    }
    Ok(())
}

fn sample_of(
    device: &Device,
    meter: &mut dyn Meter,
    entities: usize,
    (distribution, actions, profiles_per_stream): (Distribution, usize, usize),
) -> Result<()> {
    let profiles = vec![Profile { distribution, alpha: distribution.alpha(0.1) }; actions];
    let kind = match (actions, profiles_per_stream) {
        (1, _) => String::new(),
        (_, 1) => format!("{actions} x "),
        _ => format!("{actions} with common numbers x "),
    };
    let bytes = 4 * (actions * entities) as u64;
    let case = Case::new(format!("{kind}{entities} entities, {DRAWS} draws, {distribution}"), bytes);
    let mut out = Buffer::zeroed(device, actions * entities)?;
    let needed = device.as_gpu().map_or(0, |_| Sample::workspace_len(actions, entities as u32, DRAWS));
    let mut workspace = Buffer::zeroed(device, needed)?;
    let run = &mut || {
        let (profiles, entities, out, workspace) = (&profiles[..], entities as u32, &mut out, &mut workspace);
        let profiles_per_stream = profiles_per_stream as u32;
        let sample =
            Sample { profiles, entities, draws: DRAWS, seed: 1, first_stream: 0, profiles_per_stream, out, workspace };
        finish(device, sample)
    };
    run()?;
    // Draw, sort, normalise, average: other draws than ours.
    let mut mean = Vec::new();
    let mut naive = || {
        mean = vec![0.0f32; entities];
        for draw in 0..DRAWS {
            let uniform = uniform(entities, 1 << 24, draw);
            let mut draws: Vec<f32> =
                uniform.iter().map(|&u| (u as f32 / (1 << 24) as f32).powf(1.0 / profiles[0].alpha)).collect();
            draws.sort_unstable_by(|a, b| b.total_cmp(a));
            let scale = 1.0 / (draws.iter().sum::<f32>() * DRAWS as f32);
            mean.iter_mut().zip(draws).for_each(|(mean, x)| *mean += x * scale);
        }
    };
    let comparable = distribution == Distribution::PowerLaw && actions == 1;
    let naive: Option<&mut dyn FnMut()> = if comparable { Some(&mut naive) } else { None };
    meter.measure(case, run, naive)?;
    for weights in out.read()?.chunks(entities) {
        assert!(weights.is_sorted_by(|a, b| a >= b), "sizing/sample: {distribution} rises");
        let sum: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
        assert!((sum - 1.0).abs() < 1e-3, "sizing/sample: {distribution} adds up to {sum}");
    }
    Ok(())
}

pub fn apportion(device: &Device, meter: &mut dyn Meter, entities: usize) -> Result<()> {
    let weights: Vec<f32> = (0..entities).map(|k| 1.0 / (k + 1) as f32).collect();
    let weights = upload(device, &weights)?;
    let mut sizes = Buffer::zeroed(device, entities)?;
    let mut workspace = Buffer::zeroed(device, Apportion::workspace_len(entities as u32))?;
    let allotment = Allotment { total: 8 * entities as u32, d_min: 1, d_max: 256 };
    let run = &mut || {
        let (sizes, workspace) = (&mut sizes, &mut workspace);
        finish(device, Apportion { weights: &weights, first: 0, allotment, sizes, workspace })
    };
    run()?;
    meter.measure(Case::new(format!("{entities} entities, 1/k"), 8 * entities as u64), run, None)?;
    assert_eq!(sizes.read()?.iter().sum::<u32>(), allotment.total, "sizing/apportion");
    Ok(())
}

pub fn rank(device: &Device, meter: &mut dyn Meter, entities: usize) -> Result<()> {
    let host = skewed(entities, 5000, 3);
    let frequencies = upload(device, &host)?;
    let mut order = Buffer::zeroed(device, entities)?;
    let mut workspace = Buffer::zeroed(device, Rank::workspace_len(entities as u32))?;
    let run = &mut || {
        let (order, workspace) = (&mut order, &mut workspace);
        finish(device, Rank { frequencies: &frequencies, order, workspace })
    };
    run()?;
    let mut want: Vec<u32> = Vec::new();
    let mut naive = || {
        want = (0..entities as u32).collect();
        want.sort_by_key(|&i| std::cmp::Reverse(host[i as usize]));
    };
    naive();
    let case = Case::new(format!("{entities} entities, skewed"), 8 * entities as u64);
    meter.measure(case, run, Some(&mut naive))?;
    assert_eq!(order.read()?, want, "sizing/rank");
    Ok(())
}

//! Segments: runs of equal keys in a sorted list, and f32 sums over segments.
//!
//! [`Runs`]: of `keys = [4, 4, 7, 9, 9, 9]` the runs are `[4, 7, 9]` and they start at `[0, 2, 3]`, with the end 6
//! after the last. [`SegmentedSum`]: `sums[s] = sum of values[offsets[s]..offsets[s + 1]]`.
//!
//! # Numerics
//! A segment is summed by `k` lanes, where `k` follows from the mean length. Each lane adds every k-th value in order,
//! then the lanes add up by halves. Both devices add in this order and agree in every bit. The error is within
//! `eps * (length / k + log2(k)) * sum |v|`.
//!
//! # Cost
//! `Runs`: two dispatches and a scan, 20n bytes. `SegmentedSum`: one dispatch for every 16,384 k values, 4n bytes.

use pulp::Arch;
use rayon::prelude::*;

use super::scan::{self, Region, RegionScan, Scan};
use crate::Result;
use crate::check;
use crate::device::{Buffer, Dispatches, Entry, Gpu, Kernel, Launch, Shader, params, reads, writes};
use crate::kernels::{HAND_OVER, MAX_TRIPS};

pub(crate) static SHADER: Shader = Shader {
    name: "prim/segments",
    source: include_str!("../../../shaders/prim/segments.wgsl"),
    params: Params::FIELDS,
    entries: &[
        Entry::of("mark_runs", &[reads(1), writes(2)]),
        Entry::of("collect_runs", &[reads(1), writes(2), writes(3), writes(4)]),
        Entry::of("sum_segments", &[reads(5), reads(6), writes(7)]).with_overrides(&["lanes"]),
    ],
};

params! {
    struct Params {
        count: u32,
        first: u32,
        last: u32,
    }
}

/// Finds the runs of equal keys. See the [module](self).
///
/// # Example
/// ```
/// use scall_gpu::device::{Buffer, Device, Kernel};
/// use scall_gpu::kernels::prim::segments::Runs;
/// # fn main() -> scall_gpu::Result<()> {
/// let device = Device::cpu();
/// let keys = Buffer::from_slice(&device, &[4u32, 4, 7, 9, 9, 9])?;
/// let (mut runs, mut starts) = (Buffer::zeroed(&device, 7)?, Buffer::zeroed(&device, 7)?);
/// let mut workspace = Buffer::zeroed(&device, Runs::workspace_len(6))?;
/// Runs { keys: &keys, runs: &mut runs, starts: &mut starts, workspace: &mut workspace }.run(&device)?;
/// assert_eq!(runs.read()?[..4], [3, 4, 7, 9]); // three runs, and the key of each
/// assert_eq!(starts.read()?[..4], [0, 2, 3, 6]);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Runs<'a> {
    /// `n` keys, equal ones next to each other.
    pub keys: &'a Buffer<u32>,
    /// `n + 1` words: the number of runs, then the key of each. The rest is not written.
    pub runs: &'a mut Buffer<u32>,
    /// `n + 1` words: where each run starts, then `n`. The rest is not written.
    pub starts: &'a mut Buffer<u32>,
    /// At least [`Runs::workspace_len`] words; what it holds afterwards is not specified. The CPU does not use it.
    pub workspace: &'a mut Buffer<u32>,
}

impl Runs<'_> {
    /// Words of workspace that `count` keys need.
    pub fn workspace_len(count: u32) -> usize {
        count as usize + Scan::workspace_len(count)
    }
}

impl Kernel for Runs<'_> {
    const NAME: &'static str = "prim/segments";

    fn check(&self) -> Result<()> {
        let count = self.keys.len() as u64;
        check::indexable(Self::NAME, "keys", count + 1)?;
        check::at_least(Self::NAME, "runs", self.runs.len(), count + 1)?;
        check::at_least(Self::NAME, "starts", self.starts.len(), count + 1)?;
        let needed = if self.keys.as_wgpu().is_some() { Self::workspace_len(count as u32) } else { 0 };
        check::at_least(Self::NAME, "workspace", self.workspace.len(), needed as u64)
    }

    fn dispatch(self, gpu: &Gpu, list: &mut Dispatches) -> Result<()> {
        let count = self.keys.len() as u32;
        let workspace = &*self.workspace;
        let launch = |list: &mut Dispatches, entry, bindings: &[_]| {
            Launch {
                shader: &SHADER,
                entry,
                codecs: &[],
                constants: &[],
                params: Params { count, first: 0, last: 0 }.words(),
                bindings,
                groups: u64::from(count.div_ceil(256).max(1)),
            }
            .record(gpu, list)
        };
        launch(list, "mark_runs", &[self.keys.binding("keys"), workspace.binding("workspace")])?;
        let words = Region::new("workspace", workspace);
        let scan = RegionScan { values: words, workspace: words.at(count), count, inclusive: true, items: scan::ITEMS };
        scan.record(gpu, list)?;
        let buffers = [
            self.keys.binding("keys"),
            workspace.binding("workspace"),
            self.runs.binding("runs"),
            self.starts.binding("starts"),
        ];
        launch(list, "collect_runs", &buffers)
    }

    fn twin(self) -> Result<()> {
        let keys = self.keys.host(Self::NAME, "keys")?;
        let runs = self.runs.host_mut(Self::NAME, "runs")?;
        let starts = self.starts.host_mut(Self::NAME, "starts")?;
        let total = find_runs(keys, (&mut runs[1..], starts));
        runs[0] = total as u32;
        starts[total] = keys.len() as u32;
        Ok(())
    }
}

/// Writes key and start of each run, and returns their number.
fn find_runs(keys: &[u32], (runs, starts): (&mut [u32], &mut [u32])) -> usize {
    if keys.len() <= HAND_OVER {
        return put_runs(keys, 0, (runs, starts));
    }
    // Parts side by side, once it is known where the runs of each go.
    let length = keys.len().div_ceil(rayon::current_num_threads()).max(HAND_OVER / 2);
    let is_new = |i: usize| i == 0 || keys[i] != keys[i - 1];
    let begins: Vec<usize> = (0..keys.len()).step_by(length).collect();
    let counts: Vec<usize> = begins
        .par_iter()
        .map(|&begin| {
            let part = &keys[begin..keys.len().min(begin + length)];
            usize::from(is_new(begin)) + part.windows(2).map(|pair| usize::from(pair[0] != pair[1])).sum::<usize>()
        })
        .collect();
    let (mut runs, mut starts) = (runs, starts);
    let mut parts = Vec::with_capacity(begins.len());
    for (&begin, &count) in begins.iter().zip(&counts) {
        let (own, behind) = runs.split_at_mut(count);
        let (own_starts, starts_behind) = starts.split_at_mut(count);
        parts.push((begin, own, own_starts));
        (runs, starts) = (behind, starts_behind);
    }
    parts.into_par_iter().for_each(|(begin, runs, starts)| {
        put_runs(&keys[..keys.len().min(begin + length)], begin, (runs, starts));
    });
    counts.iter().sum()
}

/// The same for the runs that begin at `begin` or behind it. Every key's place is written, and the next takes its room
/// unless it begins a run: no branch depends on the keys.
fn put_runs(keys: &[u32], begin: usize, (runs, starts): (&mut [u32], &mut [u32])) -> usize {
    let mut total = 0;
    if begin == 0 && !keys.is_empty() {
        (starts[0], total) = (0, 1);
    }
    let first = begin.max(1);
    for (i, pair) in (first as u32..).zip(keys[(first - 1).min(keys.len())..].windows(2)) {
        // Past the last run of a part there is no room, and nothing begins.
        if let Some(start) = starts.get_mut(total) {
            *start = i;
        }
        total += usize::from(pair[0] != pair[1]);
    }
    for (run, &start) in runs.iter_mut().zip(&starts[..total]) {
        *run = keys[start as usize];
    }
    total
}

/// Sums over segments. See the [module](self).
///
/// # Example
/// ```
/// use scall_gpu::device::{Buffer, Device, Kernel};
/// use scall_gpu::kernels::prim::segments::SegmentedSum;
/// # fn main() -> scall_gpu::Result<()> {
/// let device = Device::cpu();
/// let values = Buffer::from_slice(&device, &[1.0f32, 2.0, 3.0, 4.0])?;
/// let offsets = Buffer::from_slice(&device, &[0u32, 2, 2, 4])?; // three segments, the second empty
/// let mut sums = Buffer::zeroed(&device, 3)?;
/// SegmentedSum { values: &values, offsets: &offsets, longest: 2, sums: &mut sums }.run(&device)?;
/// assert_eq!(sums.read()?, [3.0, 0.0, 7.0]);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct SegmentedSum<'a> {
    /// The values, segment after segment.
    pub values: &'a Buffer<f32>,
    /// `segments + 1` offsets into the values, monotone.
    pub offsets: &'a Buffer<u32>,
    /// Values in the longest segment, or more. A longer segment is an error on the CPU. On a GPU the offsets are not
    /// read back, and values far enough beyond are left out.
    pub longest: u32,
    /// One sum a segment; every one is written.
    pub sums: &'a mut Buffer<f32>,
}

/// Lanes that share a segment: its mean length, up to a workgroup.
fn lanes(values: usize, segments: u32) -> u32 {
    ((values as u64 / u64::from(segments.max(1))).min(256) as u32).next_power_of_two()
}

impl Kernel for SegmentedSum<'_> {
    const NAME: &'static str = "prim/segments";

    fn check(&self) -> Result<()> {
        check::indexable(Self::NAME, "values", self.values.len() as u64)?;
        let segments = check::rows(Self::NAME, "offsets", self.offsets.len())?;
        check::len(Self::NAME, "sums", self.sums.len(), segments.into())
    }

    fn dispatch(self, gpu: &Gpu, list: &mut Dispatches) -> Result<()> {
        let segments = self.offsets.len() as u32 - 1;
        let lanes = lanes(self.values.len(), segments);
        let strides = self.longest.div_ceil(lanes).max(1);
        for first in (0..strides).step_by(MAX_TRIPS as usize) {
            Launch {
                shader: &SHADER,
                entry: "sum_segments",
                codecs: &[],
                constants: &[("lanes", f64::from(lanes))],
                params: Params { count: segments, first, last: first.saturating_add(MAX_TRIPS) }.words(),
                bindings: &[self.values.binding("values"), self.offsets.binding("offsets"), self.sums.binding("sums")],
                groups: u64::from(segments).div_ceil(u64::from(256 / lanes)),
            }
            .record(gpu, list)?;
        }
        Ok(())
    }

    fn twin(self) -> Result<()> {
        let values = self.values.host(Self::NAME, "values")?;
        let offsets = self.offsets.host(Self::NAME, "offsets")?;
        let sums = self.sums.host_mut(Self::NAME, "sums")?;
        check::offsets(Self::NAME, "offsets", offsets, values.len())?;
        let arch = Arch::new();
        let longest = arch.dispatch(
            #[inline(always)]
            || offsets.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0),
        );
        let known = longest <= self.longest;
        check::domain(Self::NAME, "longest", self.longest, known, &format!("at least {longest}"))?;
        let lanes = lanes(values.len(), sums.len() as u32);
        let task = if values.len() + sums.len() <= HAND_OVER { sums.len().max(1) } else { SEGMENTS };
        let sum = |(number, sums): (usize, &mut [f32])| {
            let offsets = &offsets[number * task..];
            arch.dispatch(
                #[inline(always)]
                || match lanes {
                    1 => sum_segments::<1>(values, offsets, sums),
                    2 => sum_segments::<2>(values, offsets, sums),
                    4 => sum_segments::<4>(values, offsets, sums),
                    8 => sum_segments::<8>(values, offsets, sums),
                    16 => sum_segments::<16>(values, offsets, sums),
                    _ => {
                        for (sum, ends) in sums.iter_mut().zip(offsets.windows(2)) {
                            *sum = sum_in_windows(&values[ends[0] as usize..ends[1] as usize], lanes);
                        }
                    }
                },
            );
        };
        if sums.len() <= task {
            sum((0, sums));
        } else {
            sums.par_chunks_mut(task).enumerate().for_each(sum);
        }
        Ok(())
    }
}

/// Segments that a thread sums.
const SEGMENTS: usize = 1024;

/// The sum of a segment of any length.
fn sum_in_windows(segment: &[f32], lanes: u32) -> f32 {
    let mut windows = segment.chunks((lanes * MAX_TRIPS) as usize);
    let sum_of = |window| sum_by_lanes(window, None, lanes, |value| *value);
    let mut sum = windows.next().map_or(0.0, sum_of);
    windows.for_each(|window| sum += sum_of(window));
    sum
}

/// The sums of segments of few values. The last stride of a segment is loaded whole, and what is behind the segment is
/// left out: no branch depends on its length.
#[inline(always)]
fn sum_segments<const LANES: usize>(values: &[f32], offsets: &[u32], out: &mut [f32]) {
    for (out, ends) in out.iter_mut().zip(offsets.windows(2)) {
        let (begin, end) = (ends[0] as usize, ends[1] as usize);
        if end - begin > LANES * MAX_TRIPS as usize {
            *out = sum_in_windows(&values[begin..end], LANES as u32);
            continue;
        }
        let mut sums = [0.0f32; LANES];
        let (strides, rest) = values[begin..end].as_chunks::<LANES>();
        for stride in strides {
            sums.iter_mut().zip(stride).for_each(|(sum, value)| *sum += value);
        }
        if let Some(last) = values[end - rest.len()..].first_chunk::<LANES>() {
            for i in 0..LANES {
                let sum = sums[i] + last[i];
                sums[i] = if i < rest.len() { sum } else { sums[i] };
            }
        } else {
            sums.iter_mut().zip(rest).for_each(|(sum, value)| *sum += value);
        }
        *out = by_halves(sums);
    }
}

/// The sum of all terms, `last` after the others, in the order of a GPU's lanes (a power of two, at most 256): every
/// lane adds its strides in order, then the lanes add up by halves.
#[inline]
pub(crate) fn sum_by_lanes<T>(values: &[T], last: Option<&T>, lanes: u32, term: impl Fn(&T) -> f32) -> f32 {
    match lanes {
        1 => sum_by::<1, T>(values, last, term),
        2 => sum_by::<2, T>(values, last, term),
        4 => sum_by::<4, T>(values, last, term),
        8 => sum_by::<8, T>(values, last, term),
        16 => sum_by::<16, T>(values, last, term),
        32 => sum_by::<32, T>(values, last, term),
        64 => sum_by::<64, T>(values, last, term),
        128 => sum_by::<128, T>(values, last, term),
        _ => sum_by::<256, T>(values, last, term),
    }
}

/// With the number of lanes known at compile time, so that their sums are vectors.
fn sum_by<const LANES: usize, T>(values: &[T], last: Option<&T>, term: impl Fn(&T) -> f32) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (strides, rest) = values.as_chunks::<LANES>();
    for stride in strides {
        sums.iter_mut().zip(stride).for_each(|(sum, value)| *sum += term(value));
    }
    sums.iter_mut().zip(rest.iter().chain(last)).for_each(|(sum, value)| *sum += term(value));
    by_halves(sums)
}

#[inline(always)]
fn by_halves<const LANES: usize>(mut sums: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            sums[i] += sums[i + half];
        }
        half /= 2;
    }
    sums[0]
}

#[cfg(test)]
mod tests;

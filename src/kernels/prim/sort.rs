//! Stable sort of u32 keys, ascending, each with a u32 payload.
//!
//! Radix sort, least significant digit first. All keys are below `2^bits`, which saves passes: row ids below 2^17 take
//! 17. The GPU takes digits of up to 4 bits and an even number of passes, so that the result lies where the input lay.
//!
//! # Cost
//! On a GPU `p = 2 * ceil(bits / 8)` passes of a count, a scan and a scatter, about `20 * n * p` bytes. Up to 65,536
//! elements need no scan. Up to 8,192 are compared all with all, `n^2` times, in one dispatch and another that puts
//! them back. On the CPU `p = ceil(bits / 10)` passes over pairs, each shared by all threads, `24 * n * p` bytes.
//!
//! # Example
//! ```
//! use scall_gpu::device::{Buffer, Device, Kernel};
//! use scall_gpu::kernels::prim::sort::Sort;
//! # fn main() -> scall_gpu::Result<()> {
//! let device = Device::cpu();
//! let mut keys = Buffer::from_slice(&device, &[5u32, 2, 5, 1])?; // below 2^3
//! let mut payload = Buffer::from_slice(&device, &[0u32, 1, 2, 3])?;
//! let mut workspace = Buffer::zeroed(&device, Sort::workspace_len(4))?;
//! Sort { keys: &mut keys, payload: &mut payload, count: 4, bits: 3, workspace: &mut workspace }.run(&device)?;
//! assert_eq!(keys.read()?, [1, 2, 5, 5]);
//! assert_eq!(payload.read()?, [3, 1, 0, 2]); // the first 5 stays first
//! # Ok(()) }
//! ```

use std::ops::Range;
use std::slice::IterMut;

use rayon::prelude::*;

use crate::Result;
use crate::check;
use crate::device::{Access, Binding, Buffer, Dispatches, Entry, Gpu, Kernel, Launch, Shader, params, writes};

use super::scan::Region;

const MOVED: &[(u32, Access)] = &[writes(1), writes(2), writes(3), writes(4)];
const MOVED_BY_COUNTS: &[(u32, Access)] = &[writes(1), writes(2), writes(3), writes(4), writes(5)];

pub(crate) static SHADER: Shader = Shader {
    name: "prim/sort",
    source: include_str!("../../../shaders/prim/sort.wgsl"),
    params: Params::FIELDS,
    entries: &[
        Entry::of("count_tiles", &[writes(1), writes(5)]),
        Entry::of("scan_counts", &[writes(5)]),
        Entry::of("scatter_tiles", MOVED_BY_COUNTS).with_overrides(&["few"]),
        Entry::of("place_each", MOVED),
    ],
};

params! {
    struct Params {
        count: u32,
        tiles: u32,
        shift: u32,
        mask: u32,
        keys_in: u32,
        payload_in: u32,
        keys_out: u32,
        payload_out: u32,
        counts: u32,
    }
}

/// Elements of a workgroup.
const TILE: u32 = 256 * 8;

/// Sorts in place. See the [module](self).
#[derive(Debug)]
pub struct Sort<'a> {
    /// The keys, sorted afterwards.
    pub keys: &'a mut Buffer<u32>,
    /// What travels with each key.
    pub payload: &'a mut Buffer<u32>,
    /// How many elements, from the first.
    pub count: u32,
    /// Bits that differ between keys: all keys are below `2^bits`.
    pub bits: u32,
    /// At least [`Sort::workspace_len`] words; what it holds afterwards is not specified. The CPU does not use it.
    pub workspace: &'a mut Buffer<u32>,
}

impl Sort<'_> {
    /// Words of workspace that `count` elements need.
    pub fn workspace_len(count: u32) -> usize {
        workspace_len(count, Tiling::of(count))
    }
}

fn workspace_len(count: u32, tiling: Tiling) -> usize {
    let tiles = tiling.tiles(count);
    2 * count as usize + 16 * tiles as usize + 16
}

/// Bits that keys below `bound` need.
pub(crate) fn bits_below(bound: u32) -> u32 {
    u32::BITS - bound.saturating_sub(1).leading_zeros()
}

impl Kernel for Sort<'_> {
    const NAME: &'static str = "prim/sort";

    fn check(&self) -> Result<()> {
        check::at_least(Self::NAME, "keys", self.keys.len(), self.count.into())?;
        check::at_least(Self::NAME, "payload", self.payload.len(), self.count.into())?;
        check::domain(Self::NAME, "bits", self.bits, self.bits <= 32, "at most 32")?;
        if self.keys.as_wgpu().is_some() {
            check::indexable(Self::NAME, "count", 2 * u64::from(self.count) + 16)?;
            check::at_least(Self::NAME, "workspace", self.workspace.len(), Self::workspace_len(self.count) as u64)?;
        }
        Ok(())
    }

    fn dispatch(self, gpu: &Gpu, list: &mut Dispatches) -> Result<()> {
        let home = [Region::new("keys", self.keys), Region::new("payload", self.payload)];
        let space = Region::new("workspace", self.workspace);
        Sorting { keys: Keys::new(self.count, self.bits), home, space }.record_in_place(gpu, list)
    }

    fn twin(self) -> Result<()> {
        let count = self.count as usize;
        let keys = &mut self.keys.host_mut(Self::NAME, "keys")?[..count];
        let payload = &mut self.payload.host_mut(Self::NAME, "payload")?[..count];
        sort(keys, payload, self.bits);
        Ok(())
    }
}

/// The most elements that are compared all with all.
const COMPARED: u32 = 8192;

/// The most tiles of which each scans the counts of all by itself.
const FEW: u32 = 32;

/// How elements find their places.
#[derive(Clone, Copy)]
pub(crate) enum Tiling {
    /// By comparison with all others.
    Compared,
    /// By digits, in few tiles.
    Few,
    /// By digits, in many tiles.
    Many,
}

impl Tiling {
    fn of(count: u32) -> Self {
        match count {
            0..=COMPARED => Self::Compared,
            _ if count <= FEW * TILE => Self::Few,
            _ => Self::Many,
        }
    }

    fn tiles(self, count: u32) -> u32 {
        match self {
            Self::Compared => 0,
            Self::Few | Self::Many => count.div_ceil(TILE),
        }
    }
}

/// What is to be sorted: a number of keys below `2^bits`.
#[derive(Clone, Copy)]
pub(crate) struct Keys {
    pub count: u32,
    pub bits: u32,
    tiling: Tiling,
}

impl Keys {
    pub fn new(count: u32, bits: u32) -> Self {
        Self { count, bits, tiling: Tiling::of(count) }
    }

    /// The fewest passes.
    fn passes(&self) -> u32 {
        match self.tiling {
            Tiling::Compared => 1,
            _ => self.bits.div_ceil(4),
        }
    }

    /// Keys and payload in the workspace.
    fn away<'a>(&self, space: Region<'a>) -> [Region<'a>; 2] {
        [space, space.at(space.base + self.count)]
    }
}

/// A sort in memory of the caller's: where keys and payload end, and the workspace. The regions may share a buffer.
#[derive(Clone, Copy)]
pub(crate) struct Sorting<'a> {
    pub keys: Keys,
    pub home: [Region<'a>; 2],
    pub space: Region<'a>,
}

impl<'a> Sorting<'a> {
    /// Where keys and payload have to lie so that [`record`](Self::record) leaves them at home: in that place, or in
    /// the workspace.
    pub fn origin(&self) -> [Region<'a>; 2] {
        if self.keys.passes().is_multiple_of(2) { self.home } else { self.keys.away(self.space) }
    }

    /// Records the sort of keys that lie at their [origin](Self::origin).
    pub fn record(self, gpu: &Gpu, list: &mut Dispatches) -> Result<()> {
        self.record_passes(gpu, list, self.keys.passes())
    }

    /// Records the sort of keys that lie at home, in an even number of passes.
    pub fn record_in_place(self, gpu: &Gpu, list: &mut Dispatches) -> Result<()> {
        self.record_passes(gpu, list, self.keys.passes().next_multiple_of(2))
    }

    fn record_passes(self, gpu: &Gpu, list: &mut Dispatches, passes: u32) -> Result<()> {
        let Self { keys, home, space } = self;
        let Keys { count, bits, tiling } = keys;
        let tiles = tiling.tiles(count);
        let width = bits.div_ceil(passes.max(1));
        let part = |skip| space.at(space.base + skip);
        let away = keys.away(space);
        let counts = part(2 * count);
        for index in 0..passes {
            let (from, to) = if (passes - index).is_multiple_of(2) { (home, away) } else { (away, home) };
            let params = Params {
                count,
                tiles,
                shift: index * width,
                mask: ((1u64 << width) - 1) as u32,
                keys_in: from[0].base,
                payload_in: from[1].base,
                keys_out: to[0].base,
                payload_out: to[1].base,
                counts: counts.base,
            };
            let launch = |list: &mut Dispatches, entry, constants: &[_], bindings: &[Binding<'_>], groups: u32| {
                let (shader, params) = (&SHADER, params.words());
                Launch { shader, entry, codecs: &[], constants, params, bindings, groups: groups.into() }
                    .record(gpu, list)
            };
            let moved = [from[0].binding(), from[1].binding(), to[0].binding(), to[1].binding()];
            let few = match tiling {
                Tiling::Compared => {
                    launch(list, "place_each", &[], &moved, count.div_ceil(64))?;
                    continue;
                }
                Tiling::Few => true,
                Tiling::Many => false,
            };
            let constants = &[("few", f64::from(few))];
            launch(list, "count_tiles", constants, &[from[0].binding(), space.binding()], tiles)?;
            if !few {
                launch(list, "scan_counts", constants, &[space.binding()], 16)?;
            }
            let bindings: Vec<_> = moved.into_iter().chain([space.binding()]).collect();
            launch(list, "scatter_tiles", constants, &bindings, tiles)?;
        }
        Ok(())
    }
}

/// The CPU twin.
pub fn sort(keys: &mut [u32], payload: &mut [u32], bits: u32) {
    let mut space = vec![[0; 2]; 2 * keys.len()];
    let (home, away) = space.split_at_mut(keys.len());
    let sorted = sort_pairs(|i| [keys[i], payload[i]], [home, away], bits);
    for ((key, value), pair) in keys.iter_mut().zip(payload).zip(sorted) {
        [*key, *value] = *pair;
    }
}

/// A key and what travels with it.
pub(crate) type Pair = [u32; 2];

/// Bits of a digit on the CPU: with these, a table of places still fits the first cache.
const DIGIT: u32 = 10;

/// Pairs that a thread sorts without help.
const TASK_PAIRS: usize = 4 * 1024;

/// Pairs that the caller's thread sorts, with the counts of all digits on its stack.
const FEW_PAIRS: usize = TASK_PAIRS;

/// Sorts the pairs that `pair` gives for the places of two slices of one length, and returns the slice that holds the
/// result. Threads share each pass: every thread moves its part of the pairs to places of its own.
pub(crate) fn sort_pairs(
    pair: impl Fn(usize) -> Pair + Sync,
    [mut to, mut other]: [&mut [Pair]; 2],
    bits: u32,
) -> &mut [Pair] {
    let passes = bits.div_ceil(DIGIT).max(1);
    let width = bits.div_ceil(passes);
    move_by_digit(pair, to, (0, width));
    for pass in 1..passes {
        let from = &*to;
        move_by_digit(|i| from[i], other, (pass * width, width));
        std::mem::swap(&mut to, &mut other);
    }
    to
}

/// One pass, by the digit of `width` bits from bit `shift` on.
fn move_by_digit(pair: impl Fn(usize) -> Pair + Sync, to: &mut [Pair], (shift, width): (u32, u32)) {
    if to.len() <= FEW_PAIRS {
        return move_few_by_digit(pair, to, (shift, width));
    }
    let digits = 1usize << width;
    let digit = |key: u32| (key >> shift) as usize & (digits - 1);
    let parts = (to.len() / TASK_PAIRS).clamp(1, rayon::current_num_threads());
    let length = to.len().div_ceil(parts);
    let part = |number: usize| number * length..((number + 1) * length).min(to.len());
    let parts: Vec<Range<usize>> = (0..parts).map(part).collect();
    let mut counts = vec![0u32; digits * parts.len()];
    counts.par_chunks_exact_mut(digits).zip(&parts).for_each(|(counts, part)| {
        part.clone().for_each(|i| counts[digit(pair(i)[0])] += 1);
    });
    // Where each part's pairs of a digit go.
    let mut places: Vec<Vec<IterMut<'_, Pair>>> = parts.iter().map(|_| Vec::with_capacity(digits)).collect();
    let mut rest = to;
    for digit in 0..digits {
        for (number, places) in places.iter_mut().enumerate() {
            let count = counts[number * digits + digit] as usize;
            places.push(rest.split_off_mut(..count).expect("the counts' sum is the length").iter_mut());
        }
    }
    places.into_par_iter().zip(parts).for_each(|(mut places, part)| {
        for pair in part.map(&pair) {
            *places[digit(pair[0])].next().expect("as many places as were counted") = pair;
        }
    });
}

/// The same on the caller's thread.
fn move_few_by_digit(pair: impl Fn(usize) -> Pair, to: &mut [Pair], (shift, width): (u32, u32)) {
    let mut counts = [0u32; 1 << DIGIT];
    let digits = 1usize << width;
    let counts = &mut counts[..digits];
    let digit = |key: u32| (key >> shift) as usize & (digits - 1);
    (0..to.len()).for_each(|i| counts[digit(pair(i)[0])] += 1);
    // From here on where the next pair of a digit goes.
    let mut place = 0;
    for count in &mut *counts {
        (*count, place) = (place, place + *count);
    }
    for i in 0..to.len() {
        let pair = pair(i);
        let place = &mut counts[digit(pair[0])];
        to[*place as usize] = pair;
        *place += 1;
    }
}

#[cfg(test)]
mod tests;

//! Sum, least or greatest element: `out[0] = v[0] op v[1] op ...`, in a tree of fixed shape.
//!
//! u32: sum modulo 2^32, min, max. f32: sum. An empty input gives the neutral element (0; for min, 2^32 - 1).
//!
//! # Numerics
//! Equal in every bit on all devices. An f32 sum adds 16 neighbours in order and then pairs, so its error is within
//! `eps * (16 + log2(n)) * sum |v|`.
//!
//! # Cost
//! `ceil(log_4096(n))` dispatches; 4n bytes.
//!
//! # Example
//! ```
//! use scall_gpu::device::{Buffer, Device, Kernel};
//! use scall_gpu::kernels::prim::reduce::{Operator, Reduce};
//! # fn main() -> scall_gpu::Result<()> {
//! let device = Device::cpu();
//! let mut out = Buffer::zeroed(&device, Reduce::<f32>::out_len(3))?;
//! let losses = Buffer::from_slice(&device, &[1.5f32, -2.0, 4.0])?;
//! Reduce { input: &losses, operator: Operator::Sum, out: &mut out }.run(&device)?;
//! assert_eq!(f32::from_bits(out.read()?[0]), 3.5);
//!
//! let sizes = Buffer::from_slice(&device, &[7u32, 3, 9])?;
//! Reduce { input: &sizes, operator: Operator::Max, out: &mut out }.run(&device)?;
//! assert_eq!(out.read()?[0], 9);
//! # Ok(()) }
//! ```

use rayon::prelude::*;

use crate::Result;
use crate::check;
use crate::device::{Buffer, Dispatches, Element, Entry, Gpu, Kernel, Launch, Shader, params, reads, writes};
use crate::kernels::HAND_OVER;

pub(crate) static SHADER: Shader = Shader {
    name: "prim/reduce",
    source: include_str!("../../../shaders/prim/reduce.wgsl"),
    params: Params::FIELDS,
    entries: &[
        Entry::of("reduce_input", &[reads(1), writes(2)]).with_overrides(&["items", "operation"]),
        Entry::of("reduce_tiles", &[writes(2)]).with_overrides(&["items", "operation"]),
    ],
};

params! {
    struct Params {
        count: u32,
        base: u32,
        to: u32,
    }
}

/// Elements a thread combines in order.
const ITEMS: u32 = 16;

/// What a reduction computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// The sum; of u32 modulo 2^32.
    Sum,
    /// The least; of u32 only, since with NaN it would not be defined.
    Min,
    /// The greatest; of u32 only.
    Max,
}

/// An element that can be reduced: `u32` or `f32`.
pub trait Reducible: Element + sealed::Sealed {
    /// True for `f32`.
    const FLOAT: bool;
}

impl Reducible for u32 {
    const FLOAT: bool = false;
}

impl Reducible for f32 {
    const FLOAT: bool = true;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for u32 {}
    impl Sealed for f32 {}
}

/// The shader's `operation`: 0 sum, 1 min, 2 max of u32; 3 sum of f32.
fn code<T: Reducible>(operator: Operator) -> u32 {
    if T::FLOAT { 3 } else { operator as u32 }
}

fn tiles_of(count: u32) -> u32 {
    count.div_ceil(256 * ITEMS).max(1)
}

/// Reduces a buffer to one element. See the [module](self).
#[derive(Debug)]
pub struct Reduce<'a, T: Reducible> {
    /// The elements; all are used.
    pub input: &'a Buffer<T>,
    /// What is computed.
    pub operator: Operator,
    /// Its first word gets the result (of `f32` the bits). At least [`Reduce::out_len`] words; what the others hold
    /// afterwards is not specified.
    pub out: &'a mut Buffer<u32>,
}

impl<T: Reducible> Reduce<'_, T> {
    /// Words that the output needs for `count` elements: the result and two levels of tiles.
    pub fn out_len(count: u32) -> usize {
        1 + 2 * tiles_of(count) as usize
    }
}

impl<T: Reducible> Kernel for Reduce<'_, T> {
    const NAME: &'static str = "prim/reduce";

    fn check(&self) -> Result<()> {
        let known = !T::FLOAT || self.operator == Operator::Sum;
        check::domain(Self::NAME, "operator", format!("{:?}", self.operator), known, "Sum for f32")?;
        check::indexable(Self::NAME, "input", self.input.len() as u64)?;
        check::at_least(Self::NAME, "out", self.out.len(), Self::out_len(self.input.len() as u32) as u64)
    }

    fn dispatch(self, gpu: &Gpu, list: &mut Dispatches) -> Result<()> {
        let constants = &[("operation", f64::from(code::<T>(self.operator))), ("items", f64::from(ITEMS))];
        let mut count = self.input.len() as u32;
        let stretch = tiles_of(count);
        let (mut base, mut level) = (0, 0);
        loop {
            // Levels take turns in two stretches after the result, which the last one writes.
            let to = if tiles_of(count) == 1 { 0 } else { 1 + (level % 2) * stretch };
            let (input, out) = (self.input.binding("input"), self.out.binding("out"));
            let (entry, bindings) =
                if level == 0 { ("reduce_input", vec![input, out]) } else { ("reduce_tiles", vec![out]) };
            Launch {
                shader: &SHADER,
                entry,
                codecs: &[],
                constants,
                params: Params { count, base, to }.words(),
                bindings: &bindings,
                groups: tiles_of(count).into(),
            }
            .record(gpu, list)?;
            if tiles_of(count) == 1 {
                return Ok(());
            }
            (count, base, level) = (tiles_of(count), to, level + 1);
        }
    }

    fn twin(self) -> Result<()> {
        let code = code::<T>(self.operator);
        let words: &[u32] = bytemuck::cast_slice(self.input.host(Self::NAME, "input")?);
        let mut level = reduce_tiles(code, words);
        while level.len() > 1 {
            level = reduce_tiles(code, &level);
        }
        self.out.host_mut(Self::NAME, "out")?[0] = level[0];
        Ok(())
    }
}

/// One level of the GPU's tree, a word for each tile.
fn reduce_tiles(code: u32, words: &[u32]) -> Vec<u32> {
    // The operator is chosen once, and not for every word.
    match code {
        0 => tiles_by(words, 0, u32::wrapping_add),
        1 => tiles_by(words, u32::MAX, u32::min),
        2 => tiles_by(words, 0, u32::max),
        _ => tiles_by(words, 0, |a, b| (f32::from_bits(a) + f32::from_bits(b)).to_bits()),
    }
}

fn tiles_by(words: &[u32], neutral: u32, combine: impl Fn(u32, u32) -> u32 + Sync) -> Vec<u32> {
    // Each thread combines its items in order, then the threads of a tile combine by halves.
    let tile = |words: &[u32]| {
        let mut partial = [neutral; 256];
        let (items, rest) = words.as_chunks::<{ ITEMS as usize }>();
        for (value, items) in partial.iter_mut().zip(items) {
            *value = items.iter().fold(neutral, |a, &b| combine(a, b));
        }
        if !rest.is_empty() {
            partial[items.len()] = rest.iter().fold(neutral, |a, &b| combine(a, b));
        }
        for half in [128, 64, 32, 16, 8, 4, 2, 1] {
            let (low, high) = partial[..2 * half].split_at_mut(half);
            low.iter_mut().zip(high).for_each(|(low, high)| *low = combine(*low, *high));
        }
        partial[0]
    };
    let tile_len = (256 * ITEMS) as usize;
    if words.is_empty() {
        vec![neutral]
    } else if words.len() <= HAND_OVER {
        words.chunks(tile_len).map(tile).collect()
    } else {
        words.par_chunks(tile_len).map(tile).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;
    use crate::testing::{assert_close, assert_rejects, assert_same, devices, gpu, poisoned, signed, upload};

    const COUNTS: [u32; 10] = [0, 1, 255, 256, 257, 4096, 4097, 100_003, 4096 * 17, 300_001];

    fn run<T: Reducible>(device: &Device, input: &[T], operator: Operator) -> u32 {
        let input = upload(device, input);
        let mut out = poisoned(device, Reduce::<T>::out_len(input.len() as u32));
        Reduce { input: &input, operator, out: &mut out }.run(device).unwrap();
        out.read().unwrap()[0]
    }

    fn parity(device: &Device) {
        for count in COUNTS {
            let words: Vec<u32> = (0..count).map(|i| (i + 7).wrapping_mul(2_654_435_761)).collect();
            let sum = words.iter().fold(0u32, |a, &b| a.wrapping_add(b));
            for (operator, want) in [
                (Operator::Sum, sum),
                (Operator::Min, words.iter().copied().min().unwrap_or(u32::MAX)),
                (Operator::Max, words.iter().copied().max().unwrap_or(0)),
            ] {
                assert_same(&format!("{operator:?} of {count}"), &[run(device, &words, operator)], &[want]);
            }
            let floats = signed(count as usize, 5);
            let want: f64 = floats.iter().map(|&v| f64::from(v)).sum();
            let magnitude: f32 = floats.iter().map(|v| v.abs()).sum();
            let bound = f32::EPSILON * (16.0 + (count.max(1) as f32).log2()) * magnitude;
            let got = f32::from_bits(run(device, &floats, Operator::Sum));
            assert_close(&format!("sum of {count} floats"), &[got], &[want as f32], |_| bound);
        }
    }

    #[test]
    fn reductions_match_a_plain_loop() {
        devices().iter().for_each(parity);
    }

    #[test]
    fn float_sums_are_the_same_bits_on_every_device() {
        let floats = signed(300_003, 6);
        let sums: Vec<u32> = devices().iter().map(|device| run(device, &floats, Operator::Sum)).collect();
        assert!(sums.iter().all(|&sum| sum == sums[0]), "{sums:?}");
    }

    #[test]
    fn folded_grids() {
        if let Some(gpu) = gpu() {
            let words = vec![3u32; 4096 * 200 + 1];
            assert_eq!(run(&Device::Gpu(gpu.with_max_groups(15)), &words, Operator::Sum), 3 * words.len() as u32);
        }
    }

    #[test]
    fn mutants_are_rejected() {
        assert_rejects(
            SHADER.name,
            &[
                ("var half = 128u;", "var half = 64u;"),
                ("value = combine(value, input[i]);", "value = combine(value, input[first]);"),
                ("workspace[params.base + i]", "workspace[i]"),
                ("return select(0u, 0xffffffffu, operation == 1u);", "return 0u;"),
            ],
            parity,
        );
    }

    #[test]
    fn the_least_float_is_an_error() {
        let device = Device::cpu();
        let (input, mut out) = (upload(&device, &[1.0f32]), poisoned(&device, 3));
        let error = Reduce { input: &input, operator: Operator::Min, out: &mut out }.run(&device).unwrap_err();
        assert_eq!(error.to_string(), "prim/reduce: `operator` must be Sum for f32, got Min");
    }
}

//! Which rows keys read that have no rows of their own: for ids that never end, such as hashed ones.
//!
//! Key `b` is a number of 64 bits. Its `K` addresses are rows of one table:
//! ```text
//! Blocks { blocks: K, bits: t }   row k = k * 2^t + b_k,  bit j of b_k = bit k + j K of the key's code
//! Chunks { chunks: K, rows: M }   row k = floor(philox(key, k, Purpose::Addresses)[0] * M / 2^32)
//! ```
//! With blocks, the key's vector is the sum of its K rows, one of each block. The code of a key below 2^32 is `key *
//! 0x9E3779B1 mod 2^32`, a bijection of its lowest bits, so keys below `2^(K t)` never share all of their rows; the
//! code of any other key is a Philox word. One more bit leaves all other bits where they are, so a table can
//! [grow](crate::table::SharedTable::grow). With chunks, the key's vector is its K rows side by side.
//!
//! # Shapes
//! `keys` is `[B, 2]`, the low word first; `out` is `[B, K]`.
//!
//! # Numerics
//! Integers, the same on both devices.
//!
//! # Cost
//! One dispatch with one thread an address, which writes 4 bytes.
//!
//! # Example
//! ```
//! use scall_gpu::device::{Buffer, Device, Kernel};
//! use scall_gpu::kernels::table::addresses::{Addresses, Sharing};
//! # fn main() -> scall_gpu::Result<()> {
//! let device = Device::cpu();
//! let keys = Buffer::from_slice(&device, &[0u32, 0, 1, 0, 7, 9])?; // 0, 1, and 7 + 9 * 2^32
//! let mut out = Buffer::zeroed(&device, 3 * 2)?;
//! let sharing = Sharing::Blocks { blocks: 2, bits: 3 };
//! Addresses { keys: &keys, sharing, seed: 0, out: &mut out }.run(&device)?;
//! let rows = out.read()?; // [3, 2]
//! assert_eq!(rows[..4], [0, 8, 5, 12]); // the code of 1 has the bits 110001 in front of the others
//! assert!(rows.chunks(2).all(|of_key| of_key[0] < 8 && (8..16).contains(&of_key[1])));
//! # Ok(()) }
//! ```
//!
//! Source: blocks as in binary code based hash embeddings (Yan et al., CIKM 2021, "skip"); chunks as in ROBE (Desai et
//! al., "Random offset block embedding array", MLSys 2022). *Ours:* blocks have tables of their own, a code is packed,
//! and chunks begin at multiples of their length, so that a GPU reads whole rows.

use rayon::prelude::*;

use crate::check::{self, domain};
use crate::device::{Buffer, Change, Changes, Dispatches, Entry, Gpu, Kernel, Launch, Shader, params, reads, writes};
use crate::rng::{Purpose, below, key, philox};
use crate::{Error, Result};

pub(crate) static SHADER: Shader = Shader {
    name: "table/addresses",
    source: include_str!("../../../shaders/table/addresses.wgsl"),
    params: Params::FIELDS,
    entries: &[
        Entry::of("blocks", &[reads(1), writes(2)]).with_threads(WORKGROUP),
        Entry::of("chunks", &[reads(1), writes(2)]).with_threads(WORKGROUP),
    ],
};

/// Threads of a workgroup.
const WORKGROUP: u32 = 64;

/// Addresses that a CPU task finds.
const TASK: usize = 4096;

/// An odd number without a pattern: Knuth's multiplicative hash, the golden ratio of 2^32.
const GOLDEN: u32 = 0x9E37_79B1;

params! {
    struct Params {
        count: u32,
        parts: u32,
        bits: u32,
        rows: u32,
        seed_low: u32,
        seed_high: u32,
        purpose: u32,
    }
}

/// How keys share rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// A vector is the sum of one row of each block.
    Blocks {
        /// K, at least 1.
        blocks: u32,
        /// t: a block has `2^t` rows. `K * t` is at most 32.
        bits: u32,
    },
    /// A vector is some rows side by side.
    Chunks {
        /// K, at least 1.
        chunks: u32,
        /// Rows, at least 1.
        rows: u32,
    },
}

impl Sharing {
    /// Rows that a key reads.
    pub fn parts(self) -> u32 {
        match self {
            Self::Blocks { blocks, .. } => blocks,
            Self::Chunks { chunks, .. } => chunks,
        }
    }

    /// Rows of the table.
    pub fn rows(self) -> u64 {
        match self {
            Self::Blocks { blocks, bits } => u64::from(blocks) << bits.min(32),
            Self::Chunks { rows, .. } => rows.into(),
        }
    }

    /// That its numbers are within their domain.
    pub(crate) fn check(self, op: &'static str) -> Result<()> {
        match self {
            Self::Blocks { blocks, bits } => {
                domain(op, "sharing.blocks", blocks, blocks > 0, "at least 1")?;
                let used = u64::from(blocks) * u64::from(bits);
                let got = format!("{blocks} times {bits}");
                domain(op, "sharing.bits", got, used <= 32, "at most 32 for all blocks together, those of a code")?;
            }
            Self::Chunks { chunks, rows } => {
                domain(op, "sharing.chunks", chunks, chunks > 0, "at least 1")?;
                domain(op, "sharing.rows", rows, rows > 0, "at least 1")?;
            }
        }
        check::indexable(op, "sharing", self.rows())
    }
}

/// Finds the rows of keys. See the [module](self).
#[derive(Debug)]
pub struct Addresses<'a> {
    /// `[B, 2]` words: keys, the low word first.
    pub keys: &'a Buffer<u32>,
    /// How they share rows.
    pub sharing: Sharing,
    /// Seed of the words of chunks, and of codes of keys from 2^32 on.
    pub seed: u64,
    /// `[B, K]` rows.
    pub out: &'a mut Buffer<u32>,
}

impl Addresses<'_> {
    fn count(&self) -> u32 {
        (self.keys.len() / 2) as u32
    }

    fn params(&self) -> Params {
        let [seed_low, seed_high] = key(self.seed);
        let (bits, rows) = match self.sharing {
            Sharing::Blocks { bits, .. } => (bits, 0),
            Sharing::Chunks { rows, .. } => (0, rows),
        };
        let (count, parts, purpose) = (self.count(), self.sharing.parts(), Purpose::Addresses as u32);
        Params { count, parts, bits, rows, seed_low, seed_high, purpose }
    }
}

impl Kernel for Addresses<'_> {
    const NAME: &'static str = "table/addresses";

    fn check(&self) -> Result<()> {
        let op = Self::NAME;
        self.sharing.check(op)?;
        if !self.keys.len().is_multiple_of(2) {
            let (expected, got) = (self.keys.len() as u64 + 1, self.keys.len() as u64);
            return Err(Error::Shape { op, arg: "keys", expected, got });
        }
        check::matrix(op, "out", self.out.len(), self.count().into(), self.sharing.parts())
    }

    fn dispatch(self, gpu: &Gpu, list: &mut Dispatches) -> Result<()> {
        let params = self.params();
        let groups = (u64::from(params.count) * u64::from(params.parts)).div_ceil(WORKGROUP.into());
        Launch {
            shader: &SHADER,
            entry: match self.sharing {
                Sharing::Blocks { .. } => "blocks",
                Sharing::Chunks { .. } => "chunks",
            },
            codecs: &[],
            constants: &[],
            params: params.words(),
            bindings: &[self.keys.binding("keys"), self.out.binding("out")],
            groups,
        }
        .record(gpu, list)
    }

    fn changes(&self) -> Changes {
        Box::new(|change, params| match change {
            Change::Seed(seed) => {
                let [low, high] = key(seed);
                params.set("seed_low", low);
                params.set("seed_high", high);
                Ok(true)
            }
            _ => Ok(false),
        })
    }

    fn twin(self) -> Result<()> {
        let op = Self::NAME;
        let (sharing, seed, parts) = (self.sharing, key(self.seed), self.sharing.parts() as usize);
        let keys = self.keys.host(op, "keys")?.as_chunks::<2>().0;
        let out = self.out.host_mut(op, "out")?;
        let task = (TASK / parts).max(1);
        out.par_chunks_mut(task * parts).zip(keys.par_chunks(task)).for_each(|(out, keys)| {
            for (out, &key) in out.chunks_exact_mut(parts).zip(keys) {
                let code = code_of(key, seed);
                for (k, out) in (0..).zip(out) {
                    *out = match sharing {
                        Sharing::Blocks { blocks, bits } => row_of(code, k, blocks, bits),
                        Sharing::Chunks { rows, .. } => below(random_word(key, k, seed), rows),
                    };
                }
            }
        });
        Ok(())
    }
}

fn random_word([low, high]: [u32; 2], part: u32, seed: [u32; 2]) -> u32 {
    philox([low, high, part, Purpose::Addresses as u32], seed)[0]
}

/// Of a small key a bijection of its lowest bits, whatever number of them is used; of any other 32 random bits.
fn code_of(key: [u32; 2], seed: [u32; 2]) -> u32 {
    if key[1] == 0 { key[0].wrapping_mul(GOLDEN) } else { random_word(key, 0, seed) }
}

/// The row of block `k`: every K-th bit of the code from `k` on.
fn row_of(code: u32, k: u32, blocks: u32, bits: u32) -> u32 {
    let row = (0..bits).fold(0, |row, bit| row | (code >> (k + bit * blocks) & 1) << bit);
    (k << bits) + row
}

#[cfg(test)]
mod tests;

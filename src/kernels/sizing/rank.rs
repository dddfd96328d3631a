//! Entities by frequency: `order` lists the indices, most frequent first, equal frequencies by index.
//!
//! The k-th most frequent entity is `order[k]`. It is a stable radix sort of the complements of the frequencies.
//!
//! # Cost
//! One dispatch and a [sort](mod@crate::kernels::prim::sort) of 32 bits. The CPU sorts only the bits that the largest
//! frequency has, and counts frequencies below 65,536.
//!
//! # Example
//! ```
//! use scall_gpu::device::{Buffer, Device, Kernel};
//! use scall_gpu::kernels::sizing::rank::Rank;
//! # fn main() -> scall_gpu::Result<()> {
//! let device = Device::cpu();
//! let frequencies = Buffer::from_slice(&device, &[2u32, 7, 0, 7])?;
//! let mut order = Buffer::zeroed(&device, 4)?;
//! let mut workspace = Buffer::zeroed(&device, Rank::workspace_len(4))?;
//! Rank { frequencies: &frequencies, order: &mut order, workspace: &mut workspace }.run(&device)?;
//! assert_eq!(order.read()?, [1, 3, 0, 2]);
//! # Ok(()) }
//! ```

use crate::Result;
use crate::check;
use crate::device::{Buffer, Dispatches, Entry, Gpu, Kernel, Launch, Shader, params, reads, writes};
use crate::kernels::prim::scan::{Region, scan};
use crate::kernels::prim::sort::{Keys, Sort, Sorting, sort};

pub(crate) static SHADER: Shader = Shader {
    name: "sizing/rank",
    source: include_str!("../../../shaders/sizing/rank.wgsl"),
    params: Params::FIELDS,
    entries: &[Entry::of("prepare", &[reads(1), writes(2), writes(3)])],
};

params! {
    struct Params {
        count: u32,
    }
}

/// Ranks entities by frequency. See the [module](self).
#[derive(Debug)]
pub struct Rank<'a> {
    /// `n` frequencies.
    pub frequencies: &'a Buffer<u32>,
    /// `n` indices; every one is written.
    pub order: &'a mut Buffer<u32>,
    /// At least [`Rank::workspace_len`] words; what it holds afterwards is not specified. The CPU does not use it.
    pub workspace: &'a mut Buffer<u32>,
}

impl Rank<'_> {
    /// Words of workspace that `count` entities need.
    pub fn workspace_len(count: u32) -> usize {
        count as usize + Sort::workspace_len(count)
    }
}

impl Kernel for Rank<'_> {
    const NAME: &'static str = "sizing/rank";

    fn check(&self) -> Result<()> {
        check::indexable(Self::NAME, "frequencies", self.frequencies.len() as u64)?;
        check::len(Self::NAME, "order", self.order.len(), self.frequencies.len() as u64)?;
        let needed = if self.order.as_wgpu().is_some() { Self::workspace_len(self.order.len() as u32) } else { 0 };
        check::workspace(Self::NAME, self.workspace.len(), needed as u64)
    }

    fn dispatch(self, gpu: &Gpu, list: &mut Dispatches) -> Result<()> {
        let count = self.order.len() as u32;
        Launch {
            shader: &SHADER,
            entry: "prepare",
            codecs: &[],
            constants: &[],
            params: Params { count }.words(),
            bindings: &[
                self.frequencies.binding("frequencies"),
                self.workspace.binding("workspace"),
                self.order.binding("order"),
            ],
            groups: u64::from(count).div_ceil(256),
        }
        .record(gpu, list)?;
        let workspace = Region::new("workspace", self.workspace);
        let (home, space) = ([workspace, Region::new("order", self.order)], workspace.at(count));
        Sorting { keys: Keys::new(count, 32), home, space }.record_in_place(gpu, list)
    }

    fn twin(self) -> Result<()> {
        rank(self.frequencies.host(Self::NAME, "frequencies")?, self.order.host_mut(Self::NAME, "order")?);
        Ok(())
    }
}

/// The CPU twin of [`Rank`] on slices.
///
/// # Panics
/// When the lengths differ.
pub fn rank(frequencies: &[u32], order: &mut [u32]) {
    assert_eq!(frequencies.len(), order.len(), "one place for each entity");
    let most = frequencies.iter().copied().max().unwrap_or(0);
    if most < COUNTED {
        return count(frequencies, most, order);
    }
    let mut keys: Vec<u32> = frequencies.iter().map(|frequency| most - frequency).collect();
    order.iter_mut().enumerate().for_each(|(i, id)| *id = i as u32);
    sort(&mut keys, order, u32::BITS - most.leading_zeros());
}

/// Frequencies below this are sorted by one count: its table still fits the second cache.
const COUNTED: u32 = 1 << 16;

/// Counting sort.
fn count(frequencies: &[u32], most: u32, order: &mut [u32]) {
    let mut places = vec![0u32; most as usize + 1];
    frequencies.iter().for_each(|&frequency| places[(most - frequency) as usize] += 1);
    scan(&mut places, false);
    for (id, &frequency) in frequencies.iter().enumerate() {
        let place = &mut places[(most - frequency) as usize];
        order[*place as usize] = id as u32;
        *place += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use crate::device::Device;
    use crate::testing::{assert_rejects, assert_same, devices, gpu, poisoned, upload};

    fn case(device: &Device, frequencies: &[u32]) {
        let mut want: Vec<u32> = (0..frequencies.len() as u32).collect();
        want.sort_by_key(|&i| std::cmp::Reverse(frequencies[i as usize]));
        let frequencies_buffer = upload(device, frequencies);
        let mut order = poisoned(device, frequencies.len());
        let mut workspace = poisoned(device, Rank::workspace_len(frequencies.len() as u32));
        Rank { frequencies: &frequencies_buffer, order: &mut order, workspace: &mut workspace }.run(device).unwrap();
        assert_same(&format!("{} entities", frequencies.len()), &order.read().unwrap(), &want);
        assert_same("frequencies", &frequencies_buffer.read().unwrap(), frequencies);
    }

    fn parity(device: &Device) {
        for n in [0u32, 1, 2, 255, 256, 257, 5000] {
            for spread in [1, 7, COUNTED, COUNTED + 1, u32::MAX] {
                let frequencies: Vec<u32> = (0..n).map(|i| i.wrapping_mul(2_654_435_761) % spread).collect();
                case(device, &frequencies);
            }
        }
        case(device, &[0, u32::MAX, 1, u32::MAX, 0]);
    }

    #[test]
    fn order_matches_a_stable_sort() {
        devices().iter().for_each(parity);
        gpu().into_iter().for_each(|gpu| parity(&Device::Gpu(gpu.with_max_groups(9))));
    }

    #[test]
    fn mutants_are_rejected() {
        assert_rejects(
            SHADER.name,
            &[("~frequencies[i]", "frequencies[i]"), ("order[i] = i;", "order[i] = i ^ 1u;")],
            parity,
        );
    }

    #[test]
    fn wrong_lengths_are_errors() {
        let device = Device::cpu();
        let frequencies = upload(&device, &[1u32, 2]);
        let (mut order, mut workspace) = (poisoned(&device, 3), poisoned(&device, 0));
        let rank = Rank { frequencies: &frequencies, order: &mut order, workspace: &mut workspace };
        let error = rank.run(&device).unwrap_err();
        assert!(matches!(error, Error::Shape { op: "sizing/rank", arg: "order", expected: 2, got: 3 }), "{error}");
    }
}

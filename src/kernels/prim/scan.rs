//! Prefix sum of u32, in place: `v[i] <- sum of v[0..i]` (exclusive) or `v[0..=i]` (inclusive), modulo 2^32.
//!
//! Reduce, then scan: the tiles are summed, these sums are scanned (recursively), and each tile is scanned onto its
//! carry. No workgroup waits for another. A scan with look-back would need that, and not every GPU promises it.
//!
//! # Cost
//! `2 * levels - 1` dispatches with tiles of 4,096; 4n bytes read twice, 4n written.
//!
//! # Example
//! ```
//! use scall_gpu::device::{Buffer, Device, Kernel};
//! use scall_gpu::kernels::prim::scan::Scan;
//! # fn main() -> scall_gpu::Result<()> {
//! let device = Device::cpu();
//! let mut values = Buffer::from_slice(&device, &[3u32, 0, 2, 4])?; // sizes
//! let mut workspace = Buffer::zeroed(&device, Scan::workspace_len(4))?;
//! Scan { values: &mut values, count: 4, inclusive: false, workspace: &mut workspace }.run(&device)?;
//! assert_eq!(values.read()?, [0, 3, 3, 5]); // where each begins
//! # Ok(()) }
//! ```

use crate::Result;
use crate::check;
use crate::device::{Binding, Buffer, Dispatches, Entry, Gpu, Kernel, Launch, Shader, params, writes};

pub(crate) static SHADER: Shader = Shader {
    name: "prim/scan",
    source: include_str!("../../../shaders/prim/scan.wgsl"),
    params: Params::FIELDS,
    entries: &[
        Entry::of("reduce_tiles", &[writes(1), writes(2)]).with_overrides(&["items"]),
        Entry::of("scan_tiles", &[writes(1), writes(2)]).with_overrides(&["items"]),
    ],
};

params! {
    struct Params {
        count: u32,
        values_base: u32,
        sums_base: u32,
        inclusive: u32,
        carry: u32,
    }
}

/// Elements a thread scans.
pub(crate) const ITEMS: u32 = 16;

/// Prefix sum in place. See the [module](self).
#[derive(Debug)]
pub struct Scan<'a> {
    /// The values, replaced by their prefix sums.
    pub values: &'a mut Buffer<u32>,
    /// How many of them, from the first.
    pub count: u32,
    /// True: each sum includes its own element.
    pub inclusive: bool,
    /// At least [`Scan::workspace_len`] words; what it holds afterwards is not specified. The CPU does not use it.
    pub workspace: &'a mut Buffer<u32>,
}

impl Scan<'_> {
    /// Words of workspace that `count` values need.
    pub fn workspace_len(count: u32) -> usize {
        workspace_len(count, ITEMS)
    }
}

/// A stretch of an argument's buffer, from `base`.
#[derive(Clone, Copy)]
pub(crate) struct Region<'a> {
    arg: &'static str,
    buffer: &'a Buffer<u32>,
    pub base: u32,
}

impl<'a> Region<'a> {
    /// From the beginning.
    pub fn new(arg: &'static str, buffer: &'a Buffer<u32>) -> Self {
        Self { arg, buffer, base: 0 }
    }

    /// From elsewhere in the same buffer.
    pub fn at(self, base: u32) -> Self {
        Self { base, ..self }
    }

    pub fn binding(&self) -> Binding<'a> {
        self.buffer.binding(self.arg).shared()
    }
}

/// A scan of words that lie anywhere in a buffer.
pub(crate) struct RegionScan<'a> {
    pub values: Region<'a>,
    pub workspace: Region<'a>,
    /// Words that are scanned.
    pub count: u32,
    pub inclusive: bool,
    /// Words a thread.
    pub items: u32,
}

impl RegionScan<'_> {
    pub fn record(self, gpu: &Gpu, list: &mut Dispatches) -> Result<()> {
        let Self { values, workspace, count, inclusive, items } = self;
        let tile = 256 * items;
        // Of each level: how many words, and where they stand.
        let mut levels = vec![(count, values)];
        let mut end = workspace.base;
        while levels[levels.len() - 1].0 > tile {
            let tiles = levels[levels.len() - 1].0.div_ceil(tile);
            levels.push((tiles, workspace.at(end)));
            end += tiles;
        }
        let mut launch = |entry, level: usize| {
            let (count, values) = levels[level];
            let carry = levels.get(level + 1);
            let sums = carry.map_or(workspace, |(_, region)| *region);
            Launch {
                shader: &SHADER,
                entry,
                codecs: &[],
                constants: &[("items", f64::from(items))],
                params: Params {
                    count,
                    values_base: values.base,
                    sums_base: sums.base,
                    inclusive: u32::from(inclusive && level == 0),
                    carry: u32::from(carry.is_some()),
                }
                .words(),
                bindings: &[values.binding(), sums.binding()],
                groups: u64::from(count.div_ceil(tile)),
            }
            .record(gpu, list)
        };
        for level in 0..levels.len() - 1 {
            launch("reduce_tiles", level)?;
        }
        (0..levels.len()).rev().try_for_each(|level| launch("scan_tiles", level))
    }
}

fn workspace_len(count: u32, items: u32) -> usize {
    let mut total = 0;
    let mut tiles = count;
    while tiles > 256 * items {
        tiles = tiles.div_ceil(256 * items);
        total += tiles as usize;
    }
    total.max(1)
}

impl Kernel for Scan<'_> {
    const NAME: &'static str = "prim/scan";

    fn check(&self) -> Result<()> {
        check::at_least(Self::NAME, "values", self.values.len(), self.count.into())?;
        if self.values.as_wgpu().is_some() {
            let needed = Self::workspace_len(self.count) as u64;
            check::at_least(Self::NAME, "workspace", self.workspace.len(), needed)?;
        }
        Ok(())
    }

    fn dispatch(self, gpu: &Gpu, list: &mut Dispatches) -> Result<()> {
        let (values, workspace) = (Region::new("values", self.values), Region::new("workspace", self.workspace));
        let Self { count, inclusive, .. } = self;
        RegionScan { values, workspace, count, inclusive, items: ITEMS }.record(gpu, list)
    }

    fn twin(self) -> Result<()> {
        let values = self.values.host_mut(Self::NAME, "values")?;
        scan(&mut values[..self.count as usize], self.inclusive);
        Ok(())
    }
}

/// The CPU twin; returns the total, modulo 2^32.
pub fn scan(values: &mut [u32], inclusive: bool) -> u32 {
    let mut sum = 0u32;
    for value in values {
        let before = sum;
        sum = sum.wrapping_add(*value);
        *value = if inclusive { sum } else { before };
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use crate::device::{Device, Pass};
    use crate::testing::{assert_rejects, assert_same, gpu, poisoned, upload};

    fn case(device: &Device, count: u32, inclusive: bool, items: u32) {
        let input: Vec<u32> = (0..count + 3).map(|i| i.wrapping_mul(2_654_435_761) >> (i % 29)).collect();
        let mut sum = 0u32;
        let mut want = input.clone();
        for value in &mut want[..count as usize] {
            let before = sum;
            sum = sum.wrapping_add(*value);
            *value = if inclusive { sum } else { before };
        }
        let mut values = upload(device, &input);
        let mut workspace = poisoned(device, workspace_len(count, items));
        match device {
            Device::Gpu(gpu) if items != ITEMS => {
                let mut encoder = gpu.device().create_command_encoder(&Default::default());
                let (values, workspace) = (Region::new("values", &values), Region::new("workspace", &workspace));
                Pass::new(gpu, &mut encoder.begin_compute_pass(&Default::default()))
                    .record(|list| RegionScan { values, workspace, count, inclusive, items }.record(gpu, list))
                    .unwrap();
                gpu.queue().submit([encoder.finish()]);
            }
            _ => {
                let workspace = &mut workspace;
                Scan { values: &mut values, count, inclusive, workspace }.run(device).unwrap();
            }
        }
        assert_same(&format!("count {count}"), &values.read().unwrap(), &want);
    }

    fn parity(device: &Device) {
        for count in [0, 1, 255, 256, 257, 4095, 4096, 4097, 70_001] {
            case(device, count, false, ITEMS);
            case(device, count, true, ITEMS);
            case(device, count, true, 1);
        }
    }

    #[test]
    fn sums_match_a_plain_loop() {
        parity(&Device::cpu());
        gpu().into_iter().for_each(|gpu| parity(&Device::Gpu(gpu)));
    }

    #[test]
    fn three_levels_and_more_than_65535_groups() {
        if let Some(gpu) = gpu() {
            case(&Device::Gpu(gpu), 256 * 65_536 + 1, true, 1);
        }
    }

    #[test]
    fn mutants_are_rejected() {
        assert_rejects(
            SHADER.name,
            &[
                ("if thread == 255u && tile", "if thread == 254u && tile"),
                ("running += sums[params.sums_base + tile];", "running += sums[params.sums_base];"),
                ("let end = min(first + items, params.count);", "let end = min(first + items, params.count + 1u);"),
                ("select(0u, value, params.inclusive == 1u)", "0u"),
            ],
            parity,
        );
    }

    #[test]
    fn short_buffers_are_errors() {
        let device = Device::cpu();
        let mut values = upload(&device, &[1u32, 2]);
        let mut workspace = upload(&device, &[0u32]);
        let scan = Scan { values: &mut values, count: 3, inclusive: true, workspace: &mut workspace };
        assert!(matches!(scan.run(&device), Err(Error::Shape { op: "prim/scan", arg: "values", expected: 3, got: 2 })));
        assert_eq!(values.read().unwrap(), [1, 2]);
    }
}

//! Begins rows anew, in place.
//!
//! `arena[offsets[id_b] + j] = fresh(id_b, j)` for every dim j of row `id_b`, `fresh` being what [`migrate`](super::migrate) gives
//! a dim that appears: zero (optimizer state) or `N(0, std^2)` by (seed, row, dim) (values). So a row that was reset holds what a
//! table that never trained holds there, or what is left when the row shrinks to nothing and grows back. Other rows are not
//! touched. An id past the table is left out, on both devices; an id may stand more than once.
//!
//! # Numerics
//! Equal in every bit on all devices: the normal comes from an integer table ([`crate::rng`]).
//!
//! # Cost
//! One dispatch; writes `4 * (sum of d)` bytes.
//!
//! # Example
//! ```
//! use scall_gpu::device::{Buffer, Device, Kernel};
//! use scall_gpu::kernels::table::migrate::Fill;
//! use scall_gpu::kernels::table::reset::{Reset, Shape};
//! # fn main() -> scall_gpu::Result<()> {
//! let device = Device::cpu();
//! let mut arena = Buffer::from_slice(&device, &[1.0f32, 2.0, 3.0])?;
//! let (offsets, ids) = (Buffer::from_slice(&device, &[0u32, 1, 3])?, Buffer::from_slice(&device, &[1u32])?);
//! let shape = Shape::Ragged;
//! Reset { arena: &mut arena, shape, offsets: &offsets, ids: &ids, widest: 2, fill: Fill::Zero }.run(&device)?;
//! assert_eq!(arena.read()?, [1.0, 0.0, 0.0]);
//! # Ok(()) }
//! ```

use super::migrate::{Fill, Fresh};
use crate::Result;
use crate::device::{Access, Binding, Buffer, Entry, Gpu, Kernel, Launch, Shader, params};
use crate::kernels::check;
use crate::kernels::table::lookup::lanes;
use crate::rng::Purpose;

pub(crate) static SHADER: Shader = Shader {
    name: "table/reset",
    source: include_str!("../../../shaders/table/reset.wgsl"),
    params: Params::FIELDS,
    entries: &[Entry {
        name: "reset",
        workgroup: 256,
        bindings: &[(1, Access::Write), (2, Access::Read), (3, Access::Read), (4, Access::Read)],
    }],
};

params! {
    struct Params {
        rows: u32,
        count: u32,
        one_a_row: u32,
        key_low: u32,
        key_high: u32,
        purpose: u32,
        zero_dims: u32,
        scale: f32,
    }
}

/// How numbers lie in an arena.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// As many as the row has values: the values, and the state that has their shape.
    #[default]
    Ragged,
    /// One a row, whatever its size: row-wise state.
    OneARow,
}

/// Begins rows anew. See the [module](self).
#[derive(Debug)]
pub struct Reset<'a> {
    /// Numbers of all rows, one row after another.
    pub arena: &'a mut Buffer<f32>,
    /// How they lie there.
    pub shape: Shape,
    /// `rows + 1` element offsets into a ragged arena; of one number a row they say how many rows there are.
    pub offsets: &'a Buffer<u32>,
    /// Row ids.
    pub ids: &'a Buffer<u32>,
    /// Numbers in the widest of these rows, or about as many, for the choice of lanes.
    pub widest: u32,
    /// What dims start as.
    pub fill: Fill,
}

impl Kernel for Reset<'_> {
    const NAME: &'static str = "table/reset";

    fn check(&self) -> Result<()> {
        let rows = check::rows(Self::NAME, "offsets", self.offsets.len())?;
        check::indexable(Self::NAME, "ids", self.ids.len() as u64)?;
        check::dims(Self::NAME, self.widest)?;
        if self.shape == Shape::OneARow {
            check::len(Self::NAME, "arena", self.arena.len(), rows.into())?;
        }
        self.fill.check(Self::NAME)
    }

    fn dispatch(self, gpu: &Gpu, pass: &mut wgpu::ComputePass<'_>) -> Result<()> {
        let lanes = if self.shape == Shape::OneARow { 1 } else { lanes(self.widest) };
        let Fresh { key, scale, zero_dims } = self.fill.fresh();
        let count = self.ids.len() as u32;
        Launch {
            shader: &SHADER,
            entry: "reset",
            constants: &[("lanes", f64::from(lanes))],
            params: Params {
                rows: self.offsets.len() as u32 - 1,
                count,
                one_a_row: u32::from(self.shape == Shape::OneARow),
                key_low: key[0],
                key_high: key[1],
                purpose: Purpose::Dims as u32,
                zero_dims,
                scale,
            }
            .words(),
            bindings: &[
                self.arena.binding("arena"),
                self.offsets.binding("offsets"),
                self.ids.binding("ids"),
                Binding { arg: "normal table", gpu: Some((gpu, gpu.normal_table())) },
            ],
            groups: u64::from(count).div_ceil(u64::from(256 / lanes)),
        }
        .record(gpu, pass)
    }

    fn twin(self) -> Result<()> {
        let op = Self::NAME;
        let (offsets, ids) = (self.offsets.host(op, "offsets")?, self.ids.host(op, "ids")?);
        let arena = self.arena.host_mut(op, "arena")?;
        let fresh = self.fill.fresh();
        for &id in ids {
            let at = id as usize;
            let range = match self.shape {
                Shape::Ragged => offsets.get(at..at.saturating_add(2)).map(|pair| pair[0] as usize..pair[1] as usize),
                Shape::OneARow => Some(at..at.saturating_add(1)),
            };
            if let Some(row) = range.and_then(|range| arena.get_mut(range)) {
                fresh.write(id, 0, row);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use crate::device::Device;
    use crate::testing::{assert_rejects, assert_same, devices, gpu, offsets_of, signed, upload};

    const NORMAL: Fill = Fill::Normal { seed: 0xABCD_EF01_2345_6789, std: 0.01, zero_dims: 1 };

    fn reset(device: &Device, sizes: &[u32], ids: &[u32], shape: Shape, fill: Fill) -> Vec<f32> {
        let offsets = offsets_of(sizes);
        let len = if shape == Shape::OneARow { sizes.len() } else { *offsets.last().unwrap() as usize };
        let mut arena = upload(device, &signed(len, 3));
        let (offsets, ids) = (upload(device, &offsets), upload(device, ids));
        let widest = sizes.iter().copied().max().unwrap_or(0);
        Reset { arena: &mut arena, shape, offsets: &offsets, ids: &ids, widest, fill }.run(device).unwrap();
        arena.read().unwrap()
    }

    /// What migration gives to rows that are new, where the id is named, and what was there elsewhere.
    fn expected(sizes: &[u32], ids: &[u32], shape: Shape, fill: Fill) -> Vec<f32> {
        let ones = vec![1; sizes.len()];
        let sizes = if shape == Shape::OneARow { &ones[..] } else { sizes };
        let offsets = offsets_of(sizes);
        let device = Device::cpu();
        let mut fresh = Buffer::zeroed(&device, *offsets.last().unwrap() as usize).unwrap();
        super::super::migrate::Migrate {
            from_arena: &upload(&device, &[]),
            from_offsets: &upload(&device, &[0]),
            to_arena: &mut fresh,
            to_offsets: &upload(&device, &offsets),
            widest: sizes.iter().copied().max().unwrap_or(0),
            fill,
        }
        .run(&device)
        .unwrap();
        let mut want = signed(fresh.len(), 3);
        for &id in ids.iter().filter(|&&id| (id as usize) < sizes.len()) {
            let row = offsets[id as usize] as usize..offsets[id as usize + 1] as usize;
            want[row.clone()].copy_from_slice(&fresh.as_slice().unwrap()[row]);
        }
        want
    }

    fn parity(device: &Device) {
        let many: Vec<u32> = (0..2000).map(|i| (i * 5) % 11).collect();
        let mut cases = vec![
            (vec![], vec![]),
            (vec![], vec![0, 7]),
            (vec![3], vec![]),
            (vec![4, 0, 2, 9], vec![2, 4, 1, 3, u32::MAX, 2]),
            (vec![1, 1000, 1, 5], vec![1, 0]),
        ];
        for count in [255, 256, 257, 1500] {
            cases.push((many.clone(), (0..count).map(|b| b * 7 % 2000).collect()));
        }
        for (sizes, ids) in cases {
            for (shape, fill) in [(Shape::Ragged, NORMAL), (Shape::Ragged, Fill::Zero), (Shape::OneARow, Fill::Zero)] {
                let what = format!("{} of {} rows, {shape:?}, {fill:?}", ids.len(), sizes.len());
                assert_same(&what, &reset(device, &sizes, &ids, shape, fill), &expected(&sizes, &ids, shape, fill));
            }
        }
    }

    #[test]
    fn matches_a_new_row_on_every_device() {
        devices().iter().for_each(parity);
    }

    #[test]
    fn more_than_65535_groups() {
        if let Some(gpu) = gpu() {
            let sizes = vec![1; 40];
            let ids: Vec<u32> = (0..256 * 65_536 + 5).map(|b| if b < 256 * 65_536 { 3 } else { 38 }).collect();
            let got = reset(&Device::Gpu(gpu), &sizes, &ids, Shape::Ragged, Fill::Zero);
            assert_same("giant", &got, &expected(&sizes, &[3, 38], Shape::Ragged, Fill::Zero));
        }
    }

    #[test]
    fn mutants_are_rejected() {
        assert_rejects(
            SHADER.name,
            &[
                ("if b >= params.count {", "if b + 1u >= params.count {"),
                ("if row >= params.rows {", "if row + 1u >= params.rows {"),
                ("fresh(row, j)", "fresh(b, j)"),
                ("if params.one_a_row == 0u {", "if params.one_a_row != 2u {"),
                ("width = offsets[row + 1u] - start;", "width = 1u;"),
                ("vec4<u32>(row, j >> 2u,", "vec4<u32>(row, j,"),
            ],
            parity,
        );
    }

    #[test]
    fn wrong_arguments_are_errors() {
        let device = Device::cpu();
        let (offsets, ids) = (upload(&device, &[0u32, 3]), upload(&device, &[0u32]));
        let run = |shape, fill| {
            let mut arena = upload(&device, &[0.0f32; 3]);
            Reset { arena: &mut arena, shape, offsets: &offsets, ids: &ids, widest: 3, fill }.run(&device)
        };
        let error = run(Shape::OneARow, Fill::Zero);
        assert!(matches!(error, Err(Error::Shape { arg: "arena", expected: 1, got: 3, .. })));
        let fill = Fill::Normal { seed: 1, std: f32::NAN, zero_dims: 0 };
        let text = run(Shape::Ragged, fill).unwrap_err().to_string();
        assert_eq!(text, "table/reset: `std` must be finite and not negative, got NaN");
    }
}

//! Makes rows begin again as new ones, in place.
//!
//! `row_(id_b)[j] = fresh(id_b, j)` for every dim j of row `id_b`. `fresh` is what [`migrate`](super::migrate) gives a
//! dim that appears: `N(0, std^2)` by (seed, row, dim), with optimizer state zero. So a row that was reset holds what a
//! table that never trained holds there, or what the row would have after it shrank to nothing and grew back. Other
//! rows are not touched. An id past the table is left out, on both devices. An id may occur more than once.
//!
//! # Numerics
//! Equal in every bit on all devices: the normal comes from an integer table ([`crate::rng`]).
//!
//! # Cost
//! A dispatch a page, for the values and for each number of state. Writes the rows.
//!
//! # Example
//! ```
//! use scall_gpu::device::{Buffer, Device, Kernel};
//! use scall_gpu::kernels::table::migrate::Fill;
//! use scall_gpu::kernels::table::reset::Reset;
//! use scall_gpu::rows::{Layout, Rows};
//! # fn main() -> scall_gpu::Result<()> {
//! let device = Device::cpu();
//! let mut rows = Rows::zeroed(&device, &[1, 2], Layout::default(), Default::default())?;
//! rows.write(&[1.0, 2.0, 3.0])?;
//! Reset { rows: &mut rows, ids: &Buffer::from_slice(&device, &[1u32])?, widest: 2, fill: Fill::Zero }.run(&device)?;
//! assert_eq!(rows.read()?, [1.0, 0.0, 0.0]);
//! # Ok(()) }
//! ```

use super::fresh::FreshParams;
use crate::Result;
use crate::check;
use crate::device::{Binding, Buffer, Dispatches, Entry, Gpu, Kernel, Launch, Shader, params, reads, writes};
use crate::kernels::table::lookup::lanes;
use crate::rows::{Codec, Format, PageParams, Rows, with_codec};

pub use super::fresh::Fill;

pub(crate) static SHADER: Shader = Shader {
    name: "table/reset",
    source: include_str!("../../../shaders/table/reset.wgsl"),
    params: Params::FIELDS,
    entries: &[Entry::of("reset", &[writes(1), reads(2), reads(3), reads(4)]).with_overrides(&["lanes"])],
};

params! {
    struct Params {
        page: PageParams,
        count: u32,
        fresh: FreshParams,
    }
}

/// Makes rows begin again. See the [module](self).
#[derive(Debug)]
pub struct Reset<'a> {
    /// The rows of the table, values and state.
    pub rows: &'a mut Rows,
    /// Row ids.
    pub ids: &'a Buffer<u32>,
    /// About the number of values in the widest of these rows, for the choice of lanes.
    pub widest: u32,
    /// What dims start as; their state is zero.
    pub fill: Fill,
}

impl Kernel for Reset<'_> {
    const NAME: &'static str = "table/reset";

    fn check(&self) -> Result<()> {
        check::indexable(Self::NAME, "ids", self.ids.len() as u64)?;
        check::dims(Self::NAME, self.widest)?;
        self.fill.check(Self::NAME)
    }

    fn dispatch(self, gpu: &Gpu, list: &mut Dispatches) -> Result<()> {
        let count = self.ids.len() as u32;
        for page in self.rows.pages() {
            let mut launch = |arena, fill: Fill, one_a_row: bool, format: Format| {
                let lanes = if one_a_row { 1 } else { lanes(self.widest / format.per_word()) };
                let params = Params { page: page.params(), count, fresh: fill.fresh().params(one_a_row) };
                let [_, directory] = page.bindings();
                let normals = Binding::normals();
                Launch {
                    shader: &SHADER,
                    entry: "reset",
                    codecs: &[format.source()],
                    constants: &[("lanes", f64::from(lanes))],
                    params: params.words(),
                    bindings: &[arena, directory, self.ids.binding("ids"), normals],
                    groups: u64::from(count).div_ceil(u64::from(256 / lanes)),
                }
                .record(gpu, list)
            };
            let [values, _] = page.bindings();
            launch(values, self.fill, false, page.format())?;
            for (number, state) in page.state.iter().enumerate() {
                launch(state.binding("rows"), Fill::Zero, number >= page.per_row_state(), Format::F32)?;
            }
        }
        Ok(())
    }

    fn twin(self) -> Result<()> {
        with_codec!(self.rows.layout().format, V => self.twin_of::<V>())
    }
}

impl Reset<'_> {
    fn twin_of<V: Codec>(self) -> Result<()> {
        let op = <Self as Kernel>::NAME;
        let ids = self.ids.host(op, "ids")?;
        let (fresh, mut drawn) = (self.fill.fresh(), Vec::new());
        for page in self.rows.pages_mut() {
            let per_row = page.per_row_state();
            let (directory, values, state) = page.host_mut::<V>(op)?;
            let mut state: Vec<_> = state.iter_mut().map(|state| state.host_mut(op, "rows")).collect::<Result<_>>()?;
            for &id in ids {
                let row = id.wrapping_sub(directory.first);
                if row >= directory.rows {
                    continue;
                }
                let (start, end) = directory.span(row);
                fresh.write(id, (&mut values[start..], end - start), &mut drawn);
                for (number, state) in state.iter_mut().enumerate() {
                    let own = if number < per_row { start..end } else { row as usize..row as usize + 1 };
                    state[own].fill(0.0);
                }
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
    use crate::kernels::table::migrate::tests::{begun_in_fours, fresh};
    use crate::rows::Layout;
    use crate::rows::StateSize;
    use crate::testing::{
        assert_gaps, assert_rejects, assert_same, devices, gpu, layouts, offsets_of, rows_of, signed, stored, upload,
    };

    const NORMAL: Fill = Fill::Normal { seed: 0xABCD_EF01_2345_6789, std: 0.01, zero_dims: 1 };
    const STATE: StateSize = StateSize { per_value: 1, per_row: 1 };

    /// The dims of a new row where the id is named, and what was there elsewhere.
    fn expected(sizes: &[u32], ids: &[u32], mut before: Vec<f32>, fill: Fill) -> Vec<f32> {
        let offsets = offsets_of(sizes);
        for &id in ids.iter().filter(|&&id| (id as usize) < sizes.len()) {
            for j in 0..sizes[id as usize] {
                before[(offsets[id as usize] + j) as usize] = fresh(id, j, fill);
            }
        }
        before
    }

    fn case(device: &Device, (sizes, layout, state): (&[u32], Layout, StateSize), ids: &[u32], fill: Fill) {
        let ones = vec![1; sizes.len()];
        let len = sizes.iter().sum::<u32>() as usize;
        let (before, of_rows) = (signed(len, 3), signed(sizes.len(), 5));
        let mut rows = rows_of(device, sizes, &before, layout, state);
        if state == STATE {
            rows.write_state(0, &signed(len, 4)).unwrap();
            rows.write_state(1, &of_rows).unwrap();
        }
        let widest = sizes.iter().copied().max().unwrap_or(0);
        Reset { rows: &mut rows, ids: &upload(device, ids), widest, fill }.run(device).unwrap();
        let what = format!("{} of {} rows, {layout:?}, {fill:?}", ids.len(), sizes.len());
        let before = stored(sizes, &before, layout.format);
        let mut want = expected(sizes, ids, before.clone(), fill);
        if layout.format == Format::I8 {
            let fresh = begun_in_fours(&[], sizes, &[], fill);
            let changed = want.iter_mut().zip(&before).zip(fresh).filter(|((want, before), _)| want != before);
            changed.for_each(|((want, _), fresh)| *want = fresh);
        }
        assert_same(&what, &rows.read().unwrap(), &stored(sizes, &want, layout.format));
        assert_gaps(&what, &rows);
        if state == STATE {
            let want = expected(sizes, ids, signed(len, 4), Fill::Zero);
            assert_same(&format!("state of values, {what}"), &rows.read_state(0).unwrap(), &want);
            let want = expected(&ones, ids, of_rows, Fill::Zero);
            assert_same(&format!("state of rows, {what}"), &rows.read_state(1).unwrap(), &want);
        }
    }

    fn parity(device: &Device) {
        let many: Vec<u32> = (0..2000).map(|i| (i * 5) % 11).collect();
        // Blocks of 64 rows.
        let mut blocks = many[..150].to_vec();
        blocks[70] = 900;
        let mut cases = vec![
            (vec![], vec![]),
            (vec![], vec![0, 7]),
            (vec![3], vec![]),
            (vec![4, 0, 2, 9], vec![2, 4, 1, 3, u32::MAX, 2]),
            (vec![1, 1000, 1, 5], vec![1, 0]),
            (many[..50].to_vec(), (0..45).map(|b| b * 7 % 50).collect()),
            (blocks, vec![149, 65, 71, 128, 70, 0, 63, 64]),
        ];
        for count in [255, 256, 257, 1500] {
            cases.push((many.clone(), (0..count).map(|b| b * 7 % 2000).collect()));
        }
        for (sizes, ids) in cases {
            let layouts = layouts(sizes.iter().copied().max().unwrap_or(0));
            for layout in layouts.into_iter().filter(|&layout| sizes.len() <= 150 || layout == Layout::default()) {
                for fill in [NORMAL, Fill::Zero] {
                    case(device, (&sizes, layout, STATE), &ids, fill);
                }
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
            case(&Device::Gpu(gpu), (&sizes, Layout::default(), StateSize::default()), &ids, Fill::Zero);
        }
    }

    #[test]
    fn mutants_are_rejected() {
        assert_rejects(
            SHADER.name,
            &[
                ("if b >= params.count {", "if b + 1u >= params.count {"),
                ("with_fresh(named.id, j,", "with_fresh(named.b, j,"),
                ("if params.one_a_row == 1u {", "if params.one_a_row == 2u {"),
                ("return Row(base + start, end - start);", "return Row(base + start, 1u);"),
                ("vec4<u32>(row, j >> 2u, 0u,", "vec4<u32>(row, j, 0u,"),
                // Pages, blocks, alignment.
                ("id - params.first_row < params.rows", "id - params.first_row + 1u < params.rows"),
                ("return row_at(id - params.first_row);", "return row_at(0u);"),
                ("return Row(id - params.first_row, 1u);", "return Row(0u, 1u);"),
                ("directory[row >> params.shift]", "directory[0u]"),
                ("let start = (before + alignment - 1u) & ~(alignment - 1u);", "let start = before;"),
                // Halves of words, and the nearest of them.
                ("values.y = fresh(j + 1u, words);", "values.y = fresh(j, words);"),
                ("(before & ~mask) | (after & mask)", "after & mask"),
                ("size + 0xfffu", "size"),
                // Words of four.
                ("values.w = fresh(j + 3u, words);", "values.w = 0.0;"),
                ("vec4<u32>(row, j >> 2u, 1u,", "vec4<u32>(row, j >> 2u, 2u,"),
            ],
            parity,
        );
    }

    #[test]
    fn wrong_arguments_are_errors() {
        let device = Device::cpu();
        let ids = upload(&device, &[0u32]);
        let run = |widest, fill| {
            let mut rows = rows_of(&device, &[3], &[0.0; 3], Layout::default(), STATE);
            Reset { rows: &mut rows, ids: &ids, widest, fill }.run(&device)
        };
        let error = run(65_537, Fill::Zero);
        assert!(matches!(error, Err(Error::Limit { arg: "dims", allowed: 65_536, requested: 65_537, .. })));
        let fill = Fill::Normal { seed: 1, std: f32::NAN, zero_dims: 0 };
        let text = run(3, fill).unwrap_err().to_string();
        assert_eq!(text, "table/reset: `std` must be finite and not negative, got NaN");
    }
}

//! Dense values into ragged rows: the way back of a [lookup](super::lookup).
//!
//! `row_(id_b)[j] = values[b, j]` for `j < min(d, D)`, where d is the size of row `id_b`. Values beyond that are not
//! touched. An id past the table is left out, on both devices.
//!
//! # Numerics
//! Values are copied bit for bit; other formats than f32 store the nearest value that they have. Of
//! [`I8`](crate::rows::Format::I8), a value past `D` may be rounded too, where one of its four is set. Where an id
//! occurs twice, either row of values may stay.
//!
//! # Cost
//! One dispatch a page; `8 * (sum of min(d, D))` bytes, plus ids and directory.
//!
//! # Example
//! ```
//! use scall_gpu::device::{Buffer, Device, Kernel};
//! use scall_gpu::kernels::table::store::Store;
//! use scall_gpu::rows::{Layout, Rows};
//! # fn main() -> scall_gpu::Result<()> {
//! let device = Device::cpu();
//! let mut rows = Rows::zeroed(&device, &[1, 0, 3], Layout::default(), Default::default())?;
//! let ids = Buffer::from_slice(&device, &[2, 0])?;
//! let values = Buffer::from_slice(&device, &[7.0, 8.0, 9.0, 10.0])?; // [2, 2]
//! Store { rows: &mut rows, ids: &ids, values: &values, dims: 2 }.run(&device)?;
//! assert_eq!(rows.read()?, [9.0, 7.0, 8.0, 0.0]); // row 0 has no place for the 10
//! # Ok(()) }
//! ```

use crate::Result;
use crate::check;
use crate::device::{Buffer, Dispatches, Entry, Gpu, Kernel, Shader, params, reads, writes};
use crate::kernels::table::lookup::lanes;
use crate::rows::{Codec, PageLaunch, PageParams, Rows, with_codec};

pub(crate) static SHADER: Shader = Shader {
    name: "table/store",
    source: include_str!("../../../shaders/table/store.wgsl"),
    params: Params::FIELDS,
    entries: &[Entry::of("store", &[writes(1), reads(2), reads(3), reads(4)]).with_overrides(&["lanes"])],
};

params! {
    struct Params {
        page: PageParams,
        count: u32,
        dims: u32,
    }
}

/// Writes rows. See the [module](self).
#[derive(Debug)]
pub struct Store<'a> {
    /// The rows.
    pub rows: &'a mut Rows,
    /// `B` row ids, distinct.
    pub ids: &'a Buffer<u32>,
    /// `B * D` values.
    pub values: &'a Buffer<f32>,
    /// Their width `D`.
    pub dims: u32,
}

impl Kernel for Store<'_> {
    const NAME: &'static str = "table/store";

    fn check(&self) -> Result<()> {
        check::indexable(Self::NAME, "ids", self.ids.len() as u64)?;
        check::dims(Self::NAME, self.dims)?;
        check::matrix(Self::NAME, "values", self.values.len(), self.ids.len() as u64, self.dims)
    }

    fn dispatch(self, gpu: &Gpu, list: &mut Dispatches) -> Result<()> {
        let (dims, count) = (self.dims, self.ids.len() as u32);
        let lanes = lanes(dims.div_ceil(self.rows.layout().format.per_word()));
        self.rows.launch_pages(gpu, list, |page| {
            let [arena, directory] = page.bindings();
            PageLaunch {
                shader: &SHADER,
                entry: "store",
                constants: vec![("lanes", f64::from(lanes))],
                params: Params { page: page.params(), count, dims }.words(),
                bindings: vec![arena, directory, self.ids.binding("ids"), self.values.binding("values")],
                groups: u64::from(count).div_ceil(u64::from(256 / lanes)),
            }
        })
    }

    fn twin(self) -> Result<()> {
        with_codec!(self.rows.layout().format, V => self.twin_of::<V>())
    }
}

impl Store<'_> {
    fn twin_of<V: Codec>(self) -> Result<()> {
        let op = <Self as Kernel>::NAME;
        let (ids, values) = (self.ids.host(op, "ids")?, self.values.host(op, "values")?);
        if self.dims == 0 {
            return Ok(());
        }
        for page in self.rows.pages_mut() {
            let (directory, own, _) = page.host_mut::<V>(op)?;
            for (&id, values) in ids.iter().zip(values.chunks_exact(self.dims as usize)) {
                let row = id.wrapping_sub(directory.first);
                if row < directory.rows {
                    let (start, end) = directory.span(row);
                    V::store(&values[..values.len().min(end - start)], &mut own[start..]);
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
    use crate::rows::Layout;
    use crate::rows::StateSize;
    use crate::testing::{
        assert_gaps, assert_rejects, assert_same, awkward, devices, layouts, offsets_of, rows_of, signed, stored,
        upload,
    };

    fn case(device: &Device, (sizes, layout): (&[u32], Layout), ids: &[u32], dims: u32) {
        let offsets = offsets_of(sizes);
        let before = signed(*offsets.last().unwrap() as usize, 1);
        let values = awkward(ids.len() * dims as usize, 2);
        let mut want = stored(sizes, &before, layout.format);
        for (b, &id) in ids.iter().enumerate() {
            for j in 0..dims.min(sizes.get(id as usize).copied().unwrap_or(0)) {
                want[(offsets[id as usize] + j) as usize] = values[b * dims as usize + j as usize];
            }
        }
        let want = stored(sizes, &want, layout.format);
        let mut rows = rows_of(device, sizes, &before, layout, StateSize::default());
        Store { rows: &mut rows, ids: &upload(device, ids), values: &upload(device, &values), dims }
            .run(device)
            .unwrap();
        let what = format!("sizes {sizes:?} dims {dims} {layout:?}");
        assert_same(&what, &rows.read().unwrap(), &want);
        assert_gaps(&what, &rows);
    }

    fn parity(device: &Device) {
        for layout in layouts(16) {
            for dims in [0, 1, 3, 16, 40] {
                let sizes = [0, 1, 3, 16, 0, 7, 16];
                case(device, (&sizes, layout), &[3, 8, 1, 0, 2, u32::MAX, 6, 7], dims);
                case(device, (&[], layout), &[0, 1], dims);
                case(device, (&[4], layout), &[], dims);
            }
        }
        for count in [255, 256, 257, 2000] {
            let sizes: Vec<u32> = (0..count).map(|r| r % 5).collect();
            // Distinct ids out of order: 7 shares no factor with any count.
            let ids: Vec<u32> = (0..count).map(|b| b * 7 % count).collect();
            for layout in layouts(4).into_iter().filter(|&layout| count == 257 || layout == Layout::default()) {
                case(device, (&sizes, layout), &ids, 2);
            }
        }
        // Blocks of 64 rows.
        let mut blocks = vec![3; 200];
        blocks[70] = 900;
        for layout in layouts(900) {
            case(device, (&[1, 900, 1], layout), &[1, 0], 1000);
            case(device, (&blocks, layout), &[0, 69, 71, 63, 64, 65, 199, 128], 3);
        }
    }

    #[test]
    fn matches_the_definition() {
        devices().iter().for_each(parity);
    }

    #[test]
    fn mutants_are_rejected() {
        assert_rejects(
            SHADER.name,
            &[
                ("min(row.size, params.dims)", "params.dims"),
                ("named.b * params.dims + j", "named.b + j"),
                ("if b >= params.count {", "if b + 1u >= params.count {"),
                // Pages, blocks, alignment.
                ("id - params.first_row < params.rows", "id - params.first_row + 1u < params.rows"),
                ("directory[row >> params.shift]", "directory[0u]"),
                ("if !begins_block(row, params.shift) {", "if row > 0u {"),
                ("let start = (before + alignment - 1u) & ~(alignment - 1u);", "let start = before;"),
                // Halves of words.
                ("(before & ~mask) | (after & mask)", "after & mask"),
                ("nearest_bits(values.x) | (nearest_bits(values.y) << 16u)", "nearest_bits(values.y)"),
                // The nearest: ties, the rest, beyond the range, and all these below the normal numbers.
                ("0xfffu + ((size >> 13u) & 1u)", "0x1000u"),
                ("size + 0xfffu", "size"),
                ("min(bits & 0x7fffffffu, 0x477fe000u)", "(bits & 0x7fffffffu)"),
                ("(1u << (shift - 1u)) - 1u + ((mantissa >> shift) & 1u)", "(1u << (shift - 1u))"),
                ("(1u << (shift - 1u)) - 1u", "0u"),
                ("if shift > 24u {", "if shift > 22u {"),
                // And of the other format of 16 bits.
                ("0x7fffu + ((bitcast<u32>(value) >> 16u) & 1u)", "0x8000u"),
                ("min(size, 0x7f7f0000u) + added", "min(size, 0x7f7f0000u)"),
                // Words of four.
                ("7u * k, 7u)", "7u * k, 6u)"),
                ("(largest + 0x3ffffu)", "(largest + 0x40000u)"),
                ("codes.y << 7u", "codes.y << 8u"),
                ("min(size, vec4<u32>(0x437c0000u))", "size"),
                ("select(all_decoded(before), values, those), vec4<u32>(0x8000u)", "values, vec4<u32>(0x8000u)"),
                ("vec4<u32>(0x8000u));", "vec4<u32>(0u));"),
            ],
            parity,
        );
    }

    #[test]
    fn wrong_lengths_are_errors() {
        let device = Device::cpu();
        let mut rows = rows_of(&device, &[3], &[0.0; 3], Layout::default(), StateSize::default());
        let (ids, values) = (upload(&device, &[0u32]), upload(&device, &[0.0f32; 3]));
        let error = Store { rows: &mut rows, ids: &ids, values: &values, dims: 2 }.run(&device);
        assert!(matches!(error, Err(Error::Shape { arg: "values", expected: 2, got: 3, .. })));
    }
}

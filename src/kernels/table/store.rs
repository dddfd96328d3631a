//! Dense values into ragged rows: the way back of a [lookup](super::lookup).
//!
//! `row_(id_b)[j] = values[b, j]` for `j < min(d, D)`, d the size of row `id_b`. What lies beyond is not touched. An id
//! past the table is left out, on both devices.
//!
//! # Numerics
//! Values are copied bit for bit; f16 takes the nearest. Of an id that stands twice, either row of values may stay.
//!
//! # Cost
//! One dispatch a page; `8 * (sum of min(d, D))` bytes, plus ids and directory.

use half::f16;

use super::rows::{Format, Place, Rows, Value};
use crate::Result;
use crate::device::{Access, Buffer, Entry, Gpu, Kernel, Launch, Shader, params};
use crate::kernels::check;
use crate::kernels::table::lookup::lanes;

pub(crate) static SHADER: Shader = Shader {
    name: "table/store",
    source: include_str!("../../../shaders/table/store.wgsl"),
    params: Params::FIELDS,
    entries: &[Entry {
        name: "store",
        workgroup: 256,
        bindings: &[(1, Access::Write), (2, Access::Read), (3, Access::Read), (4, Access::Read)],
    }],
};

params! {
    struct Params {
        first_row: u32,
        rows: u32,
        blocks: u32,
        shift: u32,
        alignment: u32,
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
        let expected = self.ids.len() as u64 * u64::from(self.dims);
        check::indexable(Self::NAME, "values", expected)?;
        check::len(Self::NAME, "values", self.values.len(), expected)
    }

    fn dispatch(self, gpu: &Gpu, pass: &mut wgpu::ComputePass<'_>) -> Result<()> {
        let (dims, count) = (self.dims, self.ids.len() as u32);
        for page in self.rows.pages() {
            let lanes = lanes(dims.div_ceil(page.values.format().per_word()));
            let Place { first, rows, blocks, shift, alignment } = page.place;
            let [arena, directory] = page.bindings();
            Launch {
                shader: &SHADER,
                entry: "store",
                constants: &[("lanes", f64::from(lanes)), page.half()],
                params: Params { first_row: first, rows, blocks, shift, alignment, count, dims }.words(),
                bindings: &[arena, directory, self.ids.binding("ids"), self.values.binding("values")],
                groups: u64::from(count).div_ceil(u64::from(256 / lanes)),
            }
            .record(gpu, pass)?;
        }
        Ok(())
    }

    fn twin(self) -> Result<()> {
        match self.rows.layout().format {
            Format::F32 => self.twin_of::<f32>(),
            Format::F16 => self.twin_of::<f16>(),
        }
    }
}

impl Store<'_> {
    fn twin_of<V: Value>(self) -> Result<()> {
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
                    own[start..end].iter_mut().zip(values).for_each(|(to, &from)| *to = V::nearest(from));
                }
            }
        }
        Ok(())
    }
}

#[cfg(any())] // PORT
mod tests {
    use super::*;
    use crate::Error;
    use crate::device::Device;
    use crate::testing::{assert_rejects, assert_same, devices, offsets_of, signed, upload};

    fn case(device: &Device, sizes: &[u32], ids: &[u32], dims: u32) {
        let offsets = offsets_of(sizes);
        let before = signed(*offsets.last().unwrap() as usize, 1);
        let values = signed(ids.len() * dims as usize, 2);
        let mut want = before.clone();
        for (b, &id) in ids.iter().enumerate() {
            for j in 0..dims.min(sizes.get(id as usize).copied().unwrap_or(0)) {
                want[(offsets[id as usize] + j) as usize] = values[b * dims as usize + j as usize];
            }
        }
        let mut arena = upload(device, &before);
        let (offsets, ids_buffer) = (upload(device, &offsets), upload(device, ids));
        Store { arena: &mut arena, offsets: &offsets, ids: &ids_buffer, values: &upload(device, &values), dims }
            .run(device)
            .unwrap();
        assert_same(&format!("sizes {sizes:?} dims {dims}"), &arena.read().unwrap(), &want);
    }

    fn parity(device: &Device) {
        for dims in [0, 1, 3, 16, 40] {
            case(device, &[0, 1, 3, 16, 0, 7, 16], &[3, 8, 1, 0, 2, u32::MAX, 6, 7], dims);
            case(device, &[], &[0, 1], dims);
            case(device, &[4], &[], dims);
        }
        for count in [255, 256, 257, 2000] {
            let sizes: Vec<u32> = (0..count).map(|r| r % 5).collect();
            // Distinct ids out of order: 7 shares no factor with any count.
            case(device, &sizes, &(0..count).map(|b| b * 7 % count).collect::<Vec<_>>(), 2);
        }
        case(device, &[1, 900, 1], &[1, 0], 1000);
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
                ("if id >= params.rows {", "if id + 1u >= params.rows {"),
                ("min(size, params.dims)", "params.dims"),
                ("b * params.dims + j", "b + j"),
                ("if b >= params.count {", "if b + 1u >= params.count {"),
            ],
            parity,
        );
    }

    #[test]
    fn wrong_lengths_are_errors() {
        let device = Device::cpu();
        let mut arena = upload(&device, &[0.0f32; 3]);
        let (offsets, ids) = (upload(&device, &[0u32, 3]), upload(&device, &[0u32]));
        let values = upload(&device, &[0.0f32; 3]);
        let error = Store { arena: &mut arena, offsets: &offsets, ids: &ids, values: &values, dims: 2 }.run(&device);
        assert!(matches!(error, Err(Error::Shape { arg: "values", expected: 2, got: 3, .. })));
    }
}

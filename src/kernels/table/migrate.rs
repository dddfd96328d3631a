//! Moves ragged rows to new sizes.
//!
//! `arena'[offsets'[r] + j] = arena[offsets[r] + j]` for `j < min(d_r, d'_r)`, bit for bit. A dim that appears starts at
//! zero (optimizer state) or at `N(0, std^2)` (values; `docs/method.md` section 4), drawn from Philox by (seed, row, dim): the
//! result depends neither on the order of resizes nor on the device. Rows past the old table are new: appending is the
//! same operation.
//!
//! # Numerics
//! Equal in every bit on all devices: the normal comes from an integer table ([`crate::rng`]).
//!
//! # Cost
//! One dispatch; reads what is kept, writes `4 * (sum of d')` bytes.

use crate::Result;
use crate::device::{Access, Binding, Buffer, Entry, Gpu, Kernel, Launch, Shader, params};
use crate::kernels::check;
use crate::kernels::table::lookup::{lanes, row};
use crate::rng::{self, Purpose};

pub(crate) static SHADER: Shader = Shader {
    name: "table/migrate",
    source: include_str!("../../../shaders/table/migrate.wgsl"),
    params: Params::FIELDS,
    entries: &[Entry {
        name: "migrate",
        workgroup: 256,
        bindings: &[(1, Access::Read), (2, Access::Read), (3, Access::Write), (4, Access::Read), (5, Access::Read)],
    }],
};

params! {
    struct Params {
        rows_from: u32,
        rows_to: u32,
        key_low: u32,
        key_high: u32,
        purpose: u32,
        zero_dims: u32,
        scale: f32,
    }
}

/// What a dim that appears starts as.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Fill {
    /// Zero: fresh optimizer state.
    #[default]
    Zero,
    /// `N(0, std^2)`: fresh embeddings.
    Normal {
        /// Key of the draw; another one for each table.
        seed: u64,
        /// Standard deviation; SCALL draws at 0.01.
        std: f32,
        /// Leading dims that start at zero all the same, such as a bias.
        zero_dims: u32,
    },
}

impl Fill {
    /// Domain of the constants.
    pub(super) fn check(&self, op: &'static str) -> Result<()> {
        match *self {
            Self::Zero => Ok(()),
            Self::Normal { std, .. } => {
                check::domain(op, "std", std, std.is_finite() && std >= 0.0, "finite and not negative")
            }
        }
    }

    pub(super) fn fresh(&self) -> Fresh {
        match *self {
            Self::Zero => Fresh { key: [0, 0], scale: 0.0, zero_dims: 0 },
            Self::Normal { seed, std, zero_dims } => {
                let scale = std / (1u32 << rng::NORMAL_FRACTION_BITS) as f32;
                Fresh { key: rng::key(seed), scale, zero_dims }
            }
        }
    }
}

/// A fill as kernels take it; `shaders/common/fresh.wgsl` gives the same values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fresh {
    pub key: [u32; 2],
    /// Of the fixed-point normal; 0 for zeros.
    pub scale: f32,
    pub zero_dims: u32,
}

impl Fresh {
    /// The dims of a row from `first` on.
    pub fn write(&self, row: u32, first: u32, dims: &mut [f32]) {
        if self.scale == 0.0 {
            return dims.fill(0.0);
        }
        let table = &rng::NORMAL_TABLE;
        let mut words = ([0; 4], u32::MAX);
        for (j, value) in (first..).zip(dims) {
            if words.1 != j >> 2 {
                words = (rng::philox([row, j >> 2, 0, Purpose::Dims as u32], self.key), j >> 2);
            }
            let normal = rng::normal_fixed(table, words.0[j as usize & 3]) as f32 * self.scale;
            *value = if j < self.zero_dims { 0.0 } else { normal };
        }
    }
}

/// Moves rows from one arena to another. See the [module](self).
#[derive(Debug)]
pub struct Migrate<'a> {
    /// Old values.
    pub from_arena: &'a Buffer<f32>,
    /// `rows + 1` offsets into the old arena.
    pub from_offsets: &'a Buffer<u32>,
    /// New values, every one of them written; as long as the last new offset.
    pub to_arena: &'a mut Buffer<f32>,
    /// `rows' + 1` offsets into the new arena.
    pub to_offsets: &'a Buffer<u32>,
    /// Values in the widest new row, or more, for the choice of lanes. A wider row is an error on the CPU.
    pub widest: u32,
    /// What new dims start as.
    pub fill: Fill,
}

impl Kernel for Migrate<'_> {
    const NAME: &'static str = "table/migrate";

    fn check(&self) -> Result<()> {
        check::rows(Self::NAME, "from_offsets", self.from_offsets.len())?;
        check::rows(Self::NAME, "to_offsets", self.to_offsets.len())?;
        check::dims(Self::NAME, self.widest)?;
        self.fill.check(Self::NAME)
    }

    fn dispatch(self, gpu: &Gpu, pass: &mut wgpu::ComputePass<'_>) -> Result<()> {
        let rows_to = self.to_offsets.len() as u32 - 1;
        let lanes = lanes(self.widest);
        let Fresh { key, scale, zero_dims } = self.fill.fresh();
        Launch {
            shader: &SHADER,
            entry: "migrate",
            constants: &[("lanes", f64::from(lanes))],
            params: Params {
                rows_from: self.from_offsets.len() as u32 - 1,
                rows_to,
                key_low: key[0],
                key_high: key[1],
                purpose: Purpose::Dims as u32,
                zero_dims,
                scale,
            }
            .words(),
            bindings: &[
                self.from_arena.binding("from_arena"),
                self.from_offsets.binding("from_offsets"),
                self.to_arena.binding("to_arena"),
                self.to_offsets.binding("to_offsets"),
                Binding { arg: "normal table", gpu: Some((gpu, gpu.normal_table())) },
            ],
            groups: u64::from(rows_to).div_ceil(u64::from(256 / lanes)),
        }
        .record(gpu, pass)
    }

    fn twin(self) -> Result<()> {
        let fresh = self.fill.fresh();
        let from_arena = self.from_arena.host(Self::NAME, "from_arena")?;
        let from_offsets = self.from_offsets.host(Self::NAME, "from_offsets")?;
        let to_offsets = self.to_offsets.host(Self::NAME, "to_offsets")?;
        let to_arena = self.to_arena.host_mut(Self::NAME, "to_arena")?;
        check::offsets(Self::NAME, "from_offsets", from_offsets, from_arena.len())?;
        check::offsets(Self::NAME, "to_offsets", to_offsets, to_arena.len())?;
        let widest = to_offsets.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
        let known = widest <= self.widest;
        check::domain(Self::NAME, "widest", self.widest, known, &format!("at least {widest}"))?;
        let fill_row = |id: usize, to: &mut [f32]| {
            let from = row(from_arena, from_offsets, id as u32);
            let kept = from.len().min(to.len());
            let (old, new) = to.split_at_mut(kept);
            old.copy_from_slice(&from[..kept]);
            fresh.write(id as u32, kept as u32, new);
        };
        fill_rows(to_offsets, 0, to_arena, &fill_row);
        Ok(())
    }
}

/// Halves the rows until a part is small, in parallel: offsets cut the arena into disjoint slices.
fn fill_rows(offsets: &[u32], first: usize, arena: &mut [f32], fill_row: &(impl Fn(usize, &mut [f32]) + Sync)) {
    let rows = offsets.len() - 1;
    if arena.len() + rows > 32 * 1024 && rows > 1 {
        let middle = rows / 2;
        let (low, high) = arena.split_at_mut((offsets[middle] - offsets[0]) as usize);
        rayon::join(
            || fill_rows(&offsets[..=middle], first, low, fill_row),
            || fill_rows(&offsets[middle..], first + middle, high, fill_row),
        );
        return;
    }
    let mut rest = arena;
    for (row, range) in offsets.windows(2).enumerate() {
        let (own, next) = rest.split_at_mut((range[1] - range[0]) as usize);
        fill_row(first + row, own);
        rest = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;
    use crate::testing::{assert_rejects, assert_same, devices, gpu, offsets_of, poisoned, signed, upload};

    const NORMAL: Fill = Fill::Normal { seed: 0xABCD_EF01_2345_6789, std: 0.01, zero_dims: 1 };

    fn migrate(device: &Device, from: &[u32], to: &[u32], fill: Fill) -> Vec<f32> {
        let (from_offsets, to_offsets) = (offsets_of(from), offsets_of(to));
        let from_arena = upload(device, &signed(*from_offsets.last().unwrap() as usize, 4));
        let mut to_arena = poisoned(device, *to_offsets.last().unwrap() as usize);
        Migrate {
            from_arena: &from_arena,
            from_offsets: &upload(device, &from_offsets),
            to_arena: &mut to_arena,
            to_offsets: &upload(device, &to_offsets),
            widest: to.iter().copied().max().unwrap_or(0),
            fill,
        }
        .run(device)
        .unwrap();
        to_arena.read().unwrap()
    }

    /// The definition, value by value.
    fn expected(from: &[u32], to: &[u32], fill: Fill) -> Vec<f32> {
        let from_offsets = offsets_of(from);
        let arena = signed(*from_offsets.last().unwrap() as usize, 4);
        let mut want = Vec::new();
        for (r, &size) in to.iter().enumerate() {
            for j in 0..size {
                want.push(match fill {
                    _ if r < from.len() && j < from[r] => arena[(from_offsets[r] + j) as usize],
                    Fill::Normal { seed, std, zero_dims } if j >= zero_dims => {
                        let word =
                            rng::philox([r as u32, j / 4, 0, Purpose::Dims as u32], rng::key(seed))[j as usize % 4];
                        rng::normal_fixed(&rng::NORMAL_TABLE, word) as f32 * (std / 1_048_576.0)
                    }
                    _ => 0.0,
                });
            }
        }
        want
    }

    fn parity(device: &Device) {
        let many: Vec<u32> = (0..257).map(|i| (i * 5) % 11).collect();
        let shifted: Vec<u32> = (0..300).map(|i| (i * 7) % 13).collect();
        for (from, to) in [
            (&[][..], &[][..]),
            (&[], &[3]),
            (&[4, 0, 2], &[2, 3, 2]),
            (&[4, 0, 2], &[0, 0, 0, 9, 1]),
            (&[1, 1000, 1], &[1000, 1, 1]),
            (&many, &shifted),
            (&shifted[..256], &many[..256]),
        ] {
            for fill in [Fill::Zero, NORMAL] {
                let what = format!("{} rows to {}, {fill:?}", from.len(), to.len());
                assert_same(&what, &migrate(device, from, to, fill), &expected(from, to, fill));
            }
        }
    }

    #[test]
    fn matches_the_definition_on_every_device() {
        devices().iter().for_each(parity);
    }

    #[test]
    fn more_than_65535_groups() {
        if let Some(gpu) = gpu() {
            let (from, to) = (vec![1; 256 * 65_536 + 5], vec![1; 256 * 65_536 + 9]);
            let got = migrate(&Device::Gpu(gpu), &from, &to, Fill::Zero);
            assert_same("giant", &got, &expected(&from, &to, Fill::Zero));
        }
    }

    #[test]
    fn a_large_table_is_cut_without_loss() {
        let from: Vec<u32> = (0..90_000).map(|i| i % 7).collect();
        let to: Vec<u32> = (0..100_000).map(|i| (i * 3) % 8).collect();
        assert_same("large", &migrate(&Device::cpu(), &from, &to, NORMAL), &expected(&from, &to, NORMAL));
    }

    #[test]
    fn mutants_are_rejected() {
        assert_rejects(
            SHADER.name,
            &[
                ("if j < width_from {", "if j + 1u < width_from {"),
                ("words[j & 3u]", "words[0]"),
                ("vec4<u32>(row, j >> 2u,", "vec4<u32>(row + 1u, j >> 2u,"),
                ("j >= params.zero_dims", "j > params.zero_dims"),
                ("let zeros = countLeadingZeros(odd);", "let zeros = countLeadingZeros(odd >> 1u);"),
                ("let cross = a0 * b1 + (middle & 0xffffu);", "let cross = a0 * b1 + middle;"),
            ],
            parity,
        );
    }

    #[test]
    fn a_bad_std_is_an_error() {
        let device = Device::cpu();
        let (arena, offsets) = (upload(&device, &[1.0f32]), upload(&device, &[0u32, 1]));
        let mut to_arena = poisoned(&device, 1);
        let fill = Fill::Normal { seed: 1, std: -1.0, zero_dims: 0 };
        let migrate = Migrate {
            from_arena: &arena,
            from_offsets: &offsets,
            to_arena: &mut to_arena,
            to_offsets: &offsets,
            widest: 1,
            fill,
        };
        let text = migrate.run(&device).unwrap_err().to_string();
        assert_eq!(text, "table/migrate: `std` must be finite and not negative, got -1");
    }
}

//! Ragged lookup: rows of different sizes into a padded or a ragged output.
//!
//! [`Lookup`]: `out[b, j] = row_(id_b)[j]` for `j < d`, else 0, where `d` is the size of row `id_b`.
//! [`LookupPacked`]: the same, row after row without padding, at offsets that [`LookupSizes`] and a prefix sum give.
//! An id past the table is an empty row, on both devices. Bags of ids have [a room of their own](super::bags).
//!
//! # Numerics
//! Values are copied bit for bit, f16 into f32 as they are; f32 into f16 is rounded ([`Output`]).
//!
//! # Cost
//! One dispatch a page; `4 * (sum of min(d, D)) + 4 * B * D` bytes, plus ids and directory; packed, `8 * (sum of d)`.
//! Half of what is read
//! or written as f16, which packed costs a search among the offsets for each pair that is written.

use half::f16;

use crate::Result;
use crate::check;
use crate::device::{Access, Binding, Buffer, Dispatches, Element, Entry, Gpu, Shader, params, reads, writes};
use crate::kernels::count::{Count, Countable};
use crate::rows::{Codec, Page, PageLaunch, PageParams, Rows, with_codec};

mod cpu;

pub(crate) static SHADER: Shader = Shader {
    name: "table/lookup",
    source: include_str!("../../../shaders/table/lookup.wgsl"),
    params: Params::FIELDS,
    entries: &[
        Entry::of("rows", &[reads(1), reads(2), reads(3), writes(4), USED]).with_overrides(&["counted", "lanes"]),
        Entry::of("rows_by_fours", &[reads(1), reads(2), reads(3), writes(8), reads(9), USED])
            .with_overrides(&["aligned", "counted", "lanes"]),
        Entry::of("rows_f16", &[reads(1), reads(2), reads(3), writes(7), USED]).with_overrides(&["counted", "lanes"]),
        Entry::of("sizes", &[reads(2), reads(3), writes(6), USED]).with_overrides(&["counted"]),
        Entry::of("packed", &[reads(1), reads(2), reads(3), writes(4), reads(5), USED])
            .with_overrides(&["counted", "lanes"]),
        Entry::of("packed_f16", &[reads(1), reads(2), reads(3), reads(5), writes(7), USED])
            .with_overrides(&["counted"]),
    ],
};

/// How many of the ids (or bags) are used, where the device alone knows.
const USED: (u32, Access) = reads(10);

params! {
    struct Params {
        page: PageParams,
        table_rows: u32,
        count: u32,
        dims: u32,
        used: u32,
    }
}

/// A launch of an entry point on every page; the first takes the ids past the table as well.
struct Launches<'a> {
    entry: &'static str,
    rows: &'a Rows,
    ids: &'a Buffer<u32>,
    count: Count<'a>,
    dims: u32,
    lanes: u32,
    groups: u64,
}

impl<'a> Launches<'a> {
    /// `bindings` names the buffers of a page, in the order of the declaration, but for the count.
    fn record(self, gpu: &Gpu, list: &mut Dispatches, bindings: impl Fn(&'a Page) -> Vec<Binding<'a>>) -> Result<()> {
        let Self { entry, rows, ids, count, dims, lanes, groups } = self;
        let table_rows = rows.len();
        let (all, used) = (ids.len() as u32, count.at_most());
        rows.launch_pages(gpu, list, |page| {
            let aligned = f64::from(page.has_aligned_fours());
            let mut bindings = bindings(page);
            bindings.push(count.binding(ids.binding("ids")));
            PageLaunch {
                shader: &SHADER,
                entry,
                constants: vec![("lanes", f64::from(lanes)), ("aligned", aligned), count.counted()],
                params: Params { page: page.params(), table_rows, count: all, dims, used }.words(),
                bindings,
                groups,
            }
        })
    }
}

/// Lanes that share a row of `dims` values: enough for neighbouring loads, few enough that short rows waste none, and
/// for very wide rows so many that a lane visits at most 256 values.
pub(crate) fn lanes(dims: u32) -> u32 {
    let wide = (dims / 256).next_power_of_two();
    dims.next_power_of_two().clamp(1, 32).max(wide)
}

/// Lanes that share a row of `dims` values where each takes four of them at a time, so that more rows are under way: at
/// least as many
/// as read a sector of memory at once, and again so many that one visits at most 256 values.
pub(crate) fn lanes_of_fours(dims: u32) -> u32 {
    let sector = 8;
    lanes(dims).clamp(1, sector).max(lanes(dims.div_ceil(4))).max((dims / 256).next_power_of_two())
}

/// What a lookup may write: `f32`, or `f16` for a model in half precision.
///
/// Values beyond the range of f16 become its largest; NaN is whatever the device makes of it. The CPU rounds to the
/// nearest, ties to even; a GPU may round either
/// way, so f16 outputs agree within one unit in the last place (`2^-10` of the value).
pub trait Output: Element + sealed::Sealed {
    /// Elements that a shader writes at once, a word of them.
    #[doc(hidden)]
    const PER_WORD: u32;

    #[doc(hidden)]
    fn convert<V: Codec>(from: &[V], to: &mut [Self]);

    /// The elements themselves, where they are f32.
    #[doc(hidden)]
    fn as_f32_mut(_: &mut [Self]) -> Option<&mut [f32]> {
        None
    }
}

impl Output for f32 {
    const PER_WORD: u32 = 1;

    #[inline(always)]
    fn convert<V: Codec>(from: &[V], to: &mut [Self]) {
        V::to_f32(from, to);
    }

    #[inline(always)]
    fn as_f32_mut(elements: &mut [Self]) -> Option<&mut [f32]> {
        Some(elements)
    }
}

impl Output for f16 {
    const PER_WORD: u32 = 2;

    #[inline(always)]
    fn convert<V: Codec>(from: &[V], to: &mut [Self]) {
        V::to_f16(from, to);
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for half::f16 {}
}

/// A row of `dims` values ends with a word.
pub(crate) fn whole_words<T: Output>(op: &'static str, dims: u32) -> Result<()> {
    check::domain(op, "dims", dims, dims.is_multiple_of(T::PER_WORD), "even")
}

/// Looks up single rows, zero-padded. See the [module](self).
///
/// # Example
/// ```
/// use scall_gpu::device::{Buffer, Device, Kernel};
/// use scall_gpu::kernels::table::lookup::Lookup;
/// use scall_gpu::rows::{Layout, Rows};
/// # fn main() -> scall_gpu::Result<()> {
/// let device = Device::cpu();
/// let mut rows = Rows::zeroed(&device, &[2, 0, 3], Layout::default(), Default::default())?;
/// rows.write(&[1.0, 2.0, 3.0, 4.0, 5.0])?;
/// let ids = Buffer::from_slice(&device, &[2, 0, 1, 9])?;
/// let mut out = Buffer::<f32>::zeroed(&device, 4 * 2)?;
/// Lookup { rows: &rows, ids: &ids, dims: 2, out: &mut out }.run(&device)?;
/// assert_eq!(out.read()?, [3.0, 4.0, 1.0, 2.0, 0.0, 0.0, 0.0, 0.0]); // [4, 2]; there is no row 9
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Lookup<'a, T: Output = f32> {
    /// The rows.
    pub rows: &'a Rows,
    /// `B` row ids.
    pub ids: &'a Buffer<u32>,
    /// Output width `D`; even for f16, which a GPU writes in pairs.
    pub dims: u32,
    /// `B * D` values; every one is written.
    pub out: &'a mut Buffer<T>,
}

impl<T: Output> Countable for Lookup<'_, T> {
    const OP: &'static str = "table/lookup";

    fn check_arguments(&self) -> Result<()> {
        check::indexable(Self::OP, "ids", self.ids.len() as u64)?;
        check::dims(Self::OP, self.dims)?;
        whole_words::<T>(Self::OP, self.dims)?;
        check::matrix(Self::OP, "out", self.out.len(), self.ids.len() as u64, self.dims)
    }

    fn room(&self) -> u32 {
        self.ids.len() as u32
    }

    fn dispatch_first(self, gpu: &Gpu, list: &mut Dispatches, count: Count<'_>) -> Result<()> {
        let Self { rows, ids, dims, out } = self;
        let out = &*out;
        let (entry, lanes) = match T::PER_WORD {
            1 if dims > 0 && dims.is_multiple_of(4) => ("rows_by_fours", lanes(dims.div_ceil(8))),
            1 => ("rows", lanes_of_fours(dims)),
            _ => ("rows_f16", lanes_of_fours(dims / T::PER_WORD)),
        };
        let groups = u64::from(count.at_most()).div_ceil(u64::from(256 / lanes));
        Launches { entry, rows, ids, count, dims, lanes, groups }.record(gpu, list, |page| {
            let [arena, directory] = page.bindings();
            let mut bindings = vec![arena, directory, ids.binding("ids"), out.binding("out")];
            if entry == "rows_by_fours" {
                // The normal table stands for fours that are not read: it has room for one.
                let [fours, _] = page.bindings();
                bindings.push(if page.has_aligned_fours() { fours } else { Binding::normals() });
            }
            bindings
        })
    }

    fn twin_first(self, count: u32) -> Result<()> {
        with_codec!(self.rows.layout().format, V => self.twin_of::<V>(count as usize))
    }
}

/// Sizes of looked-up rows: `out[b] = min(size of row id_b, D)`, and a 0 behind them, so that an exclusive
/// [`Scan`](crate::kernels::prim::scan::Scan) makes the offsets that [`LookupPacked`] takes. An id past the table has
/// size 0.
#[derive(Debug)]
pub struct LookupSizes<'a> {
    /// The rows.
    pub rows: &'a Rows,
    /// `B` row ids.
    pub ids: &'a Buffer<u32>,
    /// Largest size that counts, `D`.
    pub dims: u32,
    /// `B + 1` sizes; every one is written.
    pub out: &'a mut Buffer<u32>,
}

impl Countable for LookupSizes<'_> {
    const OP: &'static str = "table/lookup";

    fn check_arguments(&self) -> Result<()> {
        check::indexable(Self::OP, "ids", self.ids.len() as u64 + 1)?;
        check::len(Self::OP, "out", self.out.len(), self.ids.len() as u64 + 1)
    }

    fn room(&self) -> u32 {
        self.ids.len() as u32
    }

    fn dispatch_first(self, gpu: &Gpu, list: &mut Dispatches, count: Count<'_>) -> Result<()> {
        let Self { rows, ids, dims, out } = self;
        let out = &*out;
        let groups = (ids.len() as u64 + 1).div_ceil(256);
        Launches { entry: "sizes", rows, ids, count, dims, lanes: 1, groups }.record(gpu, list, |page| {
            let [_, directory] = page.bindings();
            vec![directory, ids.binding("ids"), out.binding("out")]
        })
    }

    fn twin_first(self, count: u32) -> Result<()> {
        with_codec!(self.rows.layout().format, V => self.twin_of::<V>(count as usize))
    }
}

/// Looks up single rows into a ragged output: row b goes to `out[out_offsets[b]..out_offsets[b + 1]]`, cut or padded
/// with
/// zeros to what there is room for. See the [module](self).
///
/// # Example
/// ```
/// use scall_gpu::device::{Buffer, Device, Kernel};
/// use scall_gpu::kernels::prim::scan::Scan;
/// use scall_gpu::kernels::table::lookup::{LookupPacked, LookupSizes};
/// use scall_gpu::rows::{Layout, Rows};
/// # fn main() -> scall_gpu::Result<()> {
/// let device = Device::cpu();
/// let mut rows = Rows::zeroed(&device, &[2, 0, 3], Layout::default(), Default::default())?;
/// rows.write(&[1.0, 2.0, 3.0, 4.0, 5.0])?;
/// let ids = Buffer::from_slice(&device, &[2, 1, 0])?;
///
/// let mut offsets = Buffer::zeroed(&device, 3 + 1)?;
/// LookupSizes { rows: &rows, ids: &ids, dims: 2, out: &mut offsets }.run(&device)?;
/// assert_eq!(offsets.read()?, [2, 0, 2, 0]); // row 2 is cut to two dims; one word more
/// let mut workspace = Buffer::zeroed(&device, Scan::workspace_len(4))?;
/// Scan { values: &mut offsets, count: 4, inclusive: false, workspace: &mut workspace }.run(&device)?;
/// assert_eq!(offsets.read()?, [0, 2, 2, 4]);
///
/// let mut out = Buffer::<f32>::zeroed(&device, 4)?;
/// LookupPacked { rows: &rows, ids: &ids, out_offsets: &offsets, widest: 2, out: &mut out }.run(&device)?;
/// assert_eq!(out.read()?, [3.0, 4.0, 1.0, 2.0]);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct LookupPacked<'a, T: Output = f32> {
    /// The rows.
    pub rows: &'a Rows,
    /// `B` row ids.
    pub ids: &'a Buffer<u32>,
    /// `B + 1` offsets into `out`, never falling: those of [`LookupSizes`], or a caller's own.
    pub out_offsets: &'a Buffer<u32>,
    /// Widest stretch between two of these, or wider. A wider one is an error on the CPU; a GPU, whose offsets are not
    /// read back, leaves
    /// what lies beyond as it is (for f16 it does not).
    pub widest: u32,
    /// The output; what lies outside of all stretches is left as it is. Even for f16, which a GPU writes in pairs.
    pub out: &'a mut Buffer<T>,
}

impl<T: Output> Countable for LookupPacked<'_, T> {
    const OP: &'static str = "table/lookup";

    fn check_arguments(&self) -> Result<()> {
        let ids = self.ids.len() as u64;
        check::indexable(Self::OP, "ids", ids + 1)?;
        check::len(Self::OP, "out_offsets", self.out_offsets.len(), ids + 1)?;
        check::dims(Self::OP, self.widest)?;
        let out = self.out.len();
        check::indexable(Self::OP, "out", out as u64)?;
        let whole_words = out.is_multiple_of(T::PER_WORD as usize);
        check::domain(Self::OP, "out", format!("{out} values"), whole_words, "an even number of values")
    }

    fn room(&self) -> u32 {
        self.ids.len() as u32
    }

    fn dispatch_first(self, gpu: &Gpu, list: &mut Dispatches, count: Count<'_>) -> Result<()> {
        let Self { rows, ids, out_offsets, widest, out } = self;
        let (lanes, out) = (lanes(widest.div_ceil(8)), &*out);
        // By rows, or by the words of the output, of which two rows may share one.
        let (entry, groups) = match T::PER_WORD {
            1 => ("packed", u64::from(count.at_most()).div_ceil(u64::from(256 / lanes))),
            per_word => ("packed_f16", (out.len() as u64 / u64::from(per_word)).div_ceil(256)),
        };
        Launches { entry, rows, ids, count, dims: widest, lanes, groups }.record(gpu, list, |page| {
            let [arena, directory] = page.bindings();
            let mut last = [out.binding("out"), out_offsets.binding("out_offsets")];
            if T::PER_WORD > 1 {
                last.reverse();
            }
            [arena, directory, ids.binding("ids")].into_iter().chain(last).collect()
        })
    }

    fn twin_first(self, count: u32) -> Result<()> {
        with_codec!(self.rows.layout().format, V => self.twin_of::<V>(count as usize))
    }
}

#[cfg(test)]
mod tests;

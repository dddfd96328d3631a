//! Moves ragged rows to new sizes, with their optimizer state.
//!
//! `row'_r[j] = row_r[j]` for `j < min(d_r, d'_r)`, exactly, and the state likewise. A dim that appears starts at
//! `N(0, std^2)` (`docs/method.md` section 4), drawn from Philox by (seed, row, dim), with state zero. So the result
//! depends neither on the order of resizes nor on the device. A row in none of the old pages is new: appending is the
//! same operation.
//!
//! One page is written at a time, from all old pages that have rows of it. An old page can be given back as soon as all
//! of its rows have moved.
//!
//! # Numerics
//! Equal in every bit on all devices: the normal comes from an integer table ([`crate::rng`]), and a codec of two bytes
//! stores the nearest value that it has. [`I8`](crate::rows::Format::I8) rounds what begins by the noise of (seed, row,
//! dim); in a word with values that stay, it is stored with their exponent, and cut to their range.
//!
//! # Cost
//! A dispatch for each old page with rows of the new one, for the values and for each number of state. Reads the values
//! that are kept and writes the new page.
//!
//! # Example
//! ```
//! use scall_gpu::device::{Device, Kernel};
//! use scall_gpu::kernels::table::migrate::{Fill, Migrate};
//! use scall_gpu::rows::{Layout, Rows};
//! # fn main() -> scall_gpu::Result<()> {
//! let device = Device::cpu();
//! let mut old = Rows::zeroed(&device, &[2, 3], Layout::default(), Default::default())?;
//! old.write(&[1.0, 2.0, 3.0, 4.0, 5.0])?;
//! let mut new = Rows::zeroed(&device, &[1, 4, 2], Layout::default(), Default::default())?;
//! Migrate { from: old.pages(), to: &mut new.pages_mut()[0], widest: 4, fill: Fill::Zero }.run(&device)?;
//! assert_eq!(new.read()?, [1.0, 3.0, 4.0, 5.0, 0.0, 0.0, 0.0]); // cut, grown, new
//! # Ok(()) }
//! ```

use std::ops::Range;

use super::fresh::FreshParams;
use crate::Result;
use crate::check;
use crate::device::{Binding, Dispatches, Entry, Gpu, Kernel, Launch, Shader, params, reads, writes};
use crate::kernels::table::lookup::lanes;
use crate::rows::{Format, Page, PageParams, Place, with_codec};

pub use super::fresh::Fill;

mod cpu;

pub(crate) static SHADER: Shader = Shader {
    name: "table/migrate",
    source: include_str!("../../../shaders/table/migrate.wgsl"),
    params: Params::FIELDS,
    entries: &[Entry::of("migrate", &[reads(1), reads(2), writes(3), reads(4), reads(5)]).with_overrides(&["lanes"])],
};

params! {
    struct Params {
        page: PageParams,
        from: PageParams,
        begin: u32,
        end: u32,
        fresh: FreshParams,
    }
}

/// Moves rows into a new page. See the [module](self).
#[derive(Debug)]
pub struct Migrate<'a> {
    /// Old pages, in order, in the layout of the new one and with the same numbers of state: all that have rows of it,
    /// and perhaps others.
    pub from: &'a [Page],
    /// The new page; all its rows are written, values and state.
    pub to: &'a mut Page,
    /// About the number of values in the widest new row, for the choice of lanes.
    pub widest: u32,
    /// What new dims start as; their state is zero.
    pub fill: Fill,
}

/// One of the arrays of a page: its values, or a number of its state.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Array {
    Values,
    State { number: usize, one_a_row: bool },
}

impl Array {
    fn all(page: &Page) -> impl Iterator<Item = Self> + use<> {
        let per_row = page.per_row_state();
        let state = (0..page.state.len()).map(move |number| Self::State { number, one_a_row: number >= per_row });
        [Self::Values].into_iter().chain(state)
    }

    fn binding<'a>(self, page: &'a Page, arg: &'static str) -> Binding<'a> {
        match self {
            Self::Values => page.values.binding(arg),
            Self::State { number, .. } => page.state[number].binding(arg),
        }
    }
}

/// The rows of a new page by where they come from: an old page, or none.
fn sources(from: &[Page], to: Place) -> Vec<(Option<&Page>, Range<u32>)> {
    let (mut at, end) = (to.first, to.first + to.rows);
    let mut sources = Vec::new();
    let mut add = |page, stop| {
        if stop > at {
            sources.push((page, at..stop));
            at = stop;
        }
    };
    for page in from {
        let Place { first, rows, .. } = page.place;
        add(None, first.min(end));
        add(Some(page), (first + rows).min(end));
    }
    add(None, end);
    sources
}

impl Kernel for Migrate<'_> {
    const NAME: &'static str = "table/migrate";

    fn check(&self) -> Result<()> {
        check::dims(Self::NAME, self.widest)?;
        let kind = |page: &Page| (page.format(), page.place.alignment, page.state.len());
        for page in self.from {
            let words = format!("{:?}", kind(self.to));
            check::domain(Self::NAME, "from", format!("{:?}", kind(page)), kind(page) == kind(self.to), &words)?;
        }
        self.fill.check(Self::NAME)
    }

    fn dispatch(self, gpu: &Gpu, list: &mut Dispatches) -> Result<()> {
        let to = &*self.to;
        for array in Array::all(to) {
            let fill = if array == Array::Values { self.fill } else { Fill::Zero };
            let one_a_row = matches!(array, Array::State { one_a_row: true, .. });
            let format = if array == Array::Values { to.format() } else { Format::F32 };
            let lanes = if one_a_row { 1 } else { lanes(self.widest / format.per_word()) };
            let normals = Binding::normals;
            for (source, rows) in sources(self.from, to.place) {
                let params = Params {
                    page: to.params(),
                    from: source.map_or(PageParams::default(), Page::params),
                    begin: rows.start,
                    end: rows.end,
                    fresh: fill.fresh().params(one_a_row),
                };
                // New rows read nothing; the normal table is bound in place of a page that is not there.
                let old = match source {
                    Some(page) => [array.binding(page, "from"), page.directory().binding("from")],
                    None => [normals(), normals()],
                };
                let [from_arena, from_directory] = old;
                let (arena, directory) = (array.binding(to, "to"), to.directory().binding("to"));
                Launch {
                    shader: &SHADER,
                    entry: "migrate",
                    codecs: &[format.source(); 2],
                    constants: &[("lanes", f64::from(lanes))],
                    params: params.words(),
                    bindings: &[from_arena, from_directory, arena, directory, normals()],
                    groups: u64::from(rows.end - rows.start).div_ceil(u64::from(256 / lanes)),
                }
                .record(gpu, list)?;
            }
        }
        Ok(())
    }

    fn twin(self) -> Result<()> {
        with_codec!(self.to.format(), V => self.twin_of::<V>())
    }
}

#[cfg(test)]
pub(super) mod tests;

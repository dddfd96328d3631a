//! Moves ragged rows to new sizes, with their optimizer state.
//!
//! `row'_r[j] = row_r[j]` for `j < min(d_r, d'_r)`, bit for bit, and so is the state. A dim that appears starts at
//! `N(0, std^2)` (`docs/method.md` section 4), drawn from Philox by (seed, row, dim), with state zero: the
//! result depends neither on the order of resizes nor on the device. A row in none of the old pages is new: appending is the
//! same operation.
//!
//! A page is written at a time, from as many old pages as have rows of it: old pages can be given back as soon as all their rows have
//! moved.
//!
//! # Numerics
//! Equal in every bit on all devices: the normal comes from an integer table ([`crate::rng`]); f16 takes the nearest to it.
//!
//! # Cost
//! A dispatch for each old page with rows of the new one, for the values and for each number of state; reads what is kept, writes the
//! new page.

use std::ops::Range;

use pulp::{Arch, NullaryFnOnce};

use crate::Result;
use crate::check;
use crate::device::{Access, Binding, Dispatches, Entry, Gpu, Kernel, Launch, Shader, params};
use crate::kernels::table::lookup::lanes;
use crate::rng::{self, Purpose};
use crate::rows::{Codec, Format, HostDirectory, Page, PageParams, Place, with_codec};

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
        page: PageParams,
        from: PageParams,
        begin: u32,
        end: u32,
        one_a_row: u32,
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
    pub fn write<V: Codec>(&self, row: u32, first: u32, dims: &mut [V]) {
        let mut draws = Draws::new(*self);
        let all = 0..dims.len();
        draws.add(dims, (row, first), all);
        draws.draw(dims);
    }
}

/// Dims that are yet to be drawn, four of which share a counter.
struct Draws {
    fresh: Fresh,
    /// Of each counter the row,
    rows: [u32; rng::BLOCKS],
    /// and the first dim over four.
    fours: [u32; rng::BLOCKS],
    counters: usize,
    /// Of each dim its place among the words of all counters, first words first,
    words: [u8; 4 * rng::BLOCKS],
    /// and where its value goes.
    places: [usize; 4 * rng::BLOCKS],
    dims: usize,
}

impl Draws {
    fn new(fresh: Fresh) -> Self {
        let (rows, fours) = ([0; rng::BLOCKS], [0; rng::BLOCKS]);
        let (words, places) = ([0; 4 * rng::BLOCKS], [0; 4 * rng::BLOCKS]);
        Self { fresh, rows, fours, counters: 0, words, places, dims: 0 }
    }

    /// Draws the dims of a row from `first` on to these places, now or later.
    #[inline(always)]
    fn add<V: Codec>(&mut self, values: &mut [V], (row, mut first): (u32, u32), mut places: Range<usize>) {
        let Fresh { scale, zero_dims, .. } = self.fresh;
        let zeros =
            if scale == 0.0 { places.len() } else { places.len().min(zero_dims.saturating_sub(first) as usize) };
        values[places.start..places.start + zeros].fill(V::zeroed());
        (places.start, first) = (places.start + zeros, first + zeros as u32);
        while !places.is_empty() {
            let word = first as usize & 3;
            let count = places.len().min(4 - word);
            (self.rows[self.counters], self.fours[self.counters]) = (row, first >> 2);
            for k in 0..count {
                self.words[self.dims] = ((word + k) * rng::BLOCKS + self.counters) as u8;
                self.places[self.dims] = places.start + k;
                self.dims += 1;
            }
            self.counters += 1;
            if self.counters == rng::BLOCKS {
                self.draw(values);
            }
            (places.start, first) = (places.start + count, first + count as u32);
        }
    }

    /// Draws what waits. Often a counter has one dim to draw: only those words become normal numbers.
    fn draw<V: Codec>(&mut self, values: &mut [V]) {
        let constant = |word| [word; rng::BLOCKS];
        let counters = [self.rows, self.fours, constant(0), constant(Purpose::Dims as u32)];
        let words = rng::philox_blocks(counters, self.fresh.key);
        let parts = self.words[..self.dims].chunks(rng::BLOCKS).zip(self.places[..self.dims].chunks(rng::BLOCKS));
        for (own, places) in parts {
            let mut picked = [0; rng::BLOCKS];
            for (picked, &word) in picked.iter_mut().zip(own) {
                *picked = words.as_flattened()[word as usize];
            }
            for (&place, normal) in places.iter().zip(rng::normals_fixed(picked)) {
                values[place] = V::nearest(normal as f32 * self.fresh.scale);
            }
        }
        (self.counters, self.dims) = (0, 0);
    }
}

/// Moves rows into a new page. See the [module](self).
#[derive(Debug)]
pub struct Migrate<'a> {
    /// Old pages, in order, in the layout of the new one and with as much state: all that have rows of it, and perhaps others.
    pub from: &'a [Page],
    /// The new page; all its rows are written, values and state.
    pub to: &'a mut Page,
    /// Values in the widest new row, or about as many, for the choice of lanes.
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
            let Fresh { key, scale, zero_dims } = fill.fresh();
            let normals = Binding::normals;
            for (source, rows) in sources(self.from, to.place) {
                let params = Params {
                    page: to.params(),
                    from: source.map_or(PageParams::default(), Page::params),
                    begin: rows.start,
                    end: rows.end,
                    one_a_row: one_a_row.into(),
                    key_low: key[0],
                    key_high: key[1],
                    purpose: Purpose::Dims as u32,
                    zero_dims,
                    scale,
                };
                // New rows read nothing; the normal table may stand for what is not there.
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

impl Migrate<'_> {
    fn twin_of<V: Codec>(self) -> Result<()> {
        let (op, Self { from, to, fill, .. }) = (<Self as Kernel>::NAME, self);
        let (per_row, sources) = (to.per_row_state(), sources(from, to.place));
        let (directory, values, state) = to.host_mut::<V>(op)?;
        move_rows(
            &sources,
            |page| V::of(&page.values).expect("one format").host(op, "from"),
            (fill, &directory),
            values,
        )?;
        for (number, state) in state.iter_mut().enumerate() {
            let state = state.host_mut(op, "to")?;
            if number < per_row {
                move_rows(&sources, |page| page.state[number].host(op, "from"), (Fill::Zero, &directory), state)?;
                continue;
            }
            for (page, ids) in &sources {
                let own = &mut state[(ids.start - directory.first) as usize..(ids.end - directory.first) as usize];
                match page {
                    Some(page) => {
                        let old = &page.state[number].host(op, "from")?[(ids.start - page.place.first) as usize..];
                        own.copy_from_slice(&old[..own.len()]);
                    }
                    None => own.fill(0.0),
                }
            }
        }
        Ok(())
    }
}

/// All rows of a page from their sources; `old` gives what of a page moves.
fn move_rows<'a, V: Codec>(
    sources: &[(Option<&'a Page>, Range<u32>)],
    old: impl Fn(&'a Page) -> Result<&'a [V]>,
    (fill, directory): (Fill, &HostDirectory<'_>),
    values: &mut [V],
) -> Result<()> {
    let (fresh, len) = (fill.fresh(), values.len());
    let (mut base, mut rest) = (0, values);
    for (page, ids) in sources {
        let rows = ids.start - directory.first..ids.end - directory.first;
        let end = if rows.end < directory.rows { directory.span(rows.end).0 } else { len };
        let (own, behind) = rest.split_at_mut(end - base);
        let old = match page {
            Some(page) => Some((HostDirectory::new(page.place, page.words()), old(page)?)),
            None => None,
        };
        Moves { old, fresh, directory }.move_part(rows, (base, own));
        (base, rest) = (end, behind);
    }
    Ok(())
}

/// Rows that come from one page, or from none.
struct Moves<'a, V> {
    old: Option<(HostDirectory<'a>, &'a [V])>,
    fresh: Fresh,
    directory: &'a HostDirectory<'a>,
}

/// Values that are copied at once where rows are packed: most rows take one copy of a known length, and what it writes past a row is
/// written by the next row's.
const BLOCK: usize = 32;

impl<V: Codec> Moves<'_, V> {
    /// Halves the rows until a part is small, in parallel: the directory cuts the values, which begin at element `base`, into disjoint
    /// slices.
    fn move_part(&self, rows: Range<u32>, (base, values): (usize, &mut [V])) {
        if values.len() + rows.len() > 32 * 1024 && rows.len() > 1 {
            let middle = rows.start.midpoint(rows.end);
            let cut = self.directory.span(middle).0;
            let (low, high) = values.split_at_mut(cut - base);
            rayon::join(
                || self.move_part(rows.start..middle, (base, low)),
                || self.move_part(middle..rows.end, (cut, high)),
            );
            return;
        }
        Arch::new().dispatch(Part { moves: self, rows, base, values });
    }
}

/// Neighbouring rows, moved in loops compiled for the vectors that there are.
struct Part<'a, V> {
    moves: &'a Moves<'a, V>,
    rows: Range<u32>,
    base: usize,
    values: &'a mut [V],
}

impl<V: Codec> NullaryFnOnce for Part<'_, V> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { moves: Moves { old, fresh, directory }, rows, base, values } = self;
        let (mut draws, packed) = (Draws::new(*fresh), directory.is_packed());
        let ids = directory.first + rows.start..directory.first + rows.end;
        let own = directory.spans(rows).map(|own| own.start - base..own.end - base).zip(ids.clone());
        let Some((old, from)) = old else {
            own.for_each(|(own, id)| draws.add(values, (id, 0), own));
            return draws.draw(values);
        };
        for (old, (own, id)) in old.spans(ids.start - old.first..ids.end - old.first).zip(own) {
            let kept = old.len().min(own.len());
            match (from[old.start..].first_chunk::<BLOCK>(), values[own.start..].first_chunk_mut::<BLOCK>()) {
                (Some(from), Some(to)) if packed && kept <= BLOCK => *to = *from,
                _ => values[own.start..own.start + kept].copy_from_slice(&from[old.start..old.start + kept]),
            }
            draws.add(values, (id, kept as u32), own.start + kept..own.end);
        }
        draws.draw(values);
    }
}

#[cfg(test)]
pub(super) mod tests;

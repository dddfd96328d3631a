//! The CPU twin: threads share neighbouring rows; each row is copied and then filled.

use std::ops::Range;

use pulp::{Arch, NullaryFnOnce};

use super::{Migrate, sources};
use crate::Result;
use crate::device::Kernel;
use crate::kernels::table::fresh::{Draws, Fill, Fresh};
use crate::rows::{Codec, HostDirectory, Page};

impl Migrate<'_> {
    pub(super) fn twin_of<V: Codec>(self) -> Result<()> {
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

/// All rows of a page from their sources; `old` gives the part of a page that moves.
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

/// Values that are copied at once where rows are packed. Most rows then take one copy of a known length, and what it
/// writes past the row is written again by the next row.
const BLOCK: usize = 32;

impl<V: Codec> Moves<'_, V> {
    /// Halves the rows until a part is small, in parallel: the directory cuts the values, which begin at element
    /// `base`, into disjoint slices.
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

/// Neighbouring rows, moved in loops compiled for the widest vectors.
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
        if V::GROUP > 1 {
            return self.in_groups();
        }
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

impl<V: Codec> Part<'_, V> {
    /// Where values share bits: what begins is drawn first, and then written row by row.
    fn in_groups(self) {
        let Self { moves: Moves { old, fresh, directory }, rows, base, values } = self;
        let ids = directory.first + rows.start..directory.first + rows.end;
        let mut kept: Vec<Range<usize>> = match old {
            Some((old, _)) => old.spans(ids.start - old.first..ids.end - old.first).collect(),
            None => vec![0..0; rows.len()],
        };
        let (mut draws, mut drawn) = (Draws::new(*fresh), vec![0.0; values.len()]);
        let own = || directory.spans(rows.clone()).map(|own| own.start - base..own.end - base);
        for ((own, kept), id) in own().zip(&mut kept).zip(ids.clone()) {
            kept.end = kept.end.min(kept.start + own.len());
            draws.add(&mut drawn, (id, kept.len() as u32), own.start + kept.len()..own.end);
        }
        draws.draw(&mut drawn);
        for ((own, kept), id) in own().zip(kept).zip(ids) {
            let row = &mut values[own.start..];
            if let Some((_, from)) = old.as_ref().filter(|_| !kept.is_empty()) {
                let whole = kept.len().next_multiple_of(V::GROUP);
                row[..whole].copy_from_slice(&from[kept.start..kept.start + whole]);
                V::cut(row, kept.len());
            }
            V::begin(&drawn[own.start + kept.len()..own.end], row, kept.len(), fresh.noise(id));
        }
    }
}

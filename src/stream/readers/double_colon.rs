//! `user::item::rating::time`, as MovieLens and MovieTweetings have it: no header, a line a row.

use std::borrow::Cow;

use super::ahead::{Ahead, Parse, Rounds};
use super::fields::Place;
use super::input::Input;
use super::lines::Lines;
use super::rows::{Rows, Take};
use super::{Reader, ahead, columns};
use crate::text::quoted;
use crate::{Error, Result};

/// The reader.
pub(super) struct DoubleColon;

/// What its columns are called by filters.
const NAMES: [&str; 4] = ["user", "item", "rating", "timestamp"];

impl Reader for DoubleColon {
    fn name(&self) -> &'static str {
        "dat"
    }

    fn endings(&self) -> &'static [&'static str] {
        &[".dat"]
    }

    fn summary(&self) -> &'static str {
        "user::item::rating::time without a header, as MovieLens 1M has it"
    }

    fn has_columns(&self) -> bool {
        false
    }

    fn read(&self, input: Input<'_>, rows: &mut Rows<'_>) -> Result<()> {
        let mut lines = Lines::new(input.into_text(rows.options.encoding)?, rows.sizes);
        let at = columns::find(rows.options, &NAMES, lines.file(), "")?;
        let mut rounds = Rounds::default();
        loop {
            rounds.take(&mut lines, &Row { at: &at }, rows)?;
            let taken = match lines.next_record() {
                Ok(None) => return Ok(()),
                Ok(Some(place)) => row(place, lines.record(), &at, rows),
                Err(error) => Err(error),
            };
            if let Err(error) = taken {
                rows.leave_out(error)?;
            }
        }
    }
}

/// A line, given where the columns that are wanted stand.
struct Row<'c> {
    at: &'c [usize],
}

impl Parse for Row<'_> {
    fn record(&self, place: Place<'_>, text: &[u8], rows: &mut Ahead<'_, '_>) -> Option<(usize, u64)> {
        ahead::line(text, |line| row(place, line, self.at, rows))
    }
}

fn row(place: Place<'_>, record: &[u8], at: &[usize], rows: &mut impl Take) -> Result<()> {
    let text = place.text(record)?;
    let mut fields = text.split("::").map(str::as_bytes);
    let mut next = || fields.next();
    let (Some(user), Some(item), Some(rating), Some(timestamp), None) = (next(), next(), next(), next(), next()) else {
        let count = text.split("::").count();
        let found = format!("{count} in {}", quoted(text.as_bytes()));
        return Err::<(), Error>(place.bad_row("4 fields, user::item::rating::unix_seconds", found));
    };
    place.rating(rating)?;
    let fields = [user, item, rating, timestamp];
    rows.take(place, |k| Ok(Cow::Borrowed(fields[at[k]])))
}

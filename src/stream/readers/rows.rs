//! What readers give their rows to: it checks and filters them, and counts what is left out.

use std::borrow::Cow;

use super::feed::Sizes;
use super::fields::Place;
use super::time::{Clock, Time, Told};
use super::{ReadOptions, TimeUnit};
use crate::stream::builder::{Builder, Kept};
use crate::{Error, Result};

/// Bad lines that are shown.
const SHOWN: usize = 5;

/// What takes rows.
pub(super) trait Take {
    /// Takes a row, given its fields in the order of [`wanted`](super::columns::wanted). A row that is filtered is not
    /// looked at further.
    ///
    /// # Errors
    /// [`Error::BadRow`], and those of `field`; [`Error::Limit`].
    fn take<'f>(&mut self, place: Place<'_>, field: impl Fn(usize) -> Result<Cow<'f, [u8]>>) -> Result<()>;
}

/// What a row is checked by.
pub(super) struct Checks<'o> {
    options: &'o ReadOptions,
    pub clock: Clock,
}

/// The rows of all files of one stream.
pub(in crate::stream) struct Rows<'o> {
    pub options: &'o ReadOptions,
    /// Whether one of the files had a header.
    pub has_header: bool,
    pub sizes: Sizes,
    pub builder: Builder,
    pub checks: Checks<'o>,
    pub filtered: u64,
    bad: u64,
    first_bad: Vec<String>,
}

/// What became of the rows.
pub(super) struct Counted {
    pub told: Option<Told>,
    pub bad: u64,
    pub first_bad: Vec<String>,
    pub filtered: u64,
}

impl<'o> Rows<'o> {
    pub fn new(options: &'o ReadOptions) -> Self {
        Self {
            options,
            has_header: false,
            sizes: Sizes::default(),
            builder: Builder::default(),
            checks: Checks { options, clock: Clock::new(options.time_unit) },
            bad: 0,
            first_bad: Vec::new(),
            filtered: 0,
        }
    }

    /// Rows that were kept or left out so far.
    pub fn count(&self) -> u64 {
        self.builder.len() as u64 + self.filtered + self.bad
    }

    /// Takes a row, where the format has types and the time is known.
    ///
    /// # Errors
    /// Those of [`Take::take`].
    pub fn take_at<'f>(
        &mut self,
        place: Place<'_>,
        field: impl Fn(usize) -> Result<Cow<'f, [u8]>>,
        time: Option<Time>,
    ) -> Result<()> {
        let Self { checks, builder, .. } = self;
        match checks.row(place, field, time, |user, item, micros, clicked| builder.push(user, item, micros, clicked))? {
            Some(told) => checks.clock.tell(told),
            None => self.filtered += 1,
        }
        Ok(())
    }

    /// Leaves a bad line out, if there may be one more of them.
    ///
    /// # Errors
    /// The error itself, where none may be left out, or where it is of another kind than that of a line.
    pub fn leave_out(&mut self, error: Error) -> Result<()> {
        let allowed = u64::from(self.options.skip_bad);
        match error {
            Error::BadRow { .. } if self.bad < allowed => {
                self.bad += 1;
                if self.first_bad.len() < SHOWN {
                    self.first_bad.push(error.to_string());
                }
                Ok(())
            }
            Error::BadRow { file, line, expected, found } if allowed > 0 => {
                let found = format!("{found}, after {} bad lines, which is all that may be left out", self.bad);
                Err(Error::BadRow { file, line, expected, found })
            }
            other => Err(other),
        }
    }

    /// All rows in time order.
    pub fn finish(self) -> Result<(Kept, Counted)> {
        let Self { options, builder, checks, bad, first_bad, filtered, .. } = self;
        let kept = builder.finish(options.dedup, options.k_core)?;
        Ok((kept, Counted { told: checks.clock.told(), bad, first_bad, filtered }))
    }
}

impl Take for Rows<'_> {
    fn take<'f>(&mut self, place: Place<'_>, field: impl Fn(usize) -> Result<Cow<'f, [u8]>>) -> Result<()> {
        self.take_at(place, field, None)
    }
}

impl Checks<'_> {
    /// Checks a row as [`Take::take`] says, hands on what is kept, and says what its time is; `None` if it is filtered.
    pub fn row<'f>(
        &self,
        place: Place<'_>,
        field: impl Fn(usize) -> Result<Cow<'f, [u8]>>,
        time: Option<Time>,
        keep: impl FnOnce(&str, &str, i64, bool) -> Result<()>,
    ) -> Result<Option<Told>> {
        let ReadOptions { min_rating, clicks, filters, .. } = self.options;
        let rating = if self.options.reads_ratings() { Some(place.rating(&field(3)?)?) } else { None };
        let reaches = |least: &Option<f64>| rating.zip(*least).is_none_or(|(rating, least)| rating >= least);
        if !reaches(min_rating) || !(filters.is_empty() || self.is_wanted(place, &field)?) {
            return Ok(None);
        }
        let (user, item) = (field(0)?, field(1)?);
        let (user, item) = (place.id("user", &user)?, place.id("item", &item)?);
        let (micros, told) = match time {
            Some(time) => self.clock.micros_of(place, time, b"a time of its own type")?,
            None => self.clock.micros(place, &field(2)?)?,
        };
        keep(user, item, micros, reaches(clicks))?;
        Ok(Some(told))
    }

    /// Whether a row has the values that filters ask for.
    fn is_wanted<'f>(&self, place: Place<'_>, field: &impl Fn(usize) -> Result<Cow<'f, [u8]>>) -> Result<bool> {
        let filters = &self.options.filters;
        let next = 3 + usize::from(self.options.reads_ratings());
        for (k, filter) in filters.iter().enumerate() {
            // The first of its column speaks for all of them.
            if filters[..k].iter().any(|other| other.column == filter.column) {
                continue;
            }
            let text = field(next + k)?;
            let text = place.text(&text)?;
            let mut same = filters[k..].iter().filter(|other| other.column == filter.column);
            if !same.any(|other| other.value == text) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What times were, in a sentence.
pub(super) fn times(told: Option<Told>, said: TimeUnit) -> String {
    match told {
        None => "none".to_owned(),
        Some(Told::Dates) => "dates".to_owned(),
        Some(Told::Numbers(unit)) if said == TimeUnit::Auto => format!("{} (told by their size)", unit.words()),
        Some(Told::Numbers(unit)) => unit.words().to_owned(),
    }
}

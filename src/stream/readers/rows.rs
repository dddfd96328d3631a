//! What readers give their rows to: it checks and filters them, and counts what is left out.

use std::borrow::Cow;

use super::fields::Place;
use super::time::{Clock, Time, Told};
use super::{ReadOptions, TimeUnit};
use crate::stream::builder::{Builder, Kept};
use crate::{Error, Result};

/// Bad lines that are shown.
const SHOWN: usize = 5;

/// The rows of all files of one stream.
pub(in crate::stream) struct Rows<'o> {
    pub options: &'o ReadOptions,
    /// Whether one of the files had a header.
    pub has_header: bool,
    builder: Builder,
    clock: Clock,
    bad: u64,
    first_bad: Vec<String>,
    filtered: u64,
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
        let clock = Clock::new(options.time_unit);
        Self {
            options,
            has_header: false,
            builder: Builder::default(),
            clock,
            bad: 0,
            first_bad: Vec::new(),
            filtered: 0,
        }
    }

    /// Rows that were kept or left out so far.
    pub fn count(&self) -> u64 {
        self.builder.len() as u64 + self.filtered + self.bad
    }

    /// Takes a row, given its fields in the order of [`wanted`](super::columns::wanted). A row that is filtered is not
    /// looked at further.
    ///
    /// # Errors
    /// [`Error::BadRow`], and those of `field`; [`Error::Limit`].
    pub fn take<'f>(&mut self, place: Place<'_>, field: impl Fn(usize) -> Result<Cow<'f, [u8]>>) -> Result<()> {
        self.take_at(place, field, None)
    }

    /// The same, where the format has types and the time is known.
    ///
    /// # Errors
    /// Those of [`take`](Self::take).
    pub fn take_at<'f>(
        &mut self,
        place: Place<'_>,
        field: impl Fn(usize) -> Result<Cow<'f, [u8]>>,
        time: Option<Time>,
    ) -> Result<()> {
        let is_plain = self.options.min_rating.is_none() && self.options.filters.is_empty();
        if !is_plain && !self.is_wanted(place, &field)? {
            self.filtered += 1;
            return Ok(());
        }
        let (user, item) = (field(0)?, field(1)?);
        let (user, item) = (place.id("user", &user)?, place.id("item", &item)?);
        let micros = match time {
            Some(time) => self.clock.micros_of(place, time, b"a time of its own type")?,
            None => self.clock.micros(place, &field(2)?)?,
        };
        self.builder.push(user, item, micros)
    }

    fn is_wanted<'f>(&self, place: Place<'_>, field: &impl Fn(usize) -> Result<Cow<'f, [u8]>>) -> Result<bool> {
        let ReadOptions { min_rating, filters, .. } = self.options;
        let mut next = 3;
        if let &Some(least) = min_rating {
            if place.rating(&field(next)?)? < least {
                return Ok(false);
            }
            next += 1;
        }
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
        let Self { options, builder, clock, bad, first_bad, filtered, .. } = self;
        let kept = builder.finish(options.dedup, options.k_core)?;
        Ok((kept, Counted { told: clock.told(), bad, first_bad, filtered }))
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

//! Times as files have them: numbers in several units, told by their size, and dates.

use std::fmt;
use std::str::FromStr;

use super::fields::{LAST_SECOND, Place, finer_unit};
use crate::text::quoted;
use crate::{Error, Result};

/// Micros in a second.
pub(in crate::stream) const MICROS: i64 = 1_000_000;

/// The unit of times that are numbers, since the beginning of 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeUnit {
    /// Told by the first row: seconds up to the end of the year 9999, above them milliseconds up to 10^14,
    /// microseconds up to 10^17, nanoseconds. Each further row must be of the same size, or 0; dates are taken too, if
    /// the first is one.
    #[default]
    Auto,
    /// Seconds.
    Seconds,
    /// Thousandths of a second.
    Millis,
    /// Millionths of a second.
    Micros,
    /// Billionths of a second.
    Nanos,
}

impl TimeUnit {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Auto, Self::Seconds, Self::Millis, Self::Micros, Self::Nanos];

    /// Its name on command lines and in files of configurations: `auto`, `s`, `ms`, `us` or `ns`.
    pub fn name(self) -> &'static str {
        ["auto", "s", "ms", "us", "ns"][self as usize]
    }

    /// Its name in a sentence.
    pub fn words(self) -> &'static str {
        ["a time told by its size", "seconds", "milliseconds", "microseconds", "nanoseconds"][self as usize]
    }

    /// The unit of a time, by its size.
    fn of(number: f64) -> Self {
        match number {
            ..253_402_300_800.0 => Self::Seconds,
            ..1e14 => Self::Millis,
            ..1e17 => Self::Micros,
            _ => Self::Nanos,
        }
    }

    fn per_second(self) -> i64 {
        [1, 1, 1000, MICROS, 1000 * MICROS][self as usize]
    }
}

impl fmt::Display for TimeUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for TimeUnit {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.iter().find(|unit| unit.name() == name).copied().ok_or_else(|| Error::Argument {
            op: "stream/time_unit",
            arg: "name",
            expected: "s, ms, us, ns or auto".into(),
            got: quoted(name.as_bytes()),
        })
    }
}

/// A time as a field has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Time {
    Whole(i64),
    Decimal(f64),
    /// Micros since 1970.
    Date(i64),
}

impl Time {
    /// What a trimmed text says.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        match bytes.first()? {
            b'0'..=b'9' if bytes.len() < 19 && bytes.iter().all(u8::is_ascii_digit) => {
                Some(Self::Whole(bytes.iter().fold(0, |sum, byte| 10 * sum + i64::from(byte - b'0'))))
            }
            b'0'..=b'9' | b'-' | b'+' | b'.' => {
                let whole = text.parse().ok().map(Self::Whole);
                let decimal = || text.parse().ok().filter(|number: &f64| number.is_finite()).map(Self::Decimal);
                whole.or_else(decimal).or_else(|| date(text).map(Self::Date))
            }
            _ => None,
        }
    }

    /// Whether another time is written in the same way.
    pub fn is_like(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }

    /// Micros since 1970, if it lies between then and the end of the year 9999.
    fn micros(self, unit: TimeUnit) -> Option<i64> {
        let micros = match self {
            Self::Date(micros) => micros,
            // It could round to 0.
            Self::Decimal(..0.0) => return None,
            Self::Whole(number) if unit == TimeUnit::Nanos => number.div_euclid(1000),
            Self::Whole(number) => number.checked_mul(MICROS / unit.per_second())?,
            // As a float casts: what is too large stays too large.
            Self::Decimal(number) => (number * (MICROS as f64 / unit.per_second() as f64)).round() as i64,
        };
        (0..(LAST_SECOND + 1) * MICROS).contains(&micros).then_some(micros)
    }

    fn number(self) -> Option<f64> {
        match self {
            Self::Whole(number) => Some(number as f64),
            Self::Decimal(number) => Some(number),
            Self::Date(_) => None,
        }
    }
}

/// A date such as `2024-02-29`, also with a time, a part of a second, and an offset; without an offset it is UTC.
#[cfg(feature = "files")]
fn date(text: &str) -> Option<i64> {
    let text = text.strip_suffix(" UTC").unwrap_or(text);
    let time = text.get(10..).unwrap_or_default();
    if time.ends_with(['Z', 'z']) || time.contains(['+', '-']) {
        return text.parse().ok().map(jiff::Timestamp::as_microsecond);
    }
    let date: jiff::civil::DateTime = text.parse().ok()?;
    i64::try_from(date.duration_since(jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0)).as_micros()).ok()
}

#[cfg(not(feature = "files"))]
fn date(_: &str) -> Option<i64> {
    None
}

/// Reads times, all in the unit of the first one where none is said.
#[derive(Debug)]
pub(super) struct Clock {
    said: TimeUnit,
    told: Option<Told>,
}

/// What the first row told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Dates,
    Numbers(TimeUnit),
}

impl Clock {
    pub fn new(said: TimeUnit) -> Self {
        let told = (said != TimeUnit::Auto).then_some(Told::Numbers(said));
        Self { said, told }
    }

    /// What the times are, once there was one.
    pub fn told(&self) -> Option<Told> {
        self.told
    }

    /// What a row said that was kept.
    pub fn tell(&mut self, told: Told) {
        self.told = Some(told);
    }

    /// The micros of a whole number, where it is plain that they are of the unit; `None` leaves that open.
    pub fn whole(&self, number: i64) -> Option<i64> {
        let Some(Told::Numbers(unit)) = self.told else { return None };
        // Well within the bounds of sizes, and whole micros.
        let (least, most) = match unit {
            TimeUnit::Seconds => (1, LAST_SECOND),
            TimeUnit::Millis => (LAST_SECOND + 1, 99_999_999_999_999),
            TimeUnit::Micros => (100_000_000_000_000, 99_000_000_000_000_000),
            TimeUnit::Auto | TimeUnit::Nanos => return None,
        };
        (least..=most).contains(&number).then(|| number * (MICROS / unit.per_second()))
    }

    /// The micros of a field, and what times are by it.
    ///
    /// # Errors
    /// [`Error::BadRow`] for what is no time, or none of the unit.
    pub fn micros(&self, place: Place<'_>, field: &[u8]) -> Result<(i64, Told)> {
        let text = place.text(field)?;
        let Some(time) = Time::parse(text) else {
            return Err(place.bad_row(self.expected(), quoted(field)));
        };
        self.micros_of(place, time, field)
    }

    /// The same of a time that is known; `field` is what an error shows.
    ///
    /// # Errors
    /// [`Error::BadRow`] for a time that is none of the unit.
    pub fn micros_of(&self, place: Place<'_>, time: Time, field: &[u8]) -> Result<(i64, Told)> {
        let by_size = |time: Time| time.number().map_or(Told::Dates, |number| Told::Numbers(TimeUnit::of(number)));
        let told = self.told.unwrap_or_else(|| by_size(time));
        let unit = match told {
            Told::Numbers(unit) => unit,
            Told::Dates => TimeUnit::Seconds,
        };
        let fits = by_size(time) == told || (self.said != TimeUnit::Auto && time.number().is_some());
        match time.micros(unit) {
            Some(micros) if fits || (micros == 0 && told != Told::Dates) => Ok((micros, told)),
            _ => {
                let looks = time.number().map_or("", |number| finer_unit(number as i64));
                let hint = if self.said == TimeUnit::Auto && looks.is_empty() == (unit == TimeUnit::Seconds) {
                    ""
                } else {
                    "; a unit can be given (--time-unit)"
                };
                Err(place.bad_row(self.expected(), format!("{}{looks}{hint}", quoted(field))))
            }
        }
    }

    fn expected(&self) -> String {
        match self.told {
            None => {
                "a time: a number of seconds, milliseconds, microseconds or nanoseconds since 1970, or a date such \
                     as 2024-02-29 or 2024-02-29T13:00:00Z, from 1970 to the year 9999"
                    .into()
            }
            Some(Told::Dates) => "a date from 1970 to the year 9999, as in the first row".into(),
            Some(Told::Numbers(unit)) => {
                let why = if self.said == TimeUnit::Auto { ", as in the first row" } else { "" };
                format!("unix {}, a number from 0 to the year 9999{why}", unit.words())
            }
        }
    }
}

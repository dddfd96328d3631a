//! Learning rates that move over the steps of a segment.

use std::fmt;
use std::str::FromStr;

use crate::check;
use crate::{Error, Result};

/// How a learning rate moves over the steps of a segment. It begins again with the next.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum RateSchedule {
    /// It stays as it is.
    #[default]
    Constant,
    /// It falls by steps: `max(start * factor^(step / every), least)`, the quotient rounded down.
    Falling {
        /// What it is multiplied by (SCALL: 0.95).
        factor: f32,
        /// Steps between (SCALL: 200).
        every: u32,
        /// Where it stays (SCALL: 0.001).
        least: f32,
    },
}

impl RateSchedule {
    /// SCALL's.
    pub const SCALL: Self = Self::Falling { factor: 0.95, every: 200, least: 0.001 };

    /// The rate of a step, counted from 0, where it moves.
    ///
    /// ```
    /// use scall_gpu::models::RateSchedule;
    /// let falling = RateSchedule::Falling { factor: 0.5, every: 2, least: 0.015 };
    /// assert_eq!([0, 1, 2, 9].map(|step| falling.rate(0.04, step)), [0.04, 0.04, 0.02, 0.015].map(Some));
    /// assert_eq!(RateSchedule::Constant.rate(0.04, 9), None);
    /// ```
    pub fn rate(&self, start: f32, step: u32) -> Option<f32> {
        match *self {
            Self::Constant => None,
            Self::Falling { factor, every, least } => {
                let falls = step / every.max(1);
                Some((f64::from(start) * f64::from(factor).powf(falls.into())).max(least.into()) as f32)
            }
        }
    }

    /// That its numbers are within their domain, for a rule that starts at a rate.
    pub(super) fn check(&self, op: &'static str, start: f32) -> Result<()> {
        let Self::Falling { factor, every, least } = *self else { return Ok(()) };
        check::domain(op, "rate.least", least, least.is_finite() && least >= 0.0, "finite and not negative")?;
        let falls = format!("at most the learning rate of {start}");
        check::domain(op, "rate.least", least, least <= start, &falls)?;
        check::domain(op, "rate.factor", factor, factor > 0.0 && factor <= 1.0, "above 0 and at most 1")?;
        check::domain(op, "rate.every", every, every > 0, "at least 1")
    }
}

/// `constant`, or `falling:factor=0.95,every=200,least=0.001`, as [`FromStr`] reads it.
impl fmt::Display for RateSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Constant => f.write_str("constant"),
            // `{:?}` is the shortest text that gives the same number back.
            Self::Falling { factor, every, least } => {
                write!(f, "falling:factor={factor:?},every={every},least={least:?}")
            }
        }
    }
}

/// Reads `constant`, or `falling` and after a colon those numbers that are not SCALL's: `falling:least=0.0001`.
///
/// # Errors
/// [`Error::Argument`] for a name or a number that there is not, and for one that cannot be read.
impl FromStr for RateSchedule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let expected = "constant, or falling:factor=NUMBER,every=STEPS,least=NUMBER";
        let wrong = || check::unreadable("RateSchedule", "rate", expected, text);
        let (name, numbers) = text.split_once(':').map_or((text, None), |(name, numbers)| (name, Some(numbers)));
        match (name, numbers) {
            ("constant", None) => return Ok(Self::Constant),
            ("falling", _) => {}
            _ => return Err(wrong()),
        }
        let mut rate = Self::SCALL;
        let Self::Falling { factor, every, least } = &mut rate else { return Err(wrong()) };
        for part in numbers.iter().flat_map(|numbers| numbers.split(',')) {
            let (name, value) = part.split_once('=').ok_or_else(wrong)?;
            match name {
                "factor" => *factor = value.parse().map_err(|_| wrong())?,
                "every" => *every = value.parse().map_err(|_| wrong())?,
                "least" => *least = value.parse().map_err(|_| wrong())?,
                _ => return Err(wrong()),
            }
        }
        Ok(rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_read() {
        let falling = RateSchedule::Falling { factor: 0.5, every: 10, least: 1e-4 };
        for (text, rate) in [
            ("constant", RateSchedule::Constant),
            ("falling", RateSchedule::SCALL),
            ("falling:factor=0.5,every=10,least=0.0001", falling),
            ("falling:every=200", RateSchedule::SCALL),
        ] {
            assert_eq!(text.parse::<RateSchedule>().unwrap(), rate, "{text}");
            assert_eq!(rate.to_string().parse::<RateSchedule>().unwrap(), rate, "{rate}");
        }
        for text in ["", "rising", "constant:every=1", "falling:", "falling:every=1.5", "falling:start=1"] {
            let error = text.parse::<RateSchedule>().unwrap_err().to_string();
            assert!(error.starts_with("RateSchedule: `rate` must be constant, or falling") && error.contains(text));
        }
    }
}

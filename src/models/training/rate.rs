//! Learning rates that move over the steps of a segment.

use crate::Result;
use crate::check;

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

    pub(super) fn check(&self, op: &'static str, start: f32) -> Result<()> {
        let Self::Falling { factor, every, least } = *self else { return Ok(()) };
        check::domain(op, "rate.least", least, least.is_finite() && least >= 0.0, "finite and not negative")?;
        let falls = format!("at most the learning rate of {start}");
        check::domain(op, "rate.least", least, least <= start, &falls)?;
        check::domain(op, "rate.factor", factor, factor > 0.0 && factor <= 1.0, "above 0 and at most 1")?;
        check::domain(op, "rate.every", every, every > 0, "at least 1")
    }
}

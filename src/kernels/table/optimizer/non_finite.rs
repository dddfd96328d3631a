//! What becomes of gradients that are not finite.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// What becomes of gradients that are not finite, and of steps that would not be.
///
/// Whichever it is, NaN and infinities never get into a table: see [the module](super#what-is-not-finite).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NonFinite {
    /// The step is left out, and training ends with [`Error::NonFinite`](crate::Error::NonFinite), as does
    /// [`RaggedTable::check_finite`](crate::table::RaggedTable::check_finite). A kernel by itself counts at most, so to
    /// it this is [`Skip`](Self::Skip). The default: most often such a gradient is the first sign of a fault.
    #[default]
    Error,
    /// The step is left out, as if there had been no gradient, and training goes on.
    Skip,
    /// Gradients are brought into the range of -2^55 to 2^55 (3.6e16), before anything else is done with them:
    /// infinities and what is beyond become its ends, and NaN, which has no direction, 0. Then the squares of the
    /// widest row have a finite sum, so that `max_norm` keeps the gradient's direction; without a `max_norm` steps may
    /// be as large as they are. What is replaced is counted, and training goes on.
    Clip,
}

impl NonFinite {
    /// Each of them.
    pub const ALL: &[Self] = &[Self::Error, Self::Skip, Self::Clip];

    fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Skip => "skip",
            Self::Clip => "clip",
        }
    }
}

/// `error`, `skip` or `clip`, as [`FromStr`] reads it.
impl fmt::Display for NonFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for NonFinite {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.iter().copied().find(|policy| policy.name() == text).ok_or_else(|| Error::Argument {
            op: "NonFinite",
            arg: "non_finite",
            expected: Self::ALL.iter().map(|policy| policy.name()).collect::<Vec<_>>().join(", "),
            got: format!("{text:?}"),
        })
    }
}

/// The largest gradient that [`NonFinite::Clip`] takes: the squares of 65,535 of them have a finite sum.
pub(super) const LARGEST: f32 = (1u64 << 55) as f32;

/// A gradient as [`NonFinite::Clip`] takes it.
#[inline(always)]
pub(super) fn clamped(gradient: f32) -> f32 {
    if gradient.is_nan() { 0.0 } else { gradient.clamp(-LARGEST, LARGEST) }
}

//! What happens to gradients that are not finite.

use crate::check;

/// What happens to gradients that are not finite, and to steps that would not be.
///
/// In any case NaN and infinities never get into a table: see [the module](super#what-is-not-finite).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NonFinite {
    /// The step is left out, and training ends with [`Error::NonFinite`](crate::Error::NonFinite), as does
    /// [`RaggedTable::check_finite`](crate::table::RaggedTable::check_finite). A kernel by itself can only count, so
    /// for a kernel this is the same as [`Skip`](Self::Skip). The default: most often such a gradient is the first sign
    /// of a fault.
    #[default]
    Error,
    /// The step is left out, as if there had been no gradient, and training goes on.
    Skip,
    /// Gradients are brought into the range of -2^55 to 2^55 (3.6e16) before anything else is done with them.
    /// Infinities and numbers beyond the range become its ends; NaN, which has no direction, becomes 0. The squares of
    /// the widest row then have a finite sum, so `max_norm` keeps the gradient's direction. Without a `max_norm` steps
    /// may be very large. What is replaced is counted, and training goes on.
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

check::by_name!(NonFinite, "NonFinite", "non_finite");

/// The largest gradient that [`NonFinite::Clip`] takes: the squares of 65,535 of them have a finite sum.
pub(super) const LARGEST: f32 = (1u64 << 55) as f32;

/// A gradient as [`NonFinite::Clip`] takes it.
#[inline(always)]
pub(super) fn clamped(gradient: f32) -> f32 {
    if gradient.is_nan() { 0.0 } else { gradient.clamp(-LARGEST, LARGEST) }
}

//! Rows whose steps wait for each other: those that lie next to each other are stepped as one stretch.
//!
//! A row that is stepped in whole vectors writes over the beginning of the next, with what was there. A processor that
//! reads the next row at once has to wait until that is in its cache. Neighbours as one stretch have no such ends
//! between them, and fewer vectors.

use crate::rows::WIDEST_VECTOR;

/// Rows that wait, at most.
const MOST_ROWS: usize = 32;

/// Values from which on nothing waits any longer: gradients, values and state of so many fit the first cache.
const MOST_VALUES: usize = 2048;

/// Rows that wait for their step.
#[derive(Default)]
pub(super) struct Deferred {
    rows: usize,
    /// Stretch after stretch, each from a whole vector on.
    gradients: Vec<f32>,
    stretches: Vec<Stretch>,
}

/// Values next to each other, from `begin` on, whose gradients are those from `at` on.
#[derive(Clone, Copy)]
pub(super) struct Stretch {
    pub begin: usize,
    pub at: usize,
    pub len: usize,
}

impl Deferred {
    /// Room for the gradient of `width` values from `begin` on, in whole vectors: what is written behind the width does
    /// not matter.
    #[inline(always)]
    pub fn add(&mut self, begin: usize, width: usize) -> &mut [f32] {
        self.rows += 1;
        let at = match self.stretches.last_mut() {
            Some(last) if last.begin + last.len == begin => {
                let at = last.at + last.len;
                last.len += width;
                at
            }
            last => {
                let at = last.map_or(0, |last| last.at + last.len).next_multiple_of(WIDEST_VECTOR);
                self.stretches.push(Stretch { begin, at, len: width });
                at
            }
        };
        let whole = width.next_multiple_of(WIDEST_VECTOR);
        // The stretch's last vector may begin before this row and end behind it.
        if self.gradients.len() < at + whole + WIDEST_VECTOR {
            self.gradients.resize(at + whole + WIDEST_VECTOR, 0.0);
        }
        &mut self.gradients[at..at + whole]
    }

    #[inline(always)]
    pub fn is_full(&self) -> bool {
        let values = self.stretches.last().map_or(0, |last| last.at + last.len);
        self.rows >= MOST_ROWS || values >= MOST_VALUES
    }

    /// Takes the stretches, with the gradients of all.
    #[inline(always)]
    pub fn take(&mut self) -> (std::vec::Drain<'_, Stretch>, &[f32]) {
        self.rows = 0;
        (self.stretches.drain(..), &self.gradients)
    }
}

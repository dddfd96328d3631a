//! A resize, worked out before anything moves.

use super::Offsets;
use crate::{Error, Result};

/// What a resize will do: from the sizes a table has to new ones, with more rows or as many.
///
/// Pure arithmetic; [`RaggedTable::resize`](super::RaggedTable::resize) carries it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResizePlan {
    from: Fingerprint,
    to: Offsets,
    kept: u64,
    grown_rows: u32,
    shrunk_rows: u32,
    widest: u32,
}

/// Tells one row directory from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    pub rows: u64,
    pub values: u64,
    hash: u64,
}

impl Fingerprint {
    pub(super) fn of(offsets: &[u32]) -> Self {
        // FNV-1a over words: two states of a table rarely share rows, values and this.
        let hash = offsets.iter().fold(0xCBF2_9CE4_8422_2325, |hash: u64, &offset| {
            (hash ^ u64::from(offset)).wrapping_mul(0x0100_0000_01B3)
        });
        Self { rows: offsets.len() as u64 - 1, values: offsets[offsets.len() - 1].into(), hash }
    }
}

impl ResizePlan {
    /// Plans the way from these `rows + 1` offsets to rows of the given sizes; sizes past the old rows are new rows.
    ///
    /// # Errors
    /// [`Error::Argument`] when there are fewer sizes than rows (a row leaves by size 0, its id stays);
    /// [`Error::Limit`] past 2^32 values.
    pub fn new(from: &Offsets, sizes: &[u32]) -> Result<Self> {
        Self::between(from.as_slice(), sizes)
    }

    pub(super) fn between(from: &[u32], sizes: &[u32]) -> Result<Self> {
        let rows = from.len() - 1;
        if sizes.len() < rows {
            return Err(Error::Argument {
                op: "ResizePlan::new",
                arg: "sizes",
                expected: format!("for all {rows} rows at least"),
                got: format!("{} sizes", sizes.len()),
            });
        }
        let (mut kept, mut grown_rows, mut shrunk_rows) = (0, 0, 0);
        for (pair, &size) in from.windows(2).zip(sizes) {
            let old = pair[1] - pair[0];
            kept += u64::from(old.min(size));
            grown_rows += u32::from(size > old);
            shrunk_rows += u32::from(size < old);
        }
        Ok(Self {
            from: Fingerprint::of(from),
            to: Offsets::from_sizes(sizes)?,
            kept,
            grown_rows,
            shrunk_rows,
            widest: sizes.iter().copied().max().unwrap_or(0),
        })
    }

    pub(super) fn from(&self) -> Fingerprint {
        self.from
    }

    /// The directory after the resize.
    pub fn to(&self) -> &Offsets {
        &self.to
    }

    /// Values that survive, bit for bit.
    pub fn kept_values(&self) -> u64 {
        self.kept
    }

    /// Values that fall away.
    pub fn dropped_values(&self) -> u64 {
        self.from.values - self.kept
    }

    /// Values that appear, those of new rows included.
    pub fn new_values(&self) -> u64 {
        self.to.values() as u64 - self.kept
    }

    /// Rows that were there and get larger.
    pub fn grown_rows(&self) -> u32 {
        self.grown_rows
    }

    /// Rows that were there and get smaller.
    pub fn shrunk_rows(&self) -> u32 {
        self.shrunk_rows
    }

    /// Rows that are new.
    pub fn new_rows(&self) -> u64 {
        self.to.rows() as u64 - self.from.rows
    }

    /// Size of the widest row afterwards.
    pub fn widest(&self) -> u32 {
        self.widest
    }
}

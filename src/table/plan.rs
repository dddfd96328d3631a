//! A resize, worked out before anything moves.

use crate::rows::{Directory, Rows};
use crate::{Error, Result};

/// What a resize will do: from the sizes that a table has to new ones, with more rows or the same number.
///
/// Pure arithmetic, made by [`RaggedTable::plan`](super::RaggedTable::plan);
/// [`RaggedTable::resize`](super::RaggedTable::resize) carries it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResizePlan {
    from: Fingerprint,
    to: Directory,
    kept: u64,
    grown_rows: u32,
    shrunk_rows: u32,
}

/// Distinguishes one row directory from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    pub rows: u64,
    pub values: u64,
    hash: u64,
}

impl Fingerprint {
    pub(super) fn of(rows: &Rows) -> Self {
        // FNV-1a over sizes: two states of a table rarely share rows, values and this.
        let hash = rows
            .sizes()
            .fold(0xCBF2_9CE4_8422_2325, |hash: u64, size| (hash ^ u64::from(size)).wrapping_mul(0x0100_0000_01B3));
        Self { rows: rows.len().into(), values: rows.values(), hash }
    }
}

impl ResizePlan {
    /// Plans the way from these rows to rows of the given sizes; sizes past the old rows are new rows.
    ///
    /// # Errors
    /// [`Error::Argument`] when there are fewer sizes than rows (a row leaves by size 0, its id stays); those of
    /// [`Directory::new`].
    pub fn new(from: &Rows, sizes: &[u32]) -> Result<Self> {
        let rows = from.len();
        if sizes.len() < rows as usize {
            return Err(Error::Argument {
                op: "ResizePlan::new",
                arg: "sizes",
                expected: format!("for all {rows} rows at least"),
                got: format!("{} sizes", sizes.len()),
            });
        }
        let (mut kept, mut grown_rows, mut shrunk_rows) = (0, 0, 0);
        for (old, &size) in from.sizes().zip(sizes) {
            kept += u64::from(old.min(size));
            grown_rows += u32::from(size > old);
            shrunk_rows += u32::from(size < old);
        }
        let to = Directory::new(from.device(), sizes, from.layout(), from.state_size())?;
        Ok(Self { from: Fingerprint::of(from), to, kept, grown_rows, shrunk_rows })
    }

    pub(super) fn from(&self) -> Fingerprint {
        self.from
    }

    /// The directory after the resize.
    pub fn to(&self) -> &Directory {
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
        self.to.values() - self.kept
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
        u64::from(self.to.rows()) - self.from.rows
    }

    /// Size of the widest row afterwards.
    pub fn widest(&self) -> u32 {
        self.to.widest()
    }
}

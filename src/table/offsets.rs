//! Where each row begins.

use crate::{Error, Result, check};

/// Validated row offsets: they begin at 0, never fall, and end at the arena's length.
///
/// ```
/// use scall_gpu::table::Offsets;
/// # fn main() -> scall_gpu::Result<()> {
/// let offsets = Offsets::from_sizes(&[3, 0, 4])?;
/// assert_eq!(offsets.as_slice(), [0, 3, 3, 7]);
/// assert_eq!((offsets.rows(), offsets.values(), offsets.size(2)), (3, 7, 4));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offsets(Vec<u32>);

impl Offsets {
    /// Offsets of rows of the given sizes.
    ///
    /// # Errors
    /// [`Error::Limit`] when the sizes add up to 2^32 values or more: offsets are u32.
    pub fn from_sizes(sizes: &[u32]) -> Result<Self> {
        let total: u64 = sizes.iter().map(|&size| u64::from(size)).sum();
        check::below_2_32("Offsets::from_sizes", "sizes", "32-bit offset", total)?;
        let mut offsets = Vec::with_capacity(sizes.len() + 1);
        offsets.push(0);
        let mut end = 0;
        offsets.extend(sizes.iter().map(|size| {
            end += size;
            end
        }));
        Ok(Self(offsets))
    }

    /// Offsets that come from elsewhere, such as a file, for an arena of `values` elements.
    ///
    /// # Errors
    /// [`Error::Argument`] that names the first offset that is wrong.
    pub fn new(offsets: Vec<u32>, values: u64) -> Result<Self> {
        let wrong =
            |expected: String, got: String| Error::Argument { op: "Offsets::new", arg: "offsets", expected, got };
        if offsets.first() != Some(&0) {
            return Err(wrong("begun with 0".into(), format!("{:?}", offsets.first())));
        }
        if let Some(i) = offsets.windows(2).position(|pair| pair[0] > pair[1]) {
            let got = format!("[{i}] = {} before [{}] = {}", offsets[i], i + 1, offsets[i + 1]);
            return Err(wrong("never falling".into(), got));
        }
        let end = offsets[offsets.len() - 1];
        if u64::from(end) != values {
            return Err(wrong(format!("ended at the arena's length {values}"), end.to_string()));
        }
        Ok(Self(offsets))
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.0.len() - 1
    }

    /// Number of values of all rows.
    pub fn values(&self) -> usize {
        self.0[self.0.len() - 1] as usize
    }

    /// Size of one row.
    ///
    /// # Panics
    /// When `row` is not below [`rows`](Self::rows).
    pub fn size(&self, row: usize) -> u32 {
        self.0[row + 1] - self.0[row]
    }

    /// The sizes of all rows.
    pub fn sizes(&self) -> impl ExactSizeIterator<Item = u32> + '_ {
        self.0.windows(2).map(|pair| pair[1] - pair[0])
    }

    /// The `rows + 1` offsets.
    pub fn as_slice(&self) -> &[u32] {
        &self.0
    }

    /// The `rows + 1` offsets.
    pub fn into_vec(self) -> Vec<u32> {
        self.0
    }
}

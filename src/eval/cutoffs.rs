//! The lengths that lists are cut to.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Result, check};

/// The list lengths that metrics are reported at: at least one, ascending, each once.
///
/// As a text they are numbers with commas.
///
/// ```
/// use scall_gpu::eval::Cutoffs;
/// assert_eq!(Cutoffs::default().as_slice(), [5, 10, 20]);
/// assert_eq!("50, 1,5".parse::<Cutoffs>()?.to_string(), "1,5,50");
/// assert!(Cutoffs::new([0]).is_err());
/// # Ok::<(), scall_gpu::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cutoffs(Vec<u32>);

impl Default for Cutoffs {
    /// 5, 10 and 20: SCALL's.
    fn default() -> Self {
        Self(vec![5, 10, 20])
    }
}

impl Cutoffs {
    /// These lengths, in any order; one that is given again counts once.
    ///
    /// # Errors
    /// [`Error::Argument`] without any, and for 0.
    pub fn new(lengths: impl IntoIterator<Item = u32>) -> Result<Self> {
        let mut lengths: Vec<u32> = lengths.into_iter().collect();
        lengths.sort_unstable();
        lengths.dedup();
        let error = |got: &str| {
            let expected = "one or more list lengths of at least 1".to_owned();
            Err(Error::Argument { op: "Cutoffs::new", arg: "cutoffs", expected, got: got.to_owned() })
        };
        match lengths.first() {
            None => error("none"),
            Some(0) => error("0"),
            Some(_) => Ok(Self(lengths)),
        }
    }

    /// The same and this one.
    pub(crate) fn with(&self, length: u32) -> Self {
        Self::new(self.iter().chain([length.max(1)])).expect("lengths of at least 1")
    }

    /// The lengths, ascending.
    pub fn as_slice(&self) -> &[u32] {
        &self.0
    }

    /// The lengths, ascending.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = u32> + '_ {
        self.0.iter().copied()
    }

    /// The longest: what lists need to have.
    pub fn longest(&self) -> u32 {
        *self.0.last().expect("at least one")
    }
}

impl fmt::Display for Cutoffs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, length) in self.iter().enumerate() {
            write!(f, "{}{length}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl FromStr for Cutoffs {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let lengths = text.split(',').map(|length| length.trim().parse().ok()).collect::<Option<Vec<u32>>>();
        lengths.and_then(|lengths| Self::new(lengths).ok()).ok_or_else(|| {
            check::unreadable("Cutoffs::from_str", "cutoffs", "list lengths of at least 1, such as 1,5,50", text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_ascend_and_are_read_as_they_are_written() {
        let cutoffs = Cutoffs::new([50, 1, 5, 1]).unwrap();
        assert_eq!((cutoffs.as_slice(), cutoffs.longest()), (&[1, 5, 50][..], 50));
        assert_eq!(cutoffs.to_string().parse::<Cutoffs>().unwrap(), cutoffs);
        assert_eq!((cutoffs.with(20).to_string(), cutoffs.with(5)), ("1,5,20,50".to_owned(), cutoffs));
    }

    #[test]
    fn what_is_no_list_length_is_named() {
        let of = |lengths: &[u32]| Cutoffs::new(lengths.iter().copied()).unwrap_err().to_string();
        assert!(of(&[]).ends_with("must be one or more list lengths of at least 1, got none"), "{}", of(&[]));
        assert!(of(&[5, 0]).ends_with("got 0"), "{}", of(&[5, 0]));
        for text in ["", "5,", "5,,10", "0,5", "-1", "5;10", "4294967296", "five"] {
            let error = text.parse::<Cutoffs>().unwrap_err().to_string();
            assert!(error.contains("list lengths of at least 1, such as 1,5,50") && error.contains(text), "{error}");
        }
    }
}

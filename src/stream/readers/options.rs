//! What a caller may say of files of interactions, and of the rows that are wanted.

use std::fmt;
use std::str::FromStr;

use super::encoding::Encoding;
use super::{Columns, Format, TimeUnit};
use crate::text::quoted;
use crate::{Error, Result, check};

/// How files are read, and which of their rows are kept. A [`Format`] becomes one by `into()`.
///
/// ```
/// use std::path::Path;
/// use scall_gpu::stream::{Filter, Format, ReadOptions, read_from};
///
/// let file = "user,item,ts,event\nann,tea,1700000000000,view\nann,tea,1700000001500,buy\n";
/// let options = ReadOptions { filters: vec!["event=buy".parse()?], ..Format::Csv.into() };
/// let data = read_from(file.as_bytes(), Path::new("events.csv"), &options)?;
/// assert_eq!(data.timestamps(), [1_700_000_001]); // Milliseconds, told by their size.
/// # Ok::<(), scall_gpu::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReadOptions {
    /// How the files are written (default: by the name of each).
    pub format: Option<Format>,
    /// Which columns hold what (default: those with the usual names).
    pub columns: Columns,
    /// The encoding of text (default: UTF-8).
    pub encoding: Encoding,
    /// The unit of times that are numbers (default: told by their size).
    pub time_unit: TimeUnit,
    /// Least rating of a row that is kept (default: ratings are not read).
    pub min_rating: Option<f64>,
    /// Least rating of a click: rows with a lower one are kept as non-clicks
    /// ([`Interactions::clicked`](crate::stream::Interactions::clicked); default: ratings are not read, and all rows
    /// are clicks).
    pub clicks: Option<f64>,
    /// Values that a row has to have in other columns. Several values of one column are alternatives; of each column
    /// that is named one has to be met.
    pub filters: Vec<Filter>,
    /// Which rows of one user and one item are kept (default: all).
    pub dedup: Dedup,
    /// The least rows of each user and each item that are left, once those that have fewer are left out, as often as
    /// that makes others have fewer (default: any number). It comes after the other filters, and looks at the whole
    /// stream, its end included: what a recommender in use could not know.
    pub k_core: Option<u32>,
    /// How many lines may be bad: they are left out and counted (default 0: the first one is an error).
    pub skip_bad: u32,
}

impl ReadOptions {
    /// That all numbers are within their domain, and nothing is said that the format has no use for.
    ///
    /// # Errors
    /// [`Error::Argument`] for the first that is not.
    pub fn check(&self) -> Result<()> {
        let op = "stream/read";
        for (arg, rating) in [("min_rating", self.min_rating), ("clicks", self.clicks)] {
            let rating = rating.unwrap_or(0.0);
            check::domain(op, arg, rating, rating.is_finite(), "finite")?;
        }
        if let Some(core) = self.k_core {
            check::domain(op, "k_core", core, core > 0, "at least 1")?;
        }
        match self.format {
            Some(format) if !format.has_columns() && self.columns != Columns::default() => Err(Error::Argument {
                op,
                arg: "columns",
                expected: format!("nothing for a file of the format {}, whose columns are fixed", format.name()),
                got: "columns".into(),
            }),
            _ => Ok(()),
        }
    }

    /// Whether ratings are read.
    pub(super) fn reads_ratings(&self) -> bool {
        self.min_rating.is_some() || self.clicks.is_some()
    }
}

impl From<Format> for ReadOptions {
    fn from(format: Format) -> Self {
        Self { format: Some(format), ..Self::default() }
    }
}

impl From<&Format> for ReadOptions {
    fn from(format: &Format) -> Self {
        (*format).into()
    }
}

impl From<&ReadOptions> for ReadOptions {
    fn from(options: &ReadOptions) -> Self {
        options.clone()
    }
}

/// A value that a column has to have, written `event=buy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The column's name, or its position from 0 where none has that name.
    pub column: String,
    /// The text that it has, without space at its ends.
    pub value: String,
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.column, self.value)
    }
}

impl FromStr for Filter {
    type Err = Error;

    /// The column is what stands before the first `=`.
    fn from_str(text: &str) -> Result<Self> {
        match text.split_once('=') {
            Some((column, value)) if !column.trim().is_empty() => {
                Ok(Self { column: column.trim().to_owned(), value: value.trim().to_owned() })
            }
            _ => Err(Error::Argument {
                op: "stream/filter",
                arg: "text",
                expected: "column=value, such as event=buy".into(),
                got: quoted(text.as_bytes()),
            }),
        }
    }
}

/// Which rows of one user and one item are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dedup {
    /// All of them, as with purchases that are repeated.
    #[default]
    All,
    /// The first in time.
    First,
}

impl Dedup {
    /// The names of all.
    pub const NAMES: &[&str] = &["all", "first"];
}

impl fmt::Display for Dedup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::NAMES[*self as usize])
    }
}

impl FromStr for Dedup {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "all" => Ok(Self::All),
            "first" => Ok(Self::First),
            _ => Err(Error::Argument {
                op: "stream/dedup",
                arg: "name",
                expected: "first or all".into(),
                got: quoted(name.as_bytes()),
            }),
        }
    }
}

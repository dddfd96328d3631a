//! Formats of interaction files, and where their columns are found.

use std::path::Path;

use crate::text::{quoted, trim_bytes};
use crate::{Error, Result};

/// How a file of interactions is written. In all of them blank lines are skipped, lines end in LF or CRLF, and white
/// space and characters that cannot be seen, such as byte order marks, are trimmed around every field
/// ([`read`](crate::stream::read) says more).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// `user::item::rating::unix_seconds`, no header, as MovieLens and MovieTweetings have it. The rating must be a
    /// number.
    DoubleColon,
    /// Fields between commas, in quotes where needed, quotes within them doubled (RFC 4180). After a closing quote only
    /// a comma or the end of the line may stand. Line breaks in quotes are read over in columns that are not read, and
    /// an error in those that are, or where one of the lines would be a row by itself: then a closing quote is missing.
    /// A quote in a field without quotes around it is text in a column that is not read, and an error in those that
    /// are.
    Csv(Columns),
    /// Fields between tabs, a line a row. Quotes are text, but around a whole field: `"a ""b"""` is `a "b"`, and `"a`
    /// is `"a`. In such a field tabs are text too.
    Tsv(Columns),
}

impl Format {
    /// The format of a name: `dat` for [`Format::DoubleColon`], `csv` or `tsv` with the usual columns; case is ignored.
    ///
    /// # Errors
    /// [`Error::Argument`] for any other name.
    pub fn from_name(name: &str) -> Result<Self> {
        match name.to_ascii_lowercase().as_str() {
            "dat" => Ok(Self::DoubleColon),
            "csv" => Ok(Self::Csv(Columns::default())),
            "tsv" => Ok(Self::Tsv(Columns::default())),
            _ => Err(Error::Argument {
                op: "stream/format",
                arg: "name",
                expected: "dat, csv or tsv".into(),
                got: quoted(name.as_bytes()),
            }),
        }
    }

    /// The format by a file's extension: `.dat`, `.csv` or `.tsv`.
    ///
    /// # Errors
    /// [`Error::Argument`] for any other extension.
    pub fn guess(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let extension = path.extension().unwrap_or_default();
        Self::from_name(&extension.to_string_lossy()).map_err(|_| Error::Argument {
            op: "stream/format",
            arg: "path",
            expected: "a file named .dat, .csv or .tsv".into(),
            got: quoted(path.as_os_str().as_encoded_bytes()),
        })
    }
}

/// Which columns hold what. By default a header with one of the [usual names](Column::Usual).
///
/// A header that names a column twice is an error where that column is read by name, and where two columns have usual
/// names for one thing. It does not matter for columns that are not read, or that are read by position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    /// The user's id, any text.
    pub user: Column,
    /// The item's id, any text.
    pub item: Column,
    /// Unix seconds.
    pub timestamp: Column,
    /// Whether the first line names the columns. Without it all three must be positions.
    pub header: bool,
}

impl Default for Columns {
    fn default() -> Self {
        Self { user: Column::Usual, item: Column::Usual, timestamp: Column::Usual, header: true }
    }
}

/// One column of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Column {
    /// The column with one of these names; case, `_`, `-` and spaces do not count, so `userId` is `user_id`:
    /// - user: user, user_id, customer_id, household_id
    /// - item: item, item_id, movie_id, product_id
    /// - timestamp: timestamp, time, unix_seconds, unix_time
    #[default]
    Usual,
    /// The column with exactly this name.
    Name(String),
    /// The column at this position, counted from 0.
    Position(usize),
}

const USUAL_USER: [&str; 4] = ["user", "user_id", "customer_id", "household_id"];
const USUAL_ITEM: [&str; 4] = ["item", "item_id", "movie_id", "product_id"];
const USUAL_TIMESTAMP: [&str; 4] = ["timestamp", "time", "unix_seconds", "unix_time"];

/// Where the columns that are read stand, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Positions {
    pub user: usize,
    pub item: usize,
    pub timestamp: usize,
}

impl Positions {
    /// Each with its name.
    pub fn named(self) -> [(&'static str, usize); 3] {
        [("user", self.user), ("item", self.item), ("timestamp", self.timestamp)]
    }
}

impl Columns {
    /// The columns that are read, given the fields of the file's first record.
    pub(super) fn find(&self, first: &[impl AsRef<[u8]>], file: &Path) -> Result<Positions> {
        let first: Vec<&[u8]> = first.iter().map(|name| trim_bytes(name.as_ref())).collect();
        let one = |kind, column, usual: [&str; 4]| self.find_one(kind, column, usual, &first, file);
        let found = Positions {
            user: one("user", &self.user, USUAL_USER)?,
            item: one("item", &self.item, USUAL_ITEM)?,
            timestamp: one("timestamp", &self.timestamp, USUAL_TIMESTAMP)?,
        };
        let Positions { user, item, timestamp } = found;
        if user == item || user == timestamp || item == timestamp {
            return Err(Error::BadFile {
                file: file.into(),
                expected: "user, item and timestamp in three columns".into(),
                found: format!("them in columns {user}, {item} and {timestamp}, counted from 0"),
            });
        }
        Ok(found)
    }

    fn find_one(
        &self,
        kind: &'static str,
        column: &Column,
        usual: [&str; 4],
        first: &[&[u8]],
        file: &Path,
    ) -> Result<usize> {
        let bad = |expected, found| Error::BadFile { file: file.into(), expected, found };
        let (matches, expected): (Vec<usize>, _) = match column {
            &Column::Position(position) => {
                ((position..first.len()).take(1).collect(), format!("the {kind} in column {position}, counted from 0"))
            }
            _ if !self.header => {
                return Err(Error::Argument {
                    op: "stream/read",
                    arg: "columns",
                    expected: "positions, as the file has no header".into(),
                    got: format!("the {kind} by name"),
                });
            }
            Column::Name(name) => {
                let named = |&at: &usize| first[at] == trim_bytes(name.as_bytes());
                let expected = format!("a column {} with the {kind}", quoted(name.as_bytes()));
                ((0..first.len()).filter(named).collect(), expected)
            }
            Column::Usual => {
                let named = |&at: &usize| usual.iter().any(|name| plain(first[at]) == plain(name.as_bytes()));
                let expected = format!("a column with the {kind}, named {}", usual.join(", "));
                ((0..first.len()).filter(named).collect(), expected)
            }
        };
        match matches[..] {
            [position] => Ok(position),
            [] => Err(bad(expected, format!("the columns {}", quoted(&first.join(&b", "[..]))))),
            [..] => {
                let names = matches.iter().map(|&at| format!("{} in column {at}", quoted(first[at])));
                let found = format!("{}, counted from 0", names.collect::<Vec<_>>().join(" and "));
                Err(bad(format!("one column with the {kind}, or the choice of one by name or position"), found))
            }
        }
    }
}

/// A column's name as it is compared: lower case, without separators.
fn plain(name: &[u8]) -> Vec<u8> {
    let letters = name.iter().filter(|byte| !b"_- \t\r".contains(byte));
    letters.map(u8::to_ascii_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(columns: &Columns, header: &[&str]) -> Result<[usize; 3]> {
        columns.find(header, Path::new("f")).map(|at| [at.user, at.item, at.timestamp])
    }

    #[test]
    fn guesses_by_extension() {
        assert_eq!(Format::guess("a/ratings.dat").unwrap(), Format::DoubleColon);
        assert_eq!(Format::guess("a.b.CSV").unwrap(), Format::Csv(Columns::default()));
        assert_eq!(Format::from_name("tsv").unwrap(), Format::Tsv(Columns::default()));
        for (path, got) in [("a.csv.zst", r#""a.csv.zst""#), ("csv", r#""csv""#), ("", r#""""#)] {
            assert_eq!(
                Format::guess(path).unwrap_err().to_string(),
                format!("stream/format: `path` must be a file named .dat, .csv or .tsv, got {got}")
            );
        }
        assert_eq!(
            Format::from_name("json").unwrap_err().to_string(),
            r#"stream/format: `name` must be dat, csv or tsv, got "json""#
        );
    }

    #[test]
    fn finds_columns() {
        let usual = Columns::default();
        assert_eq!(find(&usual, &["userId", "movieId", "rating", "timestamp"]).unwrap(), [0, 1, 3]);
        assert_eq!(find(&usual, &["Unix Time", "PRODUCT_ID", "household-id\r"]).unwrap(), [2, 1, 0]);
        assert_eq!(find(&usual, &["user", "\u{feff}item\u{200b}", "\u{a0}time"]).unwrap(), [0, 1, 2]);
        let mixed = Columns { user: Column::Name("who".into()), item: Column::Position(0), ..usual };
        assert_eq!(find(&mixed, &["user", "time", " who "]).unwrap(), [2, 0, 1]);
    }

    #[test]
    fn a_name_that_is_there_twice() {
        let usual = Columns::default();
        let one =
            |kind| format!("f: expected one column with the {kind}, or the choice of one by name or position, found");
        for (header, expected) in [
            (
                &["user", "item", "time", "time"][..],
                format!(r#"{} "time" in column 2 and "time" in column 3, counted from 0"#, one("timestamp")),
            ),
            (
                &["userId", "item", "time", "x", "USER_ID ", "user"],
                format!(
                    r#"{} "userId" in column 0 and "USER_ID" in column 4 and "user" in column 5, counted from 0"#,
                    one("user")
                ),
            ),
            (
                &["user", "item", "movie_id", "time"],
                format!(r#"{} "item" in column 1 and "movie_id" in column 2, counted from 0"#, one("item")),
            ),
        ] {
            assert_eq!(find(&usual, header).unwrap_err().to_string(), expected);
        }
        let named = |name: &str| Columns { timestamp: Column::Name(name.into()), ..Columns::default() };
        assert_eq!(
            find(&named("t"), &["user", "t", "item", " t\u{feff}"]).unwrap_err().to_string(),
            format!(r#"{} "t" in column 1 and "t" in column 3, counted from 0"#, one("timestamp"))
        );
        // By name or position one of them is chosen, and what is not read may have any names.
        assert_eq!(find(&named("time"), &["user", "item", "time", "timestamp", "x", "x"]).unwrap(), [0, 1, 2]);
        let third = Columns { timestamp: Column::Position(3), ..Columns::default() };
        assert_eq!(find(&third, &["user", "item", "time", "time"]).unwrap(), [0, 1, 3]);
    }
}

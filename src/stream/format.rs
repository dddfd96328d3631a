//! Formats of interaction files, and where their columns are found.

use std::path::Path;

use csv::ByteRecord;

use super::fields::shown;
use crate::{Error, Result};

/// How a file of interactions is written. In all of them blank lines are skipped, lines end in LF or CRLF, and a byte order
/// mark and white space around fields are ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// `user::item::rating::unix_seconds`, no header, as MovieLens and MovieTweetings have it. The rating must be a number.
    DoubleColon,
    /// Fields between commas, quoted with `"` where needed.
    Csv(Columns),
    /// Fields between tabs, quoted with `"` where needed.
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
                got: shown(name.as_bytes()),
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
            got: shown(path.as_os_str().as_encoded_bytes()),
        })
    }
}

/// Which columns hold what. By default a header with one of the [usual names](Column::Usual).
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
    /// The first of these names that the header has; case, `_`, `-` and spaces do not count, so `userId` is `user_id`:
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

impl Columns {
    /// Positions of user, item and timestamp, given the file's first record.
    pub(super) fn find(&self, first: &ByteRecord, file: &Path) -> Result<[usize; 3]> {
        let wanted = [
            ("user", &self.user, USUAL_USER),
            ("item", &self.item, USUAL_ITEM),
            ("timestamp", &self.timestamp, USUAL_TIMESTAMP),
        ];
        let mut found = [0; 3];
        for (position, (kind, column, usual)) in found.iter_mut().zip(wanted) {
            *position = self.find_one(kind, column, usual, first, file)?;
        }
        let [user, item, timestamp] = found;
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
        first: &ByteRecord,
        file: &Path,
    ) -> Result<usize> {
        let named = |name: &str| first.iter().position(|field| field.trim_ascii() == name.as_bytes());
        let like = |name: &str| first.iter().position(|field| plain(field) == plain(name.as_bytes()));
        let (position, expected) = match column {
            &Column::Position(position) => (
                Some(position).filter(|&position| position < first.len()),
                format!("the {kind} in column {position}, counted from 0"),
            ),
            _ if !self.header => {
                return Err(Error::Argument {
                    op: "stream/read",
                    arg: "columns",
                    expected: "positions, as the file has no header".into(),
                    got: format!("the {kind} by name"),
                });
            }
            Column::Name(name) => (named(name), format!("a column {} with the {kind}", shown(name.as_bytes()))),
            Column::Usual => {
                (usual.into_iter().find_map(like), format!("a column with the {kind}, named {}", usual.join(", ")))
            }
        };
        position.ok_or_else(|| {
            let columns: Vec<&[u8]> = first.iter().map(<[u8]>::trim_ascii).collect();
            Error::BadFile {
                file: file.into(),
                expected,
                found: format!("the columns {}", shown(&columns.join(&b", "[..]))),
            }
        })
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
        columns.find(&ByteRecord::from(header), Path::new("f"))
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
        // The order of the list decides, not that of the file.
        assert_eq!(find(&usual, &["item_id", "item", "user", "time"]).unwrap(), [2, 1, 3]);
        let mixed = Columns { user: Column::Name("who".into()), item: Column::Position(0), ..usual };
        assert_eq!(find(&mixed, &["user", "time", " who "]).unwrap(), [2, 0, 1]);
    }
}

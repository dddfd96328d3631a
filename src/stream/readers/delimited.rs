//! Files with a record a line and fields between delimiters: CSV and its relatives. `records.rs` says what quotes mean.

use std::borrow::Cow;

use super::ahead::Rounds;
use super::columns::Columns;
use super::input::Input;
use super::lines::Lines;
use super::plain::Plain;
use super::records::Records;
use super::rows::Rows;
use super::time::Time;
use super::{ReadOptions, Reader, columns};
use crate::Result;
use crate::text::{quoted, trim_bytes};

/// A reader of records with delimiters.
pub(super) struct Delimited {
    name: &'static str,
    endings: &'static [&'static str],
    summary: &'static str,
    delimiter: u8,
    names: Names,
}

/// Where the names of columns come from.
#[derive(Clone, Copy, PartialEq)]
enum Names {
    /// The header, if the options say that there is one.
    Header,
    /// A header in which a type follows each name.
    Typed,
    /// The format.
    Fixed(&'static [&'static str]),
}

pub(super) static CSV: Delimited = Delimited {
    name: "csv",
    endings: &[".csv"],
    summary: "fields between commas, with a header unless --no-header says otherwise",
    delimiter: b',',
    names: Names::Header,
};

pub(super) static TSV: Delimited = Delimited {
    name: "tsv",
    endings: &[".tsv"],
    summary: "fields between tabs, with a header unless --no-header says otherwise",
    delimiter: b'\t',
    names: Names::Header,
};

pub(super) static SEMICOLON: Delimited = Delimited {
    name: "semicolon",
    endings: &[],
    summary: "as csv, but between semicolons",
    delimiter: b';',
    names: Names::Header,
};

pub(super) static INTER: Delimited = Delimited {
    name: "inter",
    endings: &[".inter"],
    summary: "fields between tabs, with a header of names and types, as RecBole has it (user_id:token)",
    delimiter: b'\t',
    names: Names::Typed,
};

pub(super) static U_DATA: Delimited = Delimited {
    name: "u.data",
    endings: &["u.data"],
    summary: "user, item, rating and time between tabs without a header, as MovieLens 100K has it",
    delimiter: b'\t',
    names: Names::Fixed(&["user", "item", "rating", "timestamp"]),
};

impl Reader for Delimited {
    fn name(&self) -> &'static str {
        self.name
    }

    fn endings(&self) -> &'static [&'static str] {
        self.endings
    }

    fn summary(&self) -> &'static str {
        self.summary
    }

    fn has_columns(&self) -> bool {
        !matches!(self.names, Names::Fixed(_))
    }

    fn read(&self, input: Input<'_>, rows: &mut Rows<'_>) -> Result<()> {
        let mut records = Records::new(Lines::new(input.into_text(rows.options.encoding)?, rows.sizes), self.delimiter);
        let Some(first) = records.advance()? else { return Ok(()) };
        let at = self.columns(&records, rows.options)?;
        records.check_breaks(&at)?;
        let parse = Plain::new(self.delimiter, records.len(), &at);
        let mut rounds = Rounds::default();
        let mut next = Ok(Some(first));
        if self.has_columns() && rows.options.columns.header {
            let timestamp = records.field(at[2]);
            if first.text(&timestamp).is_ok_and(|text| Time::parse(text).is_some()) {
                let expected = "a header that names the timestamp (or --no-header)";
                return Err(first.bad_row(expected, quoted(&timestamp)));
            }
            rows.has_header = true;
            next = records.advance();
        }
        loop {
            let taken = match next {
                Ok(None) => return Ok(()),
                Ok(Some(place)) => records.row(place, &at, rows),
                Err(error) => Err(error),
            };
            if let Err(error) = taken {
                // What the lines of a record with line breaks are is open, so none of them is a line to leave out.
                if !records.is_one_line() {
                    return Err(error);
                }
                rows.leave_out(error)?;
            }
            if let Some(parse) = &parse {
                rounds.take(records.lines(), parse, rows)?;
            }
            next = records.advance();
        }
    }
}

impl Delimited {
    /// Where the columns that are wanted stand, by the first record.
    fn columns(&self, records: &Records<'_>, options: &ReadOptions) -> Result<Vec<usize>> {
        let mut names: Vec<Cow<'_, [u8]>> = (0..records.len()).map(|position| records.field(position)).collect();
        let (mut options, file) = (Cow::Borrowed(options), records.file());
        match self.names {
            Names::Header => {}
            Names::Typed => {
                names = names.iter().map(|name| untyped(name).to_vec().into()).collect();
                let untyped = |name: &str| String::from_utf8_lossy(untyped(name.as_bytes())).into_owned();
                let options = options.to_mut();
                let Columns { user, item, timestamp, rating, .. } = &mut options.columns;
                for column in [user, item, timestamp, rating] {
                    if let columns::Column::Name(name) = column {
                        *name = untyped(name);
                    }
                }
                options.filters.iter_mut().for_each(|filter| filter.column = untyped(&filter.column));
            }
            Names::Fixed(fixed) if names.len() == fixed.len() => {
                names = fixed.iter().map(|name| Cow::Borrowed(name.as_bytes())).collect();
            }
            Names::Fixed(fixed) => {
                let expected = format!("{} fields: {}", fixed.len(), fixed.join(", "));
                return Err(records.bad_width(&expected));
            }
        }
        let semicolons = records.len() == 1 && records.field(0).contains(&b';') && self.delimiter == b',';
        let hint = if semicolons { ", and fields between semicolons are --format semicolon" } else { "" };
        columns::find(&options, &names, file, hint)
    }
}

/// A name in a header of RecBole's, without its type.
fn untyped(name: &[u8]) -> &[u8] {
    let name = trim_bytes(name);
    let types = [&b":token"[..], b":float", b":token_seq", b":float_seq"];
    types.iter().find_map(|kind| name.strip_suffix(*kind)).unwrap_or(name)
}

//! Parquet column by column, some thousand rows at a time.

use std::borrow::Cow;
use std::fs::File;
use std::io::{Seek, copy};

use parquet::basic::{ConvertedType, LogicalType, TimeUnit};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;

use super::super::columns;
use super::super::fields::Place;
use super::super::input::Input;
use super::super::rows::Rows;
use super::super::time::Time;
use crate::text::quoted;
use crate::{Error, Result};

/// Rows that are in memory at once.
const BATCH: usize = 8192;

/// A value.
enum Cell {
    Null,
    Text(ByteArray),
    Whole(i64),
    Unsigned(u64),
    Decimal(f64),
    Truth(bool),
    Time(Time),
}

/// What a column's numbers mean.
#[derive(Clone, Copy)]
enum Kind {
    Number,
    Unsigned,
    Days,
    /// Parts of a second.
    Parts(i64),
}

impl Kind {
    fn of(column: &ColumnDescriptor) -> Self {
        match column.logical_type_ref() {
            Some(LogicalType::Date) => return Self::Days,
            Some(LogicalType::Timestamp(time)) => {
                return Self::Parts(match time.unit {
                    TimeUnit::MILLIS => 1000,
                    TimeUnit::MICROS => 1_000_000,
                    TimeUnit::NANOS => 1_000_000_000,
                });
            }
            _ => {}
        }
        match column.converted_type() {
            ConvertedType::DATE => Self::Days,
            ConvertedType::TIMESTAMP_MILLIS => Self::Parts(1000),
            ConvertedType::TIMESTAMP_MICROS => Self::Parts(1_000_000),
            ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32 | ConvertedType::UINT_64 => {
                Self::Unsigned
            }
            _ => Self::Number,
        }
    }

    /// A number of 32 or 64 bits; `bits` are the same without its sign.
    fn cell(self, number: i64, bits: u64) -> Cell {
        match self {
            Self::Number => Cell::Whole(number),
            Self::Unsigned => Cell::Unsigned(bits),
            // Past all time where it is too large.
            Self::Days => Cell::Time(Time::Date(number.saturating_mul(86_400_000_000))),
            Self::Parts(1_000_000_000) => Cell::Time(Time::Date(number.div_euclid(1000))),
            Self::Parts(parts) => Cell::Time(Time::Date(number.saturating_mul(1_000_000 / parts))),
        }
    }
}

/// Gives all rows of a file to `rows`.
pub(super) fn read(input: Input<'_>, rows: &mut Rows<'_>) -> Result<()> {
    let name = input.name;
    let damaged = |error: ParquetError| Error::BadFile {
        file: name.into(),
        expected: "a Parquet file that can be read".into(),
        found: error.to_string(),
    };
    let reader = SerializedFileReader::new(file(input)?).map_err(damaged)?;
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    let names: Vec<String> = schema.columns().iter().map(|column| column.path().string()).collect();
    let at = columns::find(rows.options, &names, name, "")?;
    for &column in &at {
        if schema.column(column).max_rep_level() > 0 {
            let found = format!("the list {}", quoted(names[column].as_bytes()));
            return Err(Error::BadFile { file: name.into(), expected: "columns of single values".into(), found });
        }
    }
    rows.has_header = true;
    let mut place = Place { file: name, line: 0, encoding: "UTF-8" };
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(damaged)?;
        let mut readers =
            at.iter().map(|&column| group.get_column_reader(column)).collect::<Result<Vec<_>, _>>().map_err(damaged)?;
        loop {
            let cells = readers
                .iter_mut()
                .zip(&at)
                .map(|(reader, &column)| batch(reader, &schema.column(column)))
                .collect::<Result<Vec<_>, _>>()
                .map_err(damaged)?;
            let count = cells[0].len();
            if let Some(other) = cells.iter().find(|column| column.len() != count) {
                let found = format!("columns of {count} and {} rows", other.len());
                return Err(Error::BadFile { file: name.into(), expected: "columns of one length".into(), found });
            }
            for row in 0..count {
                place.line += 1;
                let time = match cells[2][row] {
                    Cell::Time(time) => Some(time),
                    _ => None,
                };
                let field = |k: usize| text(place, &cells[k][row], k);
                rows.take_at(place, field, time).or_else(|error| rows.leave_out(error))?;
            }
            if count == 0 {
                break;
            }
        }
    }
    Ok(())
}

/// What is packed or comes from a pipe is laid down in a temporary file: Parquet is read from its end.
fn file(mut input: Input<'_>) -> Result<File> {
    let unreadable = |source| Error::Io { file: input.name.into(), source };
    if input.on_disk {
        return File::open(input.name).map_err(unreadable);
    }
    let laid_down = tempfile::tempfile().and_then(|mut file| {
        copy(&mut input.bytes, &mut file)?;
        file.rewind()?;
        Ok(file)
    });
    laid_down.map_err(|source| Error::Io { file: input.name.into(), source })
}

/// The next values of a column.
fn batch(reader: &mut ColumnReader, column: &ColumnDescriptor) -> Result<Vec<Cell>, ParquetError> {
    let (kind, level) = (Kind::of(column), column.max_def_level());
    match reader {
        ColumnReader::BoolColumnReader(reader) => cells(reader, level, |&truth| Cell::Truth(truth)),
        ColumnReader::Int32ColumnReader(reader) => {
            cells(reader, level, |&number| kind.cell(number.into(), (number as u32).into()))
        }
        ColumnReader::Int64ColumnReader(reader) => cells(reader, level, |&number| kind.cell(number, number as u64)),
        ColumnReader::Int96ColumnReader(reader) => {
            cells(reader, level, |number| Cell::Time(Time::Date(number.to_micros())))
        }
        ColumnReader::FloatColumnReader(reader) => cells(reader, level, |&number| Cell::Decimal(number.into())),
        ColumnReader::DoubleColumnReader(reader) => cells(reader, level, |&number| Cell::Decimal(number)),
        ColumnReader::ByteArrayColumnReader(reader) => cells(reader, level, |text| Cell::Text(text.clone())),
        ColumnReader::FixedLenByteArrayColumnReader(reader) => {
            cells(reader, level, |text| Cell::Text(ByteArray::clone(text)))
        }
    }
}

fn cells<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    level: i16,
    cell: impl Fn(&T::T) -> Cell,
) -> Result<Vec<Cell>, ParquetError> {
    let (mut levels, mut values) = (Vec::new(), Vec::new());
    reader.read_records(BATCH, Some(&mut levels), None, &mut values)?;
    let mut values = values.iter().map(cell);
    if level == 0 {
        return Ok(values.collect());
    }
    let at = |&found: &i16| if found == level { values.next().unwrap_or(Cell::Null) } else { Cell::Null };
    Ok(levels.iter().map(at).collect())
}

/// A value as a text. Where a filter looks, nothing is an empty text.
fn text<'c>(place: Place<'_>, cell: &'c Cell, k: usize) -> Result<Cow<'c, [u8]>> {
    let owned = |text: String| Ok(Cow::Owned(text.into_bytes()));
    match cell {
        Cell::Text(text) => Ok(Cow::Borrowed(text.data())),
        Cell::Whole(number) => owned(number.to_string()),
        Cell::Unsigned(number) => owned(number.to_string()),
        Cell::Decimal(number) if k >= 2 => owned(number.to_string()),
        Cell::Truth(truth) if k >= 3 => owned(truth.to_string()),
        Cell::Null if k >= 3 => Ok(Cow::Borrowed(b"")),
        Cell::Null => Err(place.bad_row(format!("a value for {}", WHAT[k]), "none")),
        Cell::Time(_) if k == 2 => Ok(Cow::Borrowed(b"")),
        Cell::Decimal(_) | Cell::Truth(_) | Cell::Time(_) => {
            Err(place.bad_row("a text or a whole number", "a value of another type"))
        }
    }
}

/// What every row has.
const WHAT: [&str; 3] = ["the user", "the item", "the timestamp"];

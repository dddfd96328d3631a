//! The flags that say which data are streamed: files, how they are written, and which of their rows are kept.

use std::path::PathBuf;

use scall_gpu::run::DataConfig;
use scall_gpu::stream::{Column, Columns, Cut, Dedup, Encoding, Filter, Format, TimeUnit};

use super::setup::parse;

/// Flags of data.
#[derive(clap::Args, Debug)]
pub struct DataFlags {
    /// Files, folders, patterns, or - [default: the embedded sample]
    ///
    /// Interactions to stream: files, folders, patterns such as '2024-*.csv.gz', or - for standard input. The sample is
    /// a year of grocery purchases.
    ///
    /// Several files are one stream, sorted by time; those of a folder or a pattern come in the order of their names.
    /// Files that are packed by gzip, zstd or bzip2 are unpacked, whatever their names. How a --config says that files
    /// are written, and which rows are kept, does not count for other files.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub data: Vec<PathBuf>,

    /// How the files are written [default: by their names]
    #[arg(long, value_name = "FORMAT", long_help = format_help())]
    pub format: Option<String>,

    /// Names or positions of columns [default: the usual names]
    #[arg(long, value_name = "U,I,T", value_parser = parse_columns, long_help = columns_help())]
    pub columns: Option<Columns>,

    /// The file has no header line (columns by position)
    #[arg(long, requires = "columns")]
    pub no_header: bool,

    /// Encoding of text, such as latin1 or utf-16le [default: utf-8]
    ///
    /// Any name that the WHATWG Encoding Standard has, windows-1251 and gbk among them.
    #[arg(long, value_name = "NAME", value_parser = parse::<Encoding>)]
    pub encoding: Option<Encoding>,

    /// Unit of times in numbers: s, ms, us, ns or auto [default: auto]
    ///
    /// auto takes the unit that the size of the first time suggests. Dates are read as well: 2024-02-29, 2024-02-29
    /// 13:05:00, 2024-02-29T13:05:00.5+01:00.
    #[arg(long, value_name = "UNIT", value_parser = parse::<TimeUnit>)]
    pub time_unit: Option<TimeUnit>,

    /// Keep rows with this rating or a better one
    #[arg(long, value_name = "NUMBER", value_parser = parse_finite)]
    pub min_rating: Option<f64>,

    /// Rows with this rating or a better one are clicks [default: all rows]
    ///
    /// Others are kept as non-clicks: what a user was shown and did not like. They count for sizes and are not
    /// recommended, but nothing learns them as taken, and none is right in a list. The rating is the column with a
    /// usual name, or the fourth of --columns.
    #[arg(long, value_name = "NUMBER", value_parser = parse_finite)]
    pub clicks: Option<f64>,

    /// Keep rows with this value in a column
    ///
    /// Several values of one column are alternatives; several columns all count.
    #[arg(long = "where", value_name = "COLUMN=VALUE", value_parser = parse::<Filter>)]
    pub filters: Vec<Filter>,

    /// Keep users and items with at least this number of rows
    ///
    /// Counted again until all that are left have them. It looks at the whole stream, its end included.
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u32).range(1..))]
    pub k_core: Option<u32>,

    /// Keep all rows of a user and an item, or the first [default: all]
    #[arg(long, value_name = "first|all", value_parser = parse::<Dedup>)]
    pub dedup: Option<Dedup>,

    /// Bad lines that are left out; more are an error [default: 0]
    ///
    /// They are counted, and the first is shown.
    #[arg(long, value_name = "LINES")]
    pub skip_bad: Option<u32>,

    /// Where to cut: equal=10 or new=15000 [default: equal=10]
    ///
    /// equal: that number of segments of one length; new: a segment ends after more new users and items than that.
    #[arg(long, value_name = "CUT", value_parser = parse::<Cut>)]
    pub segments: Option<Cut>,
}

impl DataFlags {
    /// Puts what the flags say over what was said before.
    pub fn put(&self, data: &mut DataConfig) {
        if !self.data.is_empty() {
            // How other files are written says nothing of these.
            *data = DataConfig { path: self.data.clone(), segments: data.segments, ..DataConfig::default() };
        }
        if let Some(columns) = &self.columns {
            data.columns = Columns { header: !self.no_header, ..columns.clone() };
        }
        data.format = self.format.clone().or(data.format.take());
        data.encoding = self.encoding.unwrap_or(data.encoding);
        data.time_unit = self.time_unit.unwrap_or(data.time_unit);
        data.min_rating = self.min_rating.or(data.min_rating);
        data.clicks = self.clicks.or(data.clicks);
        if !self.filters.is_empty() {
            data.r#where.clone_from(&self.filters);
        }
        data.k_core = self.k_core.or(data.k_core);
        data.dedup = self.dedup.unwrap_or(data.dedup);
        data.skip_bad = self.skip_bad.unwrap_or(data.skip_bad);
        data.segments = self.segments.unwrap_or(data.segments);
    }
}

fn format_help() -> String {
    let line = |format: &Format| format!("- {}: {}\n", format.name(), format.summary());
    format!(
        "How the files are written [default: by their names, before .gz, .zst or .bz2]:\n{}\n\
         White space of any kind, byte order marks and other characters that cannot be seen are trimmed around every \
         field. Within an id white space is text, and the others are an error, as control characters are everywhere. \
         In a CSV quotes are those of RFC 4180, and a line break may stand in quotes in a column that is not read; \
         between tabs quotes are text, but around a whole field.",
        Format::ALL.iter().map(line).collect::<String>()
    )
}

fn columns_help() -> String {
    let line = |(kind, names): (&str, String)| format!("- {kind}: {names}\n");
    format!(
        "Columns as user,item,timestamp, or with the rating as a fourth: names, or positions from 0; in JSON keys, and \
         user.id for the key id within user [default: the usual names]:\n{}\n\
         Case, spaces, _ and - do not count in usual names. A name that the header has twice is an error, for a \
         position to decide.",
        Column::usual_names().into_iter().map(line).collect::<String>()
    )
}

fn parse_columns(text: &str) -> Result<Columns, String> {
    let column = |name: &str| match name.trim() {
        "" => Err("expected a name or a position, found nothing between two commas".to_owned()),
        name => Ok(name.parse().map_or_else(|_| Column::Name(name.to_owned()), Column::Position)),
    };
    let columns = text.split(',').map(column).collect::<Result<Vec<_>, _>>()?;
    let count = columns.len();
    let mut columns = columns.into_iter();
    match (count, columns.next(), columns.next(), columns.next()) {
        (3 | 4, Some(user), Some(item), Some(timestamp)) => {
            Ok(Columns { user, item, timestamp, rating: columns.next().unwrap_or_default(), header: true })
        }
        _ => Err(format!("expected user,item,timestamp, with the rating as a fourth if wanted, found {count} columns")),
    }
}

fn parse_finite(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err(format!("expected a number, found {text:?}")),
    }
}

//! Which columns of a file are read, and where they are found.

use std::path::Path;

use super::ReadOptions;
use crate::text::{quoted, quoted_up_to, trim_bytes};
use crate::{Error, Result};

/// Characters of a header that an error shows.
const HEADER: usize = 400;

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
    /// The time.
    pub timestamp: Column,
    /// A number. It is only read where a least rating is wanted, or where ratings tell clicks from non-clicks.
    pub rating: Column,
    /// Whether the first line names the columns. Without it all that are read must be positions.
    pub header: bool,
}

impl Default for Columns {
    fn default() -> Self {
        let [user, item, timestamp, rating] = [const { Column::Usual }; 4];
        Self { user, item, timestamp, rating, header: true }
    }
}

/// One column of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Column {
    /// The column with one of these names; case, `_`, `-` and spaces do not count, so `userId` is `user_id`. Those
    /// after the semicolon are taken where none of the others is there.
    /// - user: user, user_id, uid, customer_id, household_id, visitor_id, reviewer_id, username; author_id
    /// - item: item, item_id, movie_id, product_id, parent_asin, business_id, app_id, article_id, video_id, track_id,
    ///   artist_id, location_id; asin
    /// - timestamp: timestamp, time, ts, time_ms, unix_seconds, unix_time, unix_review_time, event_time, t_dat; date,
    ///   datetime, created_at
    /// - rating: rating, stars, overall, score
    #[default]
    Usual,
    /// The column with exactly this name. In JSON `user.id` is the value `id` within `user`.
    Name(String),
    /// The column at this position, counted from 0.
    Position(usize),
}

/// The usual names of one thing: those that are looked for first, and those after them.
type Usual = [&'static [&'static str]; 2];

/// What each of the four columns is called.
const USUAL: [(&str, Usual); 4] = [
    (
        "user",
        [
            &["user", "user_id", "uid", "customer_id", "household_id", "visitor_id", "reviewer_id", "username"],
            &["author_id"],
        ],
    ),
    (
        "item",
        [
            &[
                "item",
                "item_id",
                "movie_id",
                "product_id",
                "parent_asin",
                "business_id",
                "app_id",
                "article_id",
                "video_id",
                "track_id",
                "artist_id",
                "location_id",
            ],
            &["asin"],
        ],
    ),
    (
        "timestamp",
        [
            &[
                "timestamp",
                "time",
                "ts",
                "time_ms",
                "unix_seconds",
                "unix_time",
                "unix_review_time",
                "event_time",
                "t_dat",
            ],
            &["date", "datetime", "created_at"],
        ],
    ),
    ("rating", [&["rating", "stars", "overall", "score"], &[]]),
];

impl Column {
    /// The usual names of users, items, times and ratings, as a help lists them.
    pub fn usual_names() -> [(&'static str, String); 4] {
        USUAL.map(|(kind, names)| (kind, names.concat().join(", ")))
    }
}

/// A column that a reader looks for.
pub(super) struct Wanted<'o> {
    /// What it holds, for errors.
    pub kind: String,
    pub column: WantedColumn<'o>,
}

/// Where it may be.
pub(super) enum WantedColumn<'o> {
    Usual(Usual),
    Name(&'o str),
    Position(usize),
    /// The column of a filter: a name, or else a position.
    Either(&'o str),
}

/// What a reader looks for: user, item, time, a rating where one is wanted, and the columns of filters.
pub(super) fn wanted(options: &ReadOptions) -> Vec<Wanted<'_>> {
    let Columns { user, item, timestamp, rating, .. } = &options.columns;
    let ids = [user, item, timestamp].into_iter();
    let columns = ids.chain(options.reads_ratings().then_some(rating)).zip(USUAL);
    let named = columns.map(|(column, (kind, usual))| Wanted {
        kind: format!("the {kind}"),
        column: match column {
            Column::Usual => WantedColumn::Usual(usual),
            Column::Name(name) => WantedColumn::Name(name),
            &Column::Position(position) => WantedColumn::Position(position),
        },
    });
    let filters = options.filters.iter().map(|filter| Wanted {
        kind: format!("what {} asks for", quoted(filter.to_string().as_bytes())),
        column: WantedColumn::Either(&filter.column),
    });
    named.chain(filters).collect()
}

/// Where the columns that are wanted stand, counted from 0, given the names that the file has for them: those of its
/// header, or its first row. `hint` ends the error for names that are missing.
///
/// # Errors
/// [`Error::BadFile`] for a column that is not there, or is there twice; [`Error::Argument`] for names without a
/// header.
pub(super) fn find(options: &ReadOptions, first: &[impl AsRef<[u8]>], file: &Path, hint: &str) -> Result<Vec<usize>> {
    let found = wanted(options)
        .iter()
        .map(|wanted| find_one(wanted, first, options.columns.header, file, hint))
        .collect::<Result<Vec<usize>>>()?;
    if let &[user, item, timestamp, ..] = &found[..]
        && (user == item || user == timestamp || item == timestamp)
    {
        return Err(Error::BadFile {
            file: file.into(),
            expected: "user, item and timestamp in three columns".into(),
            found: format!("them in columns {user}, {item} and {timestamp}, counted from 0"),
        });
    }
    Ok(found)
}

/// The same for one column.
pub(super) fn find_one(
    wanted: &Wanted<'_>,
    names: &[impl AsRef<[u8]>],
    header: bool,
    file: &Path,
    hint: &str,
) -> Result<usize> {
    let first: Vec<&[u8]> = names.iter().map(|name| trim_bytes(name.as_ref())).collect();
    let kind = &wanted.kind;
    let bad = |expected, found| Error::BadFile { file: file.into(), expected, found };
    let at = |position: usize| (position..first.len()).take(1).collect::<Vec<_>>();
    let named = |name: &str| {
        let is_named = |&at: &usize| first[at] == trim_bytes(name.as_bytes());
        (0..first.len()).filter(is_named).collect::<Vec<_>>()
    };
    let (matches, expected): (Vec<usize>, _) = match wanted.column {
        WantedColumn::Position(position) => (at(position), format!("{kind} in column {position}, counted from 0")),
        WantedColumn::Either(name) => {
            let position = name.parse().map(at).unwrap_or_default();
            let by_name = if header { named(name) } else { Vec::new() };
            let found = if by_name.is_empty() { position } else { by_name };
            (found, format!("a column {} with {kind}", quoted(name.as_bytes())))
        }
        _ if !header => {
            return Err(Error::Argument {
                op: "stream/read",
                arg: "columns",
                expected: "positions (--columns 0,1,2), as the file has no header".into(),
                got: format!("{kind} by name"),
            });
        }
        WantedColumn::Name(name) => (named(name), format!("a column {} with {kind}", quoted(name.as_bytes()))),
        WantedColumn::Usual(usual) => {
            let of = |names: &[&str]| {
                let is_named = |&at: &usize| names.iter().any(|name| plain(first[at]) == plain(name.as_bytes()));
                (0..first.len()).filter(is_named).collect::<Vec<_>>()
            };
            let found = Some(of(usual[0])).filter(|found| !found.is_empty()).unwrap_or_else(|| of(usual[1]));
            (found, format!("a column with {kind}, named {}", usual.concat().join(", ")))
        }
    };
    match matches[..] {
        [position] => Ok(position),
        [] => {
            let columns = quoted_up_to(HEADER, &first.join(&b", "[..]));
            Err(bad(expected, format!("the columns {columns}; others can be named (--columns){hint}")))
        }
        [..] => {
            let names = matches.iter().map(|&at| format!("{} in column {at}", quoted(first[at])));
            let found = format!("{}, counted from 0", names.collect::<Vec<_>>().join(" and "));
            let expected = format!("one column with {kind}, or the choice of one by name or position (--columns)");
            Err(bad(expected, found))
        }
    }
}

/// A column's name as it is compared: lower case, without separators.
pub(super) fn plain(name: &[u8]) -> Vec<u8> {
    let letters = name.iter().filter(|byte| !b"_- \t\r".contains(byte));
    letters.map(u8::to_ascii_lowercase).collect()
}

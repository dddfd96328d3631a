//! Configurations as TOML and JSON.

use std::fmt;
use std::marker::PhantomData;
use std::path::Path;
use std::str::FromStr;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::check::bad;
use super::{Config, DeviceChoice};
use crate::kernels::table::optimizer::{NonFinite, Optimizer};
use crate::models::RateSchedule;
use crate::run::Replay;
use crate::sizing::{Amount, Distribution};
use crate::stream::{Column, Columns, Cut, Dedup, Encoding, Filter, TimeUnit};
use crate::{Error, Result};

/// A value that is written as its text.
struct Text<T>(PhantomData<T>);

impl<T: FromStr<Err = Error>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(refused)
    }
}

/// The error for a value that is none of its type: in serde's own words, which `wrong` takes apart again.
fn refused<E: serde::de::Error>(error: Error) -> E {
    match error {
        Error::Argument { expected, got, .. } => E::custom(format!("invalid value: {got}, expected {expected}")),
        other => E::custom(other),
    }
}

/// Types that are written as their text. They are here, on the top floor, so that nothing below knows of files.
macro_rules! by_text {
    ($($type:ty),+) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Text(PhantomData))
            }
        }
    )+};
}

by_text!(
    Amount,
    Cut,
    Dedup,
    DeviceChoice,
    Distribution,
    Encoding,
    Filter,
    NonFinite,
    Optimizer,
    RateSchedule,
    TimeUnit
);

/// How values are stored, by name.
pub(super) mod format {
    use super::*;
    use crate::rows::Format;

    pub fn serialize<S: Serializer>(format: &Option<Format>, serializer: S) -> Result<S::Ok, S::Error> {
        format.map(Format::name).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Format>, D::Error> {
        deserializer.deserialize_str(Text(PhantomData)).map(Some)
    }
}

/// List lengths, as a list.
pub(super) mod cutoffs {
    use super::*;
    use crate::eval::Cutoffs;

    pub fn are_usual(cutoffs: &Cutoffs) -> bool {
        *cutoffs == Cutoffs::default()
    }

    pub fn serialize<S: Serializer>(cutoffs: &Cutoffs, serializer: S) -> Result<S::Ok, S::Error> {
        cutoffs.as_slice().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cutoffs, D::Error> {
        Cutoffs::new(Vec::deserialize(deserializer)?).map_err(refused)
    }
}

/// One path, or a list of them.
pub(super) mod paths {
    use std::path::PathBuf;

    use serde::de::SeqAccess;

    use super::*;

    pub fn serialize<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
        match paths {
            [path] => path.serialize(serializer),
            paths => paths.serialize(serializer),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
        deserializer.deserialize_any(Paths)
    }

    struct Paths;

    impl<'de> Visitor<'de> for Paths {
        type Value = Vec<PathBuf>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a path or a list of paths")
        }

        fn visit_str<E: serde::de::Error>(self, path: &str) -> Result<Vec<PathBuf>, E> {
            Ok(vec![path.into()])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut paths: A) -> Result<Vec<PathBuf>, A::Error> {
            let mut all = Vec::new();
            while let Some(path) = paths.next_element()? {
                all.push(path);
            }
            Ok(all)
        }
    }
}

/// Text as it is read elsewhere, or the part of a segment's rows as a number.
impl Serialize for Replay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Sample { share } => serializer.serialize_f64(share),
            other => serializer.collect_str(&other),
        }
    }
}

impl<'de> Deserialize<'de> for Replay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReplayForm)
    }
}

struct ReplayForm;

impl Visitor<'_> for ReplayForm {
    type Value = Replay;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(r#""all", "recent=COUNT" or a number from 0 to 1"#)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Replay, E> {
        match text.parse() {
            Ok(replay @ (Replay::All | Replay::Recent { .. })) => Ok(replay),
            _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
        }
    }

    fn visit_f64<E: serde::de::Error>(self, share: f64) -> Result<Replay, E> {
        Ok(Replay::Sample { share })
    }

    fn visit_i64<E: serde::de::Error>(self, share: i64) -> Result<Replay, E> {
        Ok(Replay::Sample { share: share as f64 })
    }

    fn visit_u64<E: serde::de::Error>(self, share: u64) -> Result<Replay, E> {
        Ok(Replay::Sample { share: share as f64 })
    }
}

/// The form of [`Columns`]: each column a name or a position, the usual ones left out.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Columns", deny_unknown_fields)]
pub(super) struct ColumnsForm {
    #[serde(default, skip_serializing_if = "is_usual")]
    user: Column,
    #[serde(default, skip_serializing_if = "is_usual")]
    item: Column,
    #[serde(default, skip_serializing_if = "is_usual")]
    timestamp: Column,
    #[serde(default, skip_serializing_if = "is_usual")]
    rating: Column,
    #[serde(default = "with_header")]
    header: bool,
}

fn with_header() -> bool {
    Columns::default().header
}

fn is_usual(column: &Column) -> bool {
    *column == Column::Usual
}

impl Serialize for Column {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Usual => serializer.serialize_none(),
            Self::Name(name) => serializer.serialize_str(name),
            Self::Position(position) => serializer.serialize_u64(*position as u64),
        }
    }
}

impl<'de> Deserialize<'de> for Column {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ColumnForm)
    }
}

struct ColumnForm;

impl Visitor<'_> for ColumnForm {
    type Value = Column;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a column's name, or its position from 0")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Column, E> {
        Ok(Column::Name(name.to_owned()))
    }

    fn visit_u64<E: serde::de::Error>(self, position: u64) -> Result<Column, E> {
        usize::try_from(position)
            .map(Column::Position)
            .map_err(|_| E::invalid_value(serde::de::Unexpected::Unsigned(position), &self))
    }

    fn visit_i64<E: serde::de::Error>(self, position: i64) -> Result<Column, E> {
        let wrong = |_| E::invalid_value(serde::de::Unexpected::Signed(position), &self);
        u64::try_from(position).map_err(wrong).and_then(|position| ColumnForm.visit_u64(position))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Column, E> {
        Ok(Column::Usual)
    }
}

impl Config {
    /// Reads TOML. What is left out is as in [`Config::default`].
    ///
    /// # Errors
    /// [`Error::BadConfig`] with the line for what is no TOML, for a key that there is not, and for a value of another
    /// type or form. Numbers are for [`check`](Self::check).
    pub fn from_toml(text: &str) -> Result<Self> {
        let line = |error: &toml::de::Error| error.span().map(|span| line_of(text, span.start));
        let no_toml = |error: toml::de::Error| wrong("TOML", String::new(), line(&error), error.message());
        let parsed = toml::Deserializer::parse(text).map_err(no_toml)?;
        serde_path_to_error::deserialize(parsed)
            .map_err(|error| wrong("TOML", key_of(error.path()), line(error.inner()), error.inner().message()))
    }

    /// Reads JSON. What is left out is as in [`Config::default`].
    ///
    /// # Errors
    /// Those of [`from_toml`](Self::from_toml).
    pub fn from_json(text: &str) -> Result<Self> {
        let line = |error: &serde_json::Error| Some(error.line() as u64).filter(|&line| line > 0);
        let mut parsed = serde_json::Deserializer::from_str(text);
        let config = serde_path_to_error::deserialize(&mut parsed).map_err(|error| {
            let key = if error.inner().is_data() { key_of(error.path()) } else { String::new() };
            wrong("JSON", key, line(error.inner()), without_place(&error.inner().to_string()))
        })?;
        let after =
            |error: serde_json::Error| wrong("JSON", String::new(), line(&error), without_place(&error.to_string()));
        parsed.end().map_err(after)?;
        Ok(config)
    }

    /// Reads a file: JSON where its name ends in `.json`, else TOML.
    ///
    /// # Errors
    /// [`Error::Io`] for a file that cannot be read; those of [`from_toml`](Self::from_toml), with the file.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|source| Error::Io { file: path.to_owned(), source })?;
        let json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
        let found = if json { Self::from_json(&text) } else { Self::from_toml(&text) };
        found.map_err(|error| match error {
            Error::BadConfig { line, key, expected, found, .. } => {
                Error::BadConfig { file: Some(path.to_owned()), line, key, expected, found }
            }
            other => other,
        })
    }

    /// Writes TOML that [`from_toml`](Self::from_toml) reads as the same configuration.
    ///
    /// # Errors
    /// Those of [`check`](Self::check); [`Error::BadConfig`] for a seed past 2^63 - 1, the largest whole number that
    /// every reader of TOML takes, and for a path that is no text.
    pub fn to_toml(&self) -> Result<String> {
        self.check()?;
        let most = i64::MAX as u64;
        if self.seed > most {
            return Err(bad("seed", format!("at most {most} in TOML"), self.seed.to_string()));
        }
        toml::to_string(self).map_err(|error| self.unwritable(&error))
    }

    /// Writes JSON that [`from_json`](Self::from_json) reads as the same configuration.
    ///
    /// # Errors
    /// Those of [`check`](Self::check); [`Error::BadConfig`] for a path that is no text.
    pub fn to_json(&self) -> Result<String> {
        self.check()?;
        serde_json::to_string_pretty(self).map_err(|error| self.unwritable(&error))
    }

    /// A path is all that has no form.
    fn unwritable(&self, error: &dyn fmt::Display) -> Error {
        bad("data.path", "a path that is UTF-8".to_owned(), error.to_string())
    }
}

/// The line of a place in a text, from 1.
fn line_of(text: &str, place: usize) -> u64 {
    text.as_bytes()[..place.min(text.len())].iter().filter(|&&byte| byte == b'\n').count() as u64 + 1
}

/// A path as keys have it; empty at the top.
fn key_of(path: &serde_path_to_error::Path) -> String {
    if path.iter().next().is_none() { String::new() } else { path.to_string() }
}

/// What serde_json says, without the place that it ends with.
fn without_place(message: &str) -> &str {
    message.rfind(" at line ").map_or(message, |end| &message[..end])
}

/// What serde calls by the names of Rust's types, as someone says it who writes a file.
fn in_words(expected: &str) -> &str {
    match expected {
        "u32" | "u64" | "usize" => "a whole number of at least 0 that is not too large",
        "f32" | "f64" => "a number",
        "a sequence" => "a list",
        other if other.starts_with("struct ") => "a table of keys",
        other => other,
    }
}

/// The error that a parser's message becomes: it names what it found, then what it expected.
fn wrong(language: &str, key: String, line: Option<u64>, message: &str) -> Error {
    let kinds = ["invalid type: ", "invalid value: ", "invalid length "];
    let (expected, found) = match message.split_once(", expected ") {
        Some((found, expected)) if found.starts_with("unknown field ") => {
            (expected.to_owned(), found.replacen("unknown field", "the key", 1))
        }
        Some((found, expected)) if kinds.iter().any(|kind| found.starts_with(kind)) => {
            let found = kinds.iter().fold(found, |found, kind| found.strip_prefix(kind).unwrap_or(found));
            (in_words(expected).to_owned(), found.to_owned())
        }
        _ => (format!("well-formed {language}"), message.trim_end().to_owned()),
    };
    Error::BadConfig { file: None, line, key, expected, found }
}

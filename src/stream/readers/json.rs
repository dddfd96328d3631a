//! JSON lines: an object a line, as Amazon and Yelp have them.
//!
//! A column is a key, or a way into nested objects: `user.id` is the value `id` of the object `user`, unless there is a
//! key `user.id`. Ids are texts or whole numbers; a number of other kinds would not be the same text for everybody.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::ahead::{Ahead, Parse, Rounds};
use super::columns::{self, Wanted, WantedColumn};
use super::fields::Place;
use super::input::Input;
use super::lines::Lines;
use super::rows::{Rows, Take};
use super::{Columns, Reader, ahead};
use crate::text::{quoted, trim_bytes};
use crate::{Error, Result};

/// The reader.
pub(super) struct JsonLines;

type Object = Map<String, Value>;

impl Reader for JsonLines {
    fn name(&self) -> &'static str {
        "json"
    }

    fn endings(&self) -> &'static [&'static str] {
        &[".json", ".jsonl", ".ndjson"]
    }

    fn summary(&self) -> &'static str {
        "JSON lines, an object a line; --columns user.id,item.id,ts reads nested keys"
    }

    fn read(&self, input: Input<'_>, rows: &mut Rows<'_>) -> Result<()> {
        let wanted = columns::wanted(rows.options);
        let mut lines = Lines::new(input.into_text(rows.options.encoding)?, rows.sizes);
        let mut keys: Option<Vec<String>> = None;
        let mut rounds = Rounds::default();
        loop {
            if let Some(keys) = &keys {
                rounds.take(&mut lines, &Row { wanted: &wanted, keys }, rows)?;
            }
            let taken = match lines.next_record() {
                Ok(None) => return Ok(()),
                Ok(Some(place)) => object(place, lines.record()).and_then(|object| {
                    let keys = match &keys {
                        Some(keys) => keys,
                        None => keys.insert(keys_of(&wanted, &object, place, &rows.options.columns)?),
                    };
                    Row { wanted: &wanted, keys }.take(place, &object, rows)
                }),
                Err(error) => Err(error),
            };
            if let Err(error) = taken {
                rows.leave_out(error)?;
            }
        }
    }
}

/// The row of a line, given the keys of what is wanted.
struct Row<'k> {
    wanted: &'k [Wanted<'k>],
    keys: &'k [String],
}

impl Row<'_> {
    fn take(&self, place: Place<'_>, object: &Object, rows: &mut impl Take) -> Result<()> {
        rows.take(place, |k| field(place, object, &self.keys[k], &self.wanted[k].kind, k))
    }
}

impl Parse for Row<'_> {
    fn record(&self, place: Place<'_>, text: &[u8], rows: &mut Ahead<'_, '_>) -> Option<(usize, u64)> {
        ahead::line(text, |line| self.take(place, &object(place, line)?, rows))
    }
}

/// The object of a line.
fn object(place: Place<'_>, record: &[u8]) -> Result<Object> {
    let text = place.text(record)?;
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(place.bad_row("a JSON object in each line", quoted(text.as_bytes()))),
        Err(error) => {
            let found = format!("{} ({})", quoted(text.as_bytes()), in_line(&error.to_string()));
            Err(place.bad_row("a JSON object in each line", found))
        }
    }
}

/// What serde_json says, without its line, which is always the first.
fn in_line(message: &str) -> String {
    message.replace(" at line 1 column", " at column")
}

/// The keys of what is wanted. Usual names are looked for in the first object, and are the same in all others.
fn keys_of(wanted: &[Wanted<'_>], object: &Object, place: Place<'_>, columns: &Columns) -> Result<Vec<String>> {
    let names: Vec<&str> = object.keys().map(String::as_str).collect();
    let key = |wanted: &Wanted<'_>| match wanted.column {
        WantedColumn::Name(name) | WantedColumn::Either(name) => Ok(name.to_owned()),
        WantedColumn::Position(position) => Err(Error::Argument {
            op: "stream/read",
            arg: "columns",
            expected: "keys, as JSON has no positions".into(),
            got: format!("{} in column {position}", wanted.kind),
        }),
        WantedColumn::Usual(_) => {
            let at = columns::find_one(wanted, &names, true, place.file, "")?;
            Ok(names[at].to_owned())
        }
    };
    if columns.header {
        return wanted.iter().map(key).collect();
    }
    let (expected, got) = ("a header, as JSON names its values".to_owned(), "none".to_owned());
    Err(Error::Argument { op: "stream/read", arg: "columns", expected, got })
}

/// The value of a key, as a text. The first three are those that every row needs.
fn field<'v>(place: Place<'_>, object: &'v Object, key: &str, kind: &str, k: usize) -> Result<Cow<'v, [u8]>> {
    let needed = k < 3;
    match find(object, key) {
        Some(Value::String(text)) => Ok(Cow::Borrowed(text.as_bytes())),
        Some(Value::Number(number)) if k < 2 && number.is_f64() => {
            let expected = format!("a text or a whole number of at most 64 bits as {kind}");
            Err(place.bad_row(expected, number.to_string()))
        }
        Some(Value::Number(number)) => Ok(Cow::Owned(number.to_string().into_bytes())),
        Some(Value::Bool(value)) if !needed => Ok(Cow::Owned(value.to_string().into_bytes())),
        // A row without the value is none that a filter asks for.
        None | Some(Value::Null) if !needed => Ok(Cow::Borrowed(b"")),
        other => {
            let found = match other {
                None => {
                    format!("the keys {}", quoted(object.keys().cloned().collect::<Vec<_>>().join(", ").as_bytes()))
                }
                Some(value) => quoted(value.to_string().as_bytes()),
            };
            Err(place.bad_row(format!("{kind} as the value of {}", quoted(key.as_bytes())), found))
        }
    }
}

/// The value of a key, or of a way through nested objects.
fn find<'v>(object: &'v Object, key: &str) -> Option<&'v Value> {
    let bare = || object.keys().find(|name| trim_bytes(name.as_bytes()) == key.as_bytes());
    if let Some(value) = object.get(key) {
        return Some(value);
    }
    match key.split_once('.') {
        Some((first, rest)) => find(object.get(first)?.as_object()?, rest),
        None => object.get(bare()?),
    }
}

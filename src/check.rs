//! Argument checks that many kernels share.

use crate::{Error, Result};

/// `arg` must have exactly `expected` elements.
pub(crate) fn len(op: &'static str, arg: &'static str, got: usize, expected: u64) -> Result<()> {
    if got as u64 == expected {
        return Ok(());
    }
    Err(Error::Shape { op, arg, expected, got: got as u64 })
}

/// `arg` must have at least `expected` elements.
pub(crate) fn at_least(op: &'static str, arg: &'static str, got: usize, expected: u64) -> Result<()> {
    if got as u64 >= expected {
        return Ok(());
    }
    len(op, arg, got, expected)
}

/// Indices are u32: `requested` elements must be addressable.
pub(crate) fn indexable(op: &'static str, arg: &'static str, requested: u64) -> Result<()> {
    below_2_32(op, arg, "32-bit index", requested)
}

/// `requested` must be a u32; `limit` says what holds it.
pub(crate) fn below_2_32(op: &'static str, arg: &'static str, limit: &'static str, requested: u64) -> Result<()> {
    let allowed = u64::from(u32::MAX);
    if requested <= allowed {
        return Ok(());
    }
    Err(Error::Limit { op, arg, limit, allowed, requested })
}

/// `arg` must have `rows` rows of `width` values.
pub(crate) fn matrix(op: &'static str, arg: &'static str, got: usize, rows: u64, width: u32) -> Result<()> {
    let expected = rows * u64::from(width);
    indexable(op, arg, expected)?;
    len(op, arg, got, expected)
}

/// A workspace must have at least `needed` words.
pub(crate) fn workspace(op: &'static str, got: usize, needed: u64) -> Result<()> {
    indexable(op, "workspace", needed)?;
    at_least(op, "workspace", got, needed)
}

/// The one of `all` that has a name.
pub(crate) fn named<T: Copy>(
    op: &'static str,
    arg: &'static str,
    all: &[T],
    name: impl Fn(T) -> &'static str,
    text: &str,
) -> Result<T> {
    all.iter().copied().find(|&one| name(one) == text).ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|&one| name(one)).collect();
        unreadable(op, arg, format!("one of {}", names.join(", ")), text)
    })
}

/// Displays an enum that has `ALL` and `name` by its name, and reads it from that; `arg` is the argument of errors.
macro_rules! by_name {
    ($name:ident, $op:literal, $arg:literal) => {
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::Error;

            fn from_str(text: &str) -> $crate::Result<Self> {
                $crate::check::named($op, $arg, &Self::ALL[..], Self::name, text)
            }
        }
    };
}
pub(crate) use by_name;

/// `value` must satisfy its domain, given in words.
pub(crate) fn domain(
    op: &'static str,
    arg: &'static str,
    value: impl std::fmt::Display,
    ok: bool,
    expected: &str,
) -> Result<()> {
    if ok {
        return Ok(());
    }
    Err(Error::Argument { op, arg, expected: expected.to_owned(), got: value.to_string() })
}

/// The error for a name that is none of these.
pub(crate) fn unknown(op: &'static str, names: &[&str], name: &str) -> Error {
    unreadable(op, "name", format!("one of {}", names.join(", ")), name)
}

/// The error for text that cannot be read as what was expected; it shows that text in quotes.
pub(crate) fn unreadable(op: &'static str, arg: &'static str, expected: impl Into<String>, text: &str) -> Error {
    Error::Argument { op, arg, expected: expected.into(), got: format!("{text:?}") }
}

/// The number of rows that an offsets buffer of `n + 1` elements describes.
pub(crate) fn rows(op: &'static str, arg: &'static str, offsets: usize) -> Result<u32> {
    at_least(op, arg, offsets, 1)?;
    indexable(op, arg, offsets as u64)?;
    Ok(offsets as u32 - 1)
}

/// `offsets` must never fall and end within `len` elements.
pub(crate) fn offsets(op: &'static str, arg: &'static str, offsets: &[u32], len: usize) -> Result<()> {
    let falls = offsets.windows(2).position(|pair| pair[0] > pair[1]);
    let end = offsets.last().copied().unwrap_or(0);
    let found = match falls {
        Some(i) => format!("{} before {} at {i}", offsets[i], offsets[i + 1]),
        None => format!("an end at {end}"),
    };
    let expected = format!("never falling, with an end at most {len}");
    domain(op, arg, found, falls.is_none() && end as usize <= len, &expected)
}

/// The values between the offsets of a row. For kernels that read few of many rows, where checking all [`offsets`]
/// would take longer than the rest.
#[inline(always)]
pub(crate) fn stretch<'a>(
    op: &'static str,
    arg: &'static str,
    offsets: &[u32],
    row: usize,
    values: &'a [u32],
) -> Result<&'a [u32]> {
    let [begin, end] = [offsets[row], offsets[row + 1]];
    values.get(begin as usize..end as usize).ok_or_else(|| Error::Argument {
        op,
        arg,
        expected: format!("never falling, with an end at most {}", values.len()),
        got: format!("{begin} and {end} at {row}"),
    })
}

/// An output width must leave a lane's loop within [`MAX_TRIPS`](super::MAX_TRIPS).
pub(crate) fn dims(op: &'static str, dims: u32) -> Result<()> {
    let allowed = 1 << 16;
    if dims <= allowed {
        return Ok(());
    }
    Err(Error::Limit { op, arg: "dims", limit: "widest row", allowed: allowed.into(), requested: dims.into() })
}

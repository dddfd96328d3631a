//! How much a budget is, as a number and as text.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Result, check};

/// The size of a budget.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// So many parameters (values), for ever.
    Params(u64),
    /// So many parameters an entity, on average: grows with the entities (SCALL's budget mode c).
    MeanSize(f64),
    /// So many bytes, for ever (SCALL's budget mode B), of what the budget counts.
    Bytes(u64),
}

impl FromStr for Amount {
    type Err = Error;

    /// Reads `mean=8`, `params=100000`, or `bytes=10MB`. A count may have k, M or G after it, bytes B, kB, MB, GB by
    /// 1000 (the B may be left out) or KiB, MiB, GiB by 1024, in any case, after a blank if wanted. `1e6` is a number
    /// too.
    fn from_str(text: &str) -> Result<Self> {
        let expected = "mean=NUMBER, params=COUNT or bytes=SIZE such as 10MB or 512KiB";
        let wrong = || check::unreadable("Amount", "budget", expected, text);
        let (kind, value) = text.split_once('=').ok_or_else(wrong)?;
        match kind {
            "mean" => match value.parse::<f64>() {
                Ok(mean) if mean.is_finite() && mean > 0.0 => Ok(Self::MeanSize(mean)),
                _ => Err(wrong()),
            },
            "params" => match split(value) {
                (_, unit) if unit.contains('b') => Err(wrong()),
                (number, unit) => whole(number, &unit).map(Self::Params).ok_or_else(wrong),
            },
            "bytes" => {
                let (number, unit) = split(value);
                // Part of a byte is none: 1.5MiB is fine, and so is a third of a MB.
                whole(number, &unit).or_else(|| part(number, &unit)).map(Self::Bytes).ok_or_else(wrong)
            }
            _ => Err(wrong()),
        }
    }
}

/// A number, and the unit after it in small letters.
fn split(value: &str) -> (&str, String) {
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let mut end = digits(value);
    if let Some(power) = value[end..].strip_prefix(['e', 'E']) {
        end += match digits(power) {
            0 => 0,
            len => 1 + len,
        };
    }
    (&value[..end], value[end..].trim_start().to_ascii_lowercase())
}

fn scale(unit: &str) -> Option<u64> {
    Some(match unit {
        "" | "b" => 1,
        "k" | "kb" => 1000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return None,
    })
}

/// A whole number of a unit: as it is, since f64 has no place for all of them, or as a power of ten such as 1e6.
fn whole(number: &str, unit: &str) -> Option<u64> {
    let scale = scale(unit)?;
    if let Ok(whole) = number.parse::<u64>() {
        return Some(whole.saturating_mul(scale));
    }
    let product = number.parse::<f64>().ok()? * scale as f64;
    (product.fract() == 0.0).then_some(product as u64)
}

/// A number of a unit, down to the next whole one.
fn part(number: &str, unit: &str) -> Option<u64> {
    Some((number.parse::<f64>().ok()? * scale(unit)? as f64).floor() as u64)
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Params(params) => write!(f, "params={params}"),
            Self::MeanSize(mean) => write!(f, "mean={mean}"),
            Self::Bytes(bytes) => write!(f, "bytes={bytes}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read() {
        for (text, amount) in [
            ("mean=8", Amount::MeanSize(8.0)),
            ("mean=0.5", Amount::MeanSize(0.5)),
            ("params=123", Amount::Params(123)),
            ("bytes=10MB", Amount::Bytes(10_000_000)),
            ("bytes=1.5MiB", Amount::Bytes(1_572_864)),
            ("bytes=77", Amount::Bytes(77)),
            ("bytes=18446744073709551615", Amount::Bytes(u64::MAX)),
            ("bytes=9007199254740993", Amount::Bytes((1 << 53) + 1)),
            ("bytes=10M", Amount::Bytes(10_000_000)),
            ("bytes=10 mb", Amount::Bytes(10_000_000)),
            ("bytes=1e6", Amount::Bytes(1_000_000)),
            ("bytes=1.7", Amount::Bytes(1)),
            ("params=1e5", Amount::Params(100_000)),
            ("params=1.5M", Amount::Params(1_500_000)),
            ("params=100k", Amount::Params(100_000)),
        ] {
            assert_eq!(text.parse::<Amount>().unwrap(), amount);
        }
        for text in [
            "",
            "8",
            "mean=",
            "mean=-1",
            "mean=nan",
            "params=1.5",
            "params=3MB",
            "bytes=e6",
            "bytes=1e",
            "bytes=10XB",
            "bytes=MB",
            "rows=3",
        ] {
            let error = text.parse::<Amount>().unwrap_err().to_string();
            assert!(error.contains("10MB") && error.contains(&format!("{text:?}")), "{error}");
        }
    }
}

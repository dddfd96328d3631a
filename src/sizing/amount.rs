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

    /// Reads `mean=8`, `params=100000`, or `bytes=10MB` (B, kB, MB, GB by 1000; KiB, MiB, GiB by 1024).
    fn from_str(text: &str) -> Result<Self> {
        let expected = "mean=NUMBER, params=COUNT or bytes=SIZE such as 10MB or 512KiB";
        let wrong = || check::unreadable("Amount", "budget", expected, text);
        let (kind, value) = text.split_once('=').ok_or_else(wrong)?;
        match kind {
            "mean" => match value.parse::<f64>() {
                Ok(mean) if mean.is_finite() && mean > 0.0 => Ok(Self::MeanSize(mean)),
                _ => Err(wrong()),
            },
            "params" => value.parse().map(Self::Params).map_err(|_| wrong()),
            "bytes" => {
                let digits = value.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(value.len());
                let (number, unit) = value.split_at(digits);
                let scale: u64 = match unit.to_ascii_lowercase().as_str() {
                    "" | "b" => 1,
                    "kb" => 1000,
                    "mb" => 1_000_000,
                    "gb" => 1_000_000_000,
                    "kib" => 1 << 10,
                    "mib" => 1 << 20,
                    "gib" => 1 << 30,
                    _ => return Err(wrong()),
                };
                // A whole number as it is: f64 has no place for all of them.
                if let Ok(whole) = number.parse::<u64>() {
                    return Ok(Self::Bytes(whole.saturating_mul(scale)));
                }
                let number: f64 = number.parse().map_err(|_| wrong())?;
                Ok(Self::Bytes((number * scale as f64).floor() as u64))
            }
            _ => Err(wrong()),
        }
    }
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
        ] {
            assert_eq!(text.parse::<Amount>().unwrap(), amount);
        }
        for text in ["", "8", "mean=", "mean=-1", "mean=nan", "params=1.5", "bytes=10XB", "bytes=MB", "rows=3"] {
            let error = text.parse::<Amount>().unwrap_err().to_string();
            assert!(error.contains("10MB") && error.contains(&format!("{text:?}")), "{error}");
        }
    }
}

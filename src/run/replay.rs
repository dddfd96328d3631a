//! Which earlier rows are learned again, and what is known of those that are not kept.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Result, check};

/// Earlier rows that are trained on again with a segment's own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Replay {
    /// A uniform sample of them, as large as this part of the segment's rows, from 0 to 1 (SCALL: 0.2).
    Sample {
        /// The part.
        share: f64,
    },
    /// All.
    All,
    /// The latest of them, up to this number; 0 for the segment's own rows alone. What lies before is
    /// [forgotten](crate::stream::Interactions::forget) when the segment begins, so a stream that goes on for ever is
    /// learned in bounded memory: frequencies and biases are counted over these and the segment's rows too.
    ///
    /// What that costs, by all bytes held: `docs/results.md`. That samples count as the model does is the rule of MEMO
    /// (Zhou et al., "A model or 603 exemplars", ICLR 2023).
    Recent {
        /// The number.
        rows: u64,
    },
}

impl Replay {
    /// The earliest row that a segment which begins at row `start` is learned with.
    pub(super) fn first_row(self, start: usize) -> usize {
        match self {
            Self::Recent { rows } => start.saturating_sub(usize::try_from(rows).unwrap_or(usize::MAX)),
            Self::Sample { .. } | Self::All => 0,
        }
    }
}

impl FromStr for Replay {
    type Err = Error;

    /// Reads `all`, `recent=COUNT`, or a part of a segment's rows, from 0 (no earlier ones) to 1.
    fn from_str(text: &str) -> Result<Self> {
        let expected = "all, recent=COUNT, or a number from 0 to 1";
        let wrong = || check::unreadable("Replay", "replay", expected, text);
        match (text, text.strip_prefix("recent=")) {
            ("all", _) => Ok(Self::All),
            (_, Some(rows)) => Ok(Self::Recent { rows: rows.parse().map_err(|_| wrong())? }),
            _ => match text.parse() {
                Ok(share) if (0.0..=1.0).contains(&share) => Ok(Self::Sample { share }),
                _ => Err(wrong()),
            },
        }
    }
}

/// As [`FromStr`] reads it.
impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Sample { share } => write!(f, "{share}"),
            Self::Recent { rows } => write!(f, "recent={rows}"),
        }
    }
}

/// What is known of a user's items once their rows are forgotten, as [`Replay::Recent`] does; of the rows that are kept
/// all is known anyway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
pub enum Exclude {
    /// Every item that the user ever touched: 4 bytes for each user and item of it, for ever.
    #[default]
    Ever,
    /// None: the history is that of the rows that are kept. An item from before may be listed again, counts as right
    /// where the user takes it again, and can be drawn as a negative.
    Kept,
}

impl Exclude {
    /// All.
    pub const ALL: [Self; 2] = [Self::Ever, Self::Kept];

    /// Its name: `ever` or `kept`, as [`FromStr`] reads it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ever => "ever",
            Self::Kept => "kept",
        }
    }
}

check::by_name!(Exclude, "Exclude", "exclude");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replays_are_read() {
        for (text, replay) in [
            ("all", Replay::All),
            ("0", Replay::Sample { share: 0.0 }),
            ("0.2", Replay::Sample { share: 0.2 }),
            ("recent=0", Replay::Recent { rows: 0 }),
            ("recent=10000", Replay::Recent { rows: 10_000 }),
        ] {
            assert_eq!((text.parse::<Replay>().unwrap(), replay.to_string().as_str()), (replay, text));
        }
        for text in ["", "none", "1.5", "-0.1", "NaN", "recent", "recent=", "recent=-1", "recent=0.5", "Recent=3"] {
            assert_eq!(
                text.parse::<Replay>().unwrap_err().to_string(),
                format!("Replay: `replay` must be all, recent=COUNT, or a number from 0 to 1, got {text:?}")
            );
        }
        assert_eq!("kept".parse::<Exclude>().unwrap(), Exclude::Kept);
        assert_eq!(
            "none".parse::<Exclude>().unwrap_err().to_string(),
            "Exclude: `exclude` must be one of ever, kept, got \"none\""
        );
    }

    #[test]
    fn the_latest_rows_begin_before_the_segment() {
        assert_eq!(Replay::Recent { rows: 10 }.first_row(25), 15);
        assert_eq!(Replay::Recent { rows: u64::MAX }.first_row(25), 0);
        assert_eq!((Replay::All.first_row(25), Replay::Sample { share: 0.5 }.first_row(25)), (0, 0));
    }
}

//! Cuts of the stream into segments, and of segments into training, validation and test rows.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use super::Interactions;
use crate::check::{domain, unreadable};
use crate::{Error, Result};

/// Where the stream is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Segments of equal length, up to one row: segment i starts at row `floor(i * rows / segments)`.
    Equal {
        /// How many.
        segments: usize,
    },
    /// A cut after each row that brings the new users plus new items since the last cut above a number; what is left
    /// over is the last segment. The paper uses 15,000.
    NewEntities {
        /// The number they have to pass, at least 1: with 0, nearly every row of a growing stream would be a segment.
        entities: u32,
    },
}

impl FromStr for Cut {
    type Err = Error;

    /// Reads `equal=10` (that number of segments) or `new=15000` (a cut after more new users and items than that).
    fn from_str(text: &str) -> Result<Self> {
        let expected = "equal=COUNT or new=COUNT, a count being at least 1";
        let wrong = || unreadable("Cut", "segments", expected, text);
        let (kind, count) = text.split_once('=').ok_or_else(wrong)?;
        match (kind, count.parse::<u32>()) {
            ("equal", Ok(segments @ 1..)) => Ok(Self::Equal { segments: segments as usize }),
            ("new", Ok(entities @ 1..)) => Ok(Self::NewEntities { entities }),
            _ => Err(wrong()),
        }
    }
}

/// `equal=10` or `new=15000`, as [`FromStr`] reads it.
impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equal { segments } => write!(f, "equal={segments}"),
            Self::NewEntities { entities } => write!(f, "new={entities}"),
        }
    }
}

/// Consecutive rows of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Rows of the [`Interactions`].
    pub rows: Range<usize>,
}

/// Cuts a stream into consecutive segments, none of them empty, that cover every row.
///
/// # Errors
/// [`Error::Argument`] for no rows, no segments, more segments than rows, a number of new entities of 0, or a stream
/// that has [forgotten](Interactions::forget) rows.
///
/// Source: `docs/method.md` section 2 (`NewEntities`); equal segments are ours.
pub fn cut(data: &Interactions, cut: Cut) -> Result<Vec<Segment>> {
    data.check_whole("stream/cut")?;
    let ends = match cut {
        Cut::Equal { segments } => equal_ends(data.len(), segments)?,
        Cut::NewEntities { entities } => new_entity_ends(data, entities)?,
    };
    let starts = std::iter::once(0).chain(ends.iter().copied());
    Ok(starts.zip(&ends).map(|(start, &end)| Segment { rows: start..end }).collect())
}

fn equal_ends(rows: usize, segments: usize) -> Result<Vec<usize>> {
    if segments == 0 || segments > rows {
        return Err(Error::Argument {
            op: "stream/cut",
            arg: "segments",
            expected: format!("at least 1 and at most the {rows} rows"),
            got: segments.to_string(),
        });
    }
    // Rows stay below 2^32, so the product fits.
    let end = |i: usize| (i as u64 * rows as u64 / segments as u64) as usize;
    Ok((1..=segments).map(end).collect())
}

fn new_entity_ends(data: &Interactions, entities: u32) -> Result<Vec<usize>> {
    let op = "stream/cut";
    domain(op, "entities", entities, entities > 0, "at least 1")?;
    domain(op, "data", "0 rows", !data.is_empty(), "at least 1 row")?;
    let mut ends = Vec::new();
    let (mut users, mut items) = (0, 0);
    let mut new = 0u64;
    for (row, (&user, &item)) in data.users().iter().zip(data.items()).enumerate() {
        // Ids are dense by first appearance: an id is new exactly if it equals the number seen so far.
        let (new_user, new_item) = (user == users, item == items);
        users += u32::from(new_user);
        items += u32::from(new_item);
        new += u64::from(new_user) + u64::from(new_item);
        if new > u64::from(entities) {
            ends.push(row + 1);
            new = 0;
        }
    }
    if ends.last() != Some(&data.len()) {
        ends.push(data.len());
    }
    Ok(ends)
}

impl Segment {
    /// The first `share` of the rows and the rest, cut at the nearest row.
    ///
    /// `segment.split(0.8)` gives the paper's training and test rows. Splitting the training rows once more gives the
    /// validation rows: the last of the training time, so that nothing is tuned or stopped on test rows.
    ///
    /// # Errors
    /// [`Error::Argument`] for a share outside 0..=1.
    ///
    /// ```
    /// # use scall_gpu::stream::Segment;
    /// let (train, test) = Segment { rows: 100..200 }.split(0.8)?;
    /// let (fit, validation) = train.split(0.9)?;
    /// assert_eq!((fit.rows, validation.rows, test.rows), (100..172, 172..180, 180..200));
    /// # Ok::<(), scall_gpu::Error>(())
    /// ```
    ///
    /// Source: `docs/method.md` section 2.
    pub fn split(&self, share: f64) -> Result<(Segment, Segment)> {
        domain("stream/split", "share", share, (0.0..=1.0).contains(&share), "from 0 to 1")?;
        let Range { start, end } = self.rows;
        let middle = start + (self.rows.len() as f64 * share).round() as usize;
        Ok((Segment { rows: start..middle }, Segment { rows: middle..end }))
    }
}

impl Segment {
    /// Segments follow each other within a number of rows.
    pub(crate) fn check_all(op: &'static str, segments: &[Segment], rows: usize) -> Result<()> {
        let mut from = 0;
        for (t, Segment { rows: Range { start, end } }) in segments.iter().enumerate() {
            if *start < from || end < start || *end > rows {
                return Err(Error::Argument {
                    op,
                    arg: "segments",
                    expected: format!("rows from {from} to at most {rows} in segment {t}"),
                    got: format!("{start}..{end}"),
                });
            }
            from = *end;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(pairs: &[(&str, &str)]) -> Interactions {
        Interactions::from_rows(pairs.iter().map(|&(user, item)| (user, item, 0))).unwrap()
    }

    fn ends(data: &Interactions, how: Cut) -> Vec<usize> {
        cut(data, how).unwrap().iter().map(|segment| segment.rows.end).collect()
    }

    #[test]
    fn cuts_are_read() {
        for (text, how) in
            [("equal=10", Cut::Equal { segments: 10 }), ("new=15000", Cut::NewEntities { entities: 15_000 })]
        {
            assert_eq!((text.parse::<Cut>().unwrap(), how.to_string().as_str()), (how, text));
        }
        for text in ["", "10", "equal=", "equal=0", "new=-1", "new=4294967296", "rows=3"] {
            assert_eq!(
                text.parse::<Cut>().unwrap_err().to_string(),
                format!("Cut: `segments` must be equal=COUNT or new=COUNT, a count being at least 1, got {text:?}")
            );
        }
    }

    #[test]
    fn equal_cuts() {
        let data = stream(&[("a", "x"); 10]);
        assert_eq!(ends(&data, Cut::Equal { segments: 1 }), [10]);
        assert_eq!(ends(&data, Cut::Equal { segments: 3 }), [3, 6, 10]);
        assert_eq!(ends(&data, Cut::Equal { segments: 10 }), (1..=10).collect::<Vec<_>>());
    }

    #[test]
    fn the_row_that_passes_the_number_closes_the_segment() {
        // New entities a row: 2, 1, 0, 2, 1.
        let data = stream(&[("a", "x"), ("a", "y"), ("a", "x"), ("b", "z"), ("c", "x")]);
        assert_eq!(ends(&data, Cut::NewEntities { entities: 1 }), [1, 4, 5]);
        assert_eq!(ends(&data, Cut::NewEntities { entities: 2 }), [2, 5]);
        assert_eq!(ends(&data, Cut::NewEntities { entities: 3 }), [4, 5]);
        assert_eq!(ends(&data, Cut::NewEntities { entities: 6 }), [5]);
    }

    #[test]
    fn bad_arguments() {
        let error = |data: &Interactions, how| cut(data, how).unwrap_err().to_string();
        let (none, two) = (stream(&[]), stream(&[("a", "x"); 2]));
        let range = "stream/cut: `segments` must be at least 1 and at most the";
        assert_eq!(error(&two, Cut::Equal { segments: 0 }), format!("{range} 2 rows, got 0"));
        assert_eq!(error(&two, Cut::Equal { segments: 3 }), format!("{range} 2 rows, got 3"));
        assert_eq!(error(&none, Cut::Equal { segments: 1 }), format!("{range} 0 rows, got 1"));
        assert_eq!(
            error(&none, Cut::NewEntities { entities: 1 }),
            "stream/cut: `data` must be at least 1 row, got 0 rows"
        );
        assert_eq!(error(&two, Cut::NewEntities { entities: 0 }), "stream/cut: `entities` must be at least 1, got 0");
        for share in [-0.1, 1.1, f64::NAN] {
            let error = Segment { rows: 0..4 }.split(share).unwrap_err().to_string();
            assert_eq!(error, format!("stream/split: `share` must be from 0 to 1, got {share}"));
        }
    }

    #[test]
    fn split_at_the_nearest_row() {
        let split = |rows, share| {
            let (first, rest) = Segment { rows }.split(share).unwrap();
            assert_eq!(first.rows.end, rest.rows.start);
            first.rows.end
        };
        assert_eq!(split(5..15, 0.8), 13);
        assert_eq!(split(5..15, 0.0), 5);
        assert_eq!(split(5..15, 1.0), 15);
        assert_eq!(split(0..100, 0.29), 29); // 0.29 * 100 is below 29 in f64
        assert_eq!(split(7..7, 0.8), 7);
    }
}

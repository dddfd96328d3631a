//! What a stream was, as a plot: bytes, quality, and who has which size.

use scall_gpu::{Scall, SegmentReport};
use serde_json::{Value, json};

use crate::common::{Axis, Dash, Figure, Marker, Panel, Point, Rgb, Series};

const BLUE: Rgb = (0x00, 0x72, 0xb2);
const ORANGE: Rgb = (0xd5, 0x5e, 0x00);
const GREY: Rgb = (0x88, 0x88, 0x88);

/// Light to dark, told apart in grey too: for what has an order.
const SEQUENCE: [Rgb; 3] = [(0x88, 0xcc, 0xee), (0x1f, 0x78, 0xb4), (0x33, 0x22, 0x44)];

/// Points that a profile is drawn through.
const BINS: usize = 50;

/// Mean size by frequency rank: users, then items.
#[derive(Clone)]
pub struct Profile([Vec<Point>; 2]);

impl Profile {
    /// The points of both sides, for a file.
    pub fn json(&self) -> Value {
        let side = |points: &Vec<Point>| points.iter().map(|point| json!([point.x, point.y])).collect::<Value>();
        let Self([users, items]) = self;
        json!([side(users), side(items)])
    }

    /// What [`json`](Self::json) made.
    pub fn of_json(value: &Value) -> Option<Self> {
        let number = |point: &Value, at: usize| point.get(at)?.as_f64();
        let point = |point: &Value| Some(Point::new(number(point, 0)?, number(point, 1)?));
        let side = |at: usize| value.get(at)?.as_array()?.iter().map(point).collect::<Option<Vec<_>>>();
        Some(Self([side(0)?, side(1)?]))
    }

    /// The sizes after the last segment, a bias not counted: it is no dim.
    pub fn of(scall: &Scall, item_bias: bool) -> Self {
        let (users, items) = scall.frequencies();
        let tables = scall.model().embeddings();
        let bias = u32::from(item_bias);
        Self([
            binned(users, &tables.users().sizes().collect::<Vec<_>>()),
            binned(items, &tables.items().sizes().map(|size| size.saturating_sub(bias)).collect::<Vec<_>>()),
        ])
    }
}

/// Mean size of each bin of ranks, at the bin's middle in percent of the ranks. Ties go to the lower index, as sizes
/// do.
fn binned(frequencies: &[u32], sizes: &[u32]) -> Vec<Point> {
    let mut order: Vec<usize> = (0..frequencies.len().min(sizes.len())).collect();
    order.sort_by_key(|&row| std::cmp::Reverse(frequencies[row]));
    let (rows, bins) = (order.len(), BINS.min(order.len()));
    let bin = |k: usize| {
        let range = k * rows / bins..(k + 1) * rows / bins;
        let middle = 50.0 * (range.start + range.end) as f64 / rows as f64;
        let sum: f64 = order[range.clone()].iter().map(|&row| f64::from(sizes[row])).sum();
        Point::new(middle, sum / range.len() as f64)
    };
    (0..bins).map(bin).collect()
}

/// The three panels.
pub fn figure(title: &str, headline: &str, reports: &[SegmentReport], profiles: &[Profile]) -> Figure {
    let lines = headline.lines().map(|line| line.get(9..).unwrap_or(line).to_owned());
    let panels = vec![memory(reports), quality(reports), sizes(profiles)];
    Figure { title: title.to_owned(), notes: lines.collect(), panels, shared_legend: false }
}

fn segment_axis() -> Axis {
    Axis { whole: true, ..Axis::new("segment") }
}

fn over_segments(reports: &[SegmentReport], value: impl Fn(&SegmentReport) -> f64) -> Vec<Point> {
    reports.iter().map(|report| Point::new(report.t as f64, value(report))).collect()
}

fn memory(reports: &[SegmentReport]) -> Panel {
    let largest = reports.iter().map(|report| report.memory.total_bytes().max(report.budget_bytes)).max().unwrap_or(0);
    let (unit, name) = match largest {
        0..10_000_000 => (1e3, "kB"),
        10_000_000..10_000_000_000 => (1e6, "MB"),
        _ => (1e9, "GB"),
    };
    let series = |name: &str, color, dash, marker, value: fn(&SegmentReport) -> u64| Series {
        name: name.to_owned(),
        color,
        dash,
        marker,
        points: over_segments(reports, |report| value(report) as f64 / unit),
        level: None,
    };
    Panel {
        title: "Memory".into(),
        x: segment_axis(),
        y: Axis { zero: true, ..Axis::new(name) },
        series: vec![
            series("held, optimizer included", GREY, Dash::Dotted, Marker::None, |r| r.memory.total_bytes()),
            series("counted by the budget", BLUE, Dash::Solid, Marker::Circle, |r| r.counted_bytes),
            series("budget", ORANGE, Dash::Long, Marker::None, |r| r.budget_bytes),
        ],
    }
}

fn quality(reports: &[SegmentReport]) -> Panel {
    // A segment without a user to rank for has no quality.
    let reports: Vec<_> = reports.iter().filter(|report| report.test_candidates.users > 0).cloned().collect();
    let series = |name: &str, color, dash, marker, value: fn(&SegmentReport) -> f64| Series {
        name: name.to_owned(),
        color,
        dash,
        marker,
        points: over_segments(&reports, value),
        level: None,
    };
    Panel {
        title: "Quality".into(),
        x: segment_axis(),
        y: Axis { zero: true, ..Axis::new("Recall@20, NDCG@20") },
        series: vec![
            series("Recall@20, items of the test part", BLUE, Dash::Solid, Marker::Circle, |r| {
                r.test_candidates.at(20).recall
            }),
            series("Recall@20, all items", BLUE, Dash::Short, Marker::Square, |r| r.all_candidates.at(20).recall),
            series("NDCG@20, items of the test part", ORANGE, Dash::Solid, Marker::Triangle, |r| {
                r.test_candidates.at(20).ndcg
            }),
            series("NDCG@20, all items", ORANGE, Dash::Short, Marker::Diamond, |r| r.all_candidates.at(20).ndcg),
        ],
    }
}

fn sizes(profiles: &[Profile]) -> Panel {
    let last = profiles.len().saturating_sub(1);
    let mut shown = vec![0, last / 2, last];
    shown.dedup();
    let series = shown.iter().zip(SEQUENCE).flat_map(|(&t, color)| {
        let Profile([users, items]) = &profiles[t];
        [("users", users, Dash::Solid), ("items", items, Dash::Short)].map(|(side, points, dash)| Series {
            name: format!("{side}, segment {t}"),
            color,
            dash,
            marker: Marker::None,
            points: points.clone(),
            level: None,
        })
    });
    Panel {
        title: "Sizes, biases left out".into(),
        x: Axis::new("frequency rank, % (most frequent at 0)"),
        y: Axis { zero: true, ..Axis::new("dims, mean of 2 % of the ranks") },
        series: series.collect(),
    }
}

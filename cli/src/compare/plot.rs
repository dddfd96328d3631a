//! The comparison as a plot: NDCG@20 against the bytes that the budget counts, or against all that is held.

use scall_gpu::sizing::PolicyOptions;

use super::groups::Group;
use super::job::Run;
use crate::common::{Axis, Dash, Figure, Marker, Panel, Point, Rgb, Series};

/// Pixels between policies at one budget, all of which hold the same.
const ASIDE: i32 = 8;

/// Paul Tol's muted scheme and the orange of his vibrant one, told apart with any colour vision.
const COLORS: [Rgb; 10] = [
    (0x33, 0x22, 0x88),
    (0x88, 0xcc, 0xee),
    (0x11, 0x77, 0x33),
    (0xdd, 0xcc, 0x77),
    (0x99, 0x99, 0x33),
    (0x44, 0xaa, 0x99),
    (0xaa, 0x44, 0x99),
    (0x88, 0x22, 0x55),
    (0xee, 0x77, 0x33),
    (0xcc, 0x66, 0x77),
];

const MARKERS: [Marker; 4] = [Marker::Circle, Marker::Square, Marker::Triangle, Marker::Diamond];

/// One policy looks the same in every plot: by its place among all. Where colours begin again, markers differ. Where
/// formats or kept rows are compared, a line's place in the plot takes that of the policy.
fn look(name: &str, place: Option<usize>) -> (Rgb, Marker) {
    match place.or_else(|| PolicyOptions::NAMES.iter().position(|&known| known == name)) {
        Some(place) => (COLORS[place % COLORS.len()], MARKERS[place % MARKERS.len()]),
        None => ((0x22, 0x22, 0x22), Marker::Circle),
    }
}

/// Greys for what has no policy.
const LEVELS: [(Rgb, Dash); 4] = [
    ((0x99, 0x99, 0x99), Dash::Long),
    ((0x99, 0x99, 0x99), Dash::Dotted),
    ((0x55, 0x55, 0x55), Dash::Long),
    ((0x55, 0x55, 0x55), Dash::Short),
];

/// Two panels, one for each set of candidates; `totals` for all bytes that are held.
pub fn figure(groups: &[Group], notes: Vec<String>, totals: bool) -> Figure {
    Figure {
        title: "Ranking quality against memory".into(),
        notes,
        panels: vec![
            panel(groups, "among the items of the test part", |run| run.ndcg_20, totals),
            panel(groups, "among all items", |run| run.ndcg_all_20, totals),
        ],
        shared_legend: true,
    }
}

fn panel(groups: &[Group], title: &str, value: fn(&Run) -> f64, totals: bool) -> Panel {
    let counted = |group: &Group| group.bytes(|run| if totals { run.total_bytes } else { run.counted_bytes });
    let differ = Group::differ(groups);
    let several = differ.contains(&true);
    let largest = groups.iter().filter_map(counted).fold(0.0, f64::max);
    let (unit, name) = if largest < 1e7 { (1e3, "kB") } else { (1e6, "MB") };
    let mut names: Vec<String> = Vec::new();
    for group in groups.iter().filter(|group| !group.is_baseline()) {
        let name = group.label(differ);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let middle = (names.len() as i32 - 1) * ASIDE / 2;
    let mut series: Vec<Series> = names
        .iter()
        .enumerate()
        .map(|(k, name)| {
            let (color, marker) = look(name, several.then_some(k));
            let mut points: Vec<Point> = groups
                .iter()
                .filter(|group| group.label(differ) == *name && !group.is_baseline())
                .filter_map(|group| {
                    let quality = group.of(value);
                    let (spread, shift) = (quality.deviation.unwrap_or(0.0), k as i32 * ASIDE - middle);
                    Some(Point { spread, shift, ..Point::new(counted(group)? / unit, quality.mean) })
                })
                .collect();
            points.sort_by(|a, b| a.x.total_cmp(&b.x));
            Series { name: name.clone(), color, dash: Dash::Solid, marker, points, level: None }
        })
        .collect();
    let baselines = groups.iter().filter(|group| group.is_baseline()).zip(LEVELS.into_iter().cycle());
    series.extend(baselines.map(|(group, (color, dash))| Series {
        name: group.name.clone(),
        color,
        dash,
        marker: Marker::None,
        points: Vec::new(),
        level: Some(group.of(value).mean),
    }));
    let what = if totals { "held in all" } else { "counted" };
    Panel {
        title: title.to_owned(),
        x: Axis { logarithmic: true, ..Axis::new(format!("{name} {what}; one budget's points side by side")) },
        y: Axis::new("NDCG@20"),
        series,
    }
}

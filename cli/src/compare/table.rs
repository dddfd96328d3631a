//! The comparison as a table.

use super::groups::{Group, Spread};
use super::job::Run;
use crate::common::{Column, Columns, bytes, wrapped};

type Value = fn(&Run) -> f64;

/// The values of a row, what the second head calls them, and their rank where not all fit.
const METRICS: [(&str, u8, Value); 4] = [
    ("Recall@20", 3, |run| run.recall_20),
    ("NDCG@20", 1, |run| run.ndcg_20),
    ("Recall@20", 8, |run| run.recall_all_20),
    ("NDCG@20", 5, |run| run.ndcg_all_20),
];

/// What the first two of [`METRICS`] are of, and the others.
const TEST: &str = "test items";
const ALL: &str = "all items";

/// Columns of [`METRICS`] whose best is marked.
const MARKED: [bool; 4] = [false, true, false, true];

/// The table: a row a policy and budget, the baselines last. Columns that do not fit the width are left out.
pub fn table(groups: &[Group], terminal: Option<usize>) -> String {
    let differ = Group::differ(groups);
    let longest = groups.iter().map(|group| group.label(differ).len()).max().unwrap_or(0);
    let width = |text: fn(&Group) -> &str| groups.iter().map(|group| text(group).len()).max().unwrap_or(0);
    // `0.1234 ±0.0012*`, or without a deviation the head.
    let cells = if groups.iter().any(|group| group.runs.len() > 1) { 15 } else { 9 };
    let metric = |(k, (head, rank, _))| {
        let of = if k < 2 { TEST } else { ALL };
        Column { name: format!("{head} of {of}"), ..Column::left(head, cells.max(of.len()), rank) }
    };
    let metrics = METRICS.into_iter().enumerate().map(metric);
    let sizes = [
        Column::new("counted", 10, 4),
        Column::new("held", 10, 6),
        Column::new("in all", 10, 9),
        Column::new("seconds", 8, 7),
    ];
    let names = [Column::left("policy", longest, 0), Column::left("budget", width(|of| &of.budget), 2)];
    let all: Vec<Column> = names.into_iter().chain(metrics).chain(sizes).collect();
    let columns = Columns::fit(all, 2, terminal);
    // Over the first of both columns that is there.
    let over = |first: usize, words: &str| match columns.shows(first) {
        true => [words.to_owned(), String::new()],
        false => [String::new(), words.to_owned()],
    };
    let over = [[const { String::new() }; 2], over(2, TEST), over(4, ALL)].concat();
    let over = [over, vec![String::new(); 4]].concat();
    let mut lines = vec![columns.row(&over), columns.head()];
    for group in groups {
        let held = |value: fn(&Run) -> Option<u64>| match group.bytes(value) {
            Some(mean) => bytes(mean.round() as u64),
            None => "-".to_owned(),
        };
        let budget = if group.is_baseline() { "-" } else { &group.budget };
        let mut cells = vec![group.label(differ), budget.to_owned()];
        cells.extend(
            METRICS
                .into_iter()
                .zip(MARKED)
                .map(|((.., value), marked)| cell(group.of(value), marked && is_best(group, groups, value))),
        );
        cells.extend([held(|run| run.counted_bytes), held(|run| run.held_bytes), held(|run| run.total_bytes)]);
        cells.push(format!("{:.1}", group.of(|run| run.seconds).mean));
        lines.push(columns.row(&cells));
    }
    lines.push(String::new());
    lines.extend(columns.left_out("in --csv, --json, and a pipe"));
    lines.push("test items: ranked among the items of the test part; all items: among all that have a row".into());
    lines.push(
        "* best NDCG@20 of its budget, or of the rankings without embeddings; ± standard deviation over seeds".into(),
    );
    lines.push(
        "counted: bytes that the budget counts; held: the tables, optimizer included; in all: with the rows of the \
         stream that are kept; means of the segments"
            .into(),
    );
    let (table, notes) = lines.split_at(groups.len() + 2);
    format!("{}\n{}", table.join("\n"), wrapped(&notes.join("\n"), terminal))
}

fn cell(Spread { mean, deviation }: Spread, best: bool) -> String {
    let mark = if best { "*" } else { "" };
    match deviation {
        Some(deviation) => format!("{mean:.4} ±{deviation:.4}{mark}"),
        None => format!("{mean:.4}{mark}"),
    }
}

fn is_best(group: &Group, groups: &[Group], value: Value) -> bool {
    let peers: Vec<&Group> = groups.iter().filter(|other| other.budget == group.budget).collect();
    peers.len() > 1 && peers.iter().all(|other| other.of(value).mean <= group.of(value).mean)
}

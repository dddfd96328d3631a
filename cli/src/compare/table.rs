//! The comparison as a table.

use super::groups::{Group, Spread};
use super::job::Run;
use crate::common::bytes;

type Value = fn(&Run) -> f64;

/// The values of a row, and what the second head calls them.
const METRICS: [(&str, Value); 4] = [
    ("Recall@20", |run| run.recall_20),
    ("NDCG@20", |run| run.ndcg_20),
    ("Recall@20", |run| run.recall_all_20),
    ("NDCG@20", |run| run.ndcg_all_20),
];

/// Columns of [`METRICS`] whose best is marked.
const MARKED: [bool; 4] = [false, true, false, true];

/// The table: a row a policy and budget, the baselines last.
pub fn table(groups: &[Group]) -> String {
    let width = |text: fn(&Group) -> &str, head: &str| {
        groups.iter().map(|group| text(group).len()).chain([head.len()]).max().unwrap_or(0)
    };
    let (names, budgets) = (width(|group| &group.name, "policy"), width(|group| &group.budget, "budget"));
    let left = names + 2 + budgets;
    let mut lines = vec![
        format!("{:left$}  {:<32}{:<32}", "", "items of the test part", "all items").trim_end().to_owned(),
        format!(
            "{:names$}  {:budgets$}  {}{:>10}  {:>10}  {:>8}",
            "policy",
            "budget",
            METRICS.map(|(name, _)| format!("{name:<16}")).concat(),
            "counted",
            "held",
            "seconds"
        ),
    ];
    for group in groups {
        let cells: String = METRICS
            .into_iter()
            .zip(MARKED)
            .map(|((_, value), marked)| cell(group.of(value), marked && is_best(group, groups, value)))
            .collect();
        let held = |value: fn(&Run) -> Option<u64>| match group.bytes(value) {
            Some(mean) => bytes(mean.round() as u64),
            None => "-".to_owned(),
        };
        lines.push(format!(
            "{:names$}  {:budgets$}  {cells}{:>10}  {:>10}  {:>8.1}",
            group.name,
            if group.is_baseline() { "-" } else { &group.budget },
            held(|run| run.counted_bytes),
            held(|run| run.held_bytes),
            group.of(|run| run.seconds).mean,
        ));
    }
    lines.push(String::new());
    lines.push(
        "* best NDCG@20 of its budget, or of the rankings without embeddings; ± standard deviation over seeds".into(),
    );
    lines.push(
        "counted: bytes that the budget counts; held: everything, optimizer included; means of the segments".into(),
    );
    lines.join("\n")
}

fn cell(Spread { mean, deviation }: Spread, best: bool) -> String {
    let mark = if best { "*" } else { "" };
    match deviation {
        Some(deviation) => format!("{:<16}", format!("{mean:.4} ±{deviation:.4}{mark}")),
        None => format!("{:<16}", format!("{mean:.4}{mark}")),
    }
}

fn is_best(group: &Group, groups: &[Group], value: Value) -> bool {
    let peers: Vec<&Group> = groups.iter().filter(|other| other.budget == group.budget).collect();
    peers.len() > 1 && peers.iter().all(|other| other.of(value).mean <= group.of(value).mean)
}

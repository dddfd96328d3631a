//! What a person sees: a table on standard output, progress on a terminal's standard error.

use scall_gpu::eval::{CatalogueAtCutoff, CoherenceReport, Exposures};
use scall_gpu::run::Held;
use scall_gpu::{Phase, SegmentReport, Summary};

use super::against::Against;
use crate::common::{Column, Columns, Progress, bytes};

/// Progress over all segments.
pub struct Run {
    bar: Progress,
    lengths: Lengths,
    steps_a_probe: u64,
}

/// Training steps of a segment, and those of all probes of its search at most.
#[derive(Clone, Copy)]
struct Lengths {
    steps: u64,
    search: u64,
}

impl Lengths {
    /// What is done when a segment begins. Every segment counts its steps, and one each for sizes, resize and
    /// evaluation; all but the first a search.
    fn begin(self, t: usize) -> u64 {
        let t = t as u64;
        t * (self.steps + 3) + t.saturating_sub(1) * self.search
    }
}

impl Run {
    /// For a run of segments, of which some are done. A search takes a number of probes at most, and each a
    /// number of steps.
    pub fn new((done, segments): (usize, usize), steps: u32, [probes, steps_a_probe]: [u32; 2]) -> Self {
        let steps_a_probe = u64::from(steps_a_probe);
        let lengths = Lengths { steps: steps.into(), search: u64::from(probes) * steps_a_probe };
        let bar = Progress::new(lengths.begin(segments));
        bar.begin_at(lengths.begin(done));
        Self { bar, lengths, steps_a_probe }
    }

    /// Shows where segment `t` is.
    pub fn show(&self, t: usize, phase: Phase) {
        let Lengths { steps: training, search } = self.lengths;
        let search = if t > 0 { search } else { 0 };
        let (done, what) = match phase {
            Phase::Search { probes } => {
                ((u64::from(probes) * self.steps_a_probe).min(search), format!("search, {probes} probes"))
            }
            Phase::Size => (search, "sizes".to_owned()),
            Phase::Resize => (search + 1, "resize".to_owned()),
            Phase::Regularize { probes } => (search + 2, format!("l2, {probes} weights tried")),
            Phase::Train { done, steps } => (search + 2 + u64::from(done), format!("step {done} of {steps}")),
            Phase::Evaluate => (search + 2 + training, "evaluate".to_owned()),
            _ => return,
        };
        self.bar.show(self.lengths.begin(t) + done, format!("segment {t}: {what}"));
    }
}

/// The table's columns, those that fit. `counted` is what the budget counts, `held` is everything, optimizer state
/// included. A stream with non-clicks has their AUC.
pub fn columns(width: Option<usize>, non_clicks: bool) -> Columns {
    let all = [
        ("t", 3, 0),
        ("users", 7, 6),
        ("items", 7, 7),
        ("params", 10, 10),
        ("counted of budget    ", 24, 3),
        ("held", 9, 5),
        ("grown", 7, 12),
        ("shrunk", 7, 13),
        ("new", 7, 11),
        ("R@20", 6, 2),
        ("N@20", 6, 1),
        ("R@20*", 6, 9),
        ("N@20*", 6, 8),
        ("seconds", 7, 4),
    ];
    let auc = non_clicks.then_some(("AUC", 6, 2));
    let all = all.into_iter().chain(auc).map(|(head, width, rank)| Column::new(head, width, rank));
    Columns::fit(all.collect(), 1, width)
}

/// A segment as a row of [`columns`].
pub fn row(report: &SegmentReport, non_clicks: bool) -> Vec<String> {
    let (test, all) = (report.test_candidates.at(20), report.all_candidates.at(20));
    let metric = |value: f64| format!("{value:.4}");
    let mut row = vec![
        report.t.to_string(),
        report.users.to_string(),
        report.items.to_string(),
        report.params.to_string(),
        format!("{:>10} of {:<10}", bytes(report.counted_bytes), bytes(report.budget_bytes)),
        bytes(report.memory.total_bytes()),
        report.resized.grown_rows.to_string(),
        report.resized.shrunk_rows.to_string(),
        report.resized.new_rows.to_string(),
        metric(test.recall),
        metric(test.ndcg),
        metric(all.recall),
        metric(all.ndcg),
        format!("{:.2}", report.seconds.total()),
    ];
    if non_clicks {
        row.push(report.exposures.map_or("-".to_owned(), |of| metric(of.auc)));
    }
    row
}

/// Columns of [`means`], with their ranks.
const MEANS: [(&str, u8); 9] = [
    ("Recall", 3),
    ("NDCG", 2),
    ("hit rate", 4),
    ("MRR", 5),
    ("precision", 8),
    ("MAP", 9),
    ("coverage", 6),
    ("Gini", 7),
    ("popularity", 10),
];

/// The mean of the segments that count, a line for each set of candidates and cutoff.
pub fn means(summary: &Summary, width: Option<usize>) -> String {
    let numbers = MEANS.map(|(head, rank)| Column::new(head, 6, rank));
    let left = [Column::left("mean of t >= 1", 22, 0), Column::left("", 4, 1)];
    let columns = Columns::fit(left.into_iter().chain(numbers).collect(), 2, width);
    let mut lines = format!("\n{}", columns.head());
    for (among, metrics, catalogue) in [
        ("items of the test part", &summary.test_candidates, &summary.test_catalogue),
        ("all items (*)", &summary.all_candidates, &summary.all_catalogue),
    ] {
        for (at, (&cutoff, of)) in metrics.by_cutoff.iter().enumerate() {
            let CatalogueAtCutoff { coverage, mean_popularity, gini } = catalogue.at(cutoff);
            let mut cells = vec![if at == 0 { among.to_owned() } else { String::new() }, format!("@{cutoff}")];
            cells.extend(of.values().into_iter().chain([coverage, gini]).map(|value| format!("{value:.4}")));
            cells.push(format!("{mean_popularity:.1}"));
            lines += &format!("\n{}", columns.row(&cells));
        }
    }
    if let Some(Exposures { auc, users }) = summary.exposures {
        lines += &format!("\nAUC of clicks over non-clicks {auc:.4}, over {users} users with both in a test part");
    }
    let left_out = columns.left_out("in --report and --json");
    lines + &left_out.map_or(String::new(), |words| format!("\n{words}"))
}

/// Ranking quality of the last segment by how coherent a user's items are, a line for each quartile; nothing where that
/// was not asked for.
pub fn coherence(reports: &[SegmentReport], width: Option<usize>) -> Option<String> {
    let last = reports.last()?;
    let CoherenceReport { by_surprise, by_conditional, too_few, .. } = last.coherence.as_ref()?;
    let numbers = [("bits", 12, 3), ("users", 6, 4), ("R@20", 6, 2), ("N@20", 6, 1), ("user dims", 9, 5)];
    let numbers = numbers.map(|(head, width, rank)| Column::new(head, width, rank));
    let left = [Column::left(&format!("users of segment {}", last.t), 24, 0)];
    let all = left.into_iter().chain(numbers).chain([Column::new("item dims", 9, 6)]);
    let columns = Columns::fit(all.collect(), 2, width);
    let mut lines = format!("\n{}", columns.head());
    let too_few = std::slice::from_ref(too_few);
    for (name, groups) in [("by S", &by_surprise[..]), ("by CS", by_conditional), ("of fewer than two items", too_few)]
    {
        for (place, group) in groups.iter().enumerate() {
            let (metrics, [least, most]) = (group.metrics.at(20), group.bounds);
            let measured = groups.len() > 1;
            let cells = [
                match (measured, place) {
                    (false, _) => name.to_owned(),
                    (_, 0) => format!("{name}, lowest quarter"),
                    (_, 3) => format!("{name}, highest quarter"),
                    _ => String::new(),
                },
                if measured { format!("{least:.2} to {most:.2}") } else { String::new() },
                group.metrics.users.to_string(),
                format!("{:.4}", metrics.recall),
                format!("{:.4}", metrics.ndcg),
                format!("{:.2}", group.mean_user_dims),
                format!("{:.2}", group.mean_item_dims),
            ];
            lines += &format!("\n{}", columns.row(&cells));
        }
    }
    let left_out = columns.left_out("in --report and --json");
    Some(lines + &left_out.map_or(String::new(), |words| format!("\n{words}")))
}

/// How well something else ranked, as the lines of the run's own mean.
pub fn against(against: &Against) -> String {
    let Against { name, seconds, summary, .. } = against;
    let Some(Summary { test_candidates, all_candidates, .. }) = summary else {
        return format!("against {name}: no one to rank for after segment 0");
    };
    let (test, all) = (test_candidates.at(20), all_candidates.at(20));
    format!(
        "against {name}: Recall@20 {:.4}, NDCG@20 {:.4} and R@20* {:.4}, N@20* {:.4} in {seconds:.2} s",
        test.recall, test.ndcg, all.recall, all.ndcg,
    )
}

/// What is held after the last segment, whether the budget counts it or not.
fn held(held: Held) -> String {
    let Held { values, optimizer, directory, samples, layers, history, stream, names, working: _ } = held;
    let layers = if layers > 0 { format!(" + layers {}", bytes(layers)) } else { String::new() };
    format!(
        "held in all: {} = tables {} + samples {}{layers} + history {} + stream {}; names {}",
        bytes(held.total()),
        bytes(values + optimizer + directory),
        bytes(samples),
        bytes(history),
        bytes(stream),
        bytes(names),
    )
}

/// The most memory held in any segment, by what for, and what is held at the end.
pub fn most_held(reports: &[SegmentReport]) -> String {
    let most = |of: fn(&SegmentReport) -> u64| bytes(reports.iter().map(of).max().unwrap_or(0));
    let layers = match reports.iter().map(|report| report.layer_bytes).max() {
        None | Some(0) => String::new(),
        Some(layers) => format!(", {} of it dense layers", bytes(layers)),
    };
    let at_end = reports.last().map_or(String::new(), |report| format!("\n{}", held(report.held)));
    format!(
        "\nheld at most: tables {}, {} while they move; training and ranking {}{layers}{at_end}",
        most(|report| report.memory.total_bytes()),
        most(|report| report.memory.peak_bytes),
        most(|report| report.working_bytes),
    )
}

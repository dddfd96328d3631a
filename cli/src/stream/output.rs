//! What a person sees: a table on standard output, progress on a terminal's standard error.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use scall_gpu::eval::CatalogueAtCutoff;
use scall_gpu::{Phase, SegmentReport, Summary};

use super::against::Against;
use crate::common::{bytes, print};

/// Progress within a segment. Hidden when standard error is no terminal; the table's lines are progress enough there.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub fn new(segments: usize, steps: u32) -> Self {
        // Every segment counts its steps, and one each for sizes, resize and evaluation.
        let length = segments as u64 * (u64::from(steps) + 3);
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{bar:20} {percent:>3} %  {msg}, {elapsed} gone, about {eta} left");
        bar.set_style(style.expect("a valid template"));
        Self { bar }
    }

    /// Shows where segment `t` is.
    pub fn show(&self, t: usize, steps: u32, phase: Phase) {
        let start = t as u64 * (u64::from(steps) + 3);
        let (done, what) = match phase {
            Phase::Search { probes } => (0, format!("search, {probes} probes")),
            Phase::Size => (0, "sizes".to_owned()),
            Phase::Resize => (1, "resize".to_owned()),
            Phase::Regularize { probes } => (2, format!("l2, {probes} weights tried")),
            Phase::Train { done, steps } => (2 + u64::from(done), format!("step {done} of {steps}")),
            Phase::Evaluate => (2 + u64::from(steps), "evaluate".to_owned()),
            _ => return,
        };
        self.bar.set_message(format!("segment {t}: {what}"));
        self.bar.set_position(start + done);
    }

    /// Prints a line of the table without tearing the bar.
    pub fn line(&self, line: &str) {
        self.bar.suspend(|| print(line));
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// Column heads of [`row`]: `counted` is what the budget counts, `held` is everything, optimizer state included.
pub const HEAD: &str = "  t   users   items     params    counted of budget          held   grown  shrunk     new   \
                        R@20   N@20  R@20*  N@20* seconds";

/// A segment as a line of the table.
pub fn row(report: &SegmentReport) -> String {
    let (test, all) = (report.test_candidates.at(20), report.all_candidates.at(20));
    format!(
        "{:>3} {:>7} {:>7} {:>10} {:>10} of {:<10} {:>9} {:>7} {:>7} {:>7} {:.4} {:.4} {:.4} {:.4} {:>7.2}",
        report.t,
        report.users,
        report.items,
        report.params,
        bytes(report.counted_bytes),
        bytes(report.budget_bytes),
        bytes(report.memory.total_bytes()),
        report.resized.grown_rows,
        report.resized.shrunk_rows,
        report.resized.new_rows,
        test.recall,
        test.ndcg,
        all.recall,
        all.ndcg,
        report.seconds.total(),
    )
}

/// Column heads of [`means`], after the name of the candidates and the cutoff.
const MEANS: [&str; 9] = ["Recall", "NDCG", "hit rate", "MRR", "precision", "MAP", "coverage", "Gini", "popularity"];

/// The mean of the segments that count, a line for each set of candidates and cutoff.
pub fn means(summary: &Summary) -> String {
    let line = |left: &str, cells: &[String]| {
        let cells = MEANS.iter().zip(cells).map(|(head, cell)| format!("  {cell:>0$}", head.len().max(6)));
        format!("\n{left:<27}{}", cells.collect::<String>())
    };
    let mut lines = line("mean of t >= 1", &MEANS.map(str::to_owned));
    for (among, metrics, catalogue) in [
        ("items of the test part", &summary.test_candidates, &summary.test_catalogue),
        ("all items (*)", &summary.all_candidates, &summary.all_catalogue),
    ] {
        for (at, (&cutoff, of)) in metrics.by_cutoff.iter().enumerate() {
            let CatalogueAtCutoff { coverage, mean_popularity, gini } = catalogue.at(cutoff);
            let mut cells: Vec<String> =
                of.values().into_iter().chain([coverage, gini]).map(|value| format!("{value:.4}")).collect();
            cells.push(format!("{mean_popularity:.1}"));
            lines += &line(&format!("{:<22} @{cutoff}", if at == 0 { among } else { "" }), &cells);
        }
    }
    lines
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

/// The most memory held in any segment, by what for.
pub fn most_held(reports: &[SegmentReport]) -> String {
    let most = |of: fn(&SegmentReport) -> u64| bytes(reports.iter().map(of).max().unwrap_or(0));
    let layers = match reports.iter().map(|report| report.layer_bytes).max() {
        None | Some(0) => String::new(),
        Some(layers) => format!(", {} of it dense layers", bytes(layers)),
    };
    format!(
        "\nheld at most: tables {}, {} while they move; training and ranking {}{layers}",
        most(|report| report.memory.total_bytes()),
        most(|report| report.memory.peak_bytes),
        most(|report| report.working_bytes),
    )
}

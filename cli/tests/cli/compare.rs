//! `scall compare`: its table, the file that it goes on from, its plot, and bad input.

use std::collections::BTreeSet;
use std::path::Path;

use super::{assert_refused, assert_svg, on_cpu, purchases, write};

const POLICIES: [&str; 2] = ["uniform", "linucb"];
const BUDGETS: [&str; 2] = ["mean=4", "mean=6"];

/// Arguments of a comparison that takes a moment.
fn args<'a>(data: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let small = ["--data", data, "--segments", "equal=3", "--steps", "3", "--probes", "3", "--seeds", "1"];
    [&small[..], &["--policies", "uniform,linucb", "--budgets", "mean=4,mean=6"], more].concat()
}

/// Standard output and standard error of a run that succeeds.
#[track_caller]
fn succeed(args: &[&str]) -> (String, String) {
    let output = on_cpu("compare", args);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{args:?}: {said}");
    (String::from_utf8(output.stdout).unwrap(), said)
}

fn path(dir: &Path, name: &str) -> String {
    dir.join(name).to_str().unwrap().to_owned()
}

#[test]
fn finished_runs_are_kept_and_not_run_again() {
    let dir = tempfile::tempdir().unwrap();
    let data = write(dir.path(), "purchases.csv", purchases().as_bytes());
    let (csv, plot) = (path(dir.path(), "runs.csv"), path(dir.path(), "runs.svg"));
    let all = args(&data, &["--csv", &csv, "--plot", &plot]);
    let (table, said) = succeed(&all);
    assert!(table.contains("600 interactions, 23 users, 38 items") && table.contains("mf: 3 steps"), "{table}");
    let row = |policy: &str, budget: &str| {
        let cells = |line: &str| line.split_whitespace().take(2).collect::<Vec<_>>() == [policy, budget];
        table.lines().filter(|line| cells(line)).count()
    };
    for policy in POLICIES {
        for budget in BUDGETS {
            assert_eq!(row(policy, budget), 1, "{policy} {budget}: {table}");
        }
    }
    for baseline in ["popularity", "recent popularity", "decayed popularity", "item knn"] {
        assert!(table.lines().any(|line| line.starts_with(baseline)), "{baseline}: {table}");
    }
    assert_eq!(said.lines().filter(|line| line.starts_with("run ")).count(), 8, "{said}");

    // All numbers are there and in their domain.
    let text = std::fs::read_to_string(&csv).unwrap();
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let head = reader.headers().unwrap().clone();
    let records: Vec<_> = reader.records().map(Result::unwrap).collect();
    assert_eq!(records.len(), 8);
    let column = |name: &str| head.iter().position(|column| column == name).unwrap_or_else(|| panic!("no {name}"));
    for record in &records {
        for metric in ["recall_5", "recall_20", "ndcg_10", "ndcg_20", "recall_all_20", "ndcg_all_5", "ndcg_all_20"] {
            let value: f64 = record[column(metric)].parse().unwrap();
            assert!((0.0..=1.0).contains(&value), "{metric} {value}");
        }
        assert_eq!(record[column("budget")].is_empty(), record[column("held_bytes")].is_empty());
    }
    for record in records.iter().filter(|record| !record[column("budget")].is_empty()) {
        let number = |name: &str| record[column(name)].parse::<f64>().unwrap();
        assert!(number("counted_bytes") <= number("held_bytes") && number("held_bytes") <= number("peak_bytes"));
        assert_eq!(number("probes"), if &record[column("policy")] == "linucb" { 6.0 } else { 0.0 });
        assert!(number("seconds_train") > 0.0 && number("seconds") >= number("seconds_train"));
    }

    // Nothing is left to do, and what is said stays the same.
    assert_eq!(succeed(&all), (table.clone(), String::new()));
    assert_eq!(std::fs::read_to_string(&csv).unwrap(), text);

    // A line without its end is run again: here the last one, which is a baseline.
    let cut = text.trim_end().len() - 20;
    std::fs::write(&csv, &text[..cut]).unwrap();
    let (again, said) = succeed(&all);
    assert!(said.lines().count() == 1 && said.contains("item knn"), "{said}");
    assert_eq!(again.lines().count(), table.lines().count());
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(lines(&std::fs::read_to_string(&csv).unwrap())[..8], lines(&text)[..8]);
    assert_eq!(std::fs::read_to_string(&csv).unwrap().lines().count(), 9);

    // Other settings are not mixed in, and the file stays as it is.
    let text = std::fs::read_to_string(&csv).unwrap();
    assert_refused("compare", &[&all[..], &["--batch", "64"]].concat(), &["runs.csv:2", "batch=64", "batch=4096"]);
    let other = write(dir.path(), "other.csv", purchases().replace("u3,", "u4,").as_bytes());
    assert_refused("compare", &args(&other, &["--csv", &csv]), &["runs.csv:2", "data=other.csv"]);
    assert_eq!(std::fs::read_to_string(&csv).unwrap(), text);
    // More seeds are: they join them.
    let more: Vec<&str> = all.iter().map(|&arg| if arg == "1" { "2" } else { arg }).collect();
    let (table, said) = succeed(&more);
    assert!(said.lines().count() == 4 && said.lines().all(|line| line.contains("seed 1")), "{said}");
    assert!(table.contains('±'), "{table}");
}

#[test]
fn the_plot_has_a_line_a_policy() {
    let dir = tempfile::tempdir().unwrap();
    let data = write(dir.path(), "a&b.csv", purchases().as_bytes());
    let plot = path(dir.path(), "out.svg");
    succeed(&args(&data, &["--plot", &plot, "--baselines", "false"]));
    let svg = assert_svg(&plot);
    // Lines of policies alone are three wide; each has its colour, in both panels.
    let lines: Vec<&str> = svg.lines().filter(|line| line.contains("stroke-width=\"3\"")).collect();
    let colors: BTreeSet<_> = lines.iter().filter_map(|line| line.split("stroke=\"").nth(1)?.get(..7)).collect();
    assert_eq!((lines.len(), colors.len()), (2 * POLICIES.len(), POLICIES.len()), "{svg}");
    assert!(svg.contains("a&amp;b.csv") && !svg.contains("popularity"), "{svg}");
}

/// Formats and kept rows are compared as policies are, and what they hold in all is a column and an axis.
#[test]
fn formats_and_kept_rows_are_compared_by_all_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let data = write(dir.path(), "purchases.csv", purchases().as_bytes());
    let (csv, plot) = (path(dir.path(), "runs.csv"), path(dir.path(), "out.svg"));
    let lists = ["--formats", "f32,i8", "--replays", "recent=50,all", "--policies", "uniform", "--budgets", "mean=6"];
    let small = ["--data", &data, "--segments", "equal=3", "--steps", "3", "--seeds", "1", "--baselines", "false"];
    let all = [&small[..], &lists, &["--csv", &csv, "--plot", &plot, "--totals"]].concat();
    let (table, said) = succeed(&all);
    let variants = ["f32 recent=50", "f32 all", "i8 recent=50", "i8 all"];
    for variant in variants {
        let rows = table.lines().filter(|line| line.starts_with(&format!("uniform {variant} "))).count();
        assert_eq!(rows, 1, "{variant}: {table}");
    }
    assert!(said.contains("uniform, mean=6, i8, replay recent=50, seed 0"), "{said}");
    let svg = assert_svg(&plot);
    assert!(svg.contains("kB held in all") && variants.iter().all(|name| svg.contains(&format!("uniform {name}"))));

    let mut reader = csv::Reader::from_path(&csv).unwrap();
    let head = reader.headers().unwrap().clone();
    let column = |name: &str| head.iter().position(|column| column == name).unwrap();
    let records: Vec<_> = reader.records().map(Result::unwrap).collect();
    let number = |values: &str, replay: &str, name: &str| {
        let is_this =
            |record: &&csv::StringRecord| (&record[column("values")], &record[column("replay")]) == (values, replay);
        records.iter().find(is_this).unwrap()[column(name)].parse::<u64>().unwrap()
    };
    for values in ["f32", "i8"] {
        let [few, many] = ["recent=50", "all"].map(|replay| number(values, replay, "total_bytes"));
        assert!(number(values, "all", "held_bytes") < few && few < many, "{values}: {few} and {many}");
    }
    assert!(number("i8", "all", "held_bytes") < number("f32", "all", "held_bytes") / 2);
    // They go on, and join others.
    assert_eq!(succeed(&all).1, "");
    let (_, said) = succeed(&[&small[..], &["--policies", "uniform", "--budgets", "mean=6", "--csv", &csv]].concat());
    assert_eq!(said, "", "f32 with all rows is there");
    assert_refused("compare", &[&small[..], &["--formats", "f32,i9"]].concat(), &["--formats", "f32, f16, bf16, i8"]);
    assert_refused("compare", &[&small[..], &["--replays", "recent"]].concat(), &["--replays", "recent=COUNT"]);
    assert_refused("compare", &[&small[..], &["--totals"]].concat(), &["--plot"]);
}

#[test]
fn bad_arguments_are_refused_before_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let data = write(dir.path(), "purchases.csv", purchases().as_bytes());
    let foreign = write(dir.path(), "foreign.csv", b"a,b\n1,2\n");
    let refused = |more: &[&str], parts: &[&str]| {
        let all = [&["--data", &data, "--segments", "equal=3", "--steps", "3"], more].concat();
        assert_refused("compare", &all, parts);
        assert!(!String::from_utf8(on_cpu("compare", &all).stderr).unwrap().contains("run 1 of"), "{more:?}");
    };
    refused(&["--csv", "/no/such/folder/out.csv"], &["out.csv"]);
    refused(&["--plot", "/no/such/folder/out.svg"], &["out.svg"]);
    refused(&["--plot", &path(dir.path(), "same"), "--csv", &path(dir.path(), "same")], &["--plot", "--csv"]);
    refused(&["--policies", "uniform,best"], &["--policies", "best", "ranked"]);
    refused(&["--budgets", "mean=4,half"], &["--budgets", "half"]);
    refused(&["--budgets", "mean=4,params=10"], &["infeasible budget", "10"]);
    refused(&["--seeds", "0"], &["--seeds", "0"]);
    refused(&["--model", "svd"], &["--model", "svd", "mf"]);
    refused(&["--csv", &foreign], &["foreign.csv", "policy,budget", "a,b"]);
    assert_eq!(std::fs::read(&foreign).unwrap(), b"a,b\n1,2\n");
    assert_refused("compare", &["--data", &data, "--segments", "equal=1"], &["--segments", "at least 2"]);
}

//! Numbers are checked before anything runs, and flags that would do nothing are refused.

use super::{assert_refused, on_cpu, purchases, write};

#[test]
fn numbers_are_checked_before_anything_runs() {
    let dir = tempfile::tempdir().unwrap();
    let data = write(dir.path(), "x.csv", purchases().as_bytes());
    for program in ["stream", "compare"] {
        for (flag, values) in [
            ("--learning-rate", &["-1", "0", "nan", "inf", "1e39", "1e-60", "fast"][..]),
            ("--epsilon", &["-1", "0", "nan", "inf"]),
            ("--l2", &["-1", "nan", "inf", "1e39"]),
            ("--alpha", &["-1", "nan", "inf", "0", "1e7"]),
            ("--user-share", &["-0.1", "1.1", "nan"]),
            ("--replay", &["-0.1", "1.1", "nan"]),
            ("--half-life", &["-1", "0", "nan", "inf"]),
            ("--steps", &["0", "-1", "4294967296"]),
            ("--segments", &["new=0", "equal=0", "new=-1", "new=4294967296", "new="]),
            ("--batch", &["0"]),
            ("--window", &["0"]),
            ("--probes", &["0"]),
        ] {
            for value in values {
                let args = ["--data", &data, flag, value];
                assert_refused(
                    program,
                    &args,
                    &[flag.trim_start_matches('-').split('-').next().unwrap(), value_shown(value)],
                );
                let output = on_cpu(program, &args);
                assert!(output.stdout.is_empty(), "{args:?}: {}", String::from_utf8_lossy(&output.stdout));
            }
        }
    }
    for value in ["-1", "nan", "inf"] {
        assert_refused("report", &["--seconds", value], &["--seconds", value]);
    }
}

/// As an error writes it.
fn value_shown(value: &str) -> &str {
    if value == "1e7" { "10000000" } else { value }
}

#[test]
fn a_flag_without_a_use_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data = write(dir.path(), "x.csv", purchases().as_bytes());
    for (args, parts) in [
        (&["--policy", "uniform", "--alpha", "2"][..], &["--alpha", "ranked", "uniform"][..]),
        (&["--policy", "mde", "--user-share", "0.5"], &["--user-share", "mde"]),
        (&["--policy", "bet", "--distribution", "pareto"], &["--distribution", "bet"]),
        (&["--policy", "ranked", "--probes", "5"], &["--probes", "ranked"]),
        (&["--model", "lightgcn", "--epsilon", "0.1"], &["--epsilon", "lightgcn"]),
        (&["--keep-bias", "0.5"], &["--keep-bias", "counted bias"]),
        (&["--bias", "learned", "--half-life", "9"], &["--half-life", "learned bias"]),
        (&["--bias", "none", "--keep-bias", "0.5"], &["--keep-bias", "none bias"]),
        (&["--sampling", "users", "--window", "9"], &["--window", "users"]),
        (&["--paper", "--window", "9"], &["--window", "users"]),
        (&["--block-share", "0.5"], &["--block-share", "--sampling blocks", "log"]),
    ] {
        assert_refused("stream", &[&["--data", &data], args].concat(), parts);
    }
    let compare = |args: &[&'static str], parts: &[&str]| {
        assert_refused("compare", &[&["--data", &data], args].concat(), parts);
    };
    compare(&["--policies", "uniform,mde", "--alpha", "2"], &["--alpha", "uniform, mde"]);
    compare(&["--policies", "uniform,ranked", "--probes", "5"], &["--probes", "uniform, ranked"]);
    compare(&["--bias", "none", "--half-life", "9", "--baselines", "false"], &["--half-life"]);
    // One of the policies has a use for it, or one of the baselines.
    let small = ["--data", &data, "--segments", "equal=2", "--steps", "2", "--seeds", "1"];
    for more in [
        &["--policies", "uniform,ranked", "--alpha", "2"][..],
        &["--policies", "uniform", "--bias", "none", "--half-life", "9"],
    ] {
        let output = on_cpu("compare", &[&small[..], more].concat());
        assert!(output.status.success(), "{more:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn help_says_what_is_trimmed() {
    for program in ["stream", "compare"] {
        let output = on_cpu(program, &["--help"]);
        let text = String::from_utf8(output.stdout).unwrap();
        let words: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in ["byte order marks", "trimmed around every field", "quotes are text", "header has twice"] {
            assert!(words.contains(part), "{part}: {text}");
        }
    }
    let output = on_cpu("report", &["--help"]);
    assert!(String::from_utf8(output.stdout).unwrap().contains("[default: 10000,100000,1000000]"));
}

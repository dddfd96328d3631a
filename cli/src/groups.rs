//! The groups that help shows flags in.

use clap::{Arg, Command};

/// Groups, and the flags that several commands have in them. A flag in no group stands in the first one, which is for
/// those that matter most: ten of them at most. A flag of one command alone says its group itself.
const GROUPS: [(&str, &[&str]); 9] = [
    (
        "Data",
        &[
            "format",
            "columns",
            "no-header",
            "encoding",
            "time-unit",
            "min-rating",
            "clicks",
            "where",
            "k-core",
            "dedup",
            "skip-bad",
            "segments",
        ],
    ),
    ("Configuration", &["config", "paper"]),
    (
        "Budget and sizes",
        &[
            "values",
            "formats",
            "max-size",
            "min-size",
            "count-optimizer",
            "ignore-metadata",
            "distribution",
            "alpha",
            "user-share",
        ],
    ),
    ("Search", &["probes", "proposals-at-once"]),
    (
        "Training",
        &[
            "steps",
            "early-stop",
            "batch",
            "learning-rate",
            "epsilon",
            "optimizer",
            "l2",
            "bias",
            "half-life",
            "keep-bias",
        ],
    ),
    ("Training rows", &["sampling", "window", "block-share", "replay", "replays", "exclude"]),
    ("Evaluation", &["evaluate-users", "cutoffs", "coherence", "against", "totals"]),
    ("Machine", &["threads"]),
    ("What is printed", &["json", "quiet", "verbose", "profile", "trace"]),
];

/// Commands that follow a stream: the others have too few flags for all groups.
const WHOLE: [&str; 2] = ["stream", "compare"];

/// Puts the flags of all commands into their groups.
pub fn grouped(command: Command) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    names.into_iter().fold(command.mut_args(placed), |command, name| {
        let whole = WHOLE.contains(&&*name);
        command.mut_subcommand(name, |command| {
            command.mut_args(|flag| if whole || is_common(&flag) { placed(flag) } else { flag })
        })
    })
}

/// Whether a flag means the same in every command.
fn is_common(flag: &Arg) -> bool {
    ["threads", "json"].contains(&flag.get_long().unwrap_or(""))
}

fn placed(flag: Arg) -> Arg {
    let name = flag.get_long().unwrap_or("");
    match GROUPS.iter().find(|(_, flags)| flags.contains(&name)) {
        Some((group, _)) if flag.get_help_heading().is_none() => flag.help_heading(*group),
        _ => flag,
    }
}

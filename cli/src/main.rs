//! The program `scall`: see `scall --help`.

#[cfg(feature = "search")]
#[path = "../../benches/kernels/cases/mod.rs"]
mod cases;
mod common;
mod compare;
mod completions;
#[cfg(feature = "search")]
#[path = "../../benches/kernels/data.rs"]
mod data;
mod export;
mod groups;
#[path = "../../benches/kernels/kernel_times.rs"]
mod kernel_times;
mod page;
mod recommend;
#[cfg(feature = "search")]
mod report;
mod scaling;
#[cfg(feature = "serve")]
mod serve;
mod shaders;
mod similar;
mod stream;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 an error, 2 a command line that cannot be used, 130 interrupted (what is kept is said on standard
error), 141 the reader of standard output has gone.";

/// Recommenders whose embedding tables live in a fixed memory budget.
#[derive(Parser, Debug)]
#[command(name = "scall", version, after_help = EXIT_CODES)]
struct Args {
    #[command(flatten)]
    voice: common::Voice,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    #[command(args_override_self = true, allow_negative_numbers = true)]
    Stream(Box<stream::Args>),
    #[command(args_override_self = true, allow_negative_numbers = true)]
    Compare(Box<compare::Args>),
    Recommend(recommend::Args),
    Similar(similar::Args),
    Export(export::Args),
    #[cfg(feature = "serve")]
    Serve(serve::Args),
    #[cfg(feature = "search")]
    #[command(visible_alias = "bench", allow_negative_numbers = true)]
    Report(report::Args),
    Scaling(scaling::Args),
    Shaders(shaders::Args),
    Completions(completions::Args),
}

/// The command line, with its flags in groups.
fn command() -> clap::Command {
    groups::grouped(Args::command())
}

fn main() -> ExitCode {
    let found = Args::from_arg_matches(&command().get_matches());
    let args = found.unwrap_or_else(|error| error.exit());
    if args.voice.is_torn() {
        let words = "the argument '--quiet' cannot be used with '--verbose'";
        command().error(ErrorKind::ArgumentConflict, words).exit();
    }
    args.voice.begin();
    match &args.command {
        Command::Stream(args) => common::exit(stream::run(args).map_err(common::helped)),
        Command::Compare(args) => common::exit(compare::run(args)),
        Command::Recommend(args) => common::exit(recommend::run(args)),
        Command::Similar(args) => common::exit(similar::run(args)),
        Command::Export(args) => common::exit(export::run(args)),
        #[cfg(feature = "serve")]
        Command::Serve(args) => common::exit(serve::run(args)),
        #[cfg(feature = "search")]
        Command::Report(args) => common::exit(report::run(args)),
        Command::Scaling(args) => common::exit(scaling::run(args)),
        Command::Shaders(args) => common::exit(shaders::run(args)),
        Command::Completions(args) => {
            args.run(&mut command());
            ExitCode::SUCCESS
        }
    }
}

//! The command line as a whole: its groups of flags, and every command that a document has.

use std::collections::BTreeMap;
#[cfg(all(feature = "search", feature = "serve"))]
use std::path::Path;

use clap::Command;
#[cfg(all(feature = "search", feature = "serve"))]
use clap::Parser;

#[cfg(all(feature = "search", feature = "serve"))]
use super::Args;

#[allow(dead_code, reason = "a build without some features has fewer commands than the documents")]
mod shell;

/// The commands whose flags are many.
fn with_groups() -> Vec<Command> {
    let mut all = super::command();
    all.build();
    let wanted = |command: &&Command| ["stream", "compare", "serve"].contains(&command.get_name());
    all.get_subcommands().filter(wanted).cloned().collect()
}

#[test]
fn the_first_group_has_the_ten_flags_that_matter() {
    for command in with_groups() {
        let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for flag in command.get_arguments() {
            groups.entry(flag.get_help_heading().unwrap_or("")).or_default().push(flag.get_id().as_str());
        }
        let first = groups.remove("").unwrap_or_default();
        let first: Vec<&str> = first.into_iter().filter(|flag| *flag != "help").collect();
        assert!((3..=10).contains(&first.len()), "{}: {first:?}", command.get_name());
        assert!(first.contains(&"device"), "{}: {first:?}", command.get_name());
        assert!(groups.len() >= 3, "{groups:?}");
        // No subject is a list that no one reads.
        for (name, flags) in groups {
            assert!(flags.len() <= 13, "{} {name}: {flags:?}", command.get_name());
        }
    }
}

#[test]
fn short_help_has_a_line_a_flag() {
    for command in with_groups() {
        let name = command.get_name().to_owned();
        let text = command.term_width(100).render_help().to_string();
        let flags = text.lines().skip_while(|line| *line != "Options:").filter(|line| !line.is_empty());
        let wrapped = flags.clone().filter(|line| line.starts_with(' ') && !line.trim_start().starts_with('-'));
        assert_eq!(wrapped.collect::<Vec<_>>(), Vec::<&str>::new(), "{name}");
        assert!(flags.clone().count() > 10 && flags.clone().all(|line| line.chars().count() <= 100), "{name}: {text}");
        assert!(flags.clone().any(|line| line.ends_with("help (see more with '--help')")), "{name}: {text}");
    }
}

/// A build without some features has fewer commands and policies than the documents.
#[cfg(all(feature = "search", feature = "serve"))]
#[test]
fn every_command_of_the_documents_is_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut documents = vec![root.join("README.md"), root.join("benches/README.md")];
    documents.extend(std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path()));
    documents.retain(|path| path.extension().is_some_and(|kind| kind == "md"));
    let mut count = BTreeMap::new();
    for document in documents {
        let text = std::fs::read_to_string(&document).unwrap();
        assert!(!text.contains("--example stream -- --"), "{}: that example has no flags", document.display());
        for (line, words) in shell::commands(&text) {
            let place = format!("{}:{line}", document.display());
            match Args::try_parse_from(&words) {
                Ok(_) => {}
                Err(error) if !error.use_stderr() => {}
                Err(error) => panic!("{place}: {words:?}: {error}"),
            }
            *count.entry(words.get(1).cloned().unwrap_or_default()).or_insert(0) += 1;
        }
    }
    // All commands are shown somewhere.
    for command in super::command().get_subcommands() {
        assert!(count.contains_key(command.get_name()), "no document has `scall {}`: {count:?}", command.get_name());
    }
    assert!(count["stream"] > 20, "{count:?}");
}

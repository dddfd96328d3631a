//! What holds for every text of the repository.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The widest line of code and documents, in characters.
const COLUMNS: usize = 120;

/// Kinds of files that people write and read.
const KINDS: &[&str] = &["md", "mjs", "py", "rs", "sh", "toml", "wgsl", "yml"];

/// Files with lines that are too long, and how many. They only become fewer: see
/// [`no_line_is_too_long`].
const NOT_YET: &str = "tests/style/long_lines.txt";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All texts by their paths below the root.
fn texts() -> Vec<PathBuf> {
    let mut texts = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let built = ["target", "node_modules", "__pycache__", ".git"].contains(&name);
            let kind = path.extension().and_then(|kind| kind.to_str());
            if path.is_dir() && !built {
                folders.push(path);
            } else if kind.is_some_and(|kind| KINDS.contains(&kind)) || path == root().join(".ci/run") {
                texts.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    texts.sort();
    texts
}

/// Whether a line is wider than it may be. A row of a table cannot be wrapped, nor can an address.
fn is_too_long(line: &str) -> bool {
    let text = line.trim_start().trim_start_matches(['/', '!', '#']).trim_start();
    let address = |word: &&str| word.contains("://");
    let addresses: usize = line.split_whitespace().filter(address).map(|word| word.chars().count()).sum();
    !text.starts_with('|') && line.chars().count() - addresses > COLUMNS
}

/// The lines that are too long, by their numbers from 1.
fn long_lines(path: &Path) -> Vec<usize> {
    let text = std::fs::read_to_string(root().join(path)).unwrap();
    text.lines().zip(1..).filter(|(line, _)| is_too_long(line)).map(|(_, number)| number).collect()
}

/// How many lines of which files are known to be too long.
fn recorded() -> BTreeMap<PathBuf, usize> {
    let text = std::fs::read_to_string(root().join(NOT_YET)).unwrap();
    let known = |line: &str| {
        let (count, path) = line.split_once(' ').unwrap_or_else(|| panic!("{NOT_YET}: {line:?} is no `count path`"));
        (PathBuf::from(path), count.parse().unwrap_or_else(|_| panic!("{NOT_YET}: {line:?} is no `count path`")))
    };
    text.lines().map(known).collect()
}

/// What git leaves in a file where two changes met is not left standing.
#[test]
fn no_conflict_is_left() {
    let is_mark = |line: &&str| ["<<<<<<< ", "=======", ">>>>>>> "].iter().any(|mark| line.starts_with(mark));
    let wrong = |path: &PathBuf| std::fs::read_to_string(root().join(path)).unwrap().lines().any(|line| is_mark(&line));
    let wrong: Vec<PathBuf> = texts().into_iter().filter(wrong).collect();
    assert!(wrong.is_empty(), "marks of a merge in {wrong:?}");
}

/// No line passes 120 columns, apart from those of the files in `tests/style/long_lines.txt`. These are printed, and
/// may have no more of them than stand there. `SCALL_RECORD_LONG_LINES=1` writes the list again once there are fewer.
#[test]
fn no_line_is_too_long() {
    let mut found: BTreeMap<PathBuf, Vec<usize>> =
        texts().into_iter().map(|path| (path.clone(), long_lines(&path))).collect();
    found.retain(|_, lines| !lines.is_empty());
    let (known, total) = (recorded(), found.values().map(Vec::len).sum::<usize>());
    if std::env::var_os("SCALL_RECORD_LONG_LINES").is_some_and(|value| value == "1") {
        let before: usize = known.values().sum();
        assert!(total <= before, "the list may only become shorter: {before} long lines before, {total} now");
        let line = |(path, lines): (&PathBuf, &Vec<usize>)| format!("{} {}\n", lines.len(), path.display());
        std::fs::write(root().join(NOT_YET), found.iter().map(line).collect::<String>()).unwrap();
        return;
    }
    let more = |(path, lines): &(&PathBuf, &Vec<usize>)| lines.len() > known.get(*path).copied().unwrap_or(0);
    let wrong: Vec<String> = found
        .iter()
        .filter(more)
        .map(|(path, lines)| format!("  {}: lines {lines:?}, of which {:?} are known", path.display(), known.get(path)))
        .collect();
    assert!(wrong.is_empty(), "lines of more than {COLUMNS} columns:\n{}", wrong.join("\n"));
    if total > 0 {
        let files: String =
            found.iter().map(|(path, lines)| format!("  {} {}\n", lines.len(), path.display())).collect();
        // Not by a macro, whose output the test harness keeps to itself.
        let text = format!("lines of more than {COLUMNS} columns, {total} in all, still to be wrapped:\n{files}");
        std::io::stderr().write_all(text.as_bytes()).unwrap();
    }
}

#[test]
fn tables_and_addresses_are_not_too_long() {
    let words = "word ".repeat(30);
    assert!(is_too_long(&words) && is_too_long(&format!("//! {words}")));
    assert!(
        !is_too_long(&words[..COLUMNS]) && is_too_long(&"é".repeat(COLUMNS + 1)) && !is_too_long(&"é".repeat(COLUMNS))
    );
    for table in [format!("| {words} |"), format!("//! | {words} |"), format!("/// | {words} |")] {
        assert!(!is_too_long(&table), "{table}");
    }
    let address = format!("https://example.org/{}", "path/".repeat(30));
    assert!(!is_too_long(&address) && !is_too_long(&format!("See {address}.")));
    assert!(is_too_long(&format!("{words}{address}")));
}

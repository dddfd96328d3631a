//! The commands of this program that a document shows.

/// Words of a line as a shell has them: quotes, blanks after a backslash, comments.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut within) = (Vec::new(), String::new(), None, false);
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            (letter, Some(open)) if letter == open => quote = None,
            (letter, Some(_)) => word.push(letter),
            ('\'' | '"', None) => (quote, within) = (Some(letter), true),
            ('#', None) if !within => break,
            ('\\', None) => (word, within) = (word + &letters.next().map(String::from).unwrap_or_default(), true),
            (letter, None) if letter.is_whitespace() => {
                if std::mem::take(&mut within) {
                    words.push(std::mem::take(&mut word));
                }
            }
            (letter, None) => (word, within) = (word + &letter.to_string(), true),
        }
    }
    if within {
        words.push(word);
    }
    words
}

/// The commands of this program in the `sh` blocks of a document, with their lines.
pub fn commands(text: &str) -> Vec<(usize, Vec<String>)> {
    let (mut found, mut is_shell, mut line) = (Vec::new(), false, String::new());
    for (number, next) in (1..).zip(text.lines()) {
        if next.trim_start().starts_with("```") {
            is_shell = next.trim() == "```sh";
            continue;
        }
        line += next.strip_suffix('\\').unwrap_or(next);
        if next.ends_with('\\') {
            continue;
        }
        let line = std::mem::take(&mut line);
        // A pipe, a list, or the output of a command as a file.
        for part in line.split(['|', ';', '(', ')']).filter(|_| is_shell) {
            let words = words(part.split(" > ").next().unwrap_or(part));
            if words.first().is_some_and(|word| word == "scall") {
                found.push((number, words));
            }
        }
    }
    found
}

#[test]
fn shells_split_words_so() {
    let text = "```sh\ncat x | scall stream --data - \\\n    --where 'a b=c' # why\nscall --help\n```\nscall none\n\
                ```text\nscall no\n```";
    let expected = [&["scall", "stream", "--data", "-", "--where", "a b=c"][..], &["scall", "--help"]];
    assert_eq!(commands(text).into_iter().map(|(_, words)| words).collect::<Vec<_>>(), expected);
}

//! Text that others wrote: which of its characters cannot be seen, and how it is shown.
//!
//! A name that comes from a file may hold characters that a screen does not show, or that a terminal obeys. Two ids
//! that differ in such a character alone look the same, and a file's name with an escape sequence would rewrite the
//! screen. This module says once which characters those are.
//!
//! | characters | at the ends of a field | within an id |
//! |---|---|---|
//! | white space (Unicode's `White_Space`, and the blank of Braille) | trimmed | text, but for line breaks and tabs |
//! | byte order mark, zero width, soft hyphen, marks of direction, fillers, others that fonts ignore | trimmed | an error |
//! | control characters that are no white space, such as NUL or ESC | an error | an error |
//! | joiners between characters of scripts and emoji (from U+0590 on) | trimmed | text: they shape what is seen |
//! | variation selectors and tags after such a character, in an emoji | text | text |
//!
//! Nothing else is normalised: `é` as one character and as two are two texts.

use std::ffi::OsStr;

/// A text in one line that a terminal shows and does not obey: control characters and characters that cannot be seen
/// are written as escapes, bytes that are no UTF-8 as `\xff`. Quotes and backslashes stay as they are, so that a path
/// reads as a path.
///
/// ```
/// use scall_gpu::text::printable;
/// assert_eq!(printable("C:\\données\\a.csv"), "C:\\données\\a.csv");
/// assert_eq!(printable("a\u{1b}[2J\n\u{feff}b"), r"a\u{1b}[2J\n\u{feff}b");
/// ```
pub fn printable(text: impl AsRef<OsStr>) -> String {
    let mut shown = String::new();
    for chunk in text.as_ref().as_encoded_bytes().utf8_chunks() {
        escape_hidden(chunk.valid(), &mut shown);
        chunk.invalid().iter().for_each(|byte| shown += &format!("\\x{byte:02x}"));
    }
    shown
}

/// The start of a text in quotes, escaped as [`printable`] does, and quotes and backslashes as well.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    quoted_up_to(80, bytes)
}

/// The same with another number of characters.
pub(crate) fn quoted_up_to(longest: usize, bytes: &[u8]) -> String {
    // Enough bytes for that, so that a long line is not gone through whole.
    let start = &bytes[..bytes.len().min(4 * (longest + 1))];
    let mut shown = String::from("\"");
    let mut left = longest;
    for chunk in start.utf8_chunks() {
        let end = chunk.valid().char_indices().nth(left).map_or(chunk.valid().len(), |(end, _)| end);
        left -= chunk.valid()[..end].chars().count();
        for (k, part) in chunk.valid()[..end].split('\\').enumerate() {
            shown += if k > 0 { "\\\\" } else { "" };
            for (k, part) in part.split('"').enumerate() {
                shown += if k > 0 { "\\\"" } else { "" };
                escape_hidden(part, &mut shown);
            }
        }
        if end < chunk.valid().len() {
            return shown + "\"…";
        }
        for byte in chunk.invalid() {
            if left == 0 {
                return shown + "\"…";
            }
            left -= 1;
            shown += &format!("\\x{byte:02x}");
        }
    }
    shown + if start.len() < bytes.len() { "\"…" } else { "\"" }
}

fn escape_hidden(text: &str, shown: &mut String) {
    let mut hidden = hidden(text).peekable();
    for (at, c) in text.char_indices() {
        match hidden.next_if(|&(next, _)| next == at) {
            None => shown.push(c),
            Some((_, '\0' | '\t' | '\n' | '\r')) => shown.extend(c.escape_debug()),
            Some(_) => shown.extend(c.escape_unicode()),
        }
    }
}

/// A text without what is trimmed at its ends.
pub(crate) fn trim(text: &str) -> &str {
    // Most fields by far.
    if let (Some(b'!'..=b'~'), Some(b'!'..=b'~')) = (text.as_bytes().first(), text.as_bytes().last()) {
        return text;
    }
    let text = text.trim_start_matches(is_blank);
    let core = text.trim_end_matches(is_blank);
    let base = core.chars().next_back();
    // What an emoji at the end is made of belongs to it.
    let selectors = text[core.len()..].chars().take_while(|&c| is_selector(c) && base.is_some_and(is_shaped));
    &text[..core.len() + selectors.map(char::len_utf8).sum::<usize>()]
}

/// The same of bytes, of which only white space is trimmed where they are no UTF-8.
pub(crate) fn trim_bytes(bytes: &[u8]) -> &[u8] {
    std::str::from_utf8(bytes).map_or(bytes.trim_ascii(), |text| trim(text).as_bytes())
}

/// How many bytes at the start are trimmed, none of them a `stop`.
pub(crate) fn blank_prefix(bytes: &[u8], stop: Option<u8>) -> usize {
    let mut at = 0;
    while at < bytes.len() && Some(bytes[at]) != stop && !matches!(bytes[at], b'!'..=b'~') {
        // The longest character has four bytes.
        let next = bytes[at..bytes.len().min(at + 4)].utf8_chunks().next();
        match next.and_then(|chunk| chunk.valid().chars().next()) {
            Some(c) if is_blank(c) => at += c.len_utf8(),
            _ => break,
        }
    }
    at
}

/// The first character of a trimmed text that cannot be part of an id, and its offset.
pub(crate) fn first_hidden(text: &str) -> Option<(usize, char)> {
    let is_plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if is_plain { None } else { hidden(text).next() }
}

/// Characters that cannot be seen, nor seen in what they do to their neighbours.
fn hidden(text: &str) -> impl Iterator<Item = (usize, char)> {
    let mut base = None;
    text.char_indices().filter(move |&(at, c)| {
        if !is_invisible(c) {
            base = Some(c);
            return false;
        }
        let shapes = (is_joiner(c) || is_selector(c)) && base.is_some_and(is_shaped);
        // The digit of a keycap is followed by a selector and the cap.
        let is_keycap = is_selector(c) && text[at + c.len_utf8()..].starts_with('\u{20e3}');
        !(shapes || is_keycap)
    })
}

/// Whether a character is trimmed at the ends of a field.
fn is_blank(c: char) -> bool {
    match c {
        '!'..='~' => false,
        '\u{2800}' => true,
        _ => c.is_whitespace() || (is_invisible(c) && !c.is_control()),
    }
}

/// Control characters, line separators, and what Unicode calls default-ignorable or formatting and no font draws.
fn is_invisible(c: char) -> bool {
    match c {
        ' '..='~' => false,
        _ => matches!(c,
            '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{fffe}'..='\u{ffff}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'),
    }
}

/// Zero width non-joiner and joiner: in several scripts and in emoji they change what the characters next to them look
/// like.
fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

/// Variation selectors, and the tags that spell the flags of regions.
fn is_selector(c: char) -> bool {
    matches!(c,
        '\u{180b}'..='\u{180d}' | '\u{180f}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0020}'..='\u{e007f}'
        | '\u{e0100}'..='\u{e01ef}')
}

/// Whether joiners and selectors can change a character: those of scripts that are joined, and symbols. Latin, Greek
/// and Cyrillic letters are never changed.
fn is_shaped(c: char) -> bool {
    c >= '\u{590}' || matches!(c, '©' | '®')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printable_is_one_line_that_a_terminal_only_shows() {
        let fine = "né ne\u{301} 日本 ❤\u{fe0f} <&> \"'\\";
        assert_eq!(printable(fine), fine);
        assert_eq!(printable("a\u{1b}[2J\r\n\t\0\u{9b}31m"), r"a\u{1b}[2J\r\n\t\0\u{9b}31m");
        assert_eq!(printable("\u{202e}\u{200b}\u{2028}\u{3164}\u{feff}"), r"\u{202e}\u{200b}\u{2028}\u{3164}\u{feff}");
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStrExt;
            assert_eq!(printable(OsStr::from_bytes(b"a\xff\xc3.csv")), r"a\xff\xc3.csv");
        }
    }

    #[test]
    fn quoted_is_short_and_printable() {
        assert_eq!(quoted(b"a\x1b[2J\xff\r\n\"\\\0"), r#""a\u{1b}[2J\xff\r\n\"\\\0""#);
        assert_eq!(quoted("né 日本 \u{202e}".as_bytes()), r#""né 日本 \u{202e}""#);
        assert_eq!(quoted(b""), r#""""#);
        for wide in ["x", "é", "日", "😀"] {
            assert_eq!(quoted(wide.repeat(80).as_bytes()), format!("\"{}\"", wide.repeat(80)));
            for more in [81, 82, 500] {
                assert_eq!(quoted(wide.repeat(more).as_bytes()), format!("\"{}\"…", wide.repeat(80)), "{more}");
            }
        }
        assert_eq!(quoted(&[0xff; 80]), format!("\"{}\"", "\\xff".repeat(80)));
        assert_eq!(quoted(&[0xff; 81]), format!("\"{}\"…", "\\xff".repeat(80)));
    }

    #[test]
    fn ends_are_trimmed() {
        for blank in [
            "", " ", "\t\r\n", "\u{a0}", "\u{2003}", "\u{3000}", "\u{2800}", "\u{feff}", "\u{200b}", "\u{200d}",
            "\u{2060}",
        ] {
            for text in [
                "a",
                "a b",
                "日本",
                "❤\u{fe0f}",
                "👨\u{200d}👩\u{200d}👧",
                "🏴\u{e0067}\u{e0062}\u{e007f}",
                "1\u{fe0f}\u{20e3}",
                "",
            ] {
                let padded = format!("{blank}{text}{blank}{blank}");
                assert_eq!(trim(&padded), text, "{padded:?}");
                assert_eq!(trim_bytes(padded.as_bytes()), text.as_bytes());
                let visible = format!("{blank}x{text}");
                assert_eq!(blank_prefix(visible.as_bytes(), None), blank.len(), "{visible:?}");
            }
        }
        // After a letter that they do not change they are trimmed too.
        assert_eq!(trim("ann\u{fe0f}\u{200d}\u{e007f}"), "ann");
        // A sign of damage is not.
        assert_eq!(trim("\0a\u{1b}"), "\0a\u{1b}");
        assert_eq!(trim_bytes(b" caf\xe9\t"), b"caf\xe9");
        assert_eq!((blank_prefix(b" \t\xff", None), blank_prefix(b" \ta", Some(b'\t'))), (2, 1));
    }

    #[test]
    fn hidden_characters_are_found() {
        for text in [
            "",
            "ann lee",
            "né",
            "山田\u{3000}太郎",
            "a\u{a0}b",
            "می\u{200c}خواهم",
            "👨\u{200d}👩\u{200d}👧 ❤\u{fe0f}x",
            "1\u{fe0f}\u{20e3}",
            "©\u{fe0f}",
        ] {
            assert_eq!(first_hidden(text), None, "{text:?}");
        }
        let all = "\0\t\r\n\u{b}\u{1b}\u{7f}\u{85}\u{ad}\u{200b}\u{200c}\u{200d}\
                   \u{200e}\u{2028}\u{202e}\u{2060}\u{2066}\u{3164}\u{fe0f}\u{feff}\u{e0041}";
        for c in all.chars() {
            assert_eq!(first_hidden(&format!("an{c}n")), Some((2, c)), "{c:?}");
            assert_eq!(first_hidden(&format!("é{c}é")), Some((2, c)), "{c:?}");
        }
        assert_eq!(first_hidden("日\u{200b}本"), Some((3, '\u{200b}')));
    }
}

//! Tables and lines that fit the terminal.

use terminal_size::{Width, terminal_size_of};

/// Columns of a terminal too narrow to fit anything.
const LEAST: usize = 20;

/// Characters that fit a line: those that the variable `COLUMNS` says, else those of the terminal that standard output
/// is. Without either, as in a file or a pipe, lines are as long as they are.
pub fn width() -> Option<usize> {
    let said = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok()).filter(|&columns: &usize| columns > 0);
    let width = said.or_else(|| terminal_size_of(std::io::stdout()).map(|(Width(columns), _)| columns.into()));
    width.map(|columns: usize| columns.max(LEAST))
}

/// A column of a table.
#[derive(Clone, Debug)]
pub struct Column {
    pub head: String,
    /// What it is called where it is left out.
    pub name: String,
    pub width: usize,
    /// Texts stand on the left, numbers on the right.
    pub left: bool,
    /// The first to stay have 0, those that leave first the largest.
    pub rank: u8,
}

impl Column {
    /// Of numbers.
    pub fn new(head: &str, width: usize, rank: u8) -> Self {
        let (name, width) = (head.trim().to_owned(), width.max(head.chars().count()));
        Self { head: head.to_owned(), name, width, left: false, rank }
    }

    /// Of texts.
    pub fn left(head: &str, width: usize, rank: u8) -> Self {
        Self { left: true, ..Self::new(head, width, rank) }
    }
}

/// Which columns of a table are shown.
#[derive(Clone, Debug)]
pub struct Columns {
    all: Vec<Column>,
    shown: Vec<bool>,
    gap: usize,
}

impl Columns {
    /// Those that fit a width, by rank; the one of rank 0 in any case. All of them without a width.
    pub fn fit(all: Vec<Column>, gap: usize, width: Option<usize>) -> Self {
        let mut by_rank: Vec<usize> = (0..all.len()).collect();
        by_rank.sort_by_key(|&column| all[column].rank);
        let mut shown = vec![false; all.len()];
        let mut used = 0;
        for column in by_rank {
            let more = all[column].width + if used > 0 { gap } else { 0 };
            if all[column].rank == 0 || width.is_none_or(|width| used + more <= width) {
                shown[column] = true;
                used += more;
            }
        }
        Self { all, shown, gap }
    }

    /// The heads.
    pub fn head(&self) -> String {
        let heads: Vec<String> = self.all.iter().map(|column| column.head.clone()).collect();
        self.row(&heads)
    }

    /// A row of all columns, of which those are shown that fit.
    pub fn row(&self, cells: &[String]) -> String {
        let shown = self.all.iter().zip(cells).zip(&self.shown).filter(|&(_, &shown)| shown);
        let cells = shown.map(|((column, cell), _)| match column.left {
            true => format!("{cell:<width$}", width = column.width),
            false => format!("{cell:>width$}", width = column.width),
        });
        cells.collect::<Vec<_>>().join(&" ".repeat(self.gap)).trim_end().to_owned()
    }

    /// Whether a column is shown, by its number.
    pub fn shows(&self, column: usize) -> bool {
        self.shown[column]
    }

    /// What is left out, as a sentence that ends with where it is.
    pub fn left_out(&self, elsewhere: &str) -> Option<String> {
        let out = self.all.iter().zip(&self.shown).filter(|&(_, &shown)| !shown);
        let names: Vec<&str> = out.map(|(column, _)| &*column.name).collect();
        (!names.is_empty()).then(|| format!("not shown, for want of columns: {} ({elsewhere})", names.join(", ")))
    }
}

/// Lines broken at blanks where they are too long. What follows is indented as words after a line's name are, or as the
/// line is.
pub fn wrapped(lines: &str, width: Option<usize>) -> String {
    let Some(width) = width else { return lines.to_owned() };
    lines.split('\n').map(|line| wrapped_line(line, width)).collect::<Vec<_>>().join("\n")
}

/// Where the words of a headline such as `device   CPU` begin.
const NAMED: usize = 9;

fn wrapped_line(line: &str, width: usize) -> String {
    let length = |text: &str| text.chars().count();
    if length(line) <= width {
        return line.to_owned();
    }
    let lead = length(line) - length(line.trim_start());
    // A name, then blanks up to the words.
    let name: String = line.chars().take(NAMED).collect();
    let is_named =
        lead == 0 && name.ends_with(' ') && length(name.trim_end()) < NAMED && line.chars().nth(NAMED) != Some(' ');
    let (first, indent) = if is_named { (NAMED, NAMED) } else { (lead, lead) };
    let indent = if indent + LEAST / 2 > width { 0 } else { indent };
    let mut text: String = line.chars().take(first).collect();
    let rest: String = line.chars().skip(first).collect();
    let mut used = length(&text);
    for (k, word) in rest.split(' ').enumerate() {
        if k > 0 && used + 1 + length(word) > width {
            text = text.trim_end().to_owned() + "\n" + &" ".repeat(indent);
            used = indent;
        } else if k > 0 {
            text.push(' ');
            used += 1;
        }
        text += word;
        used += length(word);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(width: Option<usize>) -> Columns {
        let all = vec![Column::new("t", 3, 0), Column::left("name", 10, 2), Column::new("score", 6, 1)];
        Columns::fit(all, 2, width)
    }

    #[test]
    fn columns_leave_by_rank() {
        let row = ["1", "tea", "0.5"].map(str::to_owned);
        let shown = |width| (columns(width).head(), columns(width).row(&row), columns(width).left_out("in the file"));
        let whole = ("  t  name         score".to_owned(), "  1  tea            0.5".to_owned(), None);
        assert_eq!(shown(None), whole);
        assert_eq!(shown(Some(23)), whole);
        let out = |names: &str| Some(format!("not shown, for want of columns: {names} (in the file)"));
        assert_eq!(shown(Some(22)), ("  t   score".to_owned(), "  1     0.5".to_owned(), out("name")));
        // A column of a lower rank may fit where one of a higher rank does not, and the first one always stays.
        assert_eq!(shown(Some(2)), ("  t".to_owned(), "  1".to_owned(), out("name, score")));
    }

    #[test]
    fn lines_are_broken_at_blanks() {
        let text = "device   CPU, 2 threads\nmodel    mf: 300 steps a segment of 4096 triples";
        assert_eq!(wrapped(text, None), text);
        let broken = "device   CPU, 2 threads\nmodel    mf: 300 steps a\n         segment of 4096\n         triples";
        assert_eq!(wrapped(text, Some(25)), broken);
        assert_eq!(wrapped("a plain sentence of words", Some(20)), "a plain sentence of\nwords");
        assert_eq!(wrapped("unbreakable-by-any-means at all", Some(20)), "unbreakable-by-any-means\nat all");
        let lines = wrapped(&"ä ".repeat(100), Some(30));
        assert!(lines.lines().all(|line| line.chars().count() <= 30));
    }
}

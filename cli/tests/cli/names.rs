//! Text of others in what the program prints and draws.

use super::{assert_svg, on_cpu, purchases, write};

/// A name that a terminal would obey, and XML would not take.
const NAME: &str = "a<b>&\"'\u{1b}[2J\u{7}\n\u{202e}x.csv";

#[test]
fn a_file_name_is_escaped_on_the_screen_and_in_plots() {
    let dir = tempfile::tempdir().unwrap();
    let data = write(dir.path(), NAME, purchases().as_bytes());
    let plot = dir.path().join("out.svg").to_str().unwrap().to_owned();
    let small = ["--data", &data, "--segments", "equal=2", "--steps", "2", "--plot", &plot];
    for (program, more) in [("stream", &[][..]), ("compare", &["--policies", "uniform", "--seeds", "1"])] {
        let output = on_cpu(program, &[&small[..], more].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains(r#"a<b>&"'\u{1b}[2J\u{7}\n\u{202e}x.csv: 600 interactions"#), "{said}");
        assert!(!said.contains(|c: char| c != '\n' && c.is_control() || c == '\u{202e}'), "{said:?}");
        let svg = assert_svg(&plot);
        assert!(svg.contains("a&lt;b&gt;&amp;") && svg.contains(r"\u{1b}[2J\u{7}\n\u{202e}x.csv"), "{svg}");
    }
}

#[test]
fn errors_are_escaped() {
    let dir = tempfile::tempdir().unwrap();
    let bad = write(dir.path(), NAME, b"user,it\x1b[2Jem,time\na,b,1\n");
    let good = write(dir.path(), "good.csv", purchases().as_bytes());
    let absent = dir.path().join("\u{1b}[2J").join("out").to_str().unwrap().to_owned();
    for (program, args) in [
        ("stream", &["--data", &bad][..]),
        ("stream", &["--data", &good, "--report", &absent]),
        ("stream", &["--data", &bad, "--plot", &bad]),
        ("compare", &["--data", &good, "--csv", &bad]),
        ("compare", &["--data", &good, "--csv", &absent]),
        ("report", &["--json", &absent]),
        ("report", &["--only", "table/lookup", "--torch", &absent]),
    ] {
        let output = on_cpu(program, args);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(r"\u{1b}[2J"), "{program} {args:?}: {said:?}");
        assert!(!said.contains(|c: char| c != '\n' && c.is_control()), "{program} {args:?}: {said:?}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

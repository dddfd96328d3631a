//! What is parsed ahead is what a reader finds that knows one line at a time, whatever the threads and chunks.

use std::io::Read;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use rayon::ThreadPoolBuilder;

use super::feed::Sizes;
use super::input::Input;
use super::*;

/// Nothing is parsed ahead.
const PLAIN: Sizes = Sizes { first: 64, most: 0, chunk: 0 };

/// Gives few bytes at a time, and fails after the last where it is to.
struct Trickle<'t> {
    text: &'t [u8],
    step: usize,
    fails: bool,
}

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.text.is_empty() && self.fails {
            return Err(std::io::Error::other("it broke"));
        }
        let step = self.step.min(buffer.len());
        self.text.take(step as u64).read(buffer).inspect(|&count| self.text = &self.text[count..])
    }
}

/// Rows and report, or the error.
fn read_in(
    input: impl Read,
    is_live: bool,
    options: &ReadOptions,
    sizes: Sizes,
) -> Result<(Interactions, ReadReport), String> {
    let name = Path::new("f");
    let mut stream = Stream::new(options);
    stream.rows.sizes = sizes;
    let read = Input::new(input, name).and_then(|input| stream.add(Input { is_live, ..input }));
    read.and_then(|()| stream.finish(vec![name.into()])).map_err(|error| error.to_string())
}

/// Lines of a format with `user,note,item,time` in this order, most of them good.
fn line(format: Format) -> impl Strategy<Value = String> {
    let id = prop_oneof![
        8 => "[a-c0-9]{1,2}",
        2 => "[a-z]{7,9}",
        1 => "[ é\u{feff}]{0,1}[é ]{0,1}[a-z日]{0,9} {0,1}",
        1 => select(&["", "a\u{200b}b", "a\0", "x y", "\u{7f}", "~!", "a\\b"][..]).prop_map(str::to_owned),
    ];
    let time = prop_oneof![
        20 => (1_600_000_000..1_600_000_050u64).prop_map(|time| time.to_string()),
        1 => select(&["0", "", "x", "1600000000000", "1.5", "-1", " 1600000001", "99999999999999999999", "16000000:0",
            "1600000/00", "2020-01-01"][..]).prop_map(str::to_owned),
    ];
    let note = prop_oneof![8 => "[0-9]{0,9}", 1 => "[a-z ,;\t]{0,3}"];
    let strange = select(&["", " ", "\t\t\t", "\u{feff}", "x", "\"a", ",\"\n\",", ",,,", "{}", "::::::"][..]);
    let row = (id.clone(), note, id, time, 0..20u8).prop_map(move |(user, note, item, time, quotes)| {
        let quoted =
            |k: u8, text: String| if quotes == k { format!("\"{}\"", text.replace('"', "\"\"")) } else { text };
        match format {
            Format::DoubleColon => format!("{user}::{item}::{}::{time}", note.len()),
            Format::Json => {
                let time = if quotes == 3 { format!("\"{time}\"") } else { time };
                format!("{{\"user\":\"{user}\",\"note\":{:?},\"item\":\"{item}\",\"time\":{time}}}", note.trim())
            }
            _ => {
                let delimiter = if format == Format::Csv { "," } else { "\t" };
                let note = if quotes == 4 { format!("\"{note}\n{user}\"\"\"") } else { quoted(0, note) };
                [quoted(1, user), note, quoted(2, item), quoted(3, time)].join(delimiter)
            }
        }
    });
    (prop_oneof![30 => row, 1 => strange.prop_map(str::to_owned)], 0..8u8)
        .prop_map(|(line, carriage)| line + if carriage == 0 { "\r\n" } else { "\n" })
}

fn file() -> impl Strategy<Value = (Format, String)> {
    select(&[Format::Csv, Format::Csv, Format::Tsv, Format::DoubleColon, Format::Json][..]).prop_flat_map(|format| {
        let header = match format {
            Format::Csv => "\u{feff}user,note,item,time\n",
            Format::Tsv => "user\tnote\titem\ttime\r\n",
            _ => "",
        };
        (vec(line(format), 1..120), any::<bool>()).prop_map(move |(lines, ended)| {
            let text = header.to_owned() + &lines.concat();
            (format, if ended { text } else { text.trim_end_matches('\n').to_owned() })
        })
    })
}

fn options() -> impl Strategy<Value = ReadOptions> {
    let filters = prop_oneof![3 => Just(vec![]), 1 => Just(vec!["note=1".parse().unwrap()])];
    let skip_bad = prop_oneof![Just(0), Just(3), Just(1000)];
    (filters, skip_bad, any::<bool>()).prop_map(|(filters, skip_bad, first)| {
        let dedup = if first { Dedup::First } else { Dedup::All };
        ReadOptions { filters, skip_bad, dedup, ..ReadOptions::default() }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn chunks_and_threads_change_nothing(
        (format, text) in file(),
        options in options(),
        (first, chunk, step) in (1..300usize, 1..100usize, 1..400usize),
        (is_live, fails) in any::<(bool, bool)>(),
    ) {
        let filters = if format == Format::DoubleColon { vec![] } else { options.filters };
        let options = ReadOptions { format: Some(format), filters, ..options };
        let input = || Trickle { text: text.as_bytes(), step, fails };
        let expected = read_in(input(), is_live, &options, PLAIN);
        for threads in [1, 2, 7] {
            let sizes = Sizes { first, most: 4 * first, chunk };
            let found = pool(threads).install(|| read_in(input(), is_live, &options, sizes));
            prop_assert_eq!(&found, &expected, "{} threads, {:?}", threads, text);
        }
    }
}

/// One for each number of threads, as each has to start them.
fn pool(threads: usize) -> &'static rayon::ThreadPool {
    static POOLS: [std::sync::OnceLock<rayon::ThreadPool>; 8] = [const { std::sync::OnceLock::new() }; 8];
    POOLS[threads].get_or_init(|| ThreadPoolBuilder::new().num_threads(threads).build().unwrap())
}

/// A file of several rounds in the sizes that are used, also with a bad line at its end.
#[test]
fn large_files() {
    let mut text = String::from("user,item,time\n");
    for k in 0..200_000u64 {
        let user = (k * k) % 40_009;
        text += &format!(
            "{user},{}{},{}\n",
            "long-name-of-"[..user as usize % 13].to_owned(),
            k % 7_001,
            1_600_000_000 + k
        );
    }
    let expected = read_in(text.as_bytes(), false, &Format::Csv.into(), PLAIN).unwrap();
    assert_eq!(expected.0.len(), 200_000);
    assert_eq!(read_in(text.as_bytes(), false, &Format::Csv.into(), Sizes::default()).unwrap(), expected);
    text += "1,2\n";
    let error = read_in(text.as_bytes(), false, &Format::Csv.into(), Sizes::default()).unwrap_err();
    assert_eq!(error, r#"f:200002: expected 3 fields, as in the first line, found 2 in "1,2""#);
}

/// A bad line is an error before a pipe has more to give.
#[test]
fn a_pipe_is_read_as_it_comes() {
    struct Paused<'t>(&'t [u8]);

    impl Read for Paused<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            assert!(!self.0.is_empty(), "it would wait");
            self.0.read(buffer)
        }
    }

    for good in [1, 2, 20_000] {
        let text = "user,item,time\n".to_owned() + &"a,b,1\n".repeat(good) + "a,b\n";
        let error = read_in(Paused(text.as_bytes()), true, &Format::Csv.into(), Sizes::default()).unwrap_err();
        assert!(error.starts_with(&format!("f:{}: expected 3 fields", good + 2)), "{error}");
    }
}

/// What is plain to be a time is the time that all other ways find.
#[test]
fn whole_times() {
    let place = fields::Place { file: Path::new("f"), line: 1, encoding: "UTF-8" };
    let around = |number: i64| [number - 1, number, number + 1];
    let edges =
        [1, 1_600_000_000, 253_402_300_799, 100_000_000_000_000, 99_000_000_000_000_000, 100_000_000_000_000_000];
    let mut plain = 0;
    for &said in TimeUnit::ALL {
        for first in edges {
            let mut clock = time::Clock::new(said);
            let Ok((_, told)) = clock.micros(place, first.to_string().as_bytes()) else { continue };
            clock.tell(told);
            for number in edges.into_iter().flat_map(around) {
                if let Some(micros) = clock.whole(number) {
                    let (found, again) = clock.micros(place, number.to_string().as_bytes()).unwrap();
                    assert_eq!((found, again), (micros, told), "{number} by {told:?}");
                    plain += 1;
                }
            }
        }
    }
    assert!(plain > 30, "{plain}");
}

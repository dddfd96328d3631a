//! `--trace`: what is in the file, however a run ends.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::{assert_refused, purchases, stream, write};

/// A span or a kernel: nanoseconds on a track.
#[derive(Clone, Debug)]
struct Event {
    name: String,
    kind: String,
    track: (u64, u64),
    begin: u64,
    end: u64,
    args: Value,
}

impl Event {
    fn holds(&self, other: &Self) -> bool {
        self.track == other.track && self.begin <= other.begin && other.end <= self.end
    }
}

/// The events of a whole file. Each has what the format asks for.
fn events(path: &Path) -> Vec<Event> {
    parsed(&std::fs::read_to_string(path).unwrap())
}

fn parsed(text: &str) -> Vec<Event> {
    let all: Vec<Value> = serde_json::from_str(text).unwrap();
    let names = all.iter().filter(|event| event["ph"] == "M");
    let tracks: Vec<_> = names.filter(|event| event["name"] == "thread_name").collect();
    let complete = all.iter().filter(|event| event["ph"] != "M").map(|event| {
        assert_eq!(event["ph"], "X", "{event}");
        let nanoseconds = |key: &str| (event[key].as_f64().unwrap_or_else(|| panic!("{event}")) * 1e3).round() as u64;
        let track = (event["pid"].as_u64().unwrap(), event["tid"].as_u64().unwrap());
        assert!(tracks.iter().any(|of| (&of["pid"], &of["tid"]) == (&event["pid"], &event["tid"])), "{event}");
        let begin = nanoseconds("ts");
        let (name, kind) = (event["name"].as_str().unwrap().to_owned(), event["cat"].as_str().unwrap().to_owned());
        Event { name, kind, track, begin, end: begin + nanoseconds("dur"), args: event["args"].clone() }
    });
    complete.collect()
}

/// Two events of a track lie one after the other, or one within the other.
fn assert_nested(events: &[Event]) {
    let mut tracks: BTreeMap<_, Vec<&Event>> = BTreeMap::new();
    events.iter().for_each(|event| tracks.entry(event.track).or_default().push(event));
    for events in tracks.values_mut() {
        events.sort_by_key(|event| (event.begin, std::cmp::Reverse(event.end)));
        let mut open: Vec<&Event> = Vec::new();
        for event in events {
            open.retain(|outer| outer.end > event.begin);
            if let Some(outer) = open.last() {
                assert!(outer.end >= event.end, "{event:?} begins in {outer:?} and ends after it");
            }
            open.push(event);
        }
    }
}

fn named<'a>(events: &'a [Event], name: &str) -> Vec<&'a Event> {
    events.iter().filter(|event| event.name == name).collect()
}

/// Streams three segments of a policy that searches.
fn run(dir: &Path, more: &[&str]) -> String {
    let data = write(dir, "shop.csv", purchases().as_bytes());
    let flags = ["--data", &data, "--policy", "bet", "--probes", "3", "--steps", "20", "--segments", "equal=3"];
    let output = stream(&[&flags, more].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_phase_of_every_segment_is_there_and_kernels_lie_in_theirs() {
    let dir = tempfile::tempdir().unwrap();
    let (trace, kept) = (dir.path().join("trace.json"), dir.path().join("kept"));
    let shown =
        run(dir.path(), &["--trace", trace.to_str().unwrap(), "--profile", "--checkpoint", kept.to_str().unwrap()]);
    let events = events(&trace);
    assert_nested(&events);
    assert_eq!(named(&events, "read").len(), 1);
    // They are written while the next segment is at work.
    let checkpoints = named(&events, "checkpoint");
    assert_eq!(checkpoints.iter().map(|of| of.args["number"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 1, 2]);
    let on_their_track = events.iter().filter(|event| event.track == checkpoints[0].track);
    assert_eq!(on_their_track.map(|event| &event.name).collect::<Vec<_>>(), ["checkpoint"; 3]);

    let segments = named(&events, "segment");
    assert!(segments.iter().all(|segment| segment.track == segments[0].track), "{segments:?}");
    assert_eq!(segments.iter().map(|of| of.args["t"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 1, 2]);
    for segment in &segments {
        let within = |name: &str| named(&events, name).into_iter().filter(|of| segment.holds(of)).count();
        // Those of probes may lie on the same track.
        let probes = within("probe");
        for phase in ["resize", "train", "evaluate"] {
            assert_eq!(within(phase), 1 + probes, "{phase} of {segment:?}");
        }
        // Rows are laid out once more for the weights of squared rows that are tried.
        assert_eq!((within("size"), within("lay_out"), within("steps")), (1, 2, 1), "{segment:?}");
        let searches = u64::from(segment.args["t"] != 0);
        assert_eq!(within("search") as u64, searches);
        assert_eq!(within("round") > 0, searches == 1);
    }
    // Every probe is in a round, on whatever track.
    let (rounds, probes) = (named(&events, "round"), named(&events, "probe"));
    assert!(!probes.is_empty());
    assert_eq!(rounds.iter().map(|of| of.args["probes"].as_u64().unwrap()).sum::<u64>(), probes.len() as u64);
    assert!(probes.iter().all(|probe| rounds.iter().any(|of| of.begin <= probe.begin && probe.end <= of.end)));

    let kernels: Vec<_> = events.iter().filter(|event| event.kind == "kernel").cloned().collect();
    for (kernel, phase) in [("rank/bpr", "train"), ("rank/top_k", "evaluate"), ("table/migrate", "resize")] {
        // The tables are made before the first segment.
        let (mut of_kernel, mut phases) = (named(&kernels, kernel), named(&events, phase));
        // A copy that learns with another weight trains and ranks.
        phases.extend(named(&events, "regularize"));
        of_kernel.retain(|kernel| kernel.begin >= segments[0].begin);
        assert!(!of_kernel.is_empty(), "{kernel}");
        let outside = of_kernel.iter().find(|kernel| !phases.iter().any(|phase| phase.holds(kernel)));
        assert!(outside.is_none(), "no {phase} around {outside:?}");
    }
    // The profile heard the same.
    let mut launches: BTreeMap<&str, usize> = BTreeMap::new();
    kernels.iter().for_each(|kernel| *launches.entry(&kernel.name).or_default() += 1);
    let table = shown.split_once("launches").unwrap().1;
    let profiled = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let profiled: BTreeMap<&str, usize> = profiled
        .take_while(|words| words.len() > 2 && words[0].contains('/'))
        .map(|words| (words[0], words[1].parse().unwrap()))
        .collect();
    assert_eq!(launches, profiled);
}

#[test]
fn a_trace_goes_on_with_its_run_and_may_have_been_cut() {
    let dir = tempfile::tempdir().unwrap();
    let (trace, kept) = (dir.path().join("trace.json"), dir.path().join("kept"));
    let flags = ["--trace", trace.to_str().unwrap(), "--checkpoint", kept.to_str().unwrap(), "--resume"];
    run(dir.path(), &flags);
    let whole = std::fs::read_to_string(&trace).unwrap();
    // What a kill may leave: no bracket, and part of a line.
    let cut = whole.len() - 60;
    std::fs::write(&trace, &whole[..cut]).unwrap();
    let lines = whole[..cut].rsplit_once(",\n").unwrap().0;
    let before = parsed(&format!("{lines}\n]"));
    run(dir.path(), &flags);
    let after = events(&trace);
    assert_nested(&after);
    assert_eq!(named(&after, "segment").len(), named(&before, "segment").len());
    let restored = named(&after, "restore");
    assert!(restored.len() == 1 && before.iter().all(|event| event.end < restored[0].begin), "{restored:?}");

    let other = write(dir.path(), "other.txt", b"something else\n");
    let refused = ["--trace", &other, "--checkpoint", kept.to_str().unwrap(), "--resume"];
    assert_refused("stream", &refused, &["other.txt", "a trace to go on with"]);
    assert_eq!(std::fs::read(&other).unwrap(), b"something else\n");
}

#[test]
fn a_run_that_is_refused_leaves_the_file_and_one_that_fails_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = write(dir.path(), "shop.csv", purchases().as_bytes());
    let (old, new) = (write(dir.path(), "old", b"kept"), dir.path().join("new.json"));
    let flags = ["--data", &data, "--segments", "equal=2", "--steps", "3"];
    let with = |more: &[&str], said: &[&str]| assert_refused("stream", &[&flags, more].concat(), said);
    with(&["--trace", &old, "--learning-rate", "-1"], &["--learning-rate"]);
    with(&["--trace", &old, "--data", "/no/such/file"], &["/no/such/file"]);
    with(&["--trace", &old, "--log", &old], &["--trace", "--log"]);
    with(&["--trace", &data], &["--trace", "--data"]);
    assert_eq!(std::fs::read(&old).unwrap(), b"kept");
    with(&["--trace", "/no/such/folder/trace.json"], &["/no/such/folder/trace.json"]);
    with(&["--trace", new.to_str().unwrap(), "--learning-rate", "1e38"], &["diverged"]);
    let events = events(&new);
    // It fails where weights of squared rows are tried, which is before it trains.
    assert!(!named(&events, "regularize").is_empty() && !named(&events, "rank/bpr").is_empty());
}

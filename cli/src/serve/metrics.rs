//! What the service counts, in the text format of Prometheus.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper ends of the buckets, in seconds.
const BUCKETS: [f64; 10] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.0];

/// How long things took.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS.len()],
    count: AtomicU64,
    nanoseconds: AtomicU64,
}

impl Histogram {
    pub fn add(&self, time: Duration) {
        let seconds = time.as_secs_f64();
        for (end, bucket) in BUCKETS.iter().zip(&self.buckets) {
            if seconds <= *end {
                bucket.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.nanoseconds.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
    }

    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

/// All that is counted.
#[derive(Debug, Default)]
pub struct Counts {
    pub recommend: Histogram,
    pub similar: Histogram,
    pub events: Histogram,
    pub segments: Histogram,
    /// How long requests could not read, each time that events or a segment were taken in.
    pub blocked: Histogram,
    pub accepted_events: AtomicU64,
    pub refused_requests: AtomicU64,
    pub failed_segments: AtomicU64,
    pub waiting_events: AtomicU64,
}

/// A number that can go up and down, with its name and what it is.
pub struct Gauge(pub &'static str, pub &'static str, pub f64);

impl Counts {
    /// The text that is served, with these gauges.
    pub fn text(&self, gauges: &[Gauge]) -> String {
        let mut text = String::new();
        let mut add = |name: &str, kind: &str, help: &str, lines: String| {
            write!(text, "# HELP scall_{name} {help}\n# TYPE scall_{name} {kind}\n{lines}").expect("room in memory");
        };
        for (name, help, histogram) in [
            ("recommend_seconds", "Time of a list of recommendations.", &self.recommend),
            ("similar_seconds", "Time of a list of what is alike.", &self.similar),
            ("events_seconds", "Time until a batch of events was on the disk.", &self.events),
            ("segment_seconds", "Time of learning from a segment.", &self.segments),
            ("blocked_seconds", "Time that readers had to wait for a change.", &self.blocked),
        ] {
            add(name, "histogram", help, lines(name, histogram));
        }
        for (name, help, counter) in [
            ("events_total", "Events that were acknowledged.", &self.accepted_events),
            ("refused_requests_total", "Requests that were answered by 4xx or 5xx.", &self.refused_requests),
            ("failed_segments_total", "Segments that could not be learned from.", &self.failed_segments),
        ] {
            add(name, "counter", help, format!("scall_{name} {}\n", counter.load(Ordering::Relaxed)));
        }
        let waiting = self.waiting_events.load(Ordering::Relaxed) as f64;
        let own = [Gauge("waiting_events", "Events that no segment has learned from yet.", waiting)];
        for Gauge(name, help, value) in own.iter().chain(gauges) {
            add(name, "gauge", help, format!("scall_{name} {value}\n"));
        }
        text
    }
}

fn lines(name: &str, of: &Histogram) -> String {
    let mut lines = String::new();
    for (end, bucket) in BUCKETS.iter().zip(&of.buckets) {
        let count = bucket.load(Ordering::Relaxed);
        writeln!(lines, "scall_{name}_bucket{{le=\"{end}\"}} {count}").expect("room in memory");
    }
    let (count, seconds) = (of.count(), of.nanoseconds.load(Ordering::Relaxed) as f64 / 1e9);
    write!(
        lines,
        "scall_{name}_bucket{{le=\"+Inf\"}} {count}\nscall_{name}_sum {seconds}\nscall_{name}_count {count}\n"
    )
    .expect("room in memory");
    lines
}

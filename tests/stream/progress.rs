//! How much of a file has been read, for a display.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use scall_gpu::stream::{READ_PROGRESS, ReadOptions, read};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Bytes, and the number of events that said so.
#[derive(Default)]
struct Heard([AtomicU64; 2]);

impl Visit for &Heard {
    fn record_u64(&mut self, field: &Field, value: u64) {
        assert_eq!(field.name(), "bytes");
        self.0[0].fetch_add(value, Ordering::Relaxed);
        self.0[1].fetch_add(1, Ordering::Relaxed);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        panic!("{field} {value:?}");
    }
}

impl Subscriber for Heard {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == READ_PROGRESS
    }

    fn event(&self, event: &Event<'_>) {
        event.record(&mut &*self);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn the_bytes_that_are_said_are_those_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let rows: String = (0..150_000).map(|i| format!("u{},i{},{}\n", i % 997, i % 1_009, 1_000_000 + i)).collect();
    let text = format!("user,item,time\n{rows}");
    let packed = zstd::encode_all(text.as_bytes(), 1).unwrap();
    for (name, bytes, events) in [("x.csv", text.as_bytes(), 3..6), ("x.csv.zst", &packed, 1..3)] {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let heard = Arc::new(Heard::default());
        let data = tracing::subscriber::with_default(heard.clone(), || read(&path, ReadOptions::default()).unwrap());
        let [sum, count] = [&heard.0[0], &heard.0[1]].map(|number| number.load(Ordering::Relaxed));
        assert_eq!((data.len(), sum), (150_000, bytes.len() as u64), "{name}");
        assert!(events.contains(&count), "{name}: {count} events for {sum} bytes");
    }
}

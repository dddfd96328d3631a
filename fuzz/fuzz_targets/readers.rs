//! Any bytes in any format and encoding: rows or an error, and never a panic.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use scall_gpu::stream::{Dedup, Format, ReadOptions, TimeUnit, read_from};

/// Encodings that have little in common.
const ENCODINGS: [&str; 4] = ["utf-8", "latin1", "shift_jis", "utf-16le"];

fuzz_target!(|input: &[u8]| {
    let &[format, choice, ref bytes @ ..] = input else { return };
    let options = ReadOptions {
        format: Some(Format::ALL[usize::from(format) % Format::ALL.len()]),
        encoding: ENCODINGS[usize::from(choice) % 4].parse().unwrap(),
        time_unit: TimeUnit::ALL[usize::from(choice >> 2) % TimeUnit::ALL.len()],
        dedup: if choice & 32 > 0 { Dedup::First } else { Dedup::All },
        k_core: (choice & 64 > 0).then_some(2),
        skip_bad: u32::from(choice >> 7) * 10,
        ..ReadOptions::default()
    };
    match read_from(bytes, Path::new("f"), &options) {
        Ok(data) => {
            assert!(!data.is_empty() && data.timestamps().is_sorted());
            assert!(data.users().iter().all(|&user| user < data.user_count()));
            assert!(data.items().iter().all(|&item| item < data.item_count()));
        }
        Err(error) => assert!(!error.to_string().contains(|c: char| c.is_control())),
    }
});

//! What reading takes, by what Linux counts of the process: pages that are reserved and never touched take nothing, and
//! large buffers grow without a copy. Alone in its file, and one test: others would be counted too.

#![cfg(target_os = "linux")]

use std::io::{Read, Result};
use std::path::Path;
use std::process::Command;

use scall_gpu::stream::{Format, ReadOptions, read_from};

/// Lines that are made as they are read.
struct Lines<F> {
    line: F,
    count: usize,
    next: usize,
    rest: Vec<u8>,
    at: usize,
}

fn lines<F: Fn(usize, &mut Vec<u8>)>(count: usize, line: F) -> Lines<F> {
    Lines { line, count, next: 0, rest: Vec::new(), at: 0 }
}

impl<F: Fn(usize, &mut Vec<u8>)> Read for Lines<F> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if self.at == self.rest.len() {
            self.rest.clear();
            self.at = 0;
            while self.rest.len() < 4096 && self.next < self.count {
                (self.line)(self.next, &mut self.rest);
                self.next += 1;
            }
        }
        let count = buffer.len().min(self.rest.len() - self.at);
        buffer[..count].copy_from_slice(&self.rest[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

/// A figure of this process in bytes.
fn figure(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    let kilobytes: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes << 10
}

/// The most bytes that were held beyond those from before, and what came of it; none where that cannot be counted anew.
fn peak<T>(work: impl FnOnce() -> T) -> (Option<usize>, T) {
    let counts = std::fs::write("/proc/self/clear_refs", "5").is_ok();
    let before = figure("VmRSS:");
    let result = work();
    (counts.then(|| figure("VmHWM:").saturating_sub(before)), result)
}

/// Names the order of a child of the test.
const ORDER: &str = "SCALL_READ_ORDER";

/// Bytes a row of a stream with few names: in time order, against it in whole seconds, and with parts of seconds far
/// apart.
fn bytes_a_row(order: usize) -> f64 {
    const ROWS: usize = 4 << 20;
    const STEP: f64 = 40_000.123_457;
    let time = [
        |k: usize| k.to_string(),
        |k: usize| (ROWS - k).to_string(),
        |k: usize| format!("{:.6}", (k * 7919 % ROWS) as f64 * STEP),
    ][order];
    let rows = lines(ROWS, |k, text| text.extend(format!("u{}::i{}::1::{}\n", k % 97, k % 89, time(k)).bytes()));
    let (bytes, data) = peak(|| read_from(rows, Path::new("f"), Format::DoubleColon).unwrap());
    assert_eq!(data.len(), ROWS);
    bytes.unwrap_or(0) as f64 / ROWS as f64
}

#[test]
fn what_reading_takes() {
    if let Ok(order) = std::env::var(ORDER) {
        println!("{ORDER} {:.2}", bytes_a_row(order.parse().unwrap()));
        return;
    }
    for order in 0..3 {
        // In a process of its own, as what another one left behind would be used again or not.
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--nocapture", "what_reading_takes"])
            .env(ORDER, order.to_string())
            .output()
            .unwrap();
        let said = String::from_utf8(child.stdout).unwrap();
        let found = said.lines().find_map(|line| line.split_once(ORDER)).map(|(_, found)| found.trim());
        let each: f64 = found.unwrap_or_else(|| panic!("order {order}: {said}")).parse().unwrap();
        // Buffers and names are small beside it.
        assert!(each < 21.0, "order {order}: {each} bytes a row");
    }

    // A line without end, all of it bad: what is held is the bound, a copy for the error, and buffers.
    for skip_bad in [0, 1] {
        let options = ReadOptions { skip_bad, ..Format::Csv.into() };
        let endless = std::io::repeat(b'x').take(1 << 30);
        let file = b"user,item,time\na,b,1\n".chain(endless);
        let (bytes, result) = peak(|| read_from(file, Path::new("f"), &options));
        assert_eq!(result.is_ok(), skip_bad == 1);
        assert!(bytes.unwrap_or(0) < 8 << 20, "{bytes:?} bytes for a line without end");
    }

    // A gigabyte of one line in a few kilobytes of zstd.
    let mut packed = zstd::Encoder::new(Vec::new(), 1).unwrap();
    std::io::copy(&mut std::io::repeat(b' ').take(1 << 30), &mut packed).unwrap();
    let packed = packed.finish().unwrap();
    let (bytes, result) = peak(|| read_from(packed.as_slice(), Path::new("f"), Format::Json));
    assert!(result.is_err() && bytes.unwrap_or(0) < 24 << 20, "{bytes:?} bytes for {} that are packed", packed.len());
}

//! A table's life with keys, its file, and what Python reads in it.

mod common;

use std::io::Write;
use std::path::Path;
use std::process::Command;

use common::devices;
use scall_gpu::device::Buffer;
use scall_gpu::kernels::table::optimizer::Optimizer;
use scall_gpu::rows::{Format, Layout};
use scall_gpu::table::{Account, RaggedTable, RowMap, RowMapOptions, TableOptions};

/// A stream of keys through few rows: with a file in the middle, on every device, the end is the same.
#[test]
fn a_table_with_keys_goes_on_from_its_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("table.safetensors");
    let optimizer = Optimizer::Adagrad { learning_rate: 0.1, epsilon: 1e-8 };
    let layouts = [Layout::default(), Layout { format: Format::F16, page_bytes: Some(64), aligned: true }];
    for (device, layout) in devices().into_iter().flat_map(|device| layouts.map(|layout| (device.clone(), layout))) {
        let options = TableOptions { rule: optimizer.into(), layout, ..TableOptions::default() };
        let account = Account::unlimited();
        let run = |saved: bool| {
            let mut table = RaggedTable::new(&device, &[3; 8], options, &account).unwrap();
            let mut ids = RowMap::new(8, RowMapOptions::default()).unwrap();
            let mut evicted = Vec::new();
            for t in 0..40u64 {
                if saved && t % 10 == 5 {
                    table.save_with_ids(&ids, &file).unwrap();
                    let (loaded, map) = RaggedTable::load_with_ids(&device, &account, &file).unwrap();
                    (table, ids) = (loaded, map.unwrap());
                }
                let batch = ids.assign(&[t / 3, 1 << 40, t * t % 11, t / 3]).unwrap();
                table.reset_rows(&batch.fresh).unwrap();
                let begun = table.lookup(&batch.fresh, 3).unwrap().read().unwrap();
                assert!(begun.iter().all(|value| value.abs() < 0.1), "as new: {begun:?}");
                let gradients = Buffer::from_slice(&device, &[1.0f32; 12]).unwrap();
                table.apply_gradients(&batch.rows, &gradients, 3).unwrap();
                evicted.extend(batch.evicted);
            }
            let bits: Vec<u32> = table.read().unwrap().iter().map(|value| value.to_bits()).collect();
            assert_eq!(table.steps(), 40);
            assert_eq!(ids.get(1 << 40), Some(1), "a key of every batch never leaves");
            (bits, evicted, ids.iter().collect::<Vec<_>>())
        };
        let straight = run(false);
        assert!(straight.1.len() > 5);
        assert_eq!(run(true), straight);
    }
}

/// Words for a person, not by a macro, whose output the test harness keeps to itself.
fn say(text: &str) {
    std::io::stderr().write_all(format!("{text}\n").as_bytes()).unwrap();
}

/// The very snippet of docs/table-file.md, run by Python.
#[test]
fn numpy_reads_a_row_as_the_document_says() {
    let page = include_str!("../docs/table-file.md");
    let mut snippets = page.split("```python\n").skip(1).map(|rest| rest.split_once("```").unwrap().0);
    let snippet = snippets.next().unwrap();
    let dense = format!("{snippet}{}print(dense.tolist())\n", snippets.next().unwrap());

    let python = |arguments: &[&str]| Command::new("python3").args(arguments).output();
    if !python(&["-c", "import numpy"]).is_ok_and(|output| output.status.success()) {
        say("**** NOT RUN: the NumPy snippet of docs/table-file.md needs python3 with numpy. ****");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("table.safetensors");
    let options = TableOptions {
        rule: Optimizer::Adam { learning_rate: 0.1, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }.into(),
        ..TableOptions::default()
    };
    for (device, &format) in devices().iter().flat_map(|device| Format::ALL.iter().map(move |format| (device, format)))
    {
        let sizes = [3u32, 0, 5, 1];
        let options = TableOptions { layout: Layout { format, ..Layout::default() }, ..options };
        let table = RaggedTable::new(device, &sizes, options, &Account::unlimited()).unwrap();
        let mut ids = RowMap::new(4, RowMapOptions::default()).unwrap();
        ids.assign(&[5, 6, u64::MAX, 8]).unwrap();
        ids.remove(6);
        table.save_with_ids(&ids, &file).unwrap();
        let values = table.read().unwrap();
        let mut begin = 0;
        for (row, size) in sizes.into_iter().enumerate() {
            let text = read_row(snippet, &file, row);
            let (values_text, key) = text.split_once('\n').unwrap();
            let numbers = values_text.strip_prefix("adam [").and_then(|text| text.strip_suffix(']')).unwrap();
            let numbers = numbers.split(", ").filter(|text| !text.is_empty());
            let numbers: Vec<f64> = numbers.map(|text| text.parse().unwrap()).collect();
            let want: Vec<f64> = values[begin..begin + size as usize].iter().map(|&value| f64::from(value)).collect();
            assert_eq!(numbers, want, "row {row}");
            let want = ids.key(row as u32).map_or(String::new(), |key| format!("key {key}\n"));
            assert_eq!(key, want, "row {row}");
            begin += size as usize;
        }
        // All rows, row after row, each filled up with zeros to the widest.
        let last = read_row(&dense, &file, 0);
        let numbers = last.lines().last().unwrap().replace(['[', ']'], "");
        let numbers: Vec<f64> = numbers.split(", ").map(|text| text.parse().unwrap()).collect();
        let padded = table.lookup(&[0, 1, 2, 3], 5).unwrap().read().unwrap();
        assert_eq!(numbers, padded.iter().map(|&value| f64::from(value)).collect::<Vec<_>>(), "{format:?}");
        // Without keys there is nothing to say about them.
        table.save(&file).unwrap();
        assert!(read_row(snippet, &file, 2).starts_with("adam [") && !read_row(snippet, &file, 2).contains("key"));
    }
}

fn read_row(snippet: &str, file: &Path, row: usize) -> String {
    let output = Command::new("python3").args(["-c", snippet]).arg(file).arg(row.to_string()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

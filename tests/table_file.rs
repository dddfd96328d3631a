//! A table's life with keys, its file, and what Python reads in it.

mod common;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use common::devices;
use proptest::prelude::*;
use scall_gpu::Error;
use scall_gpu::device::{Buffer, Device};
use scall_gpu::file::{Delta, Mark};
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

/// Rows of a table by their keys, as bits.
fn exported(table: &RaggedTable, ids: &RowMap) -> BTreeMap<String, Vec<u32>> {
    let (values, mut begin) = (table.read().unwrap(), 0);
    let rows: Vec<Vec<u32>> = table
        .sizes()
        .map(|size| {
            begin += size as usize;
            values[begin - size as usize..begin].iter().map(|value| value.to_bits()).collect()
        })
        .collect();
    ids.iter().map(|(key, row)| (key.to_string(), rows[row as usize].clone())).collect()
}

fn mark(rows: &BTreeMap<String, Vec<u32>>) -> Mark {
    let mut mark = Mark::new("items", "notes \"of\" a caller");
    for (id, values) in rows {
        mark.add(id, values.iter().map(|&bits| f32::from_bits(bits))).unwrap();
    }
    mark
}

/// What happens to a table between two exports.
#[derive(Clone, Debug)]
enum Change {
    Train(Vec<u64>),
    Remove(u64),
    Resize(Vec<u32>),
    Nothing,
}

fn changes() -> impl Strategy<Value = Vec<Vec<Change>>> {
    let change = prop_oneof![
        3 => prop::collection::vec(0..20u64, 1..5).prop_map(Change::Train),
        1 => (0..20u64).prop_map(Change::Remove),
        1 => prop::collection::vec(0..6u32, 8).prop_map(Change::Resize),
        1 => Just(Change::Nothing),
    ];
    prop::collection::vec(prop::collection::vec(change, 0..4), 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// A full export and the deltas after it are a full export of the end, whatever rows change, come and leave; and a
    /// row is in a delta if and only if its bits are others.
    #[test]
    fn deltas_add_up_to_a_full_export(changes in changes()) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("items.mark");
        let mut table =
            RaggedTable::new(&Device::cpu(), &[3; 8], TableOptions::default(), &Account::unlimited()).unwrap();
        let mut ids = RowMap::new(8, RowMapOptions::default()).unwrap();
        let mut held: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        Mark::new("items", "").save(&file).unwrap();
        for changes in changes {
            for change in changes {
                match change {
                    Change::Train(keys) => {
                        let batch = ids.assign(&keys).unwrap();
                        table.reset_rows(&batch.fresh).unwrap();
                        let gradients = vec![0.5f32; keys.len() * 6];
                        let gradients = Buffer::from_slice(&Device::cpu(), &gradients).unwrap();
                        table.apply_gradients(&batch.rows, &gradients, 6).unwrap();
                    }
                    Change::Remove(key) => drop(ids.remove(key)),
                    Change::Resize(sizes) => table.resize(&table.plan(&sizes).unwrap()).unwrap(),
                    Change::Nothing => {}
                }
            }
            let all = exported(&table, &ids);
            let now = mark(&all);
            let Delta { changed, removed, .. } = now.since(&Mark::load(&file).unwrap()).unwrap();
            let changed: Vec<&str> = changed.into_iter().map(|at| now.ids()[at]).collect();
            let other: Vec<&str> =
                all.iter().filter(|&(id, row)| held.get(id) != Some(row)).map(|(id, _)| &**id).collect();
            prop_assert_eq!(&changed, &other);
            held.extend(changed.into_iter().map(|id| (id.to_owned(), all[id].clone())));
            for id in removed {
                prop_assert!(held.remove(&id).is_some());
            }
            prop_assert_eq!(&held, &all);
            now.save(&file).unwrap();
            let kept = Mark::load(&file).unwrap();
            prop_assert_eq!(kept.since(&now).unwrap(), Delta::default());
            prop_assert_eq!(kept, now);
        }
    }
}

#[test]
fn a_mark_that_is_damaged_or_of_something_else_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("items.mark");
    let mut now = Mark::new("items, padded", "");
    for (id, values) in [("tea", vec![1.0, -0.0]), ("né \"x\"", vec![]), ("jam", vec![0.0])] {
        now.add(id, values).unwrap();
    }
    assert_eq!((now.len(), now.ids()), (3, vec!["tea", "né \"x\"", "jam"]));
    let error = now.add("jam", [2.0]).unwrap_err().to_string();
    assert!(error.contains("jam, which is number 2"), "{error}");
    // A row that is longer by a zero, and a zero of the other sign, have changed.
    let mut later = Mark::new("items, padded", "");
    for (id, values) in [("jam", vec![0.0, 0.0]), ("tea", vec![1.0, 0.0]), ("né \"x\"", vec![])] {
        later.add(id, values).unwrap();
    }
    assert_eq!(later.since(&now).unwrap().changed, [0, 1]);
    let error = now.since(&Mark::new("users, padded", "")).unwrap_err().to_string();
    assert!(error.contains("a mark of items, padded") && error.contains("one of users, padded"), "{error}");

    now.save(&file).unwrap();
    let whole = std::fs::read(&file).unwrap();
    let refused = |bytes: &[u8], what: &str| {
        std::fs::write(&file, bytes).unwrap();
        let error = Mark::load(&file).expect_err(what);
        assert!(matches!(&error, Error::BadFile { file: of, .. } if *of == file), "{what}: {error}");
        assert!(error.to_string().contains("a mark"), "{what}: {error}");
    };
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        refused(&bytes, &format!("another byte {at}"));
        refused(&whole[..at], &format!("cut at {at}"));
    }
    refused(&[&whole[..], b"\0"].concat(), "longer");
    let table = RaggedTable::new(&Device::cpu(), &[3], TableOptions::default(), &Account::unlimited()).unwrap();
    table.save(&file).unwrap();
    refused(&std::fs::read(&file).unwrap(), "a table");
    std::fs::remove_file(&file).unwrap();
    assert!(matches!(Mark::load(&file), Err(Error::Io { .. })));
}

/// A file of some rows is that of a table which has these rows alone, with their optimizer's state.
#[test]
fn some_rows_of_a_table_are_a_table() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rows.safetensors");
    for name in Optimizer::names() {
        for &format in Format::ALL {
            let optimizer = name.parse::<Optimizer>().unwrap();
            let layout = Layout { format, page_bytes: Some(64), ..Layout::default() };
            let options = TableOptions { rule: optimizer.into(), layout, ..TableOptions::default() };
            let (account, device) = (Account::unlimited(), Device::cpu());
            let mut table = RaggedTable::new(&device, &[3, 0, 5, 1, 2], options, &account).unwrap();
            let gradients: Vec<f32> = (0..25).map(|i| i as f32 - 7.5).collect();
            let gradients = Buffer::from_slice(&device, &gradients).unwrap();
            table.apply_gradients(&[0, 1, 2, 3, 4], &gradients, 5).unwrap();
            for chosen in [&[][..], &[4, 1, 2], &[0, 1, 2, 3, 4]] {
                table.save_rows(chosen, &file).unwrap();
                let loaded = RaggedTable::load(&device, &account, &file).unwrap();
                let rows = |table: &RaggedTable, number: Option<usize>| -> Vec<Vec<f32>> {
                    let rows = table.as_rows();
                    let numbers = number.map_or_else(|| table.read(), |number| rows.read_state(number)).unwrap();
                    let of_row = number.is_some_and(|number| number >= rows.state_size().per_value as usize);
                    let mut rest = &numbers[..];
                    let sizes = table.sizes().map(|size| if of_row { 1 } else { size as usize });
                    sizes.map(|size| rest.split_off(..size).unwrap().to_vec()).collect()
                };
                for number in std::iter::once(None).chain((0..table.as_rows().state_size().numbers()).map(Some)) {
                    let (all, some) = (rows(&table, number), rows(&loaded, number));
                    let picked: Vec<_> = chosen.iter().map(|&row| all[row as usize].clone()).collect();
                    assert_eq!(some, picked, "{name} {format:?} {number:?}");
                }
                assert_eq!(loaded.steps(), table.steps());
            }
            let whole = std::fs::read(&file).unwrap();
            table.save(&file).unwrap();
            assert_eq!(std::fs::read(&file).unwrap(), whole, "all rows are the table");
            let error = table.save_rows(&[0, 5], &file).unwrap_err();
            assert!(matches!(error, Error::IdOutOfRange { position: 1, id: 5, rows: 5, .. }), "{error}");
        }
    }
}

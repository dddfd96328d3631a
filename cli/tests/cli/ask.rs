//! A recommender that was kept, asked: `scall recommend`, `similar`, `export`.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{assert_refused, on_cpu, scall, write};

/// Two tastes: users and items of one parity go together.
fn tastes() -> String {
    let rows = (0..400u32).map(|row| format!("u{},i{},{row}\n", row % 8, 2 * (row * 5 % 9) + row % 2));
    std::iter::once("user,item,time\n".to_owned()).chain(rows).collect()
}

/// A recommender that was kept.
fn kept(dir: &Path, model: &str) -> String {
    let (data, folder) = (write(dir, "taste.csv", tastes().as_bytes()), dir.join(format!("kept-{model}")));
    let folder = folder.to_str().unwrap().to_owned();
    let flags = ["--segments", "equal=2", "--steps", "40", "--policy", "ranked", "--batch", "256"];
    let output =
        on_cpu("stream", &[&["--data", &data, "--model", model, "--checkpoint", &folder], &flags[..]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    folder
}

#[track_caller]
fn shown(command: &str, args: &[&str]) -> String {
    let output = scall(command).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn jsonl(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn lists_come_with_scores_and_filters() {
    let dir = tempfile::tempdir().unwrap();
    for model in ["mf", "fism", "lightgcn"] {
        let folder = kept(dir.path(), model);
        let recommend =
            |args: &[&str]| shown("recommend", &[&["--checkpoint", &folder, "--format", "jsonl"], args].concat());
        let lists = jsonl(&recommend(&["u1", "stranger", "-k", "5", "--known-items"]));
        assert_eq!((&lists[0]["user"], &lists[0]["known"]), (&"u1".into(), &Value::Null));
        assert_eq!((&lists[1]["user"], &lists[1]["known"]), (&"stranger".into(), &Value::Bool(false)));
        for list in &lists {
            let list = list["list"].as_array().unwrap();
            let scores: Vec<f64> = list.iter().map(|entry| entry["score"].as_f64().unwrap()).collect();
            assert_eq!(scores.len(), 5);
            assert!(scores.is_sorted_by(|a, b| a >= b), "{model} {scores:?}");
        }
        // Odd users take odd items.
        let item = lists[0]["list"][0]["item"].as_str().unwrap();
        assert_eq!(item[1..].parse::<u32>().unwrap() % 2, 1, "{model} {item}");

        let few = jsonl(&recommend(&["u1", "--known-items", "--among", "i1,i2,i3,i5", "--without", "i3"]));
        let mut items: Vec<&str> =
            few[0]["list"].as_array().unwrap().iter().map(|entry| entry["item"].as_str().unwrap()).collect();
        items.sort();
        assert_eq!(items, ["i1", "i2", "i5"], "{model}");
        // What the user has is left out by itself: all nine odd ones.
        let unknown = jsonl(&recommend(&["u1", "-k", "100"]));
        let items = unknown[0]["list"].as_array().unwrap();
        assert!(items.iter().all(|entry| entry["item"].as_str().unwrap()[1..].parse::<u32>().unwrap() % 2 == 0));

        let all = jsonl(&recommend(&["--all", "-k", "3"]));
        assert_eq!(all.len(), 8);
        let users = write(dir.path(), "users.txt", b"u3\n\nu5\n");
        assert_eq!(jsonl(&recommend(&["--users", &users])).len(), 2);
    }
}

#[test]
fn lists_are_tables_csv_and_json_lines() {
    let dir = tempfile::tempdir().unwrap();
    let folder = kept(dir.path(), "mf");
    let table = shown("recommend", &["--checkpoint", &folder, "u1", "stranger", "--known-items"]);
    assert!(table.starts_with("u1\n    1 ") && table.contains("stranger (known: false)\n"), "{table}");
    let csv = dir.path().join("lists.csv");
    let csv = csv.to_str().unwrap();
    shown("recommend", &["--checkpoint", &folder, "u1", "u2", "-k", "2", "--known-items", "--out", csv]);
    let text = std::fs::read_to_string(csv).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), lines[0]), (5, "user,rank,item,score"));
    assert!(lines[1].starts_with("u1,1,i") && lines[4].starts_with("u2,2,i"), "{text}");
    assert_refused("recommend", &["--checkpoint", &folder, "u1", "--among", "nothing"], &["among", "nothing"]);
    assert_refused("recommend", &["--checkpoint", &folder], &["USER"]);
    assert_refused("recommend", &["--checkpoint", "/no/such/folder", "u1"], &["/no/such/folder"]);
    let empty = dir.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    assert_refused("recommend", &["--checkpoint", empty.to_str().unwrap(), "u1"], &["empty", "none", "scall stream"]);
}

#[test]
fn the_like_of_an_item_is_of_its_taste() {
    let dir = tempfile::tempdir().unwrap();
    let folder = kept(dir.path(), "mf");
    let lists = jsonl(&shown("similar", &["--checkpoint", &folder, "i4", "--format", "jsonl", "-k", "4"]));
    let items: Vec<&str> =
        lists[0]["list"].as_array().unwrap().iter().map(|entry| entry["similar"].as_str().unwrap()).collect();
    assert_eq!(items.len(), 4);
    assert!(items.iter().all(|item| *item != "i4" && item[1..].parse::<u32>().unwrap() % 2 == 0), "{items:?}");
    let lists = jsonl(&shown("similar", &["--checkpoint", &folder, "--user", "u3", "--format", "jsonl", "-k", "3"]));
    let users: Vec<&str> =
        lists[0]["list"].as_array().unwrap().iter().map(|entry| entry["similar"].as_str().unwrap()).collect();
    assert!(users.iter().all(|user| user[1..].parse::<u32>().unwrap() % 2 == 1), "{users:?}");
    assert_refused("similar", &["--checkpoint", &folder, "i99"], &["item", "i99"]);
}

#[test]
fn embeddings_are_written_for_other_programs() {
    let dir = tempfile::tempdir().unwrap();
    let folder = kept(dir.path(), "mf");
    let out = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let export = |args: &[&str]| shown("export", &[&["--checkpoint", &folder], args].concat());

    export(&["items", "--out", &out("items.jsonl")]);
    let rows = jsonl(&std::fs::read_to_string(out("items.jsonl")).unwrap());
    let width = rows[0]["vector"].as_array().unwrap().len();
    assert_eq!(rows.len(), 18);
    assert!(rows.iter().all(|row| row["vector"].as_array().unwrap().len() == width && row["bias"].is_number()));
    export(&["items", "--ragged", "--out", &out("ragged.jsonl")]);
    let ragged = jsonl(&std::fs::read_to_string(out("ragged.jsonl")).unwrap());
    for (row, padded) in ragged.iter().zip(&rows) {
        let (row, padded) = (row["vector"].as_array().unwrap(), padded["vector"].as_array().unwrap());
        assert_eq!(row[..], padded[..row.len()]);
        assert!(padded[row.len()..].iter().all(|value| value == 0.0));
    }
    assert!(ragged.iter().any(|row| row["vector"].as_array().unwrap().len() < width));

    export(&["users", "--out", &out("users.npy")]);
    let bytes = std::fs::read(out("users.npy")).unwrap();
    let header = std::str::from_utf8(&bytes[10..128]).unwrap();
    assert!(bytes.starts_with(b"\x93NUMPY\x01\x00") && header.contains("'shape': (8, "), "{header}");
    assert_eq!(std::fs::read_to_string(out("users.npy.ids.txt")).unwrap().lines().count(), 8);
    export(&["users", "--ragged", "--out", &out("ragged.npy")]);
    export(&["items", "--out", &out("items.safetensors")]);
    assert_refused("export", &["--checkpoint", &folder, "--out", &out("items.txt")], &["--out", ".npy", "items.txt"]);

    // As NumPy reads them, where it is.
    let script = r#"
import sys, json, numpy as np
folder = sys.argv[1] + "/"
padded, values, offsets = (np.load(folder + n) for n in ("users.npy", "ragged.npy", "ragged.npy.offsets.npy"))
assert padded.dtype == np.float32 and len(offsets) == len(padded) + 1 and offsets[-1] == len(values)
for row, (begin, end) in zip(padded, zip(offsets, offsets[1:])):
    assert (row[:end - begin] == values[begin:end]).all() and (row[end - begin:] == 0).all()
"#;
    if Command::new("python3").args(["-c", "import numpy"]).output().is_ok_and(|of| of.status.success()) {
        let output = Command::new("python3").args(["-c", script]).arg(dir.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

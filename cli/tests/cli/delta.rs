//! `scall export --mark` and `--since`: what has changed between two exports.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use scall_gpu::device::Device;
use scall_gpu::table::{Account, RaggedTable};
use serde_json::Value;

use super::{assert_refused, on_cpu, scall, write};

/// A stream in which users and items keep coming, and those from the beginning come seldom.
fn arrivals() -> String {
    let row = |i: u32| format!("u{},i{},{i}\n", i / 20 + i * 7 % 5, i / 15 + i * 11 % 7);
    std::iter::once("user,item,time\n".to_owned()).chain((0..600).map(row)).collect()
}

/// A run that was kept after three segments, and after all five.
fn kept(dir: &Path, stream: &str, more: &[&str]) -> [String; 2] {
    let (data, folder) = (write(dir, "shop.csv", stream.as_bytes()), dir.join("kept"));
    // So few steps that most rows stay as they are.
    let flags = ["--policy", "uniform", "--segments", "equal=5", "--steps", "1", "--batch", "8", "--every", "3"];
    let args = [&["--data", &data, "--checkpoint", folder.to_str().unwrap()], &flags[..], more].concat();
    let output = on_cpu("stream", &args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut checkpoints: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    checkpoints.sort();
    assert_eq!(checkpoints.len(), 2);
    ["early", "late"].map(|name| {
        let folder = dir.join(name);
        std::fs::create_dir(&folder).unwrap();
        let checkpoint = &checkpoints[usize::from(name == "late")];
        std::fs::rename(checkpoint, folder.join(checkpoint.file_name().unwrap())).unwrap();
        folder.to_str().unwrap().to_owned()
    })
}

#[track_caller]
fn export(folder: &str, args: &[&str]) -> String {
    let output = scall("export").args(["--checkpoint", folder]).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Ids, each with the numbers that were exported of it; and those that were removed.
type Exported = (BTreeMap<String, Vec<u32>>, Vec<String>);

fn lines(path: &str) -> Vec<String> {
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

/// The numbers of a file of NumPy, and its shape.
fn npy(path: &str) -> (Vec<u8>, Vec<usize>) {
    let bytes = std::fs::read(path).unwrap();
    let len = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..len]).unwrap();
    let shape = header.split_once("'shape': (").unwrap().1.split_once(')').unwrap().0;
    let shape = shape.split(',').filter_map(|len| len.trim().parse().ok()).collect();
    (bytes[len..].to_vec(), shape)
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks().0.iter().map(|&word| u32::from_le_bytes(word)).collect()
}

fn read(path: &str, ragged: bool) -> Exported {
    let mut removed = Vec::new();
    if path.ends_with("jsonl") {
        let mut rows = BTreeMap::new();
        for line in lines(path) {
            let line: Value = serde_json::from_str(&line).unwrap();
            let id = line["id"].as_str().unwrap().to_owned();
            if line["deleted"] == true {
                assert!(line.get("vector").is_none());
                removed.push(id);
                continue;
            }
            let bits = |value: &Value| (value.as_f64().unwrap() as f32).to_bits();
            let vector = line["vector"].as_array().unwrap().iter().chain(line.get("bias"));
            assert!(rows.insert(id, vector.map(bits).collect()).is_none());
        }
        return (rows, removed);
    }
    let rows: Vec<Vec<u32>> = if path.ends_with("safetensors") {
        let table = RaggedTable::load(&Device::cpu(), &Account::unlimited(), path.as_ref()).unwrap();
        let (values, state) = (table.read().unwrap(), table.as_rows().read_state(0).unwrap());
        // The default optimizer of a recommender has a number for each value.
        assert_eq!(state.len(), values.len());
        let (mut values, mut state) = (&values[..], &state[..]);
        let rows = table.sizes().map(|size| {
            let [row, of_row] = [&mut values, &mut state].map(|rest| rest.split_off(..size as usize).unwrap());
            row.iter().chain(of_row).map(|value| value.to_bits()).collect()
        });
        rows.collect()
    } else if ragged {
        let (values, offsets) = (words(&npy(path).0), npy(&format!("{path}.offsets.npy")).0);
        let offsets: Vec<usize> = offsets.as_chunks().0.iter().map(|&of| u64::from_le_bytes(of) as usize).collect();
        offsets.windows(2).map(|pair| values[pair[0]..pair[1]].to_vec()).collect()
    } else {
        let (bytes, shape) = npy(path);
        words(&bytes).chunks(shape[1]).map(<[u32]>::to_vec).collect()
    };
    let ids = lines(&format!("{path}.ids.txt"));
    assert_eq!(ids.len(), rows.len(), "{path}");
    let gone = format!("{path}.removed.txt");
    removed.extend(if Path::new(&gone).exists() { lines(&gone) } else { Vec::new() });
    (ids.into_iter().zip(rows).collect(), removed)
}

/// From an earlier checkpoint to a later one and back again, in every form: full export and delta are the full export
/// of the other, and what has not changed is not in the delta.
#[test]
fn a_full_export_and_a_delta_are_a_full_export() {
    let dir = tempfile::tempdir().unwrap();
    let [early, late] = kept(dir.path(), &arrivals(), &[]);
    let mut unchanged = 0;
    for (side, file, ragged) in [
        ("items", "rows.jsonl", false),
        ("users", "rows.jsonl", true),
        ("users", "rows.npy", false),
        ("items", "ragged.npy", true),
        ("items", "rows.safetensors", false),
    ] {
        let form = format!("{side} {file} {ragged}");
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let flags = if ragged { vec![side, "--ragged"] } else { vec![side] };
        let (mark, out) = (path("mark"), path(file));
        let full = |checkpoint: &str| {
            export(checkpoint, &[&flags[..], &["--out", &out]].concat());
            read(&out, ragged).0
        };
        let (before, after) = (full(&early), full(&late));
        assert!(before.len() < after.len(), "{form}: some came later");
        let mut held = before.clone();
        export(&early, &[&flags[..], &["--out", &out, "--mark", &mark]].concat());
        assert_eq!(read(&out, ragged).0, before, "{form}: with a mark it is the same");
        for (checkpoint, whole) in [(&late, &after), (&early, &before), (&early, &before)] {
            let said = export(checkpoint, &[&flags[..], &["--out", &out, "--since", &mark, "--mark", &mark]].concat());
            let (changed, removed) = read(&out, ragged);
            let all = whole.len();
            assert!(said.starts_with(&format!("{} of {all} rows changed, {} removed", changed.len(), removed.len())));
            let other = whole.iter().filter(|&(id, row)| held.get(id) != Some(row));
            assert_eq!(changed, other.map(|(id, row)| (id.clone(), row.clone())).collect(), "{form}");
            let mut gone: Vec<String> = held.keys().filter(|id| !whole.contains_key(*id)).cloned().collect();
            gone.sort();
            let mut sorted = removed.clone();
            sorted.sort();
            assert_eq!(sorted, gone, "{form}");
            unchanged += usize::from(changed.len() < whole.len() && !changed.is_empty());
            held.extend(changed);
            held.retain(|id, _| !removed.contains(id));
            assert_eq!(&held, whole, "{form}");
        }
        // The last one was of what there was: nothing.
        assert_eq!(read(&out, ragged), Default::default(), "{form}");
    }
    assert!(unchanged >= 6, "deltas of some rows: {unchanged}");
}

#[test]
fn a_mark_is_of_one_run_side_and_form_and_is_never_lost() {
    let dir = tempfile::tempdir().unwrap();
    let [early, late] = kept(dir.path(), &arrivals(), &[]);
    let out = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (mark, rows) = (out("mark"), out("rows.jsonl"));
    export(&early, &["items", "--out", &rows, "--mark", &mark]);
    let bytes = std::fs::read(&mark).unwrap();
    let exported = std::fs::read(&rows).unwrap();
    let refused = |folder: &str, args: &[&str], said: &[&str]| {
        assert_refused("export", &[&["--checkpoint", folder, "--out", &rows], args].concat(), said);
        assert_eq!(std::fs::read(&rows).unwrap(), exported, "{args:?}");
    };
    refused(&late, &["users", "--since", &mark], &["mark", "users as jsonl, padded", "items as jsonl, padded"]);
    refused(&late, &["--ragged", "--since", &mark], &["items as jsonl, ragged", "items as jsonl, padded"]);
    refused(&late, &["--format", "npy", "--since", &mark], &["items as npy, padded", "items as jsonl, padded"]);
    // Another export would lose it.
    refused(&late, &["users", "--mark", &mark], &["no file for --mark to replace", "items as jsonl"]);
    // Lost, damaged, and what is none.
    refused(&late, &["--since", &out("nowhere")], &["nowhere", "as an export with --mark leaves it", "no file"]);
    let damaged = out("damaged");
    std::fs::write(&damaged, &bytes[..bytes.len() - 3]).unwrap();
    refused(&late, &["--since", &damaged], &["damaged", "a mark"]);
    refused(&late, &["--mark", &damaged], &["damaged", "no file for --mark to replace"]);
    refused(&late, &["--mark", &rows], &["--mark", "another file than that of --out"]);
    let hard = out("hard");
    std::fs::hard_link(&rows, &hard).unwrap();
    refused(&late, &["--since", &hard], &["--out", "another file than that of --since"]);
    let ids = out("rows.npy.ids.txt");
    let npy = ["--checkpoint", &*late, "--out", &out("rows.npy"), "--mark", &ids];
    assert_refused("export", &npy, &["--mark", "another file than that of the ids of --out"]);
    // Of a run with another seed, and of one on other data.
    let [other, elsewhere, same] = ["other", "elsewhere", "same"].map(|name| dir.path().join(name));
    [&other, &elsewhere, &same].iter().for_each(|folder| std::fs::create_dir(folder).unwrap());
    let [_, other] = kept(&other, &arrivals(), &["--seed", "4"]);
    refused(&other, &["--since", &mark], &["mark", "seed", "expected 4", "found 0"]);
    let [_, elsewhere] = kept(&elsewhere, &arrivals().replace("i4,", "x,"), &[]);
    refused(&elsewhere, &["--since", &mark], &["mark", "id number 1 is x", "found i4"]);
    assert_eq!(std::fs::read(&mark).unwrap(), bytes);
    // The same run in another place is the same.
    let [_, same] = kept(&same, &arrivals(), &[]);
    export(&same, &["--out", &rows, "--since", &mark]);
    assert_eq!(std::fs::read(&mark).unwrap(), bytes, "without --mark it stays");
}

//! Files that several processes write at once, and checkpoints that are written while other work goes on.

use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use scall_gpu::device::Device;
use scall_gpu::file::{Checkpoints, Saver, State};
use scall_gpu::table::{Account, RaggedTable, TableOptions};

const PATH: &str = "SCALL_TEST_ATOMIC_FILE";
const ROWS: &str = "SCALL_TEST_ATOMIC_ROWS";
const ROUNDS: usize = 60;

fn table(rows: usize) -> RaggedTable {
    RaggedTable::new(&Device::cpu(), &vec![7; rows], TableOptions::default(), &Account::unlimited()).unwrap()
}

fn load(file: &Path) -> RaggedTable {
    RaggedTable::load(&Device::cpu(), &Account::unlimited(), file).unwrap()
}

/// What the other process does; it does nothing in a plain run of the tests.
#[test]
fn writer() {
    let (Ok(path), Ok(rows)) = (std::env::var(PATH), std::env::var(ROWS)) else { return };
    let table = table(rows.parse().unwrap());
    for _ in 0..ROUNDS {
        table.save(path.as_ref()).unwrap();
        load(path.as_ref());
    }
}

/// This program once more, to save a table of so many rows.
fn spawn(path: &Path, rows: usize) -> Child {
    let own = std::env::current_exe().unwrap();
    Command::new(own).args(["--exact", "writer"]).env(PATH, path).env(ROWS, rows.to_string()).spawn().unwrap()
}

#[test]
fn two_processes_save_to_one_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.safetensors");
    let rows = [300, 20_000];
    let tables = rows.map(table);
    tables[0].save(&path).unwrap();
    let mut writers = rows.map(|rows| spawn(&path, rows));
    let mut seen = [0; 2];
    loop {
        let loaded = load(&path);
        let which = rows.iter().position(|&rows| rows == loaded.rows() as usize).unwrap();
        assert_eq!(loaded.read().unwrap(), tables[which].read().unwrap());
        seen[which] += 1;
        if writers.iter_mut().all(|writer| writer.try_wait().unwrap().is_some()) {
            break;
        }
    }
    for mut writer in writers {
        assert!(writer.wait().unwrap().success());
    }
    assert!(seen[1] > 0, "files of the other process: {seen:?}");
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["table.safetensors"]);
}

fn state(weights: &[f32]) -> State {
    let mut state = State::default();
    state.put("weights", weights);
    state
}

/// What is saved is what there was when the state was taken, whatever happens while it is written.
#[test]
fn a_saver_writes_what_was_there_while_training_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut saver = Saver::new(Checkpoints::open(folder.path()).unwrap());
    assert_eq!(saver.wait().unwrap(), None);
    let mut weights = vec![0.5f32; 200_000];
    let mut written = Vec::new();
    for step in 0..4 {
        let before = weights.clone();
        saver.save(state(&weights), format!("step {step}")).unwrap();
        weights.iter_mut().zip(0u32..).for_each(|(weight, i)| *weight = *weight * 0.9 + i as f32);
        written.push(saver.wait().unwrap().unwrap());
        assert!(!saver.is_writing());
        assert_eq!(saver.wait().unwrap(), None, "reported once");
        let bytes = std::fs::read(written[step].join("loop.safetensors")).unwrap();
        let values: Vec<u8> = before.iter().flat_map(|value| value.to_le_bytes()).collect();
        assert!(bytes.ends_with(&values), "step {step}");
    }
    // The last two are kept, as without a saver; and one that is dropped has written.
    assert_eq!(written.iter().map(|path| path.exists()).collect::<Vec<_>>(), [false, false, true, true]);
    saver.save(state(&weights), "the last".to_owned()).unwrap();
    drop(saver);
    let latest = Checkpoints::open(folder.path()).unwrap().latest().unwrap().unwrap();
    assert_eq!((latest.number, &*latest.notes), (4, "the last"));
    assert_eq!(latest.state, state(&weights));
}

#[test]
fn one_write_is_under_way_and_what_follows_it_comes_before_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let mut saver = Saver::new(Checkpoints::open(folder.path()).unwrap());
    let done = Arc::new(AtomicU32::new(0));
    for step in 0..3u32 {
        assert!(Checkpoints::open(folder.path()).is_err(), "it is locked");
        let mine = done.clone();
        let then = move |path: &Path| {
            std::thread::sleep(Duration::from_millis(20));
            assert!(path.join("manifest.json").exists());
            mine.store(step + 1, Ordering::SeqCst);
            Ok(())
        };
        saver.save_then(state(&[step as f32]), String::new(), then).unwrap();
        // When this one began, the one before was done.
        assert!(done.load(Ordering::SeqCst) >= step);
    }
    saver.wait().unwrap();
    assert_eq!(done.load(Ordering::SeqCst), 3);
}

#[test]
fn what_a_write_reports_comes_with_the_next_call_and_the_one_after_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let mut saver = Saver::new(Checkpoints::open(&path).unwrap());
    std::fs::remove_dir_all(&path).unwrap();
    let never = |_: &Path| -> scall_gpu::Result<()> { panic!("nothing was written") };
    saver.save_then(state(&[1.0]), String::new(), never).unwrap();
    let error = saver.save(state(&[2.0]), String::new()).unwrap_err().to_string();
    assert!(error.contains("run: "), "{error}");
    assert_eq!(saver.wait().unwrap(), None, "the second state was not saved");
    std::fs::create_dir(&path).unwrap();
    // What was to be done then fails: the checkpoint is there, and its error is reported.
    let then = |_: &Path| Err(scall_gpu::Error::other("no room for the log"));
    saver.save_then(state(&[3.0]), String::new(), then).unwrap();
    assert_eq!(saver.wait().unwrap_err().to_string(), "no room for the log");
    saver.save(state(&[4.0]), String::new()).unwrap();
    let last = saver.wait().unwrap().unwrap();
    assert!(last.file_name().unwrap().to_str().unwrap().starts_with("checkpoint-000001-"), "{last:?}");
}

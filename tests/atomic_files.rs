//! Files that several processes write at once.

use std::path::Path;
use std::process::{Child, Command};

use scall_gpu::device::Device;
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

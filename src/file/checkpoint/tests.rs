use super::*;

fn state(steps: u32) -> State {
    let mut state = State::default();
    state.put("steps", [steps]);
    state.put("data/rows", vec![5u64; 1000]);
    state.put("../up", [1u8]);
    state.put("policy/weights", vec![0.5f32, f32::NAN, steps as f32]);
    state
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_last_two_are_kept_and_the_last_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("run");
    let mut checkpoints = Checkpoints::open(&folder).unwrap();
    assert!(checkpoints.latest().unwrap().is_none());
    for steps in 0..5 {
        let path = checkpoints.save(&state(steps), &format!("notes {steps}\n\"quoted\"")).unwrap();
        let latest = checkpoints.latest().unwrap().unwrap();
        assert_eq!((latest.path, latest.number), (path, steps.into()));
        assert_eq!(latest.state, state(steps));
        assert_eq!(latest.notes, format!("notes {steps}\n\"quoted\""));
    }
    let found = names(&folder);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].starts_with("checkpoint-000003-") && found[1].starts_with("checkpoint-000004-"), "{found:?}");
    let files = names(&folder.join(&found[1]));
    assert_eq!(files, ["data.safetensors", "loop.safetensors", "manifest.json", "policy.safetensors"]);
}

/// Columns of a recorded stream are the same in every checkpoint, and large.
#[cfg(unix)]
#[test]
fn what_has_not_changed_is_not_written_again() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpoints::open(dir.path()).unwrap();
    let paths = [0, 1].map(|steps| checkpoints.save(&state(steps), "").unwrap());
    let number = |path: &Path, name: &str| fs::metadata(path.join(name)).unwrap().ino();
    let same = |name: &str| number(&paths[0], name) == number(&paths[1], name);
    assert_eq!(["data.safetensors", "policy.safetensors", "loop.safetensors"].map(same), [true, false, false]);
}

#[test]
fn damage_is_found_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let cases = std::cell::Cell::new(0);
    let damage = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        // A folder each: a file that has not changed is that of the checkpoint before, with its damage.
        let folder = dir.path().join(cases.replace(cases.get() + 1).to_string());
        let mut checkpoints = Checkpoints::open(&folder).unwrap();
        let file = checkpoints.save(&state(1), "notes").unwrap().join(name);
        let mut bytes = fs::read(&file).unwrap();
        change(&mut bytes);
        fs::write(&file, bytes).unwrap();
        let error = checkpoints.latest().unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
        error
    };
    for name in ["data.safetensors", "loop.safetensors", "policy.safetensors", "manifest.json"] {
        damage(name, &|bytes| bytes[40] ^= 1);
        // Of numbers alone: nothing but a checksum notices.
        damage(name, &|bytes| *bytes.last_mut().unwrap() ^= 1);
        damage(name, &|bytes| bytes.truncate(50));
        damage(name, &|bytes| bytes.clear());
        damage(name, &|bytes| bytes.push(b' '));
    }
    let mut checkpoints = Checkpoints::open(dir.path().join("missing")).unwrap();
    let path = checkpoints.save(&state(1), "").unwrap();
    fs::remove_file(path.join("loop.safetensors")).unwrap();
    assert!(checkpoints.latest().unwrap_err().to_string().contains("loop.safetensors"));
    // The one after a damaged one is whole: nothing is linked to what is not as it was.
    fs::write(path.join("manifest.json"), "{}").unwrap();
    checkpoints.save(&state(2), "").unwrap();
    assert_eq!(checkpoints.latest().unwrap().unwrap().state, state(2));
}

#[test]
fn another_version_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpoints::open(dir.path()).unwrap();
    let path = checkpoints.save(&state(1), "").unwrap();
    let text = fs::read_to_string(path.join(MANIFEST)).unwrap().replace("\"version\": 1", "\"version\": 9");
    fs::write(path.join(MANIFEST), &text).unwrap();
    let crc = crc32fast::hash(text.as_bytes());
    fs::rename(path, dir.path().join(format!("{PREFIX}000007-{crc:08x}"))).unwrap();
    let error = checkpoints.latest().unwrap_err().to_string();
    assert!(error.contains("version 1") && error.contains(" 9,"), "{error}");
}

#[test]
fn one_program_uses_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let first = Checkpoints::open(dir.path()).unwrap();
    let error = Checkpoints::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("another one"), "{error}");
    drop(first);
    Checkpoints::open(dir.path()).unwrap();
}

#[test]
fn what_a_killed_program_left_is_removed_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    for name in [".scall-abc.part", "mine", "checkpoint-x", ".scall-notes"] {
        fs::create_dir(dir.path().join(name)).unwrap();
        fs::write(dir.path().join(name).join("file"), "text").unwrap();
    }
    let mut checkpoints = Checkpoints::open(dir.path()).unwrap();
    checkpoints.save(&state(0), "").unwrap();
    let found = names(dir.path());
    assert!(!found.contains(&".scall-abc.part".to_owned()), "{found:?}");
    assert_eq!(found.len(), 5, "{found:?}");
}

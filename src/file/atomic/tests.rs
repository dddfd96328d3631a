//! Writers side by side, writers that fail, and what stands in the way.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

fn entries(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn contents_are_there_when_it_is_committed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    // Less than the buffer, exactly as much, and more.
    for len in [0, 1, BUFFER - 1, BUFFER, BUFFER + 1, 3 * BUFFER + 5] {
        let bytes: Vec<u8> = (0..len).map(|i| (i * i % 251) as u8).collect();
        assert_eq!(write(&path, |file| file.put(&bytes).map(|()| len)).unwrap(), len);
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
    assert_eq!(entries(folder.path()), ["file"]);
}

/// Each writer's contents are its own letter, so that a mixture would be seen.
#[test]
fn many_writers_of_one_file_leave_it_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4u8)
            .map(|letter| {
                let path = &path;
                scope.spawn(move || {
                    for round in 0..50 {
                        let bytes = vec![b'a' + letter; 1000 * (usize::from(letter) + 1) + round];
                        write(path, |file| bytes.chunks(7).try_for_each(|some| file.put(some))).unwrap();
                    }
                })
            })
            .collect();
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while !done.load(Ordering::Relaxed) {
                let Ok(bytes) = fs::read(&path) else { continue };
                let letter = bytes[0];
                assert!(bytes.iter().all(|&byte| byte == letter));
                let first = 1000 * (usize::from(letter - b'a') + 1);
                assert!((first..first + 50).contains(&bytes.len()), "{} of {letter}", bytes.len());
                reads += 1;
            }
            reads
        });
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        done.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap() > 0);
    });
    assert_eq!(entries(folder.path()), ["file"]);
}

#[test]
fn a_writer_that_fails_leaves_the_old_file_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "old").unwrap();
    let refused = || Error::NoGpu { reason: "none".into() };
    let failed: Result<()> = write(&path, |file| {
        file.put(&[7; 2 * BUFFER])?;
        Err(refused())
    });
    assert!(matches!(failed, Err(Error::NoGpu { .. })));
    drop(Pending::create(&path).unwrap());
    let panicked = std::panic::catch_unwind(|| write(&path, |file| -> Result<()> { panic!("{:?}", file.put(b"x")) }));
    assert!(panicked.is_err());
    assert_eq!((fs::read(&path).unwrap(), entries(folder.path())), (b"old".to_vec(), vec!["file".to_owned()]));
}

#[test]
fn what_cannot_be_written_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("folder");
    fs::create_dir(&inside).unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "old").unwrap();
    for path in [inside.clone(), folder.path().join("no/such"), file.join("below"), "".into(), inside.join("..")] {
        match write(&path, |_| Ok(())) {
            Err(Error::Io { file, .. }) => assert_eq!(file, path),
            other => panic!("{path:?}: {other:?}"),
        }
    }
    let mut permissions = fs::metadata(&file).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&file, permissions).unwrap();
    assert!(write(&file, |file| file.put(b"new")).is_err(), "a file that is protected");
    assert_eq!(fs::read(&file).unwrap(), b"old");
    assert_eq!(entries(folder.path()), ["file", "folder"]);
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn permissions_stay_and_new_files_have_the_usual_ones() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let (usual, path) = (folder.path().join("usual"), folder.path().join("file"));
        fs::write(&usual, "").unwrap();
        write(&path, |file| file.put(b"1")).unwrap();
        assert_eq!(mode(&path), mode(&usual));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        write(&path, |file| file.put(b"2")).unwrap();
        assert_eq!(mode(&path), 0o640);
    }

    #[test]
    fn links_stay_links() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("inside")).unwrap();
        fs::write(at("inside/file"), "old").unwrap();
        symlink("inside/file", at("link")).unwrap();
        symlink(at("link"), at("link-to-link")).unwrap();
        symlink("inside/new", at("dangling")).unwrap();
        symlink("circle", at("circle")).unwrap();
        write(&at("link-to-link"), |file| file.put(b"new")).unwrap();
        write(&at("dangling"), |file| file.put(b"made")).unwrap();
        assert!(write(&at("circle"), |_| Ok(())).is_err());
        assert_eq!(fs::read(at("inside/file")).unwrap(), b"new");
        assert_eq!(fs::read(at("inside/new")).unwrap(), b"made");
        assert!(["link", "link-to-link", "dangling"].iter().all(|name| at(name).is_symlink()));
        assert_eq!(entries(&at("inside")), ["file", "new"]);
    }

    /// Nothing can take the place of a device.
    #[test]
    fn devices_are_written_to() {
        let device = Path::new("/dev/null");
        write(device, |file| file.put(b"into nothing")).unwrap();
        assert!(!fs::metadata(device).unwrap().is_file());
        // One that refuses at the end: what was collected does not get lost in silence.
        if Path::new("/dev/full").exists() {
            let full = write(Path::new("/dev/full"), |file| file.put(b"x"));
            assert!(matches!(full, Err(Error::Io { file, .. }) if file == Path::new("/dev/full")));
        }
    }

    #[test]
    fn long_names_have_room() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n".repeat(255));
        write(&path, |file| file.put(b"x")).unwrap();
        assert_eq!(fs::read(path).unwrap(), b"x");
    }
}

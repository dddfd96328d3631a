//! Digests by name, and the files that they are recorded in.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use bytemuck::Pod;

/// FNV-1a of 64 bits.
pub fn fnv(bytes: &[u8]) -> u64 {
    fold(0xCBF2_9CE4_8422_2325, bytes)
}

fn fold(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3))
}

/// The digest of one result, of one array after another.
#[derive(Clone, Copy)]
pub struct Digest(u64);

impl Digest {
    pub fn of<T: Pod>(values: &[T]) -> Self {
        Self(fnv(&[])).and(values)
    }

    /// The length goes in too, so that no two arrays pass for one.
    pub fn and<T: Pod>(self, values: &[T]) -> Self {
        Self(fold(fold(self.0, &(values.len() as u64).to_le_bytes()), bytemuck::cast_slice(values)))
    }
}

/// The digests of all results, in the order in which they were made.
#[derive(Default)]
pub struct Digests(Vec<(String, u64)>);

impl Digests {
    pub fn add(&mut self, name: impl Into<String>, digest: Digest) {
        let name = name.into();
        assert!(self.get(&name).is_none(), "two results are named {name}");
        self.0.push((name, digest.0));
    }

    fn get(&self, name: &str) -> Option<u64> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, digest)| *digest)
    }

    /// What of the other differs from this, a line each.
    fn differences(&self, other: &Self) -> String {
        let mut lines = String::new();
        for (name, want) in &self.0 {
            match other.get(name) {
                Some(got) if got == *want => {}
                Some(got) => writeln!(lines, "  {name}: {want:016x} became {got:016x}").unwrap(),
                None => writeln!(lines, "  {name}: {want:016x} is gone").unwrap(),
            }
        }
        for (name, got) in other.0.iter().filter(|(name, _)| self.get(name).is_none()) {
            writeln!(lines, "  {name}: {got:016x} is new").unwrap();
        }
        lines
    }

    #[track_caller]
    pub fn assert_equal(&self, what: &str, other: &Self) {
        let lines = self.differences(other);
        assert!(lines.is_empty(), "{} results differ between {what}:\n{lines}", lines.lines().count());
    }
}

/// A file of digests under `tests/digests`: its head as `# name = value`, then a `name = digest` a line.
pub struct Record<'a> {
    pub file: &'static str,
    /// What the digests hold for.
    pub head: &'a [(&'static str, String)],
}

impl Record<'_> {
    fn path(&self) -> PathBuf {
        [env!("CARGO_MANIFEST_DIR"), "tests", "digests", self.file].iter().collect()
    }

    fn read(&self) -> (Vec<(String, String)>, Digests) {
        let path = self.path();
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (mut head, mut digests) = (Vec::new(), Digests::default());
        for (number, line) in text.lines().enumerate() {
            let wrong = format!("{}:{}: expected name = value, found {line:?}", path.display(), number + 1);
            let (name, value) = line.split_once(" = ").expect(&wrong);
            match name.strip_prefix("# ") {
                Some(name) => head.push((name.to_owned(), value.to_owned())),
                None => {
                    digests.0.push((name.to_owned(), u64::from_str_radix(value, 16).expect(&wrong)));
                }
            }
        }
        (head, digests)
    }

    /// Whether the digests of this device can neither be compared nor recorded; that is then said loudly.
    pub fn is_of_another_device(&self, software: bool) -> bool {
        let own: Vec<_> = self.head.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let reason = match records() {
            true if software => return false,
            true => "only a software device's digests are recorded".to_owned(),
            false => match self.read().0 {
                head if head == own => return false,
                head => format!("they were recorded on {head:?}"),
            },
        };
        say(&format!("**** GPU DIGESTS NOT COMPARED: {reason}; this device is {own:?} ****"));
        true
    }

    /// Compares with the file or, where `SCALL_RECORD_DIGESTS` says so, writes it.
    #[track_caller]
    pub fn settle(&self, digests: &Digests) {
        if !records() {
            return self.read().1.assert_equal(&format!("tests/digests/{} and this build", self.file), digests);
        }
        let mut text = String::new();
        self.head.iter().for_each(|(name, value)| writeln!(text, "# {name} = {value}").unwrap());
        digests.0.iter().for_each(|(name, digest)| writeln!(text, "{name} = {digest:016x}").unwrap());
        std::fs::write(self.path(), text).unwrap();
        say(&format!("**** RECORDED: {} digests in tests/digests/{} ****", digests.0.len(), self.file));
    }
}

fn records() -> bool {
    std::env::var_os("SCALL_RECORD_DIGESTS").is_some_and(|value| value == "1")
}

/// Not by a macro, whose output the test harness keeps to itself.
fn say(text: &str) {
    std::io::stderr().write_all(format!("{text}\n").as_bytes()).unwrap();
}

//! Files as they are written, damaged, and edited.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use tempfile::TempDir;

use super::super::{Counts, RowMapOptions, TableOptions};
use super::*;
use crate::Error;
use crate::kernels::table::optimizer::{Optimizer, UpdateRule};
use crate::rows::{Format, Layout};
use crate::testing::{assert_same, devices, layouts, signed, upload};

const SGD: UpdateRule = UpdateRule::new(Optimizer::Sgd { learning_rate: 0.1 });
const ADAGRAD: UpdateRule = UpdateRule::new(Optimizer::Adagrad { learning_rate: 1.0 / 3.0, epsilon: 1e-8 });
const ADAM: UpdateRule =
    UpdateRule::new(Optimizer::Adam { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 });

fn rules() -> [UpdateRule; 8] {
    let (learning_rate, beta1, beta2, epsilon) = (0.01, 0.8, 0.99, 1e-7);
    [
        SGD,
        ADAGRAD,
        ADAM,
        UpdateRule { weight_decay: 1e-3, max_norm: 0.7, ..ADAM },
        UpdateRule::new(Optimizer::Momentum { learning_rate, momentum: 0.9, nesterov: true }),
        UpdateRule::new(Optimizer::RowWiseAdagrad { learning_rate, epsilon }),
        UpdateRule::new(Optimizer::RowWiseAdam { learning_rate, beta1, beta2, epsilon }),
        UpdateRule::new(Optimizer::AdamW { learning_rate, beta1, beta2, epsilon, weight_decay: 0.02 }),
    ]
}

const HALF: Layout = Layout { format: Format::F16, aligned: false, page_bytes: None };

fn table(device: &Device, rule: UpdateRule, sizes: &[u32]) -> RaggedTable {
    laid_out(Layout::default(), device, rule, sizes)
}

fn laid_out(layout: Layout, device: &Device, rule: UpdateRule, sizes: &[u32]) -> RaggedTable {
    let options = TableOptions { rule, init_std: 0.03, zero_dims: 1, seed: u64::MAX - 5, layout };
    let mut table = RaggedTable::new(device, sizes, options, &Account::unlimited()).unwrap();
    step(&mut table);
    table
}

fn step(table: &mut RaggedTable) {
    let ids: Vec<u32> = (0..table.rows()).collect();
    let gradients = upload(table.device(), &signed(ids.len() * 4, table.steps()));
    table.apply_gradients(&ids, &gradients, 4).unwrap();
}

fn ids() -> RowMap {
    let mut ids = RowMap::new(3, RowMapOptions { half_life: 0.7 }).unwrap();
    ids.assign(&[u64::MAX, 1 << 53, 7, 7]).unwrap();
    ids.remove(1 << 53);
    ids
}

fn assert_equal(a: &RaggedTable, b: &RaggedTable) {
    assert_eq!(a.sizes().collect::<Vec<_>>(), b.sizes().collect::<Vec<_>>());
    assert_same_rows("", a, b);
    assert_eq!(a.steps(), b.steps());
    // A page is as large as suits the device: the file has nothing of it.
    let options = |table: &RaggedTable| {
        let options = *table.options();
        format!("{:?}", TableOptions { layout: Layout { page_bytes: None, ..options.layout }, ..options })
    };
    assert_eq!(options(a), options(b));
    let directories = |table: &RaggedTable| -> Vec<_> {
        table.as_rows().pages().iter().map(|page| page.directory().read().unwrap()).collect()
    };
    let (of_a, of_b) = (directories(a), directories(b));
    if of_a.len() == of_b.len() {
        assert_eq!((of_a, a.used_bytes()), (of_b, b.used_bytes()));
    }
}

/// Values and state, bit for bit.
fn assert_same_rows(what: &str, a: &RaggedTable, b: &RaggedTable) {
    let (a, b) = (a.as_rows(), b.as_rows());
    assert_eq!((a.layout().format, a.state_size()), (b.layout().format, b.state_size()));
    assert_same(&format!("values {what}"), &a.read().unwrap(), &b.read().unwrap());
    for number in 0..a.state_size().numbers() {
        let state = |rows: &Rows| rows.read_state(number).unwrap();
        assert_same(&format!("state {number} {what}"), &state(a), &state(b));
    }
}

struct Scratch(TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("f")
    }

    fn save(&self, table: &RaggedTable, ids: Option<&RowMap>) -> Vec<u8> {
        save(table, Contained::All(ids), &self.file()).unwrap();
        fs::read(self.file()).unwrap()
    }

    /// What reading these bytes gives; an error must be readable, and the account as it was.
    fn load(&self, bytes: &[u8]) -> Result<(RaggedTable, Option<RowMap>)> {
        fs::write(self.file(), bytes).unwrap();
        let account = Account::unlimited();
        let loaded = RaggedTable::load_with_ids(&Device::cpu(), &account, &self.file());
        match &loaded {
            Ok((table, _)) => assert_eq!(account.used_bytes(), table.used_bytes()),
            Err(error) => {
                let message = error.to_string();
                assert!(matches!(error, Error::BadFile { .. }), "{message}");
                assert!(message.starts_with(&self.file().display().to_string()) && message.len() < 1000, "{message}");
                assert!(!message.contains(|c: char| c.is_control()), "{message:?}");
                assert_eq!(account.used_bytes(), 0);
            }
        }
        loaded
    }
}

#[test]
fn a_loaded_table_goes_on_bit_for_bit() {
    let scratch = Scratch::new();
    for device in devices() {
        for (rule, layout) in rules().into_iter().flat_map(|rule| layouts(16).map(|layout| (rule, layout))) {
            // Every optimizer in one layout with nothing between its rows and one with all there is; in all layouts,
            // those with most state.
            let many = rule == rules()[2] || rule == rules()[6];
            if !many && layout != Layout::default() && layout != layouts(16)[5] {
                continue;
            }
            for sizes in [&[][..], &[0, 0], &[3, 0, 4, 1], &[1, 700, 2], &[9, 16, 0, 3, 12, 7]] {
                let layout = if sizes.contains(&700) { Layout { page_bytes: None, ..layout } } else { layout };
                let mut saved = laid_out(layout, &device, rule, sizes);
                let bytes = scratch.save(&saved, None);
                assert_eq!(scratch.save(&saved, None), bytes, "equal tables give equal bytes");
                let account = Account::new(u64::MAX, Counts { optimizer: true, metadata: true });
                let mut loaded = RaggedTable::load(&device, &account, &scratch.file()).unwrap();
                assert_eq!(account.used_bytes(), loaded.memory().total_bytes());
                for _ in 0..2 {
                    assert_equal(&loaded, &saved.duplicate(&account).unwrap());
                    step(&mut saved);
                    step(&mut loaded);
                }
                // New rows are those that the saved table would have had.
                saved.append_rows(&[5]).unwrap();
                loaded.append_rows(&[5]).unwrap();
                assert_same_rows("grown", &loaded, &saved);
                drop(loaded);
                assert_eq!(account.used_bytes(), 0);
            }
        }
    }
    assert_eq!(fs::read_dir(scratch.0.path()).unwrap().count(), 1, "nothing is left beside it");
}

/// More than one piece of each tensor.
#[test]
fn a_large_table_comes_back() {
    let scratch = Scratch::new();
    let sizes: Vec<u32> = (0..70_001).map(|i| i % 7).collect();
    for layout in [Layout::default(), Layout { aligned: true, page_bytes: Some(10_000), ..HALF }] {
        let saved = laid_out(layout, &Device::cpu(), ADAGRAD, &sizes);
        let bytes = scratch.save(&saved, None);
        assert_equal(&scratch.load(&bytes).unwrap().0, &saved);
    }
}

#[test]
fn keys_come_back_with_their_rows() {
    let scratch = Scratch::new();
    let saved = table(&Device::cpu(), SGD, &[2, 1, 3, 1]);
    let mut ids = ids();
    let bytes = scratch.save(&saved, Some(&ids));
    let mut loaded = scratch.load(&bytes).unwrap().1.unwrap();
    assert_eq!(loaded.parts(), ids.parts());
    for keys in [[7, 8], [9, 10], [8, 7]] {
        assert_eq!(loaded.assign(&keys).unwrap(), ids.assign(&keys).unwrap());
    }
    assert_eq!(loaded.parts(), ids.parts());
    // A file with keys is a table's file, too.
    assert_equal(&RaggedTable::load(&Device::cpu(), &Account::unlimited(), &scratch.file()).unwrap(), &saved);

    let short = table(&Device::cpu(), SGD, &[2]);
    let text = short.save_with_ids(&ids, &scratch.file()).unwrap_err().to_string();
    assert_eq!(text, "RaggedTable::save_with_ids: `ids` must be of at most the table's 1 rows, got 3");
    assert_eq!(fs::read(scratch.file()).unwrap(), bytes, "the file that was there");
}

#[test]
fn a_budget_too_small_is_an_error() {
    let scratch = Scratch::new();
    for (device, layout) in devices().into_iter().flat_map(|device| layouts(1000).map(|of| (device.clone(), of))) {
        let saved = laid_out(layout, &device, ADAGRAD, &[3, 4]);
        scratch.save(&saved, None);
        let counts = Counts { optimizer: true, metadata: true };
        let needed = saved.memory().total_bytes();
        let account = Account::new(needed - 1, counts);
        match RaggedTable::load(&device, &account, &scratch.file()) {
            Err(Error::OverBudget { needed: found, budget, .. }) => assert_eq!((found, budget), (needed, needed - 1)),
            other => panic!("{other:?}"),
        }
        assert_eq!(account.used_bytes(), 0);
        account.set_capacity(needed).unwrap();
        assert!(RaggedTable::load(&device, &account, &scratch.file()).is_ok());
    }
}

#[test]
fn damage_is_refused() {
    let scratch = Scratch::new();
    for layout in [Layout::default(), HALF] {
        let bytes = scratch.save(&laid_out(layout, &Device::cpu(), ADAM, &[3, 0, 4]), Some(&ids()));
        assert!(scratch.load(&bytes).is_ok());
        for len in (0..bytes.len()).step_by(3).chain([bytes.len() - 1]) {
            assert!(scratch.load(&bytes[..len]).is_err(), "{len} bytes");
        }
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            assert!(scratch.load(&damaged).is_err(), "byte {at}");
        }
        assert!(scratch.load(&[&bytes[..], &[0; 4]].concat()).is_err());
    }
}

fn edited(bytes: &[u8], edits: &[(Index, u8, usize)]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (at, byte, cut) in edits {
        let at = at.index(bytes.len() + 1);
        let end = (at + cut).min(bytes.len());
        bytes.splice(at..end, [*byte]);
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn arbitrary_bytes(bytes in vec(any::<u8>(), 0..200), len in 0u64..300) {
        let scratch = Scratch::new();
        prop_assert!(scratch.load(&bytes).is_err());
        prop_assert!(scratch.load(&[&len.to_le_bytes()[..], &bytes].concat()).is_err());
    }

    /// With and without a checksum: whatever is read must be a table, and whatever is not an error.
    #[test]
    fn edited_files(edits in vec((any::<Index>(), any::<u8>(), 0..3usize), 1..4), checked: bool, half: bool) {
        let scratch = Scratch::new();
        let layout = if half { Layout { aligned: true, ..HALF } } else { Layout::default() };
        let bytes = scratch.save(&laid_out(layout, &Device::cpu(), rules()[5], &[3, 0, 4]), Some(&ids()));
        if checked {
            let damaged = edited(&bytes, &edits);
            prop_assert!(damaged == bytes || scratch.load(&damaged).is_err());
        } else {
            let bytes = rewritten(&bytes, |_, _| ());
            if let Ok((mut table, ids)) = scratch.load(&edited(&bytes, &edits)) {
                step(&mut table);
                prop_assert!(ids.is_none_or(|mut ids| ids.assign(&[1, 2]).is_ok() || ids.capacity() < 2));
            }
        }
    }
}

type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;
type Texts = std::collections::HashMap<String, String>;

/// The file as another program would write it, by the safetensors crate and without a checksum.
fn rewritten(bytes: &[u8], edit: impl Fn(&mut Tensors, &mut Texts)) -> Vec<u8> {
    let (_, header) = SafeTensors::read_metadata(bytes).unwrap();
    let mut texts: Texts = header.metadata().clone().unwrap().into_iter().collect();
    let mut tensors = Tensors::new();
    for (name, view) in SafeTensors::deserialize(bytes).unwrap().tensors() {
        tensors.insert(name, (view.dtype(), view.shape().to_vec(), view.data().to_vec()));
    }
    tensors.remove("checksum");
    edit(&mut tensors, &mut texts);
    let views = tensors
        .iter()
        .map(|(name, (dtype, shape, bytes))| (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    safetensors::serialize(views, Some(texts.into_iter().collect())).unwrap()
}

#[test]
fn files_of_other_programs_are_read() {
    let scratch = Scratch::new();
    for (rule, layout) in rules().into_iter().flat_map(|rule| layouts(16).map(|layout| (rule, layout))) {
        let saved = laid_out(layout, &Device::cpu(), rule, &[3, 0, 4]);
        let bytes = scratch.save(&saved, Some(&ids()));
        let (loaded, keys) = scratch.load(&rewritten(&bytes, |_, _| ())).unwrap();
        assert_equal(&loaded, &saved);
        assert_eq!(keys.unwrap().parts(), ids().parts());
    }
}

/// Files that are whole, but not a table.
#[test]
fn other_contents_are_refused() {
    let scratch = Scratch::new();
    let bytes = scratch.save(&table(&Device::cpu(), ADAGRAD, &[3, 0, 4]), Some(&ids()));
    let set = |t: &mut Tensors, name: &str, at: usize, value: &[u8]| {
        t.get_mut(name).unwrap().2[at..at + value.len()].copy_from_slice(value);
    };
    let cut = |t: &mut Tensors, name: &str, len: usize, width: usize| {
        let tensor = t.get_mut(name).unwrap();
        tensor.1 = vec![len];
        tensor.2.truncate(len * width);
    };
    let text = |m: &mut Texts, name: &str, value: &str| drop(m.insert(name.into(), value.into()));
    type Edit<'a> = &'a dyn Fn(&mut Tensors, &mut Texts);
    let cases: [(Edit<'_>, &str); 32] = [
        (&|t, _| drop(t.remove("values")), "`values` as F32 or F16 or BF16 or U32 of one dimension, found none"),
        (&|t, _| drop(t.remove("state.0")), "`state.0` as F32 [7], found none"),
        (&|t, _| drop(t.remove("ids")), "`ids` as U64 of one dimension, found none"),
        (&|t, _| drop(t.remove("ids.score")), "`ids.score` as F64 [3], found none"),
        (
            &|t, _| t.get_mut("values").unwrap().0 = Dtype::I32,
            "`values` as F32 or F16 or BF16 or U32 of one dimension, found I32 [7]",
        ),
        (&|t, _| t.get_mut("values").unwrap().1 = vec![1, 7], "`values` as F32 of one dimension, found F32 [1, 7]"),
        (&|t, _| cut(t, "values", 6, 4), "`state.0` as F32 [6], found F32 [7]"),
        (&|t, _| cut(t, "offsets", 0, 4), "`offsets` of one number more than there are rows, found none"),
        (&|t, _| cut(t, "offsets", 3, 4), "`ids` of at most 2 rows, found 3"),
        (&|t, _| set(t, "offsets", 0, &[1]), "`offsets` begun with 0, found 1"),
        (&|t, _| set(t, "offsets", 4, &[9]), "`offsets` never falling, found [1] = 9 before [2] = 3"),
        (&|t, _| set(t, "offsets", 12, &[6]), "`offsets` ended at the arena's length 7, found 6"),
        (&|t, _| set(t, "ids", 16, &[0xFF; 8]), "`ids` with keys of one row each"),
        (&|t, _| set(t, "ids.score", 0, &f64::NAN.to_le_bytes()), "`ids` with scores -inf or finite"),
        (&|t, _| set(t, "ids.score", 0, &1e9f64.to_le_bytes()), "`ids` with scores -inf or finite"),
        (&|t, _| drop(t.insert("more".into(), (Dtype::U8, vec![0], vec![]))), "no tensors but those"),
        (&|t, _| drop(t.insert("state.1".into(), (Dtype::U8, vec![0], vec![]))), "no tensors but those"),
        (
            &|t, _| drop(t.insert("checksum".into(), (Dtype::F32, vec![2], vec![0; 8]))),
            "`checksum` as U32 [2], found F32",
        ),
        (&|_, m| text(m, "aligned", "yes"), "metadata `aligned` true or false, found yes"),
        (&|_, m| text(m, "aligned", ""), "metadata `aligned` true or false, found "),
        (&|_, m| drop(m.remove("format")), "metadata `format` \"scall-gpu table\", found none"),
        (&|_, m| text(m, "version", "2"), "metadata `version` \"1\", found 2"),
        (&|_, m| text(m, "optimizer", "lion\u{1b}[31m"), "metadata `optimizer` that is known, found lion\\u{1b}[31m"),
        (&|_, m| text(m, "learning_rate", "nan"), "an optimizer with constants in their domain"),
        (&|_, m| drop(m.remove("epsilon")), "metadata `epsilon` as a number (f32), found none"),
        (&|_, m| text(m, "steps", "-1"), "metadata `steps` as a number (u32), found -1"),
        (&|_, m| text(m, "seed", "18446744073709551616"), "metadata `seed` as a number (u64), found 1844"),
        (&|_, m| text(m, "init_std", "-0.5"), "metadata `init_std` finite and not negative, found -0.5"),
        (&|_, m| text(m, "zero_dims", &"9".repeat(3000)), "metadata `zero_dims` as a number (u32), found 999"),
        (&|_, m| text(m, "ids.half_life", "0"), "`ids` with half_life from 1e-9 to 1e12, found 0"),
        (&|_, m| text(m, "ids.capacity", "1"), "`ids` with keys in at most 1 rows, its capacity, found 2"),
        (&|_, m| text(m, "ids.clock", ""), "metadata `ids.clock` as a number (u64), found "),
    ];
    for (edit, message) in cases {
        let error = scratch.load(&rewritten(&bytes, edit)).unwrap_err().to_string();
        assert!(error.contains(message), "{error}\nlacks {message}");
    }
    // Values in words of four: the rows say how many words there are, and what a word may hold.
    let layout = Layout { format: Format::I8, ..Layout::default() };
    let options = TableOptions { layout, rule: SGD, ..TableOptions::default() };
    let fours = RaggedTable::new(&Device::cpu(), &[3, 0, 5], options, &Account::unlimited()).unwrap();
    let fours = scratch.save(&fours, None);
    let cases: [(Edit<'_>, &str); 6] = [
        (&|_, m| drop(m.remove("values")), "metadata `values` as a number (usize), found none"),
        (&|_, m| text(m, "values", "9"), "`offsets` ended at the arena's length 9, found 8"),
        (&|t, _| cut(t, "values", 2, 4), "`values` of 3 words, as the rows have, found 2"),
        (
            &|t, _| set(t, "values", 0, &[0x40]),
            "`values` of codes from -63 to 63, 0 after a row's last, found others in row 0",
        ),
        (
            &|t, _| set(t, "values", 3, &[0x0F]),
            "`values` of codes from -63 to 63, 0 after a row's last, found others in row 0",
        ),
        (&|t, _| set(t, "values", 9, &[0x80]), "0 after a row's last, found others in row 2"),
    ];
    for (edit, message) in cases {
        let error = scratch.load(&rewritten(&fours, edit)).unwrap_err().to_string();
        assert!(error.contains(message), "{error}\nlacks {message}");
    }
    // A row wider than kernels go, which no resize could have made.
    let wide = scratch.save(&table(&Device::cpu(), SGD, &[65_535, 1]), None);
    let wide = rewritten(&wide, |t, _| set(t, "offsets", 4, &65_536u32.to_le_bytes()));
    let error = scratch.load(&wide).unwrap_err().to_string();
    assert!(error.contains("`offsets` of rows of at most 65535 values, found 65536"), "{error}");
    // A header that promises more than there is.
    let error = scratch.load(&u64::MAX.to_le_bytes()).unwrap_err().to_string();
    assert!(error.contains("a header of at most 0 bytes, found one of 18446744073709551615"), "{error}");
}

/// Programs that look at a tensor where it lies want it at a multiple of its numbers' width.
#[test]
fn every_tensor_lies_at_a_multiple_of_its_width() {
    let scratch = Scratch::new();
    for layout in [Layout::default(), HALF] {
        for rule in rules() {
            let bytes = scratch.save(&laid_out(layout, &Device::cpu(), rule, &[3, 0, 4]), Some(&ids()));
            let tensors = SafeTensors::deserialize(&bytes).unwrap();
            for (name, view) in tensors.tensors() {
                let at = view.data().as_ptr().addr() - bytes.as_ptr().addr();
                assert!(at.is_multiple_of(view.dtype().bitsize() / 8), "{name} of {layout:?} at {at}");
            }
            let values = tensors.tensor("values").unwrap();
            let width = layout.format.bytes() as usize;
            assert_eq!((values.dtype().bitsize() / 8, values.data().len()), (width, 7 * width));
        }
    }
}

/// A table is what its rows are, not how they lie in pages: the file of one table is that of the other.
#[test]
fn pages_do_not_show_in_a_file() {
    let scratch = Scratch::new();
    for device in devices() {
        for &format in Format::ALL {
            let save = |page_bytes| {
                let layout = Layout { format, aligned: true, page_bytes };
                let table = laid_out(layout, &device, rules()[6], &[3, 0, 4, 16, 7, 9, 1, 0]);
                (table.as_rows().pages().len(), scratch.save(&table, None))
            };
            let ((one, file), (many, paged)) = (save(None), save(Some(80)));
            assert!(one == 1 && many > 2, "{one} and {many} pages");
            assert_eq!(file, paged);
        }
    }
}

#[test]
fn files_are_named() {
    let scratch = Scratch::new();
    let (device, account) = (Device::cpu(), Account::unlimited());
    let load = |file: &Path| RaggedTable::load(&device, &account, file).unwrap_err();
    assert!(matches!(load(&scratch.file()), Error::Io { file, .. } if file == scratch.file()));
    assert!(matches!(load(scratch.0.path()), Error::Io { .. } | Error::BadFile { .. }));
    let error = table(&device, SGD, &[1]).save(&scratch.file().join("no/such"));
    assert!(matches!(error, Err(Error::Io { .. })));
    // A directory in its way: nothing else is left.
    fs::create_dir_all(scratch.file().join("full")).unwrap();
    assert!(matches!(table(&device, SGD, &[1]).save(&scratch.file()), Err(Error::Io { .. })));
    assert_eq!(fs::read_dir(scratch.0.path()).unwrap().count(), 1);
}

/// Two threads, one path: after each save there is a whole file, one of theirs.
#[test]
fn two_threads_save_to_one_path() {
    let scratch = Scratch::new();
    let (device, account) = (Device::cpu(), Account::unlimited());
    let tables = [&[3u32, 0, 700, 4][..], &[9; 1000]].map(|sizes| table(&device, ADAM, sizes));
    std::thread::scope(|scope| {
        for own in &tables {
            let (device, account, tables, file) = (&device, &account, &tables, scratch.file());
            scope.spawn(move || {
                for _ in 0..75 {
                    own.save(&file).unwrap();
                    let loaded = RaggedTable::load(device, account, &file).unwrap();
                    let saved = tables.iter().find(|table| table.rows() == loaded.rows()).unwrap();
                    assert_equal(&loaded, saved);
                }
            });
        }
    });
    assert_eq!(fs::read_dir(scratch.0.path()).unwrap().count(), 1, "nothing is left next to it");
}

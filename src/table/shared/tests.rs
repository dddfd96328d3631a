use super::*;
use crate::kernels::table::optimizer::Optimizer;
use crate::rng::mix;
use crate::rows::{Format, Layout};
use crate::table::Counts;
use crate::testing::{assert_same, devices};

const BLOCKS: Sharing = Sharing::Blocks { blocks: 3, bits: 4 };
const CHUNKS: Sharing = Sharing::Chunks { chunks: 3, rows: 50 };

fn options(format: Format) -> TableOptions {
    let layout = Layout { format, ..Layout::default() };
    let rule = Optimizer::Adagrad { learning_rate: 0.1, epsilon: 1e-6 }.into();
    TableOptions { rule, init_std: 0.2, layout, seed: 8, ..TableOptions::default() }
}

fn table(device: &Device, sharing: Sharing, format: Format) -> SharedTable {
    SharedTable::new(device, sharing, 6, options(format), &Account::unlimited()).unwrap()
}

fn keys(count: u64) -> Vec<u64> {
    (0..count).map(|k| if k % 2 == 0 { k / 4 } else { mix(k) }).collect()
}

/// Rows of each key, by the kernel.
fn rows(table: &SharedTable, keys: &[u64]) -> Vec<Vec<u32>> {
    let (words, mut batch) = (table.upload(keys).unwrap(), table.batch(keys.len() as u32).unwrap());
    let mut commands = table.table.device().commands();
    table.record_addresses(&mut commands, &words, &mut batch.addresses).unwrap();
    commands.submit().unwrap();
    let parts = table.sharing.parts() as usize;
    batch.addresses.read().unwrap().chunks(parts).map(<[u32]>::to_vec).collect()
}

#[test]
fn vectors_are_sums_of_rows_or_rows_side_by_side() {
    for device in devices() {
        for sharing in [BLOCKS, CHUNKS] {
            for &format in Format::ALL {
                let table = table(&device, sharing, format);
                let (keys, values) = (keys(100), table.table().read().unwrap());
                let width = table.table().widest() as usize;
                let row = |row: u32| &values[row as usize * width..][..width];
                let expected: Vec<f32> = rows(&table, &keys)
                    .iter()
                    .flat_map(|rows| match sharing {
                        Sharing::Chunks { .. } => rows.iter().flat_map(|&of| row(of).to_vec()).collect::<Vec<_>>(),
                        Sharing::Blocks { .. } => {
                            (0..width).map(|dim| rows.iter().fold(0.0, |sum, &of| sum + row(of)[dim])).collect()
                        }
                    })
                    .collect();
                let found = table.lookup(&keys).unwrap().read().unwrap();
                assert_same(&format!("{sharing:?} of {format:?}"), &found, &expected);
            }
        }
    }
}

/// As a table is updated along the gradients of its rows, and so that equal keys are summed.
#[test]
fn updates_are_those_of_the_rows() {
    for device in devices() {
        for sharing in [BLOCKS, CHUNKS] {
            for format in [Format::F32, Format::I8] {
                let (mut shared, mut plain) = (table(&device, sharing, format), table(&device, sharing, format));
                let keys = [keys(40), keys(9)].concat();
                let gradients: Vec<f32> = (0..keys.len() * 6).map(|n| (n * 7 % 13) as f32 / 13.0 - 0.4).collect();
                shared.apply_gradients(&keys, &Buffer::from_slice(&device, &gradients).unwrap()).unwrap();

                let rows = rows(&plain, &keys);
                let (width, ids) = (plain.table().widest(), rows.concat());
                let of_rows: Vec<f32> = match sharing {
                    Sharing::Chunks { .. } => gradients.clone(),
                    Sharing::Blocks { .. } => gradients.chunks(6).flat_map(|of| of.repeat(3)).collect(),
                };
                let of_rows = Buffer::from_slice(&device, &of_rows).unwrap();
                plain.table.apply_gradients(&ids, &of_rows, width).unwrap();
                let [found, expected] = [&shared, &plain].map(|of| of.table().read().unwrap());
                assert_same(&format!("{sharing:?} of {format:?}"), &found, &expected);
                assert_eq!(shared.table().steps(), 1);
            }
        }
    }
}

/// Vectors, state and all stay, and keys that shared a row part.
#[test]
fn a_table_that_grows_keeps_every_vector() {
    for device in devices() {
        for &format in Format::ALL {
            let mut table = table(&device, BLOCKS, format);
            let keys = keys(300);
            let gradients = Buffer::from_slice(&device, &vec![0.3; 6 * 300]).unwrap();
            table.apply_gradients(&keys, &gradients).unwrap();
            let before = table.lookup(&keys).unwrap().read().unwrap();
            table.grow().unwrap();
            assert_eq!((table.sharing(), table.table().rows()), (Sharing::Blocks { blocks: 3, bits: 5 }, 96));
            assert_same(format.name(), &table.lookup(&keys).unwrap().read().unwrap(), &before);
            let distinct = |table: &SharedTable| {
                let mut rows = rows(table, &keys);
                rows.sort();
                rows.dedup();
                rows.len()
            };
            let parted = distinct(&table);
            assert!(parted > distinct(&self::table(&device, BLOCKS, format)) && parted <= 300);
            // State came along: a step of Adagrad is shorter than its first.
            let one = Buffer::from_slice(&device, &[1.0; 6]).unwrap();
            let vector = |table: &SharedTable| table.lookup(&keys[1..2]).unwrap().read().unwrap()[0];
            let (old, mut fresh) = (vector(&table), self::table(&device, BLOCKS, Format::F32));
            table.apply_gradients(&keys[1..2], &one).unwrap();
            let first = vector(&fresh);
            fresh.apply_gradients(&keys[1..2], &one).unwrap();
            assert!(old - vector(&table) < 0.9 * (first - vector(&fresh)), "{format:?}");
        }
    }
}

#[test]
fn a_key_that_was_never_seen_has_a_vector_that_stays() {
    let device = Device::cpu();
    let mut table = SharedTable::new(
        &device,
        Sharing::Blocks { blocks: 2, bits: 12 },
        6,
        options(Format::F32),
        &Account::unlimited(),
    )
    .unwrap();
    let before = table.lookup(&[1 << 60]).unwrap().read().unwrap();
    assert!(before.iter().any(|&value| value != 0.0));
    // Of 200 other keys none happens to share a row with it.
    let others: Vec<u64> = (0..200).collect();
    let gradients = Buffer::from_slice(&device, &vec![1.0; 6 * 200]).unwrap();
    table.apply_gradients(&others, &gradients).unwrap();
    assert_eq!(table.lookup(&[1 << 60]).unwrap().read().unwrap(), before);
}

#[test]
fn a_saved_table_is_shared_again() {
    let (device, dir) = (Device::cpu(), tempfile::tempdir().unwrap());
    let (mut shared, file) = (table(&device, CHUNKS, Format::I8), dir.path().join("shared.safetensors"));
    shared.apply_gradients(&[4, 5], &Buffer::from_slice(&device, &[0.1; 12]).unwrap()).unwrap();
    shared.table().save(&file).unwrap();
    let loaded = RaggedTable::load(&device, &Account::unlimited(), &file).unwrap();
    let loaded = SharedTable::of(loaded, CHUNKS).unwrap();
    let [one, other] = [&shared, &loaded].map(|of| of.lookup(&keys(70)).unwrap().read().unwrap());
    assert_eq!((one, loaded.dims()), (other, 6));
}

#[test]
fn bad_arguments_change_nothing() {
    let device = Device::cpu();
    let account = Account::new(2000, Counts::default());
    let new = |sharing, dims| SharedTable::new(&device, sharing, dims, options(Format::F32), &account).map(drop);
    let said = |result: Result<()>| result.unwrap_err().to_string();
    assert_eq!(said(new(CHUNKS, 7)), "SharedTable::new: `dims` must be a multiple of the 3 chunks, got 7");
    assert!(said(new(Sharing::Chunks { chunks: 2, rows: 0 }, 8)).contains("`sharing.rows` must be at least 1, got 0"));
    assert!(said(new(Sharing::Blocks { blocks: 2, bits: 17 }, 8)).contains("at most 32 for all blocks together"));
    assert!(said(new(Sharing::Blocks { blocks: 2, bits: 8 }, 8)).contains("over budget"));
    assert_eq!(account.used_bytes(), 0);

    let mut table = SharedTable::new(&device, BLOCKS, 6, options(Format::F32), &account).unwrap();
    let before = table.lookup(&[3]).unwrap().read().unwrap();
    assert!(said(table.grow()).contains("over budget"));
    let gradients = Buffer::from_slice(&device, &[0.0; 13]).unwrap();
    assert!(said(table.apply_gradients(&[1, 2], &gradients)).contains("has length 13, expected 12"));
    assert_eq!((table.lookup(&[3]).unwrap().read().unwrap(), table.sharing()), (before, BLOCKS));
    let mut chunks = self::table(&device, CHUNKS, Format::F32);
    assert_eq!(said(chunks.grow()), "SharedTable::grow: `sharing` must be blocks, got chunks");
    let mut most = self::table(&device, Sharing::Blocks { blocks: 32, bits: 1 }, Format::F32);
    assert!(said(most.grow()).contains("got 32 times 2"));

    let uneven = RaggedTable::new(&device, &[2, 3], options(Format::F32), &Account::unlimited()).unwrap();
    let sharing = Sharing::Chunks { chunks: 1, rows: 2 };
    let error = said(SharedTable::of(uneven, sharing).map(drop));
    assert_eq!(error, "SharedTable::of: `table` must be one whose rows have one size above 0, got rows of several");
    let few = RaggedTable::new(&device, &[2], options(Format::F32), &Account::unlimited()).unwrap();
    let error = said(SharedTable::of(few, sharing).map(drop));
    assert_eq!(error, "SharedTable::of: `table` has length 1, expected 2");
}

//! The rule in a table's file: every optimizer comes back with its constants and goes on bit for bit, and so does what
//! becomes of gradients that are not finite.

mod common;

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use common::devices;
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use scall_gpu::Error;
use scall_gpu::device::{Buffer, Device};
use scall_gpu::kernels::table::optimizer::{NonFinite, Optimizer, UpdateRule};
use scall_gpu::rows::{Format, Layout};
use scall_gpu::table::{Account, RaggedTable, TableOptions};

const SIZES: [u32; 5] = [3, 0, 5, 1, 4];
const WIDTH: u32 = 4;

fn table(device: &Device, rule: UpdateRule, format: Format) -> RaggedTable {
    let layout = Layout { format, ..Layout::default() };
    let options = TableOptions { rule, layout, init_std: 0.3, seed: 5, ..TableOptions::default() };
    RaggedTable::new(device, &SIZES, options, &Account::unlimited()).unwrap()
}

/// A step whose gradients differ everywhere, some of which are not finite if they are to be.
fn step(table: &mut RaggedTable, wrong: bool) {
    let ids = [4u32, 0, 2, 0, 3];
    let number = |at: u32| ((at * 37 + table.steps() * 11) % 97) as f32 / 31.0 - 1.5;
    let mut gradients: Vec<f32> = (0..ids.len() as u32 * WIDTH).map(number).collect();
    if wrong {
        (gradients[1], gradients[9], gradients[18]) = (f32::NAN, f32::INFINITY, f32::NEG_INFINITY);
    }
    let gradients = Buffer::from_vec(table.device(), gradients).unwrap();
    table.apply_gradients(&ids, &gradients, WIDTH).unwrap();
}

/// The bits of values and of state.
fn bits(table: &RaggedTable) -> Vec<u8> {
    let state = table.state().unwrap();
    state.iter().flat_map(|(_, numbers)| numbers.to_le_bytes().to_vec()).collect()
}

#[test]
fn every_optimizer_goes_on_from_its_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("table.safetensors");
    let names: Vec<&str> = Optimizer::names().collect();
    for name in ["ftrl", "rmsprop", "row_wise_rmsprop"] {
        assert!(names.contains(&name), "{names:?}");
    }
    for device in devices() {
        for name in &names {
            let optimizer: Optimizer = name.parse().unwrap();
            // Other numbers than the defaults, which must not stand for what is read.
            let optimizer = match optimizer.with_learning_rate(0.07) {
                Optimizer::Ftrl { learning_rate, .. } => Optimizer::Ftrl { learning_rate, beta: 0.7, l1: 0.1, l2: 0.3 },
                Optimizer::RmsProp { learning_rate, .. } => {
                    Optimizer::RmsProp { learning_rate, rho: 0.8, epsilon: 1e-3 }
                }
                Optimizer::RowWiseRmsProp { learning_rate, .. } => {
                    Optimizer::RowWiseRmsProp { learning_rate, rho: 0.7, epsilon: 1e-4 }
                }
                other => other,
            };
            for (&non_finite, format) in NonFinite::ALL.iter().zip([Format::F32, Format::F16, Format::BF16]) {
                let rule = UpdateRule { non_finite, max_norm: 2.5, ..optimizer.into() };
                let mut saved = table(&device, rule, format);
                step(&mut saved, false);
                step(&mut saved, true);
                saved.save(&file).unwrap();
                let mut loaded = RaggedTable::load(&device, &Account::unlimited(), &file).unwrap();
                let what = format!("{name}, {non_finite}, {}", device.describe());
                assert_eq!((loaded.options().rule, loaded.steps()), (rule, 2), "{what}");
                assert_eq!(bits(&loaded), bits(&saved), "{what}");
                // Counts begin with the table that is in memory.
                assert_eq!(loaded.check_finite().unwrap(), 0, "{what}");
                let _ = saved.check_finite();
                for wrong in [false, true] {
                    let before = bits(&saved);
                    step(&mut saved, wrong);
                    step(&mut loaded, wrong);
                    assert_ne!(bits(&saved), before, "{what}");
                    assert_eq!(bits(&loaded), bits(&saved), "{what}");
                }
                let [one, other] = [saved.check_finite(), loaded.check_finite()].map(|count| format!("{count:?}"));
                assert_eq!(one, other, "{what}");
                assert_eq!(one.starts_with("Err(NonFinite"), non_finite == NonFinite::Error, "{what}: {one}");
            }
        }
    }
}

type Texts = HashMap<String, String>;

/// The file's metadata after an edit, which is written back without a checksum.
fn edited(file: &Path, edit: impl FnOnce(&mut Texts)) {
    let bytes = fs::read(file).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let mut texts: Texts = header.metadata().clone().unwrap().into_iter().collect();
    edit(&mut texts);
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let kept = tensors.tensors().into_iter().filter(|(name, _)| name != "checksum");
    let views: Vec<(String, TensorView<'_>)> = kept.collect();
    fs::write(file, safetensors::serialize(views, Some(texts.into_iter().collect())).unwrap()).unwrap();
}

/// Files from before there was a choice end training, as the default does; and the default is not written, so that
/// those who read files from before read these too.
#[test]
fn a_header_without_non_finite_means_the_default() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("table.safetensors");
    let load = || RaggedTable::load(&Device::cpu(), &Account::unlimited(), &file);
    for name in Optimizer::names() {
        let optimizer: Optimizer = name.parse().unwrap();
        for &non_finite in NonFinite::ALL {
            let rule = UpdateRule { non_finite, max_norm: 0.5, ..optimizer.into() };
            let saved = table(&Device::cpu(), rule, Format::F32);
            saved.save(&file).unwrap();
            edited(&file, |texts| {
                let written = texts.remove("non_finite");
                let expected = (non_finite != NonFinite::Error).then(|| non_finite.to_string());
                assert_eq!(written, expected, "{name}");
                assert_eq!(texts["optimizer"], name);
            });
            let loaded = load().unwrap();
            assert_eq!(loaded.options().rule, UpdateRule { non_finite: NonFinite::Error, ..rule }, "{name}");
            assert_eq!(bits(&loaded), bits(&saved));
        }
    }
    edited(&file, |texts| drop(texts.insert("non_finite".into(), "ignore".into())));
    match load() {
        Err(Error::BadFile { expected, found, .. }) => {
            assert_eq!((expected.as_str(), found.as_str()), ("metadata `non_finite` that is known", "ignore"));
        }
        other => panic!("{other:?}"),
    }
}

/// The document names every optimizer, and every word that says what becomes of gradients.
#[test]
fn the_document_has_all_names() {
    let page = include_str!("../docs/table-file.md");
    for name in Optimizer::names().map(str::to_owned).chain(NonFinite::ALL.iter().map(NonFinite::to_string)) {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
    for name in Optimizer::names() {
        let optimizer: Optimizer = name.parse().unwrap();
        for (constant, _) in optimizer.constants() {
            assert!(page.contains(&format!("`{constant}`")), "{constant} of {name}");
        }
    }
    assert!(page.contains("`non_finite`"));
}

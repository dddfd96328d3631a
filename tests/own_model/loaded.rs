//! Models of tables that exist: what they refuse, that they rank as the model did which wrote them, and a loop that
//! goes on from them.

use std::path::{Path, PathBuf};

use scall_gpu::device::{Buffer, Device};
use scall_gpu::kernels::table::optimizer::Optimizer;
use scall_gpu::models::{
    Embeddings, ItemBias, ModelBuilder, ModelOptions, RankRequest, Rankings, Recommender, TablesMut, TrainingData,
};
use scall_gpu::rows::{Format, Layout};
use scall_gpu::sizing::{Amount, Budget, Sizes};
use scall_gpu::stream::{Segment, UserItems};
use scall_gpu::table::{Account, RaggedTable, TableOptions};
use scall_gpu::{Error, ProbeOptions, Result, Scall, ScallOptions};
use tempfile::TempDir;

use super::common::devices;
use super::stream::{found, recorded, values};
use super::{POLICIES, options};

fn by_name(name: &str, item_bias: ItemBias) -> ModelOptions {
    let mut model = ModelOptions::from_name(name).unwrap();
    let training = model.training_mut();
    (training.batch, training.item_bias) = (64, item_bias);
    model
}

/// A model of the tables in two files.
#[derive(Clone)]
struct Loaded {
    model: ModelOptions,
    files: [PathBuf; 2],
}

impl ModelBuilder for Loaded {
    fn name(&self) -> &str {
        self.model.name()
    }

    fn build(&self, device: &Device, account: &Account, _: u64) -> Result<Box<dyn Recommender>> {
        let [users, items] = &self.files;
        let load = |label, file: &Path| RaggedTable::load(&device.labeled(label), account, file);
        let bias = self.model.training().item_bias.exists();
        self.model.with_embeddings(Embeddings::from_tables(load("users", users)?, load("items", items)?, bias)?)
    }
}

/// Writes the tables of a model.
fn saved(model: &dyn Recommender, folder: &TempDir, options: ModelOptions) -> Loaded {
    let files = ["users", "items"].map(|side| folder.path().join(format!("{side}.safetensors")));
    model.embeddings().users().save(&files[0]).unwrap();
    model.embeddings().items().save(&files[1]).unwrap();
    Loaded { model: options, files }
}

const USERS: u32 = 20;
const ITEMS: u32 = 30;

fn history() -> UserItems {
    UserItems::new(USERS, (0..200).map(|row| (row % USERS, row * row % (ITEMS - 3)))).unwrap()
}

fn prepare(model: &mut dyn Recommender) {
    let history = history();
    let rows: Vec<(u32, u32)> = history.pairs().collect();
    model.prepare(TrainingData { rows: &rows, history: &history, blocks: None }).unwrap();
}

fn lists(model: &dyn Recommender) -> Rankings {
    let (users, candidates): (Vec<u32>, Vec<u32>) = ((0..USERS).chain([u32::MAX]).collect(), (0..ITEMS).collect());
    let request = RankRequest {
        users: &users,
        candidates: &candidates,
        excluded: &|_| &[],
        k: 9,
        item_biases: None,
        scores: false,
    };
    model.rank(request).unwrap()
}

fn bits(model: &dyn Recommender) -> Vec<u32> {
    let tables = [model.embeddings().users(), model.embeddings().items()];
    tables.map(|table| table.read().unwrap()).concat().into_iter().map(f32::to_bits).collect()
}

#[test]
fn loaded_tables_rank_and_learn_as_those_that_were_written() {
    let folder = tempfile::tempdir().unwrap();
    for device in devices() {
        for &name in ModelOptions::NAMES {
            for bias in [ItemBias::None, ItemBias::Learned { keep: 1.0 }, ItemBias::default()] {
                for format in [Format::F32, Format::BF16] {
                    let mut options = by_name(name, bias);
                    options.training_mut().layout = Layout { format, ..Layout::default() };
                    let mut model = options.build(&device, &Account::unlimited()).unwrap();
                    let sizes = [USERS, ITEMS].map(|rows| (0..rows).map(|row| row * 5 % 9).collect());
                    let [users, items] = sizes;
                    model.embeddings_mut().resize(&Sizes { users, items, action: None }).unwrap();
                    prepare(&mut *model);
                    model.train(7, &mut |_| {}).unwrap();

                    let loaded = saved(&*model, &folder, options);
                    let account = Account::unlimited();
                    let mut other = loaded.build(&device, &account, 0).unwrap();
                    assert_eq!(other.embeddings().shape(), model.embeddings().shape());
                    let tables = [other.embeddings().users(), other.embeddings().items()];
                    assert_eq!(account.used_bytes(), tables.map(RaggedTable::used_bytes).iter().sum::<u64>());
                    prepare(&mut *other);
                    assert_eq!(lists(&*other), lists(&*model), "{name}, {bias:?}, {format:?}");
                    assert_eq!(bits(&*other), bits(&*model));

                    // Of the same triples both learn the same: optimizer state and steps are in the files.
                    let mut copy = options.build(&device, &account).unwrap();
                    copy.embeddings_mut().restore_state(&model.embeddings().state().unwrap()).unwrap();
                    prepare(&mut *copy);
                    for model in [&mut other, &mut copy] {
                        model.train(5, &mut |_| {}).unwrap();
                    }
                    assert_ne!(bits(&*other), bits(&*model));
                    assert_eq!(bits(&*other), bits(&*copy), "{name}, {bias:?}, {format:?}");
                }
            }
        }
    }
}

/// Rows from elsewhere, put into a model's own tables.
#[test]
fn rows_that_are_stored_rank_as_in_the_model_that_they_are_of() {
    for device in devices() {
        let options = by_name("mf", ItemBias::Learned { keep: 1.0 });
        let [mut from, mut to] = [0, 1].map(|seed| {
            let mut model = options.with_seed(seed).build(&device, &Account::unlimited()).unwrap();
            let sizes = Sizes { users: vec![4; USERS as usize], items: vec![4; ITEMS as usize], action: None };
            model.embeddings_mut().resize(&sizes).unwrap();
            model
        });
        prepare(&mut *from);
        from.train(7, &mut |_| {}).unwrap();
        assert_ne!(lists(&*from), lists(&*to));
        let TablesMut { mut users, mut items } = to.embeddings_mut().tables_mut();
        for (from, to, width) in
            [(from.embeddings().users(), &mut users, 4), (from.embeddings().items(), &mut items, 5)]
        {
            let ids: Vec<u32> = (0..from.rows()).collect();
            to.store_rows(&ids, &Buffer::from_vec(&device, from.read().unwrap()).unwrap(), width).unwrap();
        }
        assert_eq!(lists(&*to), lists(&*from));
    }
}

/// A loop over the second half of a stream, whose model was written by a loop over the first: sizes, capacity and
/// population are right from the first segment on, also where the files hold more than the budget allows.
#[test]
fn a_loop_goes_on_from_loaded_tables() {
    let folder = tempfile::tempdir().unwrap();
    let (data, segments) = recorded();
    for device in devices() {
        for (&name, policy) in ModelOptions::NAMES.iter().zip([POLICIES[1], POLICIES[0], POLICIES[0]]) {
            let model = by_name(name, ItemBias::default());
            let wide = Budget::new(Amount::MeanSize(15.0));
            let wide = ScallOptions { budget: Budget { d_max: 16, ..wide }, ..options(10, model) };
            let mut first = Scall::over(&device, data.clone(), segments[..2].to_vec(), policy(), wide).unwrap();
            while first.step(|_| {}).unwrap().is_some() && first.progress().0 < 2 {}
            let loaded = saved(first.model(), &folder, model);
            let held = first.model().embeddings().users().account().used_bytes();

            let options = || {
                let probe = ProbeOptions { steps: 5, warm: false, ..ProbeOptions::default() };
                ScallOptions { probe, ..options(10, loaded.clone()) }
            };
            let over = || Scall::over(&device, data.clone(), segments[2..].to_vec(), policy(), options());
            let mut scall = over().unwrap();
            let budget = options().budget;
            let Amount::Bytes(bytes) = budget.amount else { panic!("{budget:?}") };
            assert!(held > bytes, "{held} bytes");
            let known = first.report()[1].users;
            assert_eq!(scall.model().embeddings().users().rows(), known);
            assert_eq!(values(&scall), values(&first));
            let report = scall.step(|_| {}).unwrap().unwrap();
            assert!(report.counted_bytes <= bytes && report.budget_bytes <= bytes, "{report:?}");
            assert!(report.users > known && report.resized.shrunk_rows > 0, "{report:?}");
            let newcomers = report.users - known + report.items - first.report()[1].items;
            assert_eq!(report.resized.new_rows, u64::from(newcomers));

            // It can be kept, and goes on; probes begin with the rows that were loaded.
            let mut other = Scall::restore(&device, policy(), options(), scall.state().unwrap()).unwrap();
            for loops in [&mut scall, &mut other] {
                let report = loops.step(|_| {}).unwrap().unwrap();
                assert_eq!(report.probes > 0, policy().searches());
            }
            assert_eq!((found(&other), values(&other)), (found(&scall), values(&scall)), "{name}");
        }
    }
}

#[test]
fn rows_that_the_stream_does_not_know_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let options = by_name("mf", ItemBias::None);
    let mut model = options.build(&Device::cpu(), &Account::unlimited()).unwrap();
    model.embeddings_mut().resize(&Sizes { users: vec![2; 3], items: vec![2; 60], action: None }).unwrap();
    let loaded = saved(&*model, &folder, options);
    let refused = |data, segments: Vec<Segment>| {
        let options = super::options(3, loaded.clone());
        Scall::over(&Device::cpu(), data, segments, POLICIES[0](), options).err().unwrap()
    };
    let (data, segments) = recorded();
    let known = u64::from(data.item_count());
    let error = refused(data, segments);
    assert!(
        matches!(error, Error::Shape { arg: "model.items", expected, got: 60, .. } if expected == known),
        "{error}"
    );
    let error = refused(Default::default(), Vec::new());
    assert!(matches!(error, Error::Shape { arg: "model.users", expected: 0, got: 3, .. }), "{error}");
}

fn table(options: TableOptions, sizes: &[u32], account: &Account) -> RaggedTable {
    RaggedTable::new(&Device::cpu(), sizes, options, account).unwrap()
}

#[test]
fn tables_that_do_not_fit_each_other_or_the_options_are_refused() {
    let account = Account::unlimited();
    let of_users = TableOptions { rule: by_name("mf", ItemBias::None).training().rule, ..TableOptions::default() };
    let of_items = TableOptions { zero_dims: 1, ..of_users };
    let half = Layout { format: Format::F16, ..Layout::default() };
    let sgd = Optimizer::Sgd { learning_rate: 0.1 }.into();
    for (options, sizes, account_of_items, said) in [
        (of_items, [1, 2], Account::unlimited(), "of the account of `users`, got another one"),
        (TableOptions { layout: half, ..of_items }, [1, 2], account.clone(), "`users`, packed f32, got packed f16"),
        (TableOptions { rule: sgd, ..of_items }, [1, 2], account.clone(), "optimizer of `users`, adagrad, got sgd"),
        (of_users, [1, 2], account.clone(), "of `zero_dims` 1, where new rows begin with a bias of zero, got 0"),
        (of_items, [1, 0], account.clone(), "of rows that begin with a bias, got row 1 of no values"),
    ] {
        let (users, items) = (table(of_users, &[1, 2], &account), table(options, &sizes, &account_of_items));
        let error = Embeddings::from_tables(users, items, true).unwrap_err().to_string();
        assert!(error.starts_with("Embeddings::from_tables: `items` must be") && error.ends_with(said), "{error}");
    }
    // A user may have no values.
    assert!(Embeddings::from_tables(table(of_users, &[0], &account), table(of_items, &[1], &account), true).is_ok());
    assert_eq!(account.used_bytes(), 0, "what was refused is gone");

    for (&name, new) in ModelOptions::NAMES.iter().zip(["BprMf", "LightGcn", "Fism"]) {
        let options = by_name(name, ItemBias::default());
        let refused = |options: ModelOptions, rule, layout, bias: bool| {
            let with = |zero_dims| TableOptions { rule, layout, zero_dims, ..TableOptions::default() };
            let tables = [with(0), with(u32::from(bias))].map(|options| table(options, &[1, 2], &account));
            let [users, items] = tables;
            options.with_embeddings(Embeddings::from_tables(users, items, bias).unwrap()).err().unwrap().to_string()
        };
        let (rule, layout) = (options.training().rule, Layout::default());
        let optimizer = rule.optimizer.name();
        let mut wrong = options;
        wrong.training_mut().batch = 0;
        for (error, said) in [
            (refused(options, sgd, layout, true), format!("`rule` must be sgd, got {optimizer}")),
            (refused(options, rule, half, true), "`embeddings` must be of values as in the options, packed f32".into()),
            (refused(options, rule, layout, false), "`embeddings` must be with an item bias, as in the options".into()),
            (refused(wrong, rule, layout, true), "`batch` must be from 1 to".into()),
        ] {
            assert!(error.starts_with(&format!("{new}::with_embeddings: {said}")), "{error}");
        }
    }
}

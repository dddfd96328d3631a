//! Our models as a caller's own: the same bits; and what the loop does not let a model do.

use scall_gpu::device::{Buffer, Device};
use scall_gpu::file::State;
use scall_gpu::models::{
    Embeddings, ItemBias, ModelBuilder, ModelOptions, RankRequest, Rankings, Recommender, TablesMut, TrainingData,
};
use scall_gpu::sizing::{Sizes, Uniform};
use scall_gpu::stream::Interactions;
use scall_gpu::table::{Account, Counts};
use scall_gpu::{Error, ProbeOptions, Result, Scall, ScallOptions};

use super::stream::{found, recorded, values};
use super::{POLICIES, options};

/// What a recommender may do wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// It draws from an account of its own.
    OwnAccount,
    /// It says that it has no bias where it has one.
    NoBias,
    /// A bias that is out of its domain.
    WrongBias,
    /// It says that its biases are learned, though it was made for counted ones.
    Learned,
    /// It gives one list too few.
    ListTooFew,
    /// It comes with rows of users that the stream does not know.
    Rows,
}

#[derive(Clone, Copy)]
struct Wrapper {
    model: ModelOptions,
    fault: Fault,
}

impl ModelBuilder for Wrapper {
    fn name(&self) -> &str {
        "wrapped"
    }

    fn build(&self, device: &Device, account: &Account, seed: u64) -> Result<Box<dyn Recommender>> {
        let own = Account::unlimited();
        let account = if self.fault == Fault::OwnAccount { &own } else { account };
        let mut inner = self.model.with_seed(seed).build(device, account)?;
        if self.fault == Fault::Rows {
            inner.embeddings_mut().resize(&Sizes { users: vec![2], items: vec![], action: None })?;
        }
        Ok(Box::new(Wrapped { inner, fault: self.fault }))
    }
}

struct Wrapped {
    inner: Box<dyn Recommender>,
    fault: Fault,
}

impl Recommender for Wrapped {
    fn embeddings(&self) -> &Embeddings {
        self.inner.embeddings()
    }

    fn embeddings_mut(&mut self) -> &mut Embeddings {
        self.inner.embeddings_mut()
    }

    fn l2(&self) -> Option<f32> {
        self.inner.l2()
    }

    fn set_l2(&mut self, l2: f32) {
        self.inner.set_l2(l2);
    }

    fn item_bias(&self) -> ItemBias {
        match self.fault {
            Fault::NoBias => ItemBias::None,
            Fault::WrongBias => ItemBias::Counted { half_life: Some(-1.0) },
            Fault::Learned => ItemBias::Learned { keep: 1.0 },
            _ => self.inner.item_bias(),
        }
    }

    fn duplicate(&self, account: &Account) -> Result<Box<dyn Recommender>> {
        Ok(Box::new(Self { inner: self.inner.duplicate(account)?, fault: self.fault }))
    }

    fn save(&self) -> Result<State> {
        self.inner.save()
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.inner.restore(state)
    }

    fn prepare(&mut self, data: TrainingData<'_>) -> Result<()> {
        self.inner.prepare(data)
    }

    fn train(&mut self, steps: u32, progress: &mut dyn FnMut(u32)) -> Result<f32> {
        self.inner.train(steps, progress)
    }

    fn rank(&self, mut request: RankRequest<'_>) -> Result<Rankings> {
        if self.fault == Fault::ListTooFew {
            request.users = request.users.split_last().map_or(&[], |(_, rest)| rest);
        }
        self.inner.rank(request)
    }

    fn working_bytes(&self) -> u64 {
        self.inner.working_bytes()
    }

    fn sample_bytes(&self) -> u64 {
        self.inner.sample_bytes()
    }

    fn layer_bytes(&self) -> u64 {
        self.inner.layer_bytes()
    }
}

fn by_name(name: &str) -> ModelOptions {
    let mut model = ModelOptions::from_name(name).unwrap();
    model.training_mut().batch = 64;
    model
}

fn wrapped(fault: Fault) -> ScallOptions<Wrapper> {
    options(6, Wrapper { model: by_name("mf"), fault })
}

fn followed<M: ModelBuilder + 'static>(options: ScallOptions<M>) -> (Vec<String>, Vec<u32>) {
    let (data, segments) = recorded();
    let mut scall = Scall::over(&Device::cpu(), data, segments, POLICIES[1](), options).unwrap();
    while scall.step(|_| {}).unwrap().is_some() {}
    (found(&scall), values(&scall))
}

#[test]
fn a_model_of_ones_own_runs_as_ours_does() {
    for &name in ModelOptions::NAMES {
        for warm in [true, false] {
            let model = by_name(name);
            let probe = ProbeOptions { steps: 5, warm, ..ProbeOptions::default() };
            let ours = followed(ScallOptions { probe, choose_l2: true, ..options(10, model) });
            let own =
                followed(ScallOptions { probe, choose_l2: true, ..options(10, Wrapper { model, fault: Fault::None }) });
            assert!(ours.0.len() == 4 && ours.0[1..].iter().all(|report| report.contains("probes: 4")), "{:?}", ours.0);
            assert_eq!(ours, own, "{name}");
        }
    }
}

#[test]
fn a_model_that_is_not_what_it_says_is_refused_when_the_loop_begins() {
    for (fault, said) in [
        (Fault::OwnAccount, "`model` must be one that draws from the account it is given, got another account"),
        (Fault::NoBias, "`model` must be one whose `item_bias`, None, is that of its embeddings, got a bias"),
        (Fault::WrongBias, "`half_life` must be above 0, got -1"),
        (Fault::Rows, "`model.users` has length 1, expected 0"),
    ] {
        let error = Scall::new(&Device::cpu(), Box::new(Uniform), wrapped(fault)).err().unwrap().to_string();
        assert_eq!(error, format!("Scall::new: {said}"), "{fault:?}");
    }
    let mut none = by_name("mf");
    none.training_mut().item_bias = ItemBias::None;
    let says_learned = options(6, Wrapper { model: none, fault: Fault::Learned });
    let error = Scall::new(&Device::cpu(), Box::new(Uniform), says_learned).err().unwrap().to_string();
    assert!(error.contains("`item_bias`, Learned { keep: 1.0 }, is that of its embeddings, got none"), "{error}");
}

#[test]
fn lists_are_counted() {
    let (data, segments) = recorded();
    let mut scall = Scall::over(&Device::cpu(), data, segments, Box::new(Uniform), wrapped(Fault::ListTooFew)).unwrap();
    let error = scall.step(|_| {}).unwrap_err();
    assert!(matches!(error, Error::Shape { op: "Recommender::rank_both", arg: "rankings", .. }), "{error}");

    let mut scall = Scall::new(&Device::cpu(), Box::new(Uniform), wrapped(Fault::ListTooFew)).unwrap();
    scall.observe([("a", "x", 1), ("b", "y", 2)]).unwrap();
    let error = scall.recommend("a", 1).unwrap_err();
    assert!(matches!(error, Error::Shape { expected: 1, got: 0, .. }), "{error}");
}

/// Biases that are said to be learned are left to the model, which passes these over.
#[test]
fn biases_are_set_by_the_loop_only_where_the_model_has_them_counted() {
    let (data, segments) = recorded();
    for (fault, counted) in [(Fault::Learned, false), (Fault::None, true)] {
        let mut scall =
            Scall::over(&Device::cpu(), data.clone(), segments.clone(), Box::new(Uniform), wrapped(fault)).unwrap();
        while scall.step(|_| {}).unwrap().is_some() {}
        let items = scall.model().embeddings().items();
        let ids: Vec<u32> = (0..items.rows()).collect();
        let biases = items.lookup(&ids, 1).unwrap().read().unwrap();
        assert_eq!(biases.iter().any(|bias| *bias != 0.0), counted, "{fault:?}");
    }
}

/// What is lent out cannot change a size, and what is stored is there.
#[test]
fn tables_that_are_lent_out_keep_the_account() {
    let device = Device::cpu();
    let account = Account::new(400, Counts::default());
    let mut model = ModelOptions::default().build(&device, &account).unwrap();
    model.embeddings_mut().resize(&Sizes { users: vec![3, 0, 5], items: vec![2, 4], action: None }).unwrap();
    let (used, shape) = (account.used_bytes(), model.embeddings().shape());
    let TablesMut { mut users, mut items } = model.embeddings_mut().tables_mut();
    let gradients = Buffer::from_slice(&device, &[1.0f32; 10]).unwrap();
    users.apply_gradients(&[0, 2], &gradients, 5).unwrap();
    items.reset_rows(&[1]).unwrap();
    items.set_learning_rate(0.25).unwrap();
    assert_eq!((users.check_finite().unwrap(), items.steps(), users.steps()), (0, 0, 1));
    assert_eq!((account.used_bytes(), model.embeddings().shape()), (used, shape));
    assert_eq!(model.embeddings().items().options().rule.optimizer.learning_rate(), 0.25);
    assert_eq!(model.embeddings().users().sizes().collect::<Vec<_>>(), [3, 0, 5]);
}

/// A live loop asks a model that has rows and knows no history yet.
#[test]
fn a_loop_without_a_segment_recommends() {
    for &name in ModelOptions::NAMES {
        let scall = Scall::new(&Device::cpu(), Box::new(Uniform), options(6, by_name(name))).unwrap();
        assert!(scall.recommend("anybody", 3).unwrap().is_empty());
        let data = Interactions::from_rows([("a", "x", 1)]).unwrap();
        let scall =
            Scall::over(&Device::cpu(), data, Vec::new(), Box::new(Uniform), options(6, by_name(name))).unwrap();
        assert!(scall.recommend("a", 3).unwrap().is_empty());
    }
}

//! Whole training steps, on made-up input of a size: kernels one behind the other, as a model runs them.

use scall_gpu::Result;
use scall_gpu::agent::{Agent, AgentOptions, StateLayout, Transition};
use scall_gpu::device::{Buffer, Device};
use scall_gpu::kernels::table::lookup::Lookup;
use scall_gpu::kernels::table::update::Optimizer;
use scall_gpu::models::{
    BprMf, BprMfOptions, Fism, FismOptions, ItemBias, LightGcn, LightGcnOptions, Recommender, Sampling, TrainingData,
    TrainingOptions,
};
use scall_gpu::sizing::Sizes;
use scall_gpu::stream::UserItems;
use scall_gpu::table::{Account, Occurrences, RaggedTable, TableOptions};

use super::{Case, Meter, Torch};
use crate::data::{skewed, uniform};

/// Sizes that fall like a power law from `widest` on, of this mean.
fn sizes(rows: usize, mean: f64, widest: u32) -> Vec<u32> {
    // The scale that makes the clamped sizes add up, by bisection.
    let size = |scale: f64, rank: usize| (scale / (1.0 + rank as f64).sqrt()).clamp(1.0, f64::from(widest));
    let (mut low, mut high) = (0.0, 1e12);
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        let sum: f64 = (0..rows).map(|rank| size(middle, rank)).sum();
        if sum < mean * rows as f64 { low = middle } else { high = middle }
    }
    // 7,919 shares no factor with a power of ten: ranks are spread over the ids.
    (0..rows).map(|row| size(low, row * 7919 % rows).round() as u32).collect()
}

/// Lookup, a gradient made of it, and one step of Adam on the rows that were looked up.
pub fn table(device: &Device, meter: &mut dyn Meter, rows: usize) -> Result<()> {
    let (count, dims) = (rows * 3 / 10, 256u32);
    let sizes = sizes(rows, 10.0, dims);
    let adam = Optimizer::Adam { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
    let options = TableOptions { rule: adam.into(), ..TableOptions::default() };
    let mut table = RaggedTable::new(device, &sizes, options, &Account::unlimited())?;
    let host_ids = uniform(count, rows as u32, 1);
    let ids = Buffer::from_slice(device, &host_ids)?;
    // The gradient of half the squared length is the looked-up row itself: no model stands between the two kernels.
    let mut gradients = Buffer::<f32>::zeroed(device, count * dims as usize)?;
    let mut workspace = Buffer::zeroed(device, table.update_workspace_len(count as u32, dims))?;
    let run = &mut || {
        let mut commands = device.commands();
        commands.run(Lookup { rows: table.as_rows(), ids: &ids, dims, out: &mut gradients })?;
        let occurrences =
            Occurrences { ids: &ids, first: 0, count: (count as u32).into(), gradients: (&gradients).into(), dims };
        table.record_update(&mut commands, occurrences, &mut workspace)?;
        commands.submit()?;
        device.wait()
    };
    run()?;
    let values: u64 = host_ids.iter().map(|&id| u64::from(sizes[id as usize])).sum();
    // Rows read and padded ones written; of gradients and rows, values and two numbers of state once in each direction.
    let bytes = 4 * values + 4 * u64::from(dims) * count as u64 + 4 * values + 24 * values + 16 * count as u64;
    let case = Case::new(format!("{rows} rows, {count} ids, at most {dims}: lookup, Adam"), bytes);
    meter.measure(case, run, None)
}

/// Entities, interactions between them, and a step's triples.
struct Interactions {
    users: u32,
    items: u32,
    rows: Vec<(u32, u32)>,
    history: UserItems,
}

impl Interactions {
    fn new(entities: usize, count: usize) -> Result<Self> {
        let (users, items) = ((entities / 2) as u32, (entities - entities / 2) as u32);
        let rows: Vec<_> = uniform(count, users, 2).into_iter().zip(skewed(count, items, 3)).collect();
        let history = UserItems::new(users, rows.iter().copied())?;
        Ok(Self { users, items, rows, history })
    }

    /// Measures training steps of a model whose rows get these sizes.
    fn measure(
        &self,
        model: &mut dyn Recommender,
        meter: &mut dyn Meter,
        case: Case<'_>,
        size: impl Fn(usize) -> Vec<u32>,
    ) -> Result<()> {
        let sizes = Sizes { users: size(self.users as usize), items: size(self.items as usize), action: None };
        model.embeddings_mut().resize(&sizes)?;
        model.prepare(TrainingData { rows: &self.rows, history: &self.history, blocks: None })?;
        let parts = 16;
        meter.measure(Case { parts, ..case }, &mut || model.train(parts, &mut |_| {}).map(drop), None)
    }
}

const BATCH: u32 = 10_000;

/// Matrix factorisation: triples drawn, loss and gradients, both tables stepped.
pub fn bpr_mf(device: &Device, meter: &mut dyn Meter, entities: usize) -> Result<()> {
    let (interactions, width) = (Interactions::new(entities, 4 * entities)?, 64u32);
    let mut options = BprMfOptions::default();
    options.training = TrainingOptions {
        batch: BATCH,
        rule: Optimizer::Adagrad { learning_rate: 0.05, epsilon: 1e-8 }.into(),
        item_bias: ItemBias::None,
        sampling: Sampling::Log { window: 5000 },
        ..options.training
    };
    let mut model = BprMf::new(device, options, &Account::unlimited())?;
    let values = 3 * u64::from(BATCH) * u64::from(width);
    let name = format!("{entities} entities, width {width}, batch {BATCH}, Adagrad");
    // Rows read, gradients written and read, values and one number of state once in each direction.
    let bytes = 4 * values * (1 + 2 + 4);
    // Torch gets its triples, users first, and may step by SGD.
    let batch = BATCH as usize;
    let mut ids = uniform(batch, interactions.users, 4);
    ids.extend(skewed(2 * batch, interactions.items, 5));
    let torch = Torch { work: "BPR and SGD", rows: entities, dims: width, bag: batch, ids: &ids };
    let case = Case { torch: Some(torch), ..Case::new(name, bytes) };
    interactions.measure(&mut model, meter, case, |rows| vec![width; rows])
}

/// FISM: histories pooled, triples, gradients, scattered back, rows stepped.
pub fn fism(device: &Device, meter: &mut dyn Meter, size: usize) -> Result<()> {
    let (entities, count, width) = (size / 4, size, 64u32);
    let interactions = Interactions::new(entities, count)?;
    let options = FismOptions::default();
    let batch = options.training.batch;
    let mut model = Fism::new(device, options, &Account::unlimited())?;
    let interactions_kept = interactions.history.len() as u64;
    // There and back: a row for each interaction and for each entity. A batch's rows and gradients; rows and state.
    let bytes = 4 * u64::from(width) * (2 * (interactions_kept + entities as u64) + 9 * u64::from(batch));
    let bytes = bytes + 24 * 16 * entities as u64;
    let name = format!("{entities} entities, {interactions_kept} interactions, width {width}, batch {batch}");
    interactions.measure(&mut model, meter, Case::new(name, bytes), |rows| sizes(rows, 16.0, width))
}

/// LightGCN: rows propagated, triples, gradients, propagated back, every row stepped by Adam.
pub fn light_gcn(device: &Device, meter: &mut dyn Meter, size: usize) -> Result<()> {
    let (entities, count, width) = (size * 6 / 10, size * 2, 128u32);
    let interactions = Interactions::new(entities, count)?;
    let mut options = LightGcnOptions::default();
    options.training = TrainingOptions { batch: BATCH, item_bias: ItemBias::None, ..options.training };
    let layers = options.layers;
    let mut model = LightGcn::new(device, options, &Account::unlimited())?;
    let nonzeros = 2 * interactions.history.len() as u64;
    // Forward and back: each layer gathers a row for each non-zero and writes one for each entity.
    let products = 2 * u64::from(layers) * 4 * u64::from(width) * (nonzeros + entities as u64);
    let bytes = products + 4 * u64::from(width) * 6 * u64::from(BATCH) + 28 * 16 * entities as u64;
    let name = format!("{entities} nodes, {nonzeros} non-zeros, {layers} layers of {width}");
    interactions.measure(&mut model, meter, Case::new(name, bytes), |rows| sizes(rows, 16.0, width))
}

/// A learning step of the agent that chooses sizes, which runs on the CPU whatever the device; it has one size.
pub fn agent(device: &Device, meter: &mut dyn Meter, _: usize) -> Result<()> {
    if device.as_gpu().is_some() {
        return Ok(());
    }
    let options = AgentOptions::default();
    let state_len = StateLayout { d_max: 64, ..StateLayout::default() }.len();
    let mut agent = Agent::new(state_len, options)?;
    for k in 0..4 * options.batch {
        let state = |shift: usize| (0..state_len).map(|j| ((j + k + shift) % 17) as f32 / 17.0).collect();
        let action = agent.act(&vec![0.5; state_len])?.action;
        agent.remember(Transition { state: state(0), action, reward: action[0], next_state: state(1) })?;
    }
    let (hidden, inputs) = (options.hidden as u64, state_len as u64);
    let network = 4 * (inputs * hidden + hidden * hidden);
    // Forward five times and back three; two critics and the actor move with their moments, and two critics blend.
    let bytes = network * (2 * 2 + 1 + 3 * 3 + 3 * 7 + 2 * 3);
    let name = format!("states of {state_len}, layers of {hidden}, batch {}", options.batch);
    meter.measure(Case::new(name, bytes), &mut || agent.learn().map(drop), None)
}

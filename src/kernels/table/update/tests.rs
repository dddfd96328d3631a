use super::*;
use crate::device::Device;
use crate::testing::{assert_close, assert_rejects, assert_same, devices, gpu, poisoned, signed, upload};

const SGD: Optimizer = Optimizer::Sgd { learning_rate: 0.5 };
const ADAGRAD: Optimizer = Optimizer::Adagrad { learning_rate: 0.1, epsilon: 1e-8 };

struct Case {
    sizes: Vec<u32>,
    ids: Vec<u32>,
    dims: u32,
    optimizer: Optimizer,
}

struct Outcome {
    arena: Vec<f32>,
    state: Vec<f32>,
}

impl Case {
    fn new(sizes: &[u32], ids: Vec<u32>, dims: u32, optimizer: Optimizer) -> Self {
        Self { sizes: sizes.to_vec(), ids, dims, optimizer }
    }

    fn offsets(&self) -> Vec<u32> {
        let mut offsets = vec![0];
        for size in &self.sizes {
            offsets.push(offsets.last().unwrap() + size);
        }
        offsets
    }

    fn arena(&self) -> Vec<f32> {
        signed(self.sizes.iter().sum::<u32>() as usize, 1)
    }

    fn state(&self) -> Vec<f32> {
        let per_value = self.optimizer.state_per_value() as usize;
        signed(self.arena().len() * per_value, 2).iter().map(|s| s.abs()).collect()
    }

    fn gradients(&self) -> Vec<f32> {
        signed(self.ids.len() * self.dims as usize, 3)
    }

    fn run(&self, device: &Device) -> Outcome {
        let gradients = self.gradients();
        let mut arena = upload(device, &self.arena());
        let mut state = upload(device, &self.state());
        let (offsets, ids) = (upload(device, &self.offsets()), upload(device, &self.ids));
        let gradients_buffer = upload(device, &gradients);
        let count = self.ids.len() as u32;
        let mut workspace = poisoned(device, Update::workspace_len(count, self.dims));
        Update {
            arena: &mut arena,
            offsets: &offsets,
            state: (self.optimizer.state_per_value() > 0).then_some(&mut state),
            ids: &ids,
            first: 0,
            count,
            gradients: &gradients_buffer,
            dims: self.dims,
            optimizer: self.optimizer,
            workspace: &mut workspace,
        }
        .run(device)
        .unwrap();
        assert_same("gradients", &gradients_buffer.read().unwrap(), &gradients);
        assert_same("ids", &ids.read().unwrap(), &self.ids);
        Outcome { arena: arena.read().unwrap(), state: state.read().unwrap() }
    }

    /// Compares with f64 sums; untouched values must be equal bit for bit.
    fn check(&self, device: &Device) {
        let got = self.run(device);
        let (offsets, gradients, dims) = (self.offsets(), self.gradients(), self.dims as usize);
        let (before, state) = (self.arena(), self.state());
        let mut sums = vec![0.0f64; before.len()];
        let mut magnitudes = vec![0.0f64; before.len()];
        let mut touched = vec![false; before.len()];
        for (b, &id) in self.ids.iter().enumerate().filter(|(_, id)| (**id as usize) < self.sizes.len()) {
            for j in 0..dims.min(self.sizes[id as usize] as usize) {
                let at = offsets[id as usize] as usize + j;
                sums[at] += f64::from(gradients[b * dims + j]);
                magnitudes[at] += f64::from(gradients[b * dims + j].abs());
                touched[at] = true;
            }
        }
        for at in 0..before.len() {
            let what = format!("value {at}, sizes {:?}, {} ids", self.sizes.len(), self.ids.len());
            if !touched[at] {
                assert_same(&what, &got.arena[at..=at], &before[at..=at]);
                if !state.is_empty() {
                    assert_same(&what, &got.state[at..=at], &state[at..=at]);
                }
                continue;
            }
            let (g, w) = (sums[at], f64::from(before[at]));
            // Sums of at most 64 and then of their number: far below eps * length, which holds for one long sum.
            let error = 16.0 * f64::from(f32::EPSILON) * magnitudes[at];
            let (want, scale) = match self.optimizer {
                Optimizer::Sgd { learning_rate } => (w - f64::from(learning_rate) * g, f64::from(learning_rate)),
                Optimizer::Adagrad { learning_rate, epsilon } => {
                    let sum = f64::from(state[at]) + g * g;
                    let tolerance = 2.0 * error * g.abs() + 4.0 * f64::from(f32::EPSILON) * sum;
                    assert_close(&what, &got.state[at..=at], &[sum as f32], |_| tolerance as f32);
                    let rate = f64::from(learning_rate);
                    (w - rate * g / (sum.sqrt() + f64::from(epsilon)), 2.0 * rate / sum.sqrt().max(1e-3))
                }
            };
            let tolerance = error * scale + 4.0 * f64::from(f32::EPSILON) * (w.abs() + want.abs());
            assert_close(&what, &got.arena[at..=at], &[want as f32], |_| tolerance as f32);
        }
    }
}

fn spread(count: u32, rows: u32) -> Vec<u32> {
    (0..count).map(|b| (b * 7 + b / 3) % (rows + 2)).collect()
}

fn parity(device: &Device) {
    let sizes = [3, 0, 16, 1, 7, 16, 2];
    for optimizer in [SGD, ADAGRAD] {
        for count in [0, 1, 63, 255, 256, 257] {
            Case::new(&sizes, spread(count, 7), 16, optimizer).check(device);
        }
        // Gradients narrower than rows, and much wider.
        Case::new(&sizes, spread(40, 7), 4, optimizer).check(device);
        Case::new(&sizes, spread(40, 7), 300, optimizer).check(device);
        Case::new(&[900, 1], spread(9, 2), 1000, optimizer).check(device);
        // Runs that begin inside a chunk, fill chunks exactly, and end inside one.
        let runs = |lengths: &[usize]| {
            lengths.iter().enumerate().flat_map(|(row, &n)| vec![row as u32; n]).collect::<Vec<_>>()
        };
        for lengths in [&[63, 64, 65, 128, 1, 200][..], &[64, 64, 129], &[500], &[10, 500, 10]] {
            let mut ids = runs(lengths);
            ids.reverse();
            Case::new(&[5, 300, 2, 9, 1, 4], ids, 300, optimizer).check(device);
        }
        Case::new(&[], vec![0, 1], 2, optimizer).check(device);
    }
}

#[test]
fn updates_match_the_f64_oracle() {
    devices().iter().for_each(parity);
}

/// lavapipe ends loops at 65,535 trips without a word: one row with 300,000 occurrences must still count exactly.
#[test]
fn one_row_with_all_occurrences() {
    for device in devices() {
        Case::new(&[3, 2], vec![1; 300_000], 2, SGD).check(&device);
    }
}

#[test]
fn more_than_65535_groups() {
    if let Some(gpu) = gpu() {
        // 32 lanes a row: 8 occurrences a workgroup.
        Case::new(&[20; 1000], spread(8 * 65_536 + 8, 1000), 32, SGD).check(&Device::Gpu(gpu));
    }
}

#[test]
fn the_same_bits_twice() {
    for device in devices() {
        let case = Case::new(&[8; 50], spread(5000, 50), 8, ADAGRAD);
        let (a, b) = (case.run(&device), case.run(&device));
        assert_same("values", &a.arena, &b.arena);
        assert_same("state", &a.state, &b.state);
    }
}

#[test]
fn a_part_of_the_ids() {
    for device in devices() {
        let mut arena = upload(&device, &[1.0f32, 2.0, 3.0]);
        let (offsets, ids) = (upload(&device, &[0u32, 1, 2, 3]), upload(&device, &[0u32, 2, 1, 2]));
        let gradients = upload(&device, &[10.0f32, 20.0]);
        let mut workspace = poisoned(&device, Update::workspace_len(2, 1));
        Update {
            arena: &mut arena,
            offsets: &offsets,
            state: None,
            ids: &ids,
            first: 1,
            count: 2,
            gradients: &gradients,
            dims: 1,
            optimizer: SGD,
            workspace: &mut workspace,
        }
        .run(&device)
        .unwrap();
        assert_eq!(arena.read().unwrap(), [1.0, 2.0 - 10.0, 3.0 - 5.0]);
    }
}

#[test]
fn mutants_are_rejected() {
    assert_rejects(
        SHADER.name,
        &[
            ("position < end; position++", "position + 1u < end; position++"),
            ("if end - start > chunk {", "if end - start >= chunk {"),
            ("if high - low <= chunk {\n            continue;", "if high - low <= chunk + 1u {\n            continue;"),
            ("select(0u, 1u, low > begin)", "0u"),
            (
                "for (var next = index + 1u; next * chunk < high;",
                "for (var next = index + 1u; next * chunk + 1u < high;",
            ),
            ("let sum = accumulators[at] + g * g;", "let sum = g * g;"),
            ("min(offsets[row + 1u] - offsets[row], params.dims)", "params.dims"),
        ],
        parity,
    );
}

#[test]
fn missing_state_and_bad_rates_are_errors() {
    let device = Device::cpu();
    let mut arena = upload(&device, &[1.0f32]);
    let (offsets, ids, gradients) = (upload(&device, &[0u32, 1]), upload(&device, &[0u32]), upload(&device, &[1.0f32]));
    let mut workspace = upload(&device, &[0u32]);
    for (optimizer, text) in [
        (ADAGRAD, "table/update: `state` has length 0, expected 1"),
        (Optimizer::Sgd { learning_rate: f32::NAN }, "table/update: `learning_rate` must be finite, got NaN"),
    ] {
        let update = Update {
            arena: &mut arena,
            offsets: &offsets,
            state: None,
            ids: &ids,
            first: 0,
            count: 1,
            gradients: &gradients,
            dims: 1,
            optimizer,
            workspace: &mut workspace,
        };
        assert_eq!(update.run(&device).unwrap_err().to_string(), text);
    }
    assert_eq!(arena.read().unwrap(), [1.0]);
}

use super::*;
use crate::device::Device;
use crate::kernels::table::optimizer::Optimizer;
use crate::kernels::table::optimizer::oracle::{
    self, ADAGRAD, ADAM, ADAM_W, ROW_WISE, ROW_WISE_ADAM, SGD, Snapshot, clipped,
};
use crate::testing::{assert_rejects, assert_same, devices, gpu, offsets_of, poisoned, signed, upload};

struct Case {
    sizes: Vec<u32>,
    dims: u32,
    rule: UpdateRule,
    step: u32,
}

impl Case {
    fn new(sizes: &[u32], dims: u32, rule: impl Into<UpdateRule>) -> Self {
        Self { sizes: sizes.to_vec(), dims, rule: rule.into(), step: 3 }
    }

    fn offsets(&self) -> Vec<u32> {
        offsets_of(&self.sizes)
    }

    fn before(&self) -> Snapshot {
        let values = self.sizes.iter().sum::<u32>() as usize;
        Snapshot { arena: signed(values, 1), state: oracle::state(self.rule, self.sizes.len(), values) }
    }

    fn gradients(&self) -> Vec<f32> {
        signed(self.sizes.len() * self.dims as usize, 3)
    }

    fn run(&self, device: &Device) -> Snapshot {
        let (before, offsets, gradients) = (self.before(), self.offsets(), self.gradients());
        let mut arena = upload(device, &before.arena);
        let mut state: Vec<_> = before.state.iter().map(|state| upload(device, state)).collect();
        let (offsets_buffer, gradients_buffer) = (upload(device, &offsets), upload(device, &gradients));
        UpdateAll {
            arena: &mut arena,
            offsets: &offsets_buffer,
            state: &mut state,
            gradients: &gradients_buffer,
            dims: self.dims,
            rule: self.rule,
            step: self.step,
        }
        .run(device)
        .unwrap();
        assert_same("gradients", &gradients_buffer.read().unwrap(), &gradients);
        assert_same("offsets", &offsets_buffer.read().unwrap(), &offsets);
        let state = state.iter().map(|state| state.read().unwrap()).collect();
        Snapshot { arena: arena.read().unwrap(), state }
    }

    fn check(&self, device: &Device) {
        let (gradients, dims) = (self.gradients(), self.dims as usize);
        let rows: Vec<_> = (0..self.sizes.len())
            .map(|row| {
                let width = dims.min(self.sizes[row] as usize);
                let sums = gradients[row * dims..][..width].iter().map(|&g| f64::from(g)).collect();
                oracle::Gradient { sums, errors: vec![0.0; width] }
            })
            .collect();
        let what = format!("{:?}, {} sizes, {} dims", self.rule, self.sizes.len(), self.dims);
        let (before, after) = (self.before(), self.run(device));
        oracle::check(&what, (self.rule, self.step), &self.offsets(), &rows, (&before, &after));
    }
}

fn mixed(rows: u32) -> Vec<u32> {
    (0..rows).map(|row| (row * 7 + row / 3) % 19).collect()
}

fn parity(device: &Device) {
    for rule in oracle::rules() {
        for rows in [0, 1, 255, 256, 257] {
            Case::new(&mixed(rows), 16, rule).check(device);
        }
        // Gradients of no dim, narrower than rows, wider, and so wide that a lane has many values.
        for dims in [0, 1, 5, 33, 300] {
            Case::new(&mixed(40), dims, rule).check(device);
        }
        Case::new(&[3, 900, 0, 1, 1000], 1000, rule).check(device);
        Case::new(&[1, 20_000, 1], 20_000, rule).check(device);
        Case::new(&[0; 5], 4, rule).check(device);
    }
    for optimizer in [ADAM, ADAM_W, ROW_WISE_ADAM] {
        for step in [1, 100_000] {
            Case { step, ..Case::new(&mixed(40), 16, optimizer) }.check(device);
        }
    }
}

#[test]
fn updates_match_the_f64_oracle() {
    devices().iter().for_each(parity);
}

#[test]
fn more_than_65535_groups() {
    if let Some(gpu) = gpu() {
        // 32 lanes a row: 8 rows a workgroup.
        let sizes: Vec<u32> = (0..8 * 65_536 + 9).map(|row| row % 4).collect();
        for rule in [SGD.into(), clipped(ROW_WISE)] {
            Case::new(&sizes, 17, rule).check(&Device::Gpu(gpu.clone()));
        }
    }
}

#[test]
fn a_large_table_is_cut_without_loss() {
    for rule in oracle::rules() {
        Case::new(&mixed(30_000), 16, rule).check(&Device::cpu());
    }
}

#[test]
fn the_same_bits_twice() {
    for device in devices() {
        for rule in oracle::rules() {
            let case = Case::new(&mixed(500), 16, rule);
            let (a, b) = (case.run(&device), case.run(&device));
            assert_same("values", &a.arena, &b.arena);
            assert_same("state", &a.state.concat(), &b.state.concat());
        }
    }
}

#[test]
fn mutants_are_rejected() {
    assert_rejects(
        SHADER.name,
        &[
            ("min(offsets[row + 1u] - start, params.dims)", "offsets[row + 1u] - start"),
            ("gradients[index * params.dims + j], 0.0);", "gradients[row.start + j], 0.0);"),
            ("squares += g * g;", "squares = g * g;"),
            ("factor = clip_factor(thread, squares);", ""),
            ("if norm > params.max_norm {", "if norm < params.max_norm {"),
            (
                "decayed(row.start + j, factor * gradients[index * params.dims + j])",
                "gradients[index * params.dims + j]",
            ),
            ("step(row.start + j, factor * ", "step(row.start + j, "),
            ("kept -= params.weight_decay * w;", ""),
            ("accumulate(thread, index, row.width", "accumulate(thread, index, params.dims"),
            ("(1.0 - params.beta2) * (g * g)", "(g * g)"),
            ("params.beta1 * first_state[at]", "params.beta1"),
            ("squares_shared[thread - thread % lanes]", "squares_shared[0]"),
        ],
        parity,
    );
}

#[test]
fn bad_shapes_and_constants_are_errors() {
    let device = Device::cpu();
    let mut arena = upload(&device, &[1.0f32]);
    let offsets = upload(&device, &[0u32, 1]);
    let adam = |beta2| Optimizer::Adam { learning_rate: 0.1, beta1: 0.9, beta2, epsilon: 1e-8 };
    for (optimizer, state, gradients, step, text) in [
        (SGD, 0, 2, 1, "table/update_all: `gradients` has length 2, expected 1"),
        (ADAGRAD, 0, 1, 1, "table/update_all: `state` has length 0, expected 1"),
        (adam(0.999), 2, 1, 0, "table/update_all: `step` must be at least 1, got 0"),
        (adam(1.0), 2, 1, 1, "table/update_all: `beta2` must be at least 0 and below 1, got 1"),
        (adam(f32::NAN), 2, 1, 1, "table/update_all: `beta2` must be at least 0 and below 1, got NaN"),
    ] {
        let mut state: Vec<_> = (0..state).map(|_| poisoned(&device, 1)).collect();
        let gradients = poisoned(&device, gradients);
        let update = UpdateAll {
            arena: &mut arena,
            offsets: &offsets,
            state: &mut state,
            gradients: &gradients,
            dims: 1,
            rule: optimizer.into(),
            step,
        };
        assert_eq!(update.run(&device).unwrap_err().to_string(), text);
    }
    assert_eq!(arena.read().unwrap(), [1.0]);
}

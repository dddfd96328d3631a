//! A burn model whose input are ragged rows, on one GPU: rows go into a tensor and its gradient comes back without leaving the device.
//!
//! ```text
//! rows -- lookup --> [B, D] -- copy --> tensor --> model --> loss
//!  ^                                                          |
//!  +----- update --- [B, D] <-- copy -- gradient <-- backward +
//! ```
//!
//! burn (through cubecl) collects work before it submits it, and a tensor is a stretch of a larger buffer. So each submission of ours
//! comes after a flush of burn's client, and tensors are copied, on the device, from and to buffers of ours; the queue keeps the order.
//!
//! ```text
//! cargo run --manifest-path examples/burn_interop/Cargo.toml
//! ```

use std::process::ExitCode;

use burn::backend::Wgpu;
use burn::backend::wgpu::{AutoCompiler, CubeTensor};
use burn::cubecl::wgpu::WgpuServer;
use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use scall_gpu::device::{Buffer, Kernel};
use scall_gpu::kernels::table::lookup::Lookup;
use scall_gpu::kernels::table::update::Optimizer;
use scall_gpu::table::{Account, Occurrences, RaggedTable, TableOptions};
use scall_gpu::wgpu;

const ITEMS: u32 = 512;
const DIMS: usize = 16;
const STEPS: usize = 60;

/// Two layers over an item's row.
#[derive(Module, Debug)]
struct Model {
    hidden: Linear,
    out: Linear,
}

impl Model {
    fn new(device: &Device) -> Self {
        Self { hidden: LinearConfig::new(DIMS, 32).init(device), out: LinearConfig::new(32, 1).init(device) }
    }

    fn forward(&self, rows: Tensor<2>) -> Tensor<2> {
        self.out.forward(relu(self.hidden.forward(rows)))
    }
}

/// A copy between a tensor and a buffer of ours.
enum Copy<'a> {
    In(&'a Buffer<f32>),
    Out(&'a Buffer<f32>),
}

/// Records it. Whatever burn has collected is submitted first, so that the tensor is whole, and its place nobody else's.
fn copy(encoder: &mut wgpu::CommandEncoder, tensor: Tensor<2>, way: Copy<'_>) {
    let CubeTensor { client, handle, .. } = {
        let tensor = tensor.try_into_primitive::<Wgpu>().expect("a tensor of burn's wgpu, without autodiff");
        assert!(tensor.is_contiguous(), "the rows of a tensor one after the other");
        tensor
    };
    let place = client.get_resource::<WgpuServer<AutoCompiler>>(handle).expect("a tensor that was computed");
    client.flush().expect("work that the device takes");
    let (theirs, at) = (&place.resource().buffer, place.resource().offset);
    match way {
        Copy::In(ours) => {
            encoder.copy_buffer_to_buffer(ours.as_wgpu().expect("on the GPU"), 0, theirs, at, ours.size_bytes());
        }
        Copy::Out(ours) => {
            encoder.copy_buffer_to_buffer(theirs, at, ours.as_wgpu().expect("on the GPU"), 0, ours.size_bytes());
        }
    }
}

fn train() -> Result<(f32, f32), Box<dyn std::error::Error>> {
    // burn opens the GPU, with all that its kernels may want of it, and we borrow device and queue. The other way round,
    // `wgpu_options().setup(..)` takes a device of the caller's.
    let (burn, setup) = Device::wgpu_options().init_with_setup()?;
    let ours = scall_gpu::device::Device::from_wgpu(setup.device, setup.queue);
    let gpu = ours.as_gpu().expect("made of a wgpu device");
    println!("device   {}", ours.describe());

    // A small row for rare items, a wide one for frequent ones. What is wanted of an item is nowhere but in its number, so that a model
    // of rows that do not learn would not get far.
    let sizes: Vec<u32> = (0..ITEMS).map(|item| if item < 64 { DIMS as u32 } else { 4 }).collect();
    let rule = Optimizer::Adagrad { learning_rate: 0.1, epsilon: 1e-8 }.into();
    let options = TableOptions { rule, ..TableOptions::default() };
    let mut table = RaggedTable::new(&ours, &sizes, options, &Account::unlimited())?;
    let ids: Vec<u32> = (0..ITEMS).collect();
    let wanted: Vec<f32> = ids.iter().map(|id| (id.wrapping_mul(2_654_435_761) >> 31) as f32 * 2.0 - 1.0).collect();

    let dims = DIMS as u32;
    let ids = Buffer::from_slice(&ours, &ids)?;
    let mut rows = Buffer::zeroed(&ours, ITEMS as usize * DIMS)?;
    let gradients = Buffer::zeroed(&ours, ITEMS as usize * DIMS)?;
    let mut workspace = Buffer::zeroed(&ours, table.update_workspace_len(ITEMS, dims))?;

    burn.seed(7);
    let wanted = Tensor::<1>::from_floats(wanted.as_slice(), &burn).reshape([ITEMS as usize, 1]);
    let mut model = Model::new(&burn.clone().autodiff());
    let mut optimizer = AdamConfig::new().init();
    let mut losses = Vec::new();
    for step in 0..=STEPS {
        // Our rows into a tensor of burn's.
        let input = Tensor::<2>::empty([ITEMS as usize, DIMS], &burn);
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        Lookup { rows: table.as_rows(), ids: &ids, dims, out: &mut rows }.record(gpu, &mut pass)?;
        drop(pass);
        copy(&mut encoder, input.clone(), Copy::In(&rows));
        gpu.queue().submit([encoder.finish()]);

        // burn's part.
        let input = input.autodiff().require_grad();
        let off = model.forward(input.clone()) - wanted.clone();
        let loss = (off.clone() * off).mean();
        let mut back = loss.backward();
        let gradient = input.grad_remove(&mut back).expect("the input requires a gradient");
        let others = GradientsParams::from_grads(back, &model);
        model = optimizer.step(0.01, model, others);

        // burn's gradient into our update.
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        copy(&mut encoder, gradient, Copy::Out(&gradients));
        gpu.queue().submit([encoder.finish()]);
        let of = Occurrences { ids: &ids, first: 0, count: ITEMS, gradients: (&gradients).into(), dims };
        let mut commands = ours.commands();
        table.record_update(&mut commands, of, &mut workspace)?;
        commands.submit()?;

        if step % 20 == 0 {
            losses.push(loss.into_scalar::<f32>());
            println!("step {step:>3} loss {:.4}", losses[losses.len() - 1]);
        }
    }
    Ok((losses[0], losses[losses.len() - 1]))
}

fn main() -> ExitCode {
    match train() {
        Ok((first, last)) => {
            assert!(last < 0.2 * first, "the loss fell from {first} to {last} only");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error} (this example needs a GPU; a software one such as lavapipe will do)");
            ExitCode::FAILURE
        }
    }
}

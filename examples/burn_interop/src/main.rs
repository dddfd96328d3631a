//! A burn model over ragged rows, on one GPU: the rows become its input, and the gradient of that input steps the rows.
//! Nothing but the
//! loss that is printed goes to the host.
//!
//! ```text
//! rows -- lookup --> [B, D] -- copy --> tensor --> model --> loss
//!  ^                                                          |
//!  +----- update --- [B, D] <-- copy -- gradient <-- backward +
//! ```
//!
//! burn (through cubecl) collects work before it submits it, and a tensor is a stretch of a larger buffer. So burn is
//! flushed before each
//! submission of ours, and tensors are copied, on the device, from and to buffers of ours. The queue, which is one,
//! keeps the order.
//!
//! ```text
//! cargo run --manifest-path examples/burn_interop/Cargo.toml
//! ```

use std::{error::Error, process::ExitCode};

use burn::backend::Wgpu;
use burn::backend::wgpu::{AutoCompiler, CubeTensor};
use burn::cubecl::wgpu::WgpuServer;
use burn::module::{Module, ModuleMapper, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Gradients, Tensor};
use scall_gpu::device::{Buffer, Kernel};
use scall_gpu::kernels::table::lookup::Lookup;
use scall_gpu::kernels::table::update::Optimizer;
use scall_gpu::table::{Account, Occurrences, RaggedTable, TableOptions};
use scall_gpu::wgpu;

const ITEMS: u32 = 512;
const DIMS: u32 = 16;

/// Two layers over an item's row.
#[derive(Module, Debug)]
struct Model {
    hidden: Linear,
    out: Linear,
}

impl Model {
    fn forward(&self, rows: Tensor<2>) -> Tensor<2> {
        self.out.forward(relu(self.hidden.forward(rows)))
    }
}

/// A step of the model's own weights. (burn's optimizers, at 0.22.1, do not compile without its `std`.)
struct Sgd(Gradients);

impl ModuleMapper for Sgd {
    fn map_float<const D: usize>(&mut self, weights: Param<Tensor<D>>) -> Param<Tensor<D>> {
        weights.map(|weights| {
            let gradient = weights.grad_remove(&mut self.0).expect("weights that the loss depends on");
            (weights.inner() - gradient * 0.05).autodiff().require_grad()
        })
    }
}

/// The buffer that a tensor lies in, and where. All that burn has collected is submitted by then: what is in the tensor
/// is there, and
/// what was at its place before is done with.
fn place(tensor: &Tensor<2>) -> Result<(wgpu::Buffer, u64), Box<dyn Error>> {
    let tensor = tensor.clone().try_into_primitive::<Wgpu>().map_err(|error| format!("{error:?}"))?;
    assert!(tensor.is_contiguous(), "row after row");
    let CubeTensor { client, handle, .. } = tensor;
    let found = client.get_resource::<WgpuServer<AutoCompiler>>(handle)?;
    client.flush()?;
    Ok((found.resource().buffer.clone(), found.resource().offset))
}

/// Gives the first loss and the last.
fn train() -> Result<[f32; 2], Box<dyn Error>> {
    // burn opens the GPU, with every feature that its kernels may use, and we borrow device and queue.
    let (burn, setup) = Device::wgpu_options().init_with_setup()?;
    if setup.backend == wgpu::Backend::Gl {
        return Err("no GPU with Vulkan, Metal or DX12, only OpenGL".into());
    }
    let ours = scall_gpu::device::Device::from_wgpu(setup.device, setup.queue);
    let gpu = ours.as_gpu().expect("made of a wgpu device");
    println!("device   {}", ours.describe());
    // Frequent items, which come first, have wide rows. What is wanted of an item, 1 or -1, is a hash of its number: a
    // model of rows that
    // stay as they are cannot learn it.
    let sizes: Vec<u32> = (0..ITEMS).map(|item| if item < 64 { DIMS } else { 4 }).collect();
    let rule = Optimizer::Adagrad { learning_rate: 0.02, epsilon: 1e-8 }.into();
    let options = TableOptions { rule, ..TableOptions::default() };
    let mut table = RaggedTable::new(&ours, &sizes, options, &Account::unlimited())?;
    let sign = |item: u32| 2.0 * (item.wrapping_mul(2_654_435_761) >> 31) as f32 - 1.0;
    let (items, wanted): (Vec<u32>, Vec<f32>) = (0..ITEMS).map(|item| (item, sign(item))).unzip();

    let shape = [ITEMS as usize, DIMS as usize];
    let ids = Buffer::from_slice(&ours, &items)?;
    let zeros = || Buffer::zeroed(&ours, shape[0] * shape[1]);
    let (mut rows, gradients) = (zeros()?, zeros()?);
    let mut workspace = Buffer::zeroed(&ours, table.update_workspace_len(ITEMS, DIMS))?;

    burn.seed(7);
    let wanted = Tensor::<1>::from_floats(wanted.as_slice(), &burn).reshape([shape[0], 1]);
    let linear = |from, to| LinearConfig::new(from, to).init(&burn.clone().autodiff());
    let mut model = Model { hidden: linear(shape[1], 32), out: linear(32, 1) };
    let mut losses = [0.0f32; 2];
    for step in 0..=60 {
        // Our rows into a tensor of burn's.
        let input = Tensor::<2>::empty(shape, &burn);
        let (theirs, at) = place(&input)?;
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        Lookup { rows: table.as_rows(), ids: &ids, dims: DIMS, out: &mut rows }
            .record(gpu, &mut encoder.begin_compute_pass(&Default::default()))?;
        encoder.copy_buffer_to_buffer(rows.as_wgpu().expect("on the GPU"), 0, &theirs, at, rows.size_bytes());
        gpu.queue().submit([encoder.finish()]);

        // burn's part.
        let input = input.autodiff().require_grad();
        let loss = (model.forward(input.clone()) - wanted.clone()).square().mean();
        let mut back = loss.backward();
        let gradient = input.grad_remove(&mut back).expect("an input that requires its gradient");
        model = model.map(&mut Sgd(back));

        // burn's gradient into our update.
        let (theirs, at) = place(&gradient)?;
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(&theirs, at, gradients.as_wgpu().expect("on the GPU"), 0, gradients.size_bytes());
        gpu.queue().submit([encoder.finish()]);
        let of = Occurrences { ids: &ids, first: 0, count: ITEMS.into(), gradients: (&gradients).into(), dims: DIMS };
        let mut commands = ours.commands();
        table.record_update(&mut commands, of, &mut workspace)?;
        commands.submit()?;

        if step % 20 == 0 {
            let loss = loss.into_scalar();
            println!("step {step:>3} loss {loss:.4}");
            losses[usize::from(step > 0)] = loss;
        }
    }
    Ok(losses)
}

fn main() -> ExitCode {
    match train() {
        Ok([first, last]) => {
            assert!(last < 0.1 * first, "the loss went from {first} to {last} only");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}\nThis example needs a GPU; a software one such as lavapipe will do.");
            ExitCode::FAILURE
        }
    }
}

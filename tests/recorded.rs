//! Tables and kernels recorded by what a caller has: commands, or a compute pass in a submission of the caller's own.

mod common;

use common::devices;
use scall_gpu::device::{Buffer, Device, Element, Gpu, GpuCounts, GpuOptions, Kernel, Pass, Recorder};
use scall_gpu::kernels::prim::scan::Scan;
use scall_gpu::kernels::table::bags::{LookupBags, Pooling};
use scall_gpu::kernels::table::lookup::Lookup;
use scall_gpu::kernels::table::optimizer::Optimizer;
use scall_gpu::models::ModelOptions;
use scall_gpu::rows::{Format, Layout};
use scall_gpu::sizing::Sizes;
use scall_gpu::table::{Account, BagLookup, Occurrences, PackedLookup, RaggedTable, TableOptions};
use scall_gpu::{Error, wgpu};

const SIZES: [u32; 5] = [3, 0, 5, 1, 4];

fn table(device: &Device, format: Format) -> RaggedTable {
    let layout = Layout { format, page_bytes: Some(32), ..Layout::default() };
    let rule = Optimizer::Adagrad { learning_rate: 0.1, epsilon: 1e-8 }.into();
    let options = TableOptions { rule, layout, init_std: 0.5, seed: 3, ..TableOptions::default() };
    RaggedTable::new(&device.labeled("users"), &SIZES, options, &Account::unlimited()).unwrap()
}

fn put<T: Element>(device: &Device, values: &[T]) -> Buffer<T> {
    Buffer::from_slice(device, values).unwrap()
}

/// What a step of a caller's needs.
struct Step {
    table: RaggedTable,
    ids: Buffer<u32>,
    bags: Buffer<u32>,
    gradients: Buffer<f32>,
    all_gradients: Buffer<f32>,
    stored: Buffer<f32>,
    workspace: Buffer<u32>,
    found: Buffer<f32>,
    pooled: Buffer<f32>,
    offsets: Buffer<u32>,
    packed: Buffer<f32>,
    scan_workspace: Buffer<u32>,
    reset: Buffer<u32>,
}

impl Step {
    fn new(device: &Device, format: Format) -> Self {
        let table = table(device, format);
        let workspace = Buffer::zeroed(device, table.update_workspace_len(4, 5)).unwrap();
        let numbers = |count: u32| (0..count).map(|k| k as f32 / 8.0 - 1.0).collect::<Vec<_>>();
        Self {
            table,
            ids: put(device, &[2, 0, 9, 2]),
            bags: put(device, &[0, 1, 4]),
            gradients: put(device, &numbers(20)),
            all_gradients: put(device, &numbers(25)),
            stored: put(device, &numbers(8)),
            workspace,
            found: Buffer::zeroed(device, 20).unwrap(),
            pooled: Buffer::zeroed(device, 8).unwrap(),
            offsets: put(device, &[77; 5]),
            packed: put(device, &[77.0; 16]),
            scan_workspace: Buffer::zeroed(device, Scan::workspace_len(5)).unwrap(),
            reset: put(device, &[4, 4, 7]),
        }
    }

    /// Everything that a table records, once.
    fn record(&mut self, recorder: &mut impl Recorder) -> Result<(), Error> {
        let Self { table, ids, bags, gradients, workspace, offsets, .. } = self;
        table.record_lookup(recorder, &*ids, 5, &mut self.found)?;
        let lookup = BagLookup {
            ids,
            bags,
            count: None,
            longest_bag: 3,
            weights: None,
            pooling: Pooling::Mean,
            dims: 4,
            out: &mut self.pooled,
            winners: None,
        };
        table.record_lookup_bags(recorder, lookup)?;
        table.record_lookup_sizes(recorder, &*ids, 4, offsets)?;
        recorder.run(Scan { values: offsets, count: 5, inclusive: false, workspace: &mut self.scan_workspace })?;
        table.record_lookup_packed(
            recorder,
            PackedLookup { ids, count: None, out_offsets: offsets, widest: 4, out: &mut self.packed },
        )?;
        for _ in 0..2 {
            let occurrences = Occurrences { ids, first: 0, count: 4.into(), gradients: (&*gradients).into(), dims: 5 };
            table.record_update(recorder, occurrences, workspace)?;
        }
        table.record_update_all(recorder, &self.all_gradients, 5)?;
        table.record_reset(recorder, &self.reset, 4)?;
        table.record_store(recorder, ids, &self.stored, 2)
    }

    /// All that a step has written.
    fn read(&self) -> (Vec<u32>, u32) {
        let floats = [&self.found, &self.pooled, &self.packed].map(|buffer| buffer.read().unwrap());
        let values = floats.into_iter().chain([self.table.read().unwrap()]).flatten().map(f32::to_bits);
        (values.chain(self.offsets.read().unwrap()).collect(), self.table.steps())
    }
}

fn in_own_pass(gpu: &Gpu, record: impl FnOnce(&mut Pass<'_, '_>)) {
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    let mut pass = encoder.begin_compute_pass(&Default::default());
    record(&mut Pass::new(gpu, &mut pass));
    drop(pass);
    gpu.queue().submit([encoder.finish()]);
}

/// Two steps of the CPU, of a GPU's commands and of a caller's passes leave the same.
#[test]
fn a_table_is_looked_up_trained_and_read_in_a_callers_pass() {
    for format in [Format::F32, Format::F16] {
        let wanted = {
            let mut step = Step::new(&Device::cpu(), format);
            let mut commands = Device::cpu().commands();
            step.record(&mut commands).unwrap();
            step.record(&mut commands).unwrap();
            commands.submit().unwrap();
            step.read()
        };
        assert_eq!(wanted.1, 6);
        for device in devices().iter().filter(|device| device.as_gpu().is_some()) {
            // One that no other test counts on.
            let name_contains = Some(device.as_gpu().unwrap().info().name.clone());
            let device = &Device::gpu(&GpuOptions { name_contains, ..GpuOptions::default() }).unwrap();
            let gpu = device.as_gpu().unwrap();
            let mut step = Step::new(device, format);
            let before = gpu.counts();
            for _ in 0..2 {
                in_own_pass(gpu, |pass| step.record(pass).unwrap());
            }
            let GpuCounts { submissions, waits, passes, bytes_read, dispatches, .. } = gpu.counts() - before;
            assert_eq!((submissions, waits, passes, bytes_read), (0, 0, 0, 0));
            assert!(dispatches > 2 * 12, "{dispatches} dispatches");
            let (got, steps) = step.read();
            let close = |a: u32, b: u32| a == b || (f32::from_bits(a) - f32::from_bits(b)).abs() < 1e-5;
            assert_eq!((got.len(), steps), (wanted.0.len(), 6));
            assert!(got.iter().zip(&wanted.0).all(|(&a, &b)| close(a, b)), "{format:?}: {got:x?} {:x?}", wanted.0);

            let mut by_commands = Step::new(device, format);
            let mut commands = device.commands();
            by_commands.record(&mut commands).unwrap();
            by_commands.record(&mut commands).unwrap();
            commands.submit().unwrap();
            assert_eq!(by_commands.read(), (got, steps));
        }
    }
}

/// A device that checks all that is recorded and runs only copies.
fn noop(immediates: bool) -> Device {
    let (required_features, max_immediate_size) =
        if immediates { (wgpu::Features::IMMEDIATES, 128) } else { (wgpu::Features::empty(), 0) };
    let required_limits = wgpu::Limits { max_immediate_size, ..wgpu::Limits::default() };
    let descriptor = wgpu::DeviceDescriptor { required_features, required_limits, ..Default::default() };
    let (device, queue) = wgpu::Device::noop(&descriptor);
    Device::from_wgpu(device, queue)
}

#[test]
fn what_is_recorded_allocates_nothing_but_bind_groups() {
    for immediates in [true, false] {
        let device = noop(immediates);
        let gpu = device.as_gpu().unwrap();
        let mut step = Step::new(&device, Format::F32);
        in_own_pass(gpu, |pass| step.record(pass).unwrap());
        let before = gpu.counts();
        in_own_pass(gpu, |pass| step.record(pass).unwrap());
        let did = gpu.counts() - before;
        assert_eq!(did.bind_groups, did.dispatches);
        // Uniforms of a kernel are one buffer: of five lookups, a scan, three updates, and a reset and a store.
        assert_eq!(did.buffers, if immediates { 0 } else { 10 });
        assert_eq!((did.submissions, did.waits, did.pipelines, did.shader_modules), (0, 0, 0, 0));
        assert_eq!(did.bytes_uploaded > 0, !immediates);
    }
}

#[test]
fn a_table_of_another_device_is_refused_by_a_pass() {
    let (device, other) = (noop(true), noop(true));
    let ids = put(&device, &[0u32]);
    let mut out = Buffer::<f32>::zeroed(&device, 3).unwrap();
    in_own_pass(device.as_gpu().unwrap(), |pass| {
        for elsewhere in [&other, &Device::cpu()] {
            let refused = table(elsewhere, Format::F32).record_lookup(pass, &ids, 3, &mut out).unwrap_err();
            assert!(matches!(refused, Error::Buffer { op: "table/lookup", arg: "rows", .. }), "{refused}");
        }
    });
}

#[test]
fn store_rows_checks_before_it_writes() {
    for device in devices() {
        let mut table = table(&device, Format::F32);
        let before = table.read().unwrap();
        let values = put(&device, &[1.0f32; 4]);
        let error = table.store_rows(&[0, 5], &values, 2).unwrap_err();
        assert!(matches!(error, Error::IdOutOfRange { op: "table/store", id: 5, position: 1, .. }), "{error}");
        let error = table.store_rows(&[0], &values, 2).unwrap_err();
        assert!(matches!(error, Error::Shape { op: "table/store", arg: "values", .. }), "{error}");
        assert_eq!(table.read().unwrap(), before);
        table.store_rows(&[0, 3], &values, 2).unwrap();
        let after = table.read().unwrap();
        assert_eq!((&after[..2], after[8]), (&[1.0, 1.0][..], 1.0));
        assert_eq!((after[2], &after[3..8], &after[9..]), (before[2], &before[3..8], &before[9..]));
        assert_eq!(table.steps(), 0);
    }
}

/// One module a shader, one pipeline an entry point and its constants; then nothing is built any more.
#[test]
fn warm_pipelines_are_not_built_again() {
    let device = noop(true);
    let gpu = device.as_gpu().unwrap();
    let mut step = Step::new(&device, Format::F32);
    let rows = step.table.as_rows();
    let mut out = Buffer::<f32>::zeroed(&device, 20).unwrap();
    let ids = &step.ids;
    let narrow = Lookup { rows, ids, dims: 5, out: &mut out }.pipelines(gpu).unwrap();
    let mut four = Buffer::<f32>::zeroed(&device, 16).unwrap();
    let wide = Lookup { rows, ids, dims: 4, out: &mut four }.pipelines(gpu).unwrap();
    let bags = LookupBags {
        rows,
        ids: &step.ids,
        bags: &step.bags,
        longest_bag: 3,
        weights: None,
        pooling: Pooling::Mean,
        dims: 4,
        out: &mut step.pooled,
        winners: None,
    };
    let bags = bags.pipelines(gpu).unwrap();
    let cold = gpu.counts();
    gpu.warm_up(&[narrow, wide, bags]).unwrap();
    let warm = gpu.counts();
    let did = warm - cold;
    // Rows of five dims one by one and of four by fours, and bags.
    assert_eq!((did.pipelines, did.shader_modules, did.dispatches, did.bind_groups), (3, 2, 0, 0));
    Lookup { rows, ids: &step.ids, dims: 5, out: &mut out }.run(&device).unwrap();
    assert_eq!((gpu.counts() - warm).pipelines, 0);
    // An error of the arguments is found here too.
    let short = Lookup { rows, ids: &step.ids, dims: 6, out: &mut out }.pipelines(gpu).err().unwrap();
    assert!(matches!(short, Error::Shape { op: "table/lookup", arg: "out", .. }), "{short}");
}

/// wgpu's messages name the buffer by its label, and what was recorded.
#[test]
fn labels_say_whose_buffer_it_is() {
    let device = noop(true);
    let table = table(&device, Format::F32);
    table.as_rows().pages()[1].values().as_wgpu().unwrap().destroy();
    let message = table.lookup(&[0], 3).unwrap_err().to_string();
    assert!(message.contains("users/values/1"), "{message}");
    let other = RaggedTable::new(&device, &SIZES, TableOptions::default(), &Account::unlimited()).unwrap();
    other.as_rows().pages()[0].directory().as_wgpu().unwrap().destroy();
    let message = other.lookup(&[0], 3).unwrap_err().to_string();
    assert!(message.contains("directory/0") && !message.contains("users"), "{message}");
}

/// Those of a model too, also after its rows have moved.
#[test]
fn labels_say_which_table_of_a_model_it_is() {
    for name in ModelOptions::NAMES {
        let device = noop(true);
        let options = ModelOptions::from_name(name).unwrap();
        let mut model = options.build(&device.labeled(name), &Account::unlimited()).unwrap();
        for size in [2, 3] {
            let sizes = Sizes { users: vec![size; 4], items: vec![1, size], action: None };
            model.embeddings_mut().resize(&sizes).unwrap();
            let copy = model.duplicate(&Account::unlimited()).unwrap();
            let tables = [copy.embeddings().users(), copy.embeddings().items()];
            for (side, table) in ["users", "items"].into_iter().zip(tables) {
                table.as_rows().pages()[0].values().as_wgpu().unwrap().destroy();
                let message = table.lookup(&[1], 2).unwrap_err().to_string();
                assert!(message.contains(&format!("{name}/{side}/values/0")), "{message}");
            }
        }
    }
}

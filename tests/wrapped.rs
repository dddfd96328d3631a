//! Buffers of the caller's, wrapped whole or in ranges: nothing outside a range is touched, and no byte is bound twice
//! to be written.

mod common;

use common::devices;
use scall_gpu::device::{Buffer, Device, Gpu, Kernel};
use scall_gpu::kernels::prim::scan::Scan;
use scall_gpu::kernels::prim::sort::Sort;
use scall_gpu::kernels::table::lookup::Lookup;
use scall_gpu::kernels::table::optimizer::Optimizer;
use scall_gpu::kernels::table::update::Update;
use scall_gpu::rows::{Layout, Rows, StateSize, Values};
use scall_gpu::{Error, wgpu};

/// Words between two ranges that can be bound on any device.
const STRIDE: usize = 64;

/// A device that checks everything and runs only copies, and the GPU that tests run on.
fn gpus() -> Vec<Device> {
    let (device, queue) = wgpu::Device::noop(&wgpu::DeviceDescriptor::default());
    let real = devices().into_iter().filter(|device| device.as_gpu().is_some());
    [Device::from_wgpu(device, queue)].into_iter().chain(real).collect()
}

/// One that runs kernels.
fn real() -> Option<Device> {
    devices().into_iter().find(|device| device.as_gpu().is_some())
}

/// A buffer of the caller's with words 1000, 1001 and so on.
fn numbered(device: &Device, words: usize) -> wgpu::Buffer {
    let words: Vec<u32> = (1000..).take(words).collect();
    Buffer::from_slice(device, &words).unwrap().as_wgpu().unwrap().clone()
}

fn range<T: scall_gpu::device::Element>(gpu: &Gpu, of: &wgpu::Buffer, begin: usize, len: usize) -> Buffer<T> {
    Buffer::from_wgpu_range(gpu, of.clone(), begin..begin + len).unwrap()
}

#[test]
fn reads_writes_copies_and_clears_keep_to_their_range() {
    for device in gpus() {
        let gpu = device.as_gpu().unwrap();
        let raw = numbered(&device, 4 * STRIDE);
        let all = Buffer::<u32>::from_wgpu(gpu, raw.clone()).unwrap();
        let mut want: Vec<u32> = (1000..).take(4 * STRIDE).collect();
        let mut range = range::<u32>(gpu, &raw, STRIDE, 5);
        assert_eq!((range.len(), range.size_bytes()), (5, 20));
        let binding = range.as_wgpu_binding().unwrap();
        assert_eq!((binding.offset, binding.size.unwrap().get()), (4 * STRIDE as u64, 20));
        assert_eq!(range.read().unwrap(), want[STRIDE..][..5]);
        assert_eq!(pollster::block_on(range.read_async()).unwrap(), want[STRIDE..][..5]);
        range.write(&[7, 8]).unwrap();
        want[STRIDE..][..2].copy_from_slice(&[7, 8]);
        assert_eq!(all.read().unwrap(), want);
        assert!(matches!(range.write(&[0; 6]), Err(Error::Shape { expected: 5, got: 6, .. })));

        let other = Buffer::from_slice(&device, &[1u32, 2, 3, 4, 5]).unwrap();
        let mut back = Buffer::<u32>::zeroed(&device, 5).unwrap();
        let mut commands = device.commands();
        commands.copy(&range, &mut back, 5).unwrap();
        commands.copy(&other, &mut range, 3).unwrap();
        commands.submit().unwrap();
        assert_eq!(back.read().unwrap(), want[STRIDE..][..5]);
        want[STRIDE..][..3].copy_from_slice(&[1, 2, 3]);
        assert_eq!(all.read().unwrap(), want);

        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        let recorded = range.record_read(&mut encoder).unwrap();
        gpu.queue().submit([encoder.finish()]);
        assert_eq!(pollster::block_on(recorded).unwrap(), want[STRIDE..][..5]);

        let mut commands = device.commands();
        commands.clear(&mut range).unwrap();
        commands.submit().unwrap();
        want[STRIDE..][..5].fill(0);
        assert_eq!(all.read().unwrap(), want);
    }
}

#[test]
fn kernels_keep_to_their_range() {
    let Some(device) = real() else { return };
    let gpu = device.as_gpu().unwrap();
    let raw = numbered(&device, 4 * STRIDE);
    let mut want: Vec<u32> = (1000..).take(4 * STRIDE).collect();
    // Values and workspace are ranges of one buffer, both written.
    let mut values = range(gpu, &raw, STRIDE, 3);
    let mut workspace = range(gpu, &raw, 3 * STRIDE, 1);
    Scan { values: &mut values, count: 3, inclusive: true, workspace: &mut workspace }.run(&device).unwrap();
    let first = 1000 + STRIDE as u32;
    want[STRIDE..][..3].copy_from_slice(&[first, 2 * first + 1, 3 * first + 3]);
    let found = Buffer::<u32>::from_wgpu(gpu, raw).unwrap().read().unwrap();
    assert_eq!(found[..3 * STRIDE], want[..3 * STRIDE]);
    assert_eq!(found[3 * STRIDE + 1..], want[3 * STRIDE + 1..]);
}

#[test]
fn ranges_that_cannot_be_bound_are_refused() {
    for device in gpus() {
        let gpu = device.as_gpu().unwrap();
        let alignment = gpu.limits().min_storage_buffer_offset_alignment;
        let raw = numbered(&device, 4 * STRIDE);
        let refused = |elements| Buffer::<u32>::from_wgpu_range(gpu, raw.clone(), elements).unwrap_err().to_string();
        assert_eq!(
            refused(1..5),
            format!(
                "Buffer::from_wgpu_range: `elements.start` must be a multiple of min_storage_buffer_offset_alignment, \
                 which is {alignment} bytes, got element 1, byte 4"
            )
        );
        for past in [4 * STRIDE - 1..4 * STRIDE + 1, 0..usize::MAX, usize::MAX - 1..usize::MAX] {
            let expected = format!(
                "Buffer::from_wgpu_range: `elements` must be a range within 256 elements of 4 bytes, got {past:?}"
            );
            assert_eq!(refused(past), expected);
        }
        #[allow(clippy::reversed_empty_ranges, reason = "a caller may compute one")]
        let reversed = refused(STRIDE..0);
        assert!(reversed.contains("a range within 256 elements"), "{reversed}");
        let empty = refused(STRIDE..STRIDE);
        assert!(empty.contains("one 32-bit word at least") && empty.contains("0 elements"), "{empty}");
        let half = Buffer::<u16>::from_wgpu_range(gpu, raw.clone(), 0..3).unwrap_err().to_string();
        assert!(half.contains("no part of another") && half.contains("3 elements of 2 bytes"), "{half}");
        // Whole ones and the last word.
        assert_eq!(Buffer::<u32>::from_wgpu_range(gpu, raw.clone(), 0..4 * STRIDE).unwrap().len(), 4 * STRIDE);
        assert_eq!(Buffer::<u16>::from_wgpu_range(gpu, raw.clone(), 6 * STRIDE..8 * STRIDE).unwrap().len(), 2 * STRIDE);
    }
}

fn own<R>(result: Result<R, Error>, (op, arg, other): (&str, &str, &str)) {
    let text = format!("{op}: `{arg}` must be a buffer of its own, got that of `{other}`");
    assert_eq!(result.err().expect("an error").to_string(), text);
}

/// Two rows with the state of Adam, in these words of a buffer of zeros.
fn rows_of(device: &Device, words: [usize; 3]) -> Result<Rows, Error> {
    let gpu = device.as_gpu().unwrap();
    let raw = Buffer::<f32>::zeroed(device, 4 * STRIDE).unwrap().as_wgpu().unwrap().clone();
    let [values, first, second] = words.map(|begin| range::<f32>(gpu, &raw, begin, 3));
    let state = (StateSize { per_value: 2, per_row: 0 }, vec![first, second]);
    Rows::from_parts(device, &[1, 2], false, Values::F32(values), state)
}

#[test]
fn one_buffer_as_two_parts_of_rows_is_refused() {
    for device in gpus() {
        let op = "Rows::from_parts";
        own(rows_of(&device, [0, STRIDE, STRIDE]), (op, "state[1]", "state[0]"));
        own(rows_of(&device, [0, 0, STRIDE]), (op, "state[0]", "values"));
        own(rows_of(&device, [0, STRIDE, 0]), (op, "state[1]", "values"));
        rows_of(&device, [0, STRIDE, 2 * STRIDE]).unwrap();
    }
}

/// The values and both states in three ranges of one buffer step as in buffers of their own.
#[test]
fn rows_in_ranges_of_one_buffer_are_stepped() {
    let Some(device) = real() else { return };
    let step = |rows: &mut Rows| {
        for step in 1..=2 {
            let gradients = Buffer::from_slice(&device, &[1.0f32, 2.0, 3.0, -4.0]).unwrap();
            Update {
                rows,
                ids: &Buffer::from_slice(&device, &[1, 0]).unwrap(),
                first: 0,
                count: 2,
                gradients: (&gradients).into(),
                dims: 2,
                rule: Optimizer::Adam { learning_rate: 0.1, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }.into(),
                step,
                seed: 0,
                workspace: &mut Buffer::zeroed(&device, Update::workspace_len(2, 2)).unwrap(),
                counter: None,
            }
            .run(&device)
            .unwrap();
        }
        rows.read().unwrap()
    };
    let apart =
        step(&mut Rows::zeroed(&device, &[1, 2], Layout::default(), StateSize { per_value: 2, per_row: 0 }).unwrap());
    assert!(apart.iter().all(|value| value.abs() > 0.1));
    assert_eq!(step(&mut rows_of(&device, [2 * STRIDE, 0, STRIDE]).unwrap()), apart);
}

#[test]
fn what_is_written_is_bound_once() {
    for device in gpus() {
        let gpu = device.as_gpu().unwrap();
        let raw = numbered(&device, 8 * STRIDE);
        // Two stretches that are written: apart they are fine, with a word in common they are not.
        let mut workspace = Buffer::zeroed(&device, Sort::workspace_len(STRIDE as u32 + 1)).unwrap();
        let mut sort = |payload: usize| {
            let count = STRIDE as u32 + 1;
            let [mut keys, mut payload] = [0, payload].map(|begin| range::<u32>(gpu, &raw, begin, STRIDE + 1));
            let bits = 32;
            Sort { keys: &mut keys, payload: &mut payload, count, bits, workspace: &mut workspace }.run(&device)
        };
        sort(2 * STRIDE).unwrap();
        own(sort(STRIDE), ("prim/sort", "payload", "keys"));
        own(sort(0), ("prim/sort", "payload", "keys"));
        // Read and written: not even apart.
        let rows = Rows::zeroed(&device, &[2], Layout::default(), StateSize::default()).unwrap();
        let (ids, mut out) = (range(gpu, &raw, 0, 1), range::<f32>(gpu, &raw, 4 * STRIDE, 2));
        let lookup = Lookup { rows: &rows, ids: &ids, dims: 2, out: &mut out };
        own(lookup.run(&device), ("table/lookup", "out", "ids"));
        // Read twice.
        let mut out = Buffer::<f32>::zeroed(&device, 2).unwrap();
        Lookup { rows: &rows, ids: &ids, dims: 2, out: &mut out }.run(&device).unwrap();
    }
}

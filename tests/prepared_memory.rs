//! That a recording of a prepared kernel allocates nothing on the host, by an allocator that counts. Alone in its file,
//! and one test: others
//! would be counted too.

use peak_alloc::PeakAlloc;
use scall_gpu::device::{Buffer, Change, Device, Kernel, Pass, Recorder};
use scall_gpu::kernels::rank::log_triples::SampleLogTriples;
use scall_gpu::wgpu;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

#[test]
fn a_recording_allocates_nothing() {
    let limits = wgpu::Limits { max_immediate_size: 128, ..wgpu::Limits::default() };
    let (device, queue) = wgpu::Device::noop(&wgpu::DeviceDescriptor {
        required_features: wgpu::Features::IMMEDIATES,
        required_limits: limits,
        ..Default::default()
    });
    let device = Device::from_wgpu(device, queue);
    let gpu = device.as_gpu().unwrap();
    let words = |words: &[u32]| Buffer::from_slice(&device, words).unwrap();
    let (users, items, touched_offsets, touched) = (words(&[0]), words(&[0]), words(&[0, 1]), words(&[0]));
    let mut triples = words(&[0; 3]);
    let sample = SampleLogTriples {
        users: &users,
        items: &items,
        touched_offsets: &touched_offsets,
        touched: &touched,
        window: 1,
        step: 0,
        steps: 1,
        seed: 0,
        batch: 1,
        first: 0,
        count: 1,
        triples: &mut triples,
    };
    let mut prepared = sample.prepare(gpu).unwrap();
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    let mut pass = encoder.begin_compute_pass(&Default::default());
    let mut pass = Pass::new(gpu, &mut pass);
    let mut with_memory = 0;
    for step in 0..1000 {
        MEMORY.reset_peak_usage();
        let before = MEMORY.current_usage();
        prepared.set(Change::Step(step)).unwrap();
        pass.replay(&mut prepared).unwrap();
        with_memory += u32::from(MEMORY.peak_usage() > before);
    }
    // wgpu's own lists of a pass (commands, immediates, names of groups) double now and then.
    assert!(with_memory <= 40, "{with_memory} of 1000 recordings allocated");
}

//! Devices and buffers: borrowed devices, readback, loss, limits, recording into a caller's pass.

mod common;

use common::devices;
use scall_gpu::device::{Buffer, Device, Gpu, GpuOptions, Kernel};
use scall_gpu::kernels::prim::scan::Scan;
use scall_gpu::kernels::prim::sort::Sort;
use scall_gpu::kernels::table::bags::{LookupBags, Pooling};
use scall_gpu::kernels::table::lookup::Lookup;
use scall_gpu::kernels::table::optimizer::Optimizer;
use scall_gpu::kernels::table::update::{BagGradients, Gradients, Update};
use scall_gpu::rows::{Format, Layout, Rows, StateSize, Values};
use scall_gpu::table::{Account, RaggedTable, TableOptions};
use scall_gpu::{Error, wgpu};

/// A GPU of its own for a test that breaks it or borrows it.
fn fresh_gpu() -> Option<Device> {
    match std::env::var("SCALL_GPU").as_deref() {
        Ok("off") => None,
        Ok("required") => Some(Device::gpu(&GpuOptions::default()).unwrap()),
        _ => Device::gpu(&GpuOptions::default()).ok(),
    }
}

fn fresh_adapter() -> Option<wgpu::Adapter> {
    fresh_gpu()?;
    let adapters = wgpu::Instance::default().enumerate_adapters(wgpu::Backends::all());
    pollster::block_on(adapters).into_iter().next()
}

#[test]
fn what_is_written_is_read() {
    for device in devices() {
        for len in [0usize, 1, 3, 1000] {
            let values: Vec<u16> = (0..len as u16).collect();
            let mut buffer = Buffer::from_slice(&device, &values).unwrap();
            assert_eq!((buffer.len(), buffer.size_bytes()), (len, 2 * len as u64));
            assert_eq!(buffer.read().unwrap(), values);
            // Two u16 are a word; one is not, unless it is all there is.
            let head: &[u16] = if len >= 2 { &[77, 78] } else { &values };
            buffer.write(head).unwrap();
            let mut want = values.clone();
            want[..head.len()].copy_from_slice(head);
            assert_eq!(buffer.read().unwrap(), want, "{}", device.describe());
            if len > 2 {
                assert!(matches!(buffer.write(&[5]), Err(Error::Argument { arg: "len", .. })));
                assert_eq!(buffer.read().unwrap(), want);
            }
            let too_long = buffer.write(&vec![0; len + 1]).unwrap_err();
            assert!(matches!(too_long, Error::Shape { arg: "values", .. }));
        }
        assert_eq!(Buffer::<f32>::zeroed(&device, 5).unwrap().read().unwrap(), [0.0; 5]);
    }
}

#[test]
fn async_reads_need_no_other_thread() {
    for device in devices() {
        let values: Vec<u32> = (0..100_000).collect();
        let buffer = Buffer::from_slice(&device, &values).unwrap();
        let (first, second) = (buffer.read_async(), buffer.read_async());
        assert_eq!(pollster::block_on(second).unwrap(), values);
        assert_eq!(pollster::block_on(first).unwrap(), values);
    }
}

#[test]
fn copies_and_launches_keep_their_order() {
    for device in devices() {
        let mut values = Buffer::from_slice(&device, &[1u32, 2, 3, 4]).unwrap();
        let mut before = Buffer::zeroed(&device, 4).unwrap();
        let mut workspace = Buffer::zeroed(&device, Scan::workspace_len(4)).unwrap();
        let mut commands = device.commands();
        commands.copy(&values, &mut before, 4).unwrap();
        for inclusive in [true, false] {
            // Two launches of one kernel with other parameters, in one submission.
            let scan = Scan { values: &mut values, count: 4, inclusive, workspace: &mut workspace };
            commands.run(scan).unwrap();
        }
        commands.submit().unwrap();
        assert_eq!(before.read().unwrap(), [1, 2, 3, 4]);
        assert_eq!(values.read().unwrap(), [0, 1, 4, 10]);
        assert!(matches!(device.commands().copy(&values, &mut before, 5), Err(Error::Shape { arg: "from", .. })));
        let mut commands = device.commands();
        commands.copy(&values, &mut before, 4).unwrap();
        commands.clear(&mut values).unwrap();
        commands.submit().unwrap();
        assert_eq!((before.read().unwrap(), values.read().unwrap()), (vec![0, 1, 4, 10], vec![0; 4]));
    }
}

#[test]
fn kernels_record_into_a_borrowed_devices_pass() {
    let Some(owner) = fresh_gpu() else { return };
    let owner = owner.as_gpu().unwrap();
    let borrowed = Device::from_wgpu(owner.device().clone(), owner.queue().clone());
    let gpu = borrowed.as_gpu().unwrap();
    // The caller's own buffer, wrapped.
    let raw = owner.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 12,
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
        mapped_at_creation: false,
    });
    let mut out = Buffer::<f32>::from_wgpu(gpu, raw.clone()).unwrap();
    let rows_of = |values| {
        let stateless = (StateSize::default(), Vec::new());
        Rows::from_parts(&borrowed, &[1, 2], false, Values::F32(values), stateless)
    };
    let rows = rows_of(Buffer::from_slice(&borrowed, &[1.0f32, 2.0, 3.0]).unwrap()).unwrap();
    let ids = Buffer::from_slice(&borrowed, &[1u32]).unwrap();
    let mut encoder = owner.device().create_command_encoder(&Default::default());
    let mut pass = encoder.begin_compute_pass(&Default::default());
    Lookup { rows: &rows, ids: &ids, dims: 3, out: &mut out }.record(gpu, &mut pass).unwrap();
    drop(pass);
    owner.queue().submit([encoder.finish()]);
    assert_eq!(out.read().unwrap(), [2.0, 3.0, 0.0]);

    // The way back in the caller's submission too.
    let mut encoder = owner.device().create_command_encoder(&Default::default());
    let found = out.record_read(&mut encoder).unwrap();
    owner.queue().submit([encoder.finish()]);
    assert_eq!(pollster::block_on(found).unwrap(), [2.0, 3.0, 0.0]);
    let on_cpu = Buffer::from_slice(&Device::cpu(), &[1u32]).unwrap();
    let mut encoder = owner.device().create_command_encoder(&Default::default());
    let error = on_cpu.record_read(&mut encoder).err().unwrap();
    assert!(matches!(error, Error::Buffer { op: "Buffer::record_read", .. }), "{error}");

    // One buffer under two names, to read and to write.
    let again = rows_of(Buffer::<f32>::from_wgpu(gpu, raw.clone()).unwrap()).unwrap();
    let mut pass = encoder.begin_compute_pass(&Default::default());
    let lookup = Lookup { rows: &again, ids: &ids, dims: 3, out: &mut out };
    let error = lookup.record(gpu, &mut pass).unwrap_err();
    assert_eq!(error.to_string(), "table/lookup: `out` must be a buffer of its own, got that of `rows`");
    assert!(matches!(
        rows_of(Buffer::zeroed(&borrowed, 4).unwrap()),
        Err(Error::Shape { arg: "values", expected: 3, got: 4, .. })
    ));
    drop(pass);

    let unusable = owner.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 12,
        usage: wgpu::BufferUsages::COPY_SRC,
        mapped_at_creation: false,
    });
    assert!(matches!(Buffer::<f32>::from_wgpu(gpu, unusable), Err(Error::Buffer { .. })));
    assert!(matches!(Buffer::<[f32; 2]>::from_wgpu(gpu, raw), Err(Error::Buffer { .. })));
}

#[test]
fn a_buffer_past_the_devices_limit_names_the_limit() {
    let Some(device) = fresh_gpu() else { return };
    let limits = device.as_gpu().unwrap().limits().clone();
    let len = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size) / 4 + 1;
    let error = Buffer::<u32>::zeroed(&device, len as usize).unwrap_err();
    match error {
        Error::Limit { limit, requested, .. } => {
            assert!(limit.starts_with("max_") && requested == 4 * len, "{limit} {requested}")
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_lost_device_is_an_error_not_a_panic() {
    let Some(device) = fresh_gpu() else { return };
    let mut values = Buffer::from_slice(&device, &[1u32, 2, 3]).unwrap();
    let mut workspace = Buffer::zeroed(&device, 1).unwrap();
    let gpu = device.as_gpu().unwrap();
    gpu.device().destroy();
    let _ = gpu.device().poll(wgpu::PollType::Poll);
    let lost = |error: Error| match error {
        Error::DeviceLost { reason } => assert!(!reason.is_empty()),
        other => panic!("{other}"),
    };
    lost(values.read().unwrap_err());
    lost(values.write(&[7]).unwrap_err());
    lost(pollster::block_on(values.read_async()).unwrap_err());
    lost(Buffer::from_slice(&device, &[1u32]).unwrap_err());
    lost(Buffer::<u32>::zeroed(&device, 1).unwrap_err());
    lost(device.wait().unwrap_err());
    let scan = Scan { values: &mut values, count: 3, inclusive: true, workspace: &mut workspace };
    lost(scan.run(&device).unwrap_err());
}

/// An owner's handlers stay the owner's, and still nothing panics.
#[test]
fn a_lost_borrowed_device_is_an_error_not_a_panic() {
    let Some(owner) = fresh_gpu() else { return };
    let owner = owner.as_gpu().unwrap();
    let borrowed = Device::from_wgpu(owner.device().clone(), owner.queue().clone());
    let buffer = Buffer::from_slice(&borrowed, &[1u32, 2, 3]).unwrap();
    owner.device().destroy();
    let _ = owner.device().poll(wgpu::PollType::Poll);
    let error = buffer.read().unwrap_err();
    assert!(matches!(error, Error::DeviceLost { .. } | Error::Gpu { .. }), "{error}");
}

#[test]
fn a_borrowed_device_with_low_limits_is_told_which() {
    let Some(adapter) = fresh_adapter() else { return };
    let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
        required_limits: wgpu::Limits::downlevel_defaults(),
        ..Default::default()
    }))
    .unwrap();
    let device = Device::from_wgpu(device, queue);
    let error = RaggedTable::new(&device, &[1, 2], TableOptions::default(), &Account::unlimited()).unwrap_err();
    match error {
        Error::Limit { limit, allowed, .. } => {
            assert_eq!((limit, allowed), ("max_storage_buffers_per_shader_stage", 4))
        }
        other => panic!("{other}"),
    }
}

/// What an operator refuses leaves the caller's pass as it was, also where only a later dispatch of it is at fault.
#[test]
fn an_operator_that_fails_records_nothing() {
    let Some(device) = fresh_gpu() else { return };
    let gpu = device.as_gpu().unwrap();
    let mut keys = Buffer::from_slice(&device, &[3u32, 1, 2]).unwrap();
    let mut workspace = Buffer::from_slice(&device, &vec![7; Sort::workspace_len(3)]).unwrap();
    let mut elsewhere = Buffer::from_slice(&Device::cpu(), &[0u32, 1, 2]).unwrap();
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    let mut pass = encoder.begin_compute_pass(&Default::default());
    // Keys are counted before the payload moves.
    let sort = Sort { keys: &mut keys, payload: &mut elsewhere, count: 3, bits: 4, workspace: &mut workspace }
        .record(gpu, &mut pass);
    assert!(matches!(sort, Err(Error::Buffer { op: "prim/sort", arg: "payload", .. })), "{sort:?}");
    drop(pass);
    gpu.queue().submit([encoder.finish()]);
    assert_eq!(keys.read().unwrap(), [3, 1, 2]);
    assert!(workspace.read().unwrap().iter().all(|&word| word == 7));
}

/// One buffer under two names of what is written.
#[test]
fn outputs_that_are_one_buffer_are_refused() {
    let Some(device) = fresh_gpu() else { return };
    let gpu = device.as_gpu().unwrap();
    let mut keys = Buffer::from_slice(&device, &[3u32, 1, 2]).unwrap();
    let mut payload = Buffer::<u32>::from_wgpu(gpu, keys.as_wgpu().unwrap().clone()).unwrap();
    let mut workspace = Buffer::zeroed(&device, Sort::workspace_len(3)).unwrap();
    let sort = Sort { keys: &mut keys, payload: &mut payload, count: 3, bits: 4, workspace: &mut workspace };
    let error = sort.run(&device).unwrap_err().to_string();
    assert_eq!(error, "prim/sort: `payload` must be a buffer of its own, got that of `keys`");
    assert_eq!(keys.read().unwrap(), [3, 1, 2]);
}

/// Two operators of one kind in one pass of the caller's: each sees its own parameters, as uniforms and as immediates.
#[test]
fn operators_in_one_pass_see_their_own_parameters() {
    let Some(adapter) = fresh_adapter() else { return };
    let asked = Gpu::required_features_and_limits(&adapter);
    for (required_features, required_limits) in [(wgpu::Features::empty(), wgpu::Limits::default()), asked] {
        let descriptor = wgpu::DeviceDescriptor { required_features, required_limits, ..Default::default() };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
        let device = Device::from_wgpu(device, queue);
        let gpu = device.as_gpu().unwrap();
        let mut values = Buffer::from_slice(&device, &[1u32, 2, 3, 4]).unwrap();
        let mut workspace = Buffer::zeroed(&device, Scan::workspace_len(4)).unwrap();
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        for (count, inclusive) in [(4, true), (3, false)] {
            let scan = Scan { values: &mut values, count, inclusive, workspace: &mut workspace };
            scan.record(gpu, &mut pass).unwrap();
        }
        drop(pass);
        gpu.queue().submit([encoder.finish()]);
        assert_eq!(values.read().unwrap(), [0, 1, 4, 10], "{required_features:?}");
    }
}

/// A device that checks all that is recorded and runs none of it.
fn noop(required_features: wgpu::Features, required_limits: wgpu::Limits) -> Device {
    let descriptor = wgpu::DeviceDescriptor { required_features, required_limits, ..Default::default() };
    let (device, queue) = wgpu::Device::noop(&descriptor);
    Device::from_wgpu(device, queue)
}

#[test]
fn any_device_with_the_default_limits_records() {
    records_all(noop(wgpu::Features::empty(), wgpu::Limits::default()));
}

#[test]
fn a_device_with_immediates_records() {
    let limits = wgpu::Limits { max_immediate_size: 128, ..wgpu::Limits::default() };
    records_all(noop(wgpu::Features::IMMEDIATES, limits.clone()));
    // Too little room for them: uniforms then.
    records_all(noop(wgpu::Features::IMMEDIATES, wgpu::Limits { max_immediate_size: 16, ..limits }));
}

fn records_all(device: Device) {
    let gpu = device.as_gpu().unwrap();
    let zeroed = |len| Buffer::<f32>::zeroed(&device, len).unwrap();
    let words = |values: &[u32]| Buffer::from_slice(&device, values).unwrap();
    // Two pages of f16, as it takes more bindings.
    let layout = Layout { format: Format::F16, page_bytes: Some(16), ..Layout::default() };
    let mut rows = Rows::zeroed(&device, &[2, 4], layout, StateSize { per_value: 2, per_row: 0 }).unwrap();
    assert_eq!(rows.pages().len(), 2);
    let (ids, bags) = (words(&[1, 0, 1]), words(&[0, 1, 3]));
    let (mut found, mut pooled, mut winners) = (zeroed(12), zeroed(8), words(&[0; 8]));
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    let mut pass = encoder.begin_compute_pass(&Default::default());
    Lookup { rows: &rows, ids: &ids, dims: 4, out: &mut found }.record(gpu, &mut pass).unwrap();
    let (pooling, weights) = (Pooling::Max, None);
    let (of, to, won) = (&bags, &mut pooled, Some(&mut winners));
    let lookup = LookupBags {
        rows: &rows,
        ids: &ids,
        bags: of,
        longest_bag: 2,
        weights,
        pooling,
        dims: 4,
        out: to,
        winners: won,
    };
    lookup.record(gpu, &mut pass).unwrap();
    let of = BagGradients { gradients: &pooled, bags: &bags, weights, pooling, winners: Some(&winners) };
    Update {
        rows: &mut rows,
        ids: &ids,
        first: 0,
        count: 3,
        gradients: Gradients::Bags(of),
        dims: 4,
        rule: Optimizer::Adam { learning_rate: 0.1, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }.into(),
        step: 1,
        seed: 0,
        workspace: &mut words(&vec![0; Update::bag_workspace_len(3, 4)]),
        counter: None,
    }
    .record(gpu, &mut pass)
    .unwrap();
    drop(pass);
    gpu.queue().submit([encoder.finish()]);
    device.wait().unwrap();
}

#[test]
fn a_launch_past_a_devices_grid_is_told_so() {
    let limits = wgpu::Limits { max_compute_workgroups_per_dimension: 3, ..wgpu::Limits::default() };
    let device = noop(wgpu::Features::empty(), limits);
    let gpu = device.as_gpu().unwrap();
    let record = |count: usize| {
        let buffer = |len| Buffer::<u32>::zeroed(&device, len).unwrap();
        let mut out = Buffer::<f32>::zeroed(&device, count).unwrap();
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        let rows = Rows::zeroed(&device, &[1], Layout::default(), StateSize::default()).unwrap();
        let ids = buffer(count);
        Lookup { rows: &rows, ids: &ids, dims: 1, out: &mut out }.record(gpu, &mut pass)
    };
    // 256 ids a workgroup, and a grid of 3 times 3.
    record(9 * 256).unwrap();
    let error = record(9 * 256 + 1).unwrap_err();
    assert!(matches!(error, Error::Limit { op: "table/lookup", allowed: 9, requested: 10, .. }), "{error}");
}

#[test]
fn devices_say_what_they_are() {
    assert!(Device::cpu().describe().contains("threads"));
    if let Some(device) = fresh_gpu() {
        let (text, info) = (device.describe(), device.as_gpu().unwrap().info().clone());
        assert!(text.contains(&info.name) && text.contains(&info.driver), "{text}");
    }
    let nowhere = GpuOptions { name_contains: Some("no such adapter".into()), ..Default::default() };
    let error = Device::gpu(&nowhere).unwrap_err();
    assert!(
        matches!(&error, Error::NoGpu { reason } if reason.contains("no such adapter") || reason.contains("no adapter"))
    );
    // A software adapter is never the automatic choice.
    if let Device::Gpu(gpu) = Device::auto() {
        assert!(!gpu.is_software());
    }
}

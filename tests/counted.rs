//! Operators on the first of their ids or bags, of which perhaps the device alone knows how many they are.

mod common;

use common::devices;
use half::f16;
use scall_gpu::Error;
use scall_gpu::device::{Buffer, Change, Commands, Device, Element, Kernel, Recorder};
use scall_gpu::kernels::prim::scan::Scan;
use scall_gpu::kernels::table::bags::{LookupBags, Pooling};
use scall_gpu::kernels::table::lookup::{Lookup, LookupPacked, LookupSizes, Output};
use scall_gpu::kernels::table::optimizer::Optimizer;
use scall_gpu::kernels::table::update::{BagGradients, Gradients};
use scall_gpu::kernels::{Count, Counted};
use scall_gpu::rows::{Format, Layout, Rows};
use scall_gpu::table::{Account, BagLookup, Ids, Occurrences, PackedLookup, RaggedTable, TableOptions};

const SIZES: [u32; 6] = [3, 0, 5, 1, 4, 8];

/// With duplicates, an empty row, and one past the table.
const IDS: [u32; 9] = [2, 0, 9, 2, 4, 1, 5, 3, 5];

/// Bags of 1, 3, 0, 4 and 1 of them.
const BAGS: [u32; 6] = [0, 1, 4, 4, 8, 9];

fn put<T: Element>(device: &Device, values: &[T]) -> Buffer<T> {
    Buffer::from_slice(device, values).unwrap()
}

/// Values that no operator writes.
fn poison<T: Element>(device: &Device, len: usize) -> Buffer<T> {
    put(device, bytemuck::cast_slice(&vec![0x7FDE_ADBEu32; len * size_of::<T>() / 4]))
}

fn layouts() -> [Layout; 3] {
    let page_bytes = Some(48);
    [
        Layout::default(),
        Layout { page_bytes, ..Layout::default() },
        Layout { format: Format::F16, page_bytes, ..Layout::default() },
    ]
}

fn rows(device: &Device, layout: Layout) -> Rows {
    let mut rows = Rows::zeroed(device, &SIZES, layout, Default::default()).unwrap();
    let values: Vec<f32> = (0..21).map(|k| k as f32 / 4.0 - 2.0).collect();
    rows.write(&values).unwrap();
    rows
}

/// What a count is, as the host and as the device knows it.
fn counts<'a>(word: &'a Buffer<u32>, count: u32, room: u32) -> Vec<Count<'a>> {
    let on_device = Count::Device { buffer: word, at_most: room };
    // On the host there are never more than there is room for.
    if count <= room { vec![Count::Host(count), on_device] } else { vec![on_device] }
}

/// Runs a case with each count that there can be, and one past it.
fn each_count(room: u32, case: impl Fn(&Device, Count<'_>, u32)) {
    for device in devices() {
        for count in [0, 1, room / 2, room, room + 3] {
            let word = put(&device, &[count]);
            for of in counts(&word, count, room) {
                case(&device, of, count.min(room));
            }
        }
    }
}

fn bytes<T: Element>(of: &Buffer<T>) -> Vec<u8> {
    bytemuck::cast_slice(&of.read().unwrap()).to_vec()
}

/// Whether the first elements of a buffer are those of another, and the others are as they were.
fn assert_first<T: Element>(got: &Buffer<T>, want: &Buffer<T>, len: usize) {
    let (got, want, untouched) = (bytes(got), bytes(want), bytes(&poison::<T>(&Device::cpu(), got.len())));
    let len = len * size_of::<T>();
    assert!(got[..len] == want[..len], "{got:x?} {want:x?}");
    assert!(got[len..] == untouched[len..], "after {len} bytes: {got:x?}");
}

fn lookups<T: Output>(dims: u32) {
    for layout in layouts() {
        each_count(IDS.len() as u32, |device, count, used| {
            let (rows, ids) = (rows(device, layout), put(device, &IDS));
            let [mut got, mut want] = [(); 2].map(|()| poison::<T>(device, IDS.len() * dims as usize));
            Lookup { rows: &rows, ids: &ids, dims, out: &mut want }.run(device).unwrap();
            let of = Lookup { rows: &rows, ids: &ids, dims, out: &mut got };
            Counted { count, of }.run(device).unwrap();
            assert_first(&got, &want, (used * dims) as usize);
        });
    }
}

#[test]
fn the_first_rows_are_looked_up() {
    lookups::<f32>(5);
    lookups::<f32>(8);
    lookups::<f16>(6);
}

fn packed<T: Output>() {
    for layout in layouts() {
        each_count(IDS.len() as u32, |device, count, used| {
            let (rows, ids) = (rows(device, layout), put(device, &IDS));
            let [mut sizes, mut all_sizes] = [(); 2].map(|()| poison::<u32>(device, IDS.len() + 1));
            LookupSizes { rows: &rows, ids: &ids, dims: 8, out: &mut all_sizes }.run(device).unwrap();
            let of = LookupSizes { rows: &rows, ids: &ids, dims: 8, out: &mut sizes };
            Counted { count, of }.run(device).unwrap();
            let mut wanted = all_sizes.read().unwrap();
            wanted[used as usize..].fill(0);
            assert_eq!(sizes.read().unwrap(), wanted);
            let mut workspace = Buffer::zeroed(device, 1).unwrap();
            for (offsets, whole) in [(&mut sizes, false), (&mut all_sizes, true)] {
                let scan = Scan { values: offsets, count: 10, inclusive: false, workspace: &mut workspace };
                scan.run(device).unwrap();
                // With offsets for all ids those that are not used have room, and still nothing is written.
                let [mut got, mut want] = [(); 2].map(|()| poison::<T>(device, 40));
                let lookup = |out| LookupPacked { rows: &rows, ids: &ids, out_offsets: offsets, widest: 8, out };
                lookup(&mut want).run(device).unwrap();
                Counted { count, of: lookup(&mut got) }.run(device).unwrap();
                let end = offsets.read().unwrap()[used as usize];
                assert_first(&got, &want, end as usize);
                assert!(whole || end == wanted.iter().sum::<u32>());
            }
        });
    }
}

#[test]
fn the_first_rows_are_packed() {
    packed::<f32>();
    packed::<f16>();
}

fn bags<T: Output>(pooling: Pooling, weighted: bool, with_winners: bool) {
    for layout in layouts() {
        each_count(BAGS.len() as u32 - 1, |device, count, used| {
            let (rows, ids, bags) = (rows(device, layout), put(device, &IDS), put(device, &BAGS));
            let weights = put(device, &(1..10).map(|k| k as f32 / 2.0).collect::<Vec<_>>());
            let [mut got, mut want] = [(); 2].map(|()| poison::<T>(device, 5 * 6));
            let [mut got_winners, mut winners] = [(); 2].map(|()| poison::<u32>(device, 5 * 6));
            let lookup = |out, winners| LookupBags {
                rows: &rows,
                ids: &ids,
                bags: &bags,
                longest_bag: 4,
                weights: weighted.then_some(&weights),
                pooling,
                dims: 6,
                out,
                winners,
            };
            lookup(&mut want, with_winners.then_some(&mut winners)).run(device).unwrap();
            let of = lookup(&mut got, with_winners.then_some(&mut got_winners));
            Counted { count, of }.run(device).unwrap();
            assert_first(&got, &want, 6 * used as usize);
            assert_first(&got_winners, &winners, if with_winners { 6 * used as usize } else { 0 });
        });
    }
}

#[test]
fn the_first_bags_are_pooled() {
    bags::<f32>(Pooling::Sum, false, false);
    bags::<f32>(Pooling::Mean, true, false);
    bags::<f32>(Pooling::Max, false, false);
    bags::<f32>(Pooling::Max, false, true);
    bags::<f16>(Pooling::Mean, false, false);
    bags::<f16>(Pooling::Max, false, false);
}

fn table(device: &Device, layout: Layout) -> RaggedTable {
    let rule = Optimizer::Adagrad { learning_rate: 0.1, epsilon: 1e-8 }.into();
    let options = TableOptions { rule, layout, init_std: 0.5, seed: 3, ..TableOptions::default() };
    RaggedTable::new(device, &SIZES, options, &Account::unlimited()).unwrap()
}

/// The table after an update by the first ids or bags, recorded by a function.
fn updated(
    device: &Device,
    layout: Layout,
    of: impl FnOnce(&mut RaggedTable, &mut Commands, &mut Buffer<u32>),
) -> Vec<u32> {
    let mut table = table(device, layout);
    let mut workspace = Buffer::zeroed(device, table.update_workspace_len(9, 6)).unwrap();
    let mut commands = device.commands();
    of(&mut table, &mut commands, &mut workspace);
    commands.submit().unwrap();
    table.read().unwrap().into_iter().map(f32::to_bits).collect()
}

#[test]
fn the_first_gradients_are_stepped_along() {
    for layout in layouts() {
        each_count(IDS.len() as u32, |device, count, used| {
            let numbers = |count: u32| (0..count).map(|k| (k as f32 / 7.0).sin()).collect::<Vec<_>>();
            let (ids, gradients) = (put(device, &IDS), put(device, &numbers(9 * 6)));
            let got = updated(device, layout, |table, commands, workspace| {
                // Host counts are those of the gradients too.
                let own = put(device, &numbers(used * 6));
                let gradients = if matches!(count, Count::Host(_)) { &own } else { &gradients };
                let occurrences = Occurrences { ids: &ids, first: 0, count, gradients: gradients.into(), dims: 6 };
                table.record_update(commands, occurrences, workspace).unwrap();
            });
            let want = updated(device, layout, |table, commands, workspace| {
                let gradients = put(device, &numbers(used * 6));
                let (count, gradients) = (used.into(), (&gradients).into());
                let occurrences = Occurrences { ids: &ids, first: 0, count, gradients, dims: 6 };
                table.record_update(commands, occurrences, workspace).unwrap();
            });
            assert_eq!(got, want, "{used} of {}", device.describe());
        });
    }
}

/// Bags by the device's count: forwards and backwards as with the first of them alone.
#[test]
fn the_first_bags_are_stepped_along() {
    for layout in layouts() {
        each_count(BAGS.len() as u32 - 1, |device, count, used| {
            let Count::Device { buffer, .. } = count else { return };
            let count = Count::Device { buffer, at_most: IDS.len() as u32 };
            let (ids, bags) = (put(device, &IDS), put(device, &BAGS));
            let first_bags = put(device, &BAGS[..=used as usize]);
            let numbers = |count: u32| (0..count).map(|k| (k as f32 / 5.0).cos()).collect::<Vec<_>>();
            for pooling in [Pooling::Sum, Pooling::Mean] {
                let by = |bags: &Buffer<u32>, count: Count<'_>| {
                    updated(device, layout, |table, commands, workspace| {
                        let gradients = put(device, &numbers(6 * (bags.len() as u32 - 1)));
                        let of = BagGradients { gradients: &gradients, bags, weights: None, pooling, winners: None };
                        let gradients = Gradients::Bags(of);
                        let occurrences = Occurrences { ids: &ids, first: 0, count, gradients, dims: 6 };
                        table.record_update(commands, occurrences, workspace).unwrap();
                    })
                };
                assert_eq!(by(&bags, count), by(&first_bags, Count::Host(IDS.len() as u32)), "{pooling:?} {used}");
            }
        });
    }
}

/// A count that a kernel of the same submission writes, used by all that a table records.
#[test]
fn a_count_comes_from_the_device() {
    for device in devices() {
        let table = table(&device, Layout::default());
        let (ids, bags) = (put(&device, &IDS), put(&device, &BAGS));
        // The host writes 77, the commands write 3 over it.
        let (mut found, mut pooled) = (poison::<f32>(&device, 9 * 4), poison::<f32>(&device, 5 * 4));
        let (mut offsets, mut packed) = (Buffer::zeroed(&device, 10).unwrap(), poison::<f32>(&device, 40));
        let (mut word, mut workspace) = (put(&device, &[77u32]), Buffer::zeroed(&device, 1).unwrap());
        let mut commands = device.commands();
        commands.copy(&put(&device, &[3u32]), &mut word, 1).unwrap();
        let count = Count::Device { buffer: &word, at_most: 9 };
        let counted = Ids { ids: &ids, count: Some(count) };
        table.record_lookup(&mut commands, counted, 4, &mut found).unwrap();
        table.record_lookup_sizes(&mut commands, counted, 4, &mut offsets).unwrap();
        let scan = Scan { values: &mut offsets, count: 10, inclusive: false, workspace: &mut workspace };
        commands.run(scan).unwrap();
        let count = Some(count);
        let lookup = PackedLookup { ids: &ids, count, out_offsets: &offsets, widest: 4, out: &mut packed };
        table.record_lookup_packed(&mut commands, lookup).unwrap();
        let lookup = BagLookup {
            ids: &ids,
            bags: &bags,
            count: Some(Count::Device { buffer: &word, at_most: 5 }),
            longest_bag: 4,
            weights: None,
            pooling: Pooling::Sum,
            dims: 4,
            out: &mut pooled,
            winners: None,
        };
        table.record_lookup_bags(&mut commands, lookup).unwrap();
        commands.submit().unwrap();
        let rows = table.lookup(&[2, 0, 1], 4).unwrap();
        // Row 9 is past the table, an empty one like row 1.
        assert_eq!(found.read().unwrap()[..12], rows.read().unwrap());
        assert_first(&found, &found_of(&device, &rows), 12);
        assert_eq!(offsets.read().unwrap(), [0, 4, 7, 7, 7, 7, 7, 7, 7, 7]);
        assert_first(&packed, &packed_of(&device, &table), 7);
        let wanted = table.lookup_bags(&[2, 0, 1, 2], &BAGS[..4], Pooling::Sum, 4).unwrap();
        assert_eq!(pooled.read().unwrap()[..12], wanted.read().unwrap());
        assert!(pooled.read().unwrap()[12..].iter().all(|value| value.is_nan()));
    }
}

fn found_of(device: &Device, rows: &Buffer<f32>) -> Buffer<f32> {
    let mut all = rows.read().unwrap();
    all.resize(36, 0.0);
    put(device, &all)
}

fn packed_of(device: &Device, table: &RaggedTable) -> Buffer<f32> {
    let (packed, _) = table.lookup_packed(&[2, 0, 1], 4).unwrap();
    let mut all = packed.read().unwrap();
    all.resize(40, 0.0);
    put(device, &all)
}

#[test]
fn a_count_past_the_ids_is_an_error() {
    for device in devices() {
        let (rows, ids) = (rows(&device, Layout::default()), put(&device, &IDS));
        let mut out = poison::<f32>(&device, 36);
        let (one, two) = (put(&device, &[1u32]), put(&device, &[1u32, 2]));
        for (count, text) in [
            (Count::Host(10), "table/lookup: `count` must be at most 9, got 10"),
            (Count::Device { buffer: &one, at_most: 10 }, "table/lookup: `count` must be at most 9, got 10"),
            (Count::Device { buffer: &two, at_most: 9 }, "table/lookup: `count` has length 2, expected 1"),
        ] {
            let of = Lookup { rows: &rows, ids: &ids, dims: 4, out: &mut out };
            assert_eq!(Counted { count, of }.run(&device).unwrap_err().to_string(), text);
        }
        let of = Lookup { rows: &rows, ids: &ids, dims: 4, out: &mut out };
        let elsewhere = put(&Device::cpu(), &[1u32]);
        let count = Count::Device { buffer: &elsewhere, at_most: 9 };
        if device.as_gpu().is_some() {
            let text = "table/lookup: `count` must be a buffer of the device that records, got a CPU buffer";
            assert_eq!(Counted { count, of }.run(&device).unwrap_err().to_string(), text);
        }
        assert_first(&out, &poison(&device, 36), 0);
    }
}

/// The number of ids of a prepared lookup and of a prepared update changes from recording to recording.
#[test]
fn prepared_counts_change() {
    for device in devices() {
        let Some(gpu) = device.as_gpu() else { continue };
        let (rows, ids) = (rows(&device, Layout::default()), put(&device, &IDS));
        let mut all = poison::<f32>(&device, 36);
        Lookup { rows: &rows, ids: &ids, dims: 4, out: &mut all }.run(&device).unwrap();
        let mut out = poison::<f32>(&device, 36);
        let mut lookup = Lookup { rows: &rows, ids: &ids, dims: 4, out: &mut out }.prepare(gpu).unwrap();
        for count in [9, 0, 5] {
            out.write(&poison::<f32>(&Device::cpu(), 36).read().unwrap()).unwrap();
            lookup.set(Change::Count(count)).unwrap();
            let mut commands = device.commands();
            commands.replay(&mut lookup).unwrap();
            commands.submit().unwrap();
            assert_first(&out, &all, 4 * count as usize);
        }
        let error = lookup.set(Change::Count(10)).unwrap_err();
        assert!(matches!(error, Error::Argument { op: "table/lookup", arg: "count", .. }), "{error}");

        let [mut plain, mut prepared] = [(); 2].map(|()| table(&device, Layout::default()));
        let gradients = put(&device, &(0..54).map(|k| (k as f32).sin()).collect::<Vec<_>>());
        let mut workspace = Buffer::zeroed(&device, plain.update_workspace_len(9, 6)).unwrap();
        let occurrences = Occurrences { ids: &ids, first: 0, count: 9.into(), gradients: (&gradients).into(), dims: 6 };
        let mut update = prepared.prepare_update(occurrences, &mut workspace).unwrap();
        let mut commands = device.commands();
        for count in [4u32, 9, 0, 7] {
            update.set_count(count).unwrap();
            prepared.record_prepared(&mut commands, &mut update).unwrap();
        }
        commands.submit().unwrap();
        let mut commands = device.commands();
        for count in [4u32, 9, 0, 7] {
            let own = put(&device, &(0..6 * count).map(|k| (k as f32).sin()).collect::<Vec<_>>());
            let (count, gradients) = (count.into(), (&own).into());
            let occurrences = Occurrences { ids: &ids, first: 0, count, gradients, dims: 6 };
            plain.record_update(&mut commands, occurrences, &mut workspace).unwrap();
        }
        commands.submit().unwrap();
        let bits = |table: &RaggedTable| -> Vec<u32> { table.read().unwrap().into_iter().map(f32::to_bits).collect() };
        assert_eq!((bits(&prepared), prepared.steps()), (bits(&plain), plain.steps()));
        assert!(update.set_count(10).is_err());
    }
}

/// A recorder takes a counted kernel like any other.
#[test]
fn counted_kernels_are_recorded() {
    fn record(recorder: &mut impl Recorder, of: Lookup<'_>, count: Count<'_>) {
        recorder.run(Counted { count, of }).unwrap();
    }
    for device in devices() {
        let (rows, ids) = (rows(&device, Layout::default()), put(&device, &IDS));
        let mut out = poison::<f32>(&device, 36);
        let mut commands = device.commands();
        record(&mut commands, Lookup { rows: &rows, ids: &ids, dims: 4, out: &mut out }, Count::Host(1));
        commands.submit().unwrap();
        assert_first(&out, &put(&device, &[-1.25f32, -1.0, -0.75, -0.5].repeat(9)), 4);
    }
}

//! What the kernels' tests share: devices, poison, comparisons, mutants.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, OnceLock};

use crate::device::shader::Dialect;
use crate::device::{Buffer, Device, Element, Gpu, GpuOptions};
use crate::kernels::SHADERS;
use crate::kernels::variants::variants;
use crate::rows::{Codec, Format, Layout, Page, Rows, StateSize, Stored, Values, with_codec};

/// The GPU to test on, with the limits that every device has, by the variable `SCALL_GPU`: `required` takes the best
/// adapter there is, a software one too, and panics without any; `off` skips; otherwise (`auto`) a hardware GPU is
/// taken, and a missing one is said loudly.
///
/// A software adapter compiles the shaders of one device one after another, so there tests that run at the same time
/// have a device each.
pub(crate) fn gpu() -> Option<Gpu> {
    static FIRST: OnceLock<Option<Gpu>> = OnceLock::new();
    static GPUS: [OnceLock<Gpu>; TESTS_AT_ONCE] = [const { OnceLock::new() }; TESTS_AT_ONCE];
    let first = FIRST.get_or_init(|| {
        let mode = std::env::var("SCALL_GPU").unwrap_or_else(|_| "auto".to_owned());
        // On a software adapter the tests take some ten times as long.
        let hardware_only = mode == "auto";
        match (mode.as_str(), Gpu::with_default_limits(&GpuOptions { hardware_only, ..GpuOptions::default() })) {
            ("off", _) => None,
            ("auto" | "required", Ok(gpu)) => {
                say(&format!("GPU tests run on {gpu:?}"));
                Some(gpu)
            }
            ("auto", Err(error)) => {
                say(&format!(
                    "**** GPU TESTS DID NOT RUN: {error}. SCALL_GPU=required takes a software adapter too, and fails \
                     without any. ****"
                ));
                None
            }
            ("required", Err(error)) => panic!("SCALL_GPU=required: {error}"),
            (other, _) => panic!("SCALL_GPU must be auto, required or off, got {other:?}"),
        }
    });
    let first = first.as_ref()?;
    let place = Place::of_this_test(first);
    let another = || Gpu::with_default_limits(&same_adapter(first)).expect("the adapter has just been started");
    Some(if place == 0 { first.clone() } else { GPUS[place].get_or_init(another).clone() })
}

/// The same adapter with the features and limits that the crate asks for.
fn full_gpu() -> Option<Gpu> {
    static GPUS: [OnceLock<Gpu>; TESTS_AT_ONCE] = [const { OnceLock::new() }; TESTS_AT_ONCE];
    let gpu = gpu()?;
    let full = || Gpu::start_best(&same_adapter(&gpu)).expect("the adapter has just been started");
    Some(GPUS[Place::of_this_test(&gpu)].get_or_init(full).clone())
}

fn same_adapter(gpu: &Gpu) -> GpuOptions {
    GpuOptions { name_contains: Some(gpu.info().name.clone()), ..GpuOptions::default() }
}

/// The most devices that are made. More tests at the same time share them.
const TESTS_AT_ONCE: usize = 8;

/// Which of the devices a test has, until its thread ends: the one with the fewest users.
struct Place(usize);

static USERS: Mutex<[usize; TESTS_AT_ONCE]> = Mutex::new([0; TESTS_AT_ONCE]);

impl Place {
    fn of_this_test(gpu: &Gpu) -> usize {
        thread_local!(static PLACE: Place = Place::take());
        if gpu.is_software() { PLACE.with(|place| place.0) } else { 0 }
    }

    fn take() -> Self {
        let mut users = USERS.lock().expect("nothing panics with it");
        let place = (0..TESTS_AT_ONCE).min_by_key(|&place| users[place]).expect("there is one");
        users[place] += 1;
        Self(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        USERS.lock().expect("nothing panics with it")[self.0] -= 1;
    }
}

/// Not by a macro, whose output the test harness keeps to itself.
fn say(text: &str) {
    std::io::stderr().write_all(format!("{text}\n").as_bytes()).expect("standard error");
}

/// The CPU, and where there is a GPU, that with all that the crate can use. (With what every device has, parity runs in
/// [`assert_rejects`].)
pub(crate) fn devices() -> Vec<Device> {
    [Device::cpu()].into_iter().chain(full_gpu().map(Device::Gpu)).collect()
}

/// Whether a test runs this one of its pairs of a rule and a layout on a device. A GPU builds a pipeline for each pair,
/// on which a software one spends a second, so it takes a few of them, unless `SCALL_MUTANTS` is `all`. A mutant meets
/// all of them, until one finds it.
pub(crate) fn takes(device: &Device, pair: usize) -> bool {
    tries_all() || pair.is_multiple_of(7) || device.as_gpu().is_none_or(|gpu| !gpu.is_software() || gpu.is_edited())
}

fn tries_all() -> bool {
    std::env::var("SCALL_MUTANTS").is_ok_and(|mode| mode == "all")
}

/// Whether the `number`-th of `tests` tests of one shader's mutants runs: each builds some hundred pipelines, so a
/// software adapter runs one of them, another after a change of the shader, unless `SCALL_MUTANTS` is `all`.
pub(crate) fn in_turn(shader: &str, number: usize, tests: usize) -> bool {
    let text = || variants(&Dialect::ALL).find(|of| of.shader.name == shader).expect("it is in SHADERS").text;
    tries_all() || gpu().is_none_or(|gpu| !gpu.is_software()) || turn(&text()) % tests == number
}

/// A number that follows from a text.
fn turn(text: &str) -> usize {
    text.bytes().fold(0, |sum: usize, byte| sum.wrapping_mul(31).wrapping_add(byte.into()))
}

/// A buffer whose every word is a value no kernel means: NaN as a float, 0xDEADBEEF-like as an integer.
pub(crate) fn poisoned<T: Element>(device: &Device, len: usize) -> Buffer<T> {
    // A quiet NaN with a payload.
    let words = vec![0x7FDE_ADBEu32; len * size_of::<T>() / 4];
    Buffer::from_slice(device, bytemuck::cast_slice(&words)).unwrap()
}

/// A buffer with these values.
pub(crate) fn upload<T: Element>(device: &Device, values: &[T]) -> Buffer<T> {
    Buffer::from_slice(device, values).unwrap()
}

/// Three of f32 and of f16, and one of every other format.
pub(crate) const LAYOUTS: usize = 4 + Format::ALL.len();

/// Layouts that every kernel on rows is tested in: f32 and f16 packed in one page, packed in the smallest pages that
/// take rows of `widest`, and aligned in such pages; then every other format in such pages.
pub(crate) fn layouts(widest: u32) -> [Layout; LAYOUTS] {
    // Pages of a few rows, also where f32 state lies next to values of 2 bytes.
    let page_bytes = Some((4 * u64::from(widest.next_multiple_of(8))).max(96));
    let in_format = |&format: &Format| {
        let packed = Layout { format, ..Layout::default() };
        let all = [packed, Layout { page_bytes, ..packed }, Layout { aligned: true, page_bytes, ..packed }];
        let own = if matches!(format, Format::F32 | Format::F16) { 0..3 } else { 1..2 };
        all[own].to_vec()
    };
    let all: Vec<_> = Format::ALL.iter().flat_map(in_format).collect();
    all.try_into().expect("as many as there are")
}

/// What the values of rows of these sizes are once they are stored.
pub(crate) fn stored(sizes: &[u32], values: &[f32], format: Format) -> Vec<f32> {
    let mut rest = values;
    let mut row = |&size: &u32| {
        let (row, others) = rest.split_at(size as usize);
        rest = others;
        format.nearest(row)
    };
    sizes.iter().flat_map(&mut row).collect()
}

/// The spacing of a word of [`Format::I8`] with these values: the least power of two with which the largest is at most
/// 63 of it.
pub(crate) fn i8_spacing(values: impl Iterator<Item = f64>) -> f64 {
    let largest = values.fold(0.0, |most: f64, value| most.max(value.abs()));
    (-12..=2).map(|exponent| f64::from(exponent).exp2()).find(|spacing| 63.0 * spacing >= largest).unwrap_or(4.0)
}

/// [`signed`] values, and among them what is hard to round: ties of f16 and of bf16, values below the normal numbers of
/// f16, and values past its range.
pub(crate) fn awkward(len: usize, salt: u32) -> Vec<f32> {
    let mut values = signed(len, salt);
    for (i, value) in values.iter_mut().enumerate() {
        match i % 7 {
            1 => *value = (1.0 + (2 * (i % 512) + 1) as f32 / 2048.0).copysign(*value),
            2 => *value = ((i % 31) as f32 + 0.5) * 2.0f32.powi(-24),
            4 => *value *= 1e6,
            5 => *value *= 1e-6,
            6 => *value = (1.0 + (2 * (i % 64) + 1) as f32 / 256.0).copysign(*value),
            _ => {}
        }
    }
    values
}

/// Rows of these sizes with these values, row after row; what lies between rows is poison.
pub(crate) fn rows_of(device: &Device, sizes: &[u32], values: &[f32], layout: Layout, state: StateSize) -> Rows {
    let mut rows = Rows::zeroed(device, sizes, layout, state).unwrap();
    let mut rest = values;
    for page in rows.pages_mut() {
        let mut own = vec![f32::NAN; page.values().len()];
        for span in page.spans() {
            let (row, behind) = rest.split_at(span.len());
            // What shares a word with the last value is no gap.
            let whole = page.format().stored_len(span.len());
            own[span.start..span.start + whole].fill(0.0);
            own[span].copy_from_slice(row);
            rest = behind;
        }
        write(&mut page.values, &own);
    }
    assert!(rest.is_empty(), "more values than the rows hold");
    rows
}

/// Writes the nearest of each value.
fn write(to: &mut Values, values: &[f32]) {
    with_codec!(to.format(), V => {
        let mut stored = vec![<V as bytemuck::Zeroable>::zeroed(); values.len()];
        V::store(values, &mut stored);
        V::of_mut(to).expect("its own format").write(&stored).unwrap();
    })
}

/// Poison in all values of a page and all numbers of its state.
pub(crate) fn poison(page: &mut Page) {
    let len = page.values().len();
    write(&mut page.values, &vec![f32::NAN; len]);
    for state in &mut page.state {
        state.write(&vec![f32::NAN; state.len()]).unwrap();
    }
}

/// What lies between rows is still the poison of [`rows_of`] or [`poison`].
#[track_caller]
pub(crate) fn assert_gaps(what: &str, rows: &Rows) {
    for page in rows.pages() {
        let values = page.values().read().unwrap();
        let mut end = 0;
        for span in page.spans().chain(std::iter::once(values.len()..values.len())) {
            assert!(values[end..span.start].iter().all(|gap| gap.is_nan()), "mismatch: {what}: written between rows");
            // What shares a word with a row's last value is 0.
            let whole = (span.start + page.format().stored_len(span.len())).min(values.len());
            assert!(values[span.end..whole].iter().all(|&rest| rest == 0.0), "mismatch: {what}: written after a row");
            end = whole;
        }
    }
}

/// Offsets of rows (bags, segments) of these sizes: where each begins, and the end.
pub(crate) fn offsets_of(sizes: &[u32]) -> Vec<u32> {
    let mut offsets = vec![0];
    sizes.iter().for_each(|size| offsets.push(offsets[offsets.len() - 1] + size));
    offsets
}

/// Equal in every bit; the panic's text marks a mismatch for [`assert_rejects`].
#[track_caller]
pub(crate) fn assert_same<T: Element>(what: &str, got: &[T], want: &[T]) {
    let (got, want): (&[u32], &[u32]) = (bytemuck::cast_slice(got), bytemuck::cast_slice(want));
    assert_eq!(got.len(), want.len(), "mismatch: {what}: length");
    if let Some(i) = (0..got.len()).find(|&i| got[i] != want[i]) {
        panic!(
            "mismatch: {what}: word {i} is {:#x} ({}), expected {:#x} ({})",
            got[i],
            f32::from_bits(got[i]),
            want[i],
            f32::from_bits(want[i])
        );
    }
}

/// Equal within `tolerance(i)`; NaN equals nothing.
#[track_caller]
pub(crate) fn assert_close(what: &str, got: &[f32], want: &[f32], tolerance: impl Fn(usize) -> f32) {
    assert_eq!(got.len(), want.len(), "mismatch: {what}: length");
    for i in 0..got.len() {
        let equal = got[i] == want[i] || (got[i] - want[i]).abs() <= tolerance(i);
        assert!(equal, "mismatch: {what}: [{i}] is {}, expected {} within {}", got[i], want[i], tolerance(i));
    }
}

/// Position-dependent signed values, none of them equal to a neighbour.
pub(crate) fn signed(len: usize, salt: u32) -> Vec<f32> {
    (0..len as u32)
        .map(|i| {
            let word = i.wrapping_add(salt.wrapping_mul(0x9E37_79B9)).wrapping_mul(0x85EB_CA6B);
            (((word ^ (word >> 13)) % 2001) as f32 - 1000.0) / 512.0 + i as f32 * 1e-6
        })
        .collect()
}

/// Each edit of the shader must make `parity` find a mismatch; a parity test that passes them is blind.
/// `parity` first passes on the shader as it is.
///
/// A software adapter compiles the pipelines of a mutant in seconds, so there one mutant in twenty is tried, and at
/// least one, unless `SCALL_MUTANTS` is `all`. Which ones follows from the text of the shader: a change of it brings
/// others.
pub(crate) fn assert_rejects(shader: &str, edits: &[(&str, &str)], parity: impl Fn(&Device)) {
    assert!(edits.len() >= 2, "{shader}: at least two mutants");
    assert!(SHADERS.iter().any(|s| s.name == shader), "{shader} is not in SHADERS");
    let Some(gpu) = gpu() else { return };
    parity(&Device::Gpu(gpu.clone()));
    let variants: Vec<_> = variants(&Dialect::ALL).filter(|variant| variant.shader.name == shader).collect();
    let one_in = match std::env::var("SCALL_MUTANTS").as_deref() {
        Ok("all") => 1,
        _ if gpu.is_software() => 20,
        _ => 1,
    };
    let turn = turn(&variants[0].text);
    for (number, (from, to)) in edits.iter().enumerate() {
        let known = variants.iter().any(|variant| variant.text.contains(from));
        assert!(known, "{shader}.wgsl has no text {from:?} to edit");
        if number != turn % edits.len() && !turn.wrapping_add(number).is_multiple_of(one_in) {
            continue;
        }
        let mutant = Device::Gpu(gpu.with_edit(shader, from, to));
        let text = match catch_unwind(AssertUnwindSafe(|| parity(&mutant))) {
            Ok(()) => panic!("{shader}: parity passes with `{from}` edited to `{to}`"),
            Err(panic) => panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
                .unwrap_or_default(),
        };
        assert!(text.contains("mismatch"), "{shader}: `{from}` edited to `{to}` fails otherwise: {text}");
    }
}

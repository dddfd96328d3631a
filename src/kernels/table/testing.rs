//! What the tests of the two updates have in common: a table, its step, and the comparison with the oracle.

use super::optimizer::UpdateRule;
use super::optimizer::oracle::{self, Gradient, Snapshot};
use crate::device::{Buffer, Device};
use crate::rows::{Format, Layout, Rows};
use crate::testing::{assert_same, offsets_of, signed, upload};

/// Rows of f16, one after the other, in one page.
pub(super) const HALF: Layout = Layout { format: Format::F16, aligned: false, page_bytes: None };

/// An operator that steps rows by gradients, as far as its tests differ from those of another.
pub(super) trait Stepper: Sized {
    /// Rows of `dims` gradients.
    fn gradient_rows(case: &Case<Self>) -> usize;

    /// Runs the operator. What it only reads is afterwards as it was.
    fn step(
        case: &Case<Self>,
        on: &Device,
        rows: &mut Rows,
        gradients: &Buffer<f32>,
        counter: Option<&mut Buffer<u32>>,
    );

    /// What the gradients of each row add up to.
    fn sums(case: &Case<Self>, gradients: &[f32]) -> Vec<Gradient>;
}

/// A step of a table.
pub(super) struct Case<S> {
    pub stepper: S,
    pub sizes: Vec<u32>,
    pub dims: u32,
    pub rule: UpdateRule,
    pub step: u32,
    pub seed: u64,
    pub layout: Layout,
    /// Gradients by their number in place of those that there would be.
    pub faults: Vec<(usize, f32)>,
}

impl<S: Stepper> Case<S> {
    pub fn of(stepper: S, sizes: &[u32], dims: u32, rule: impl Into<UpdateRule>) -> Self {
        let (layout, faults) = Default::default();
        Self { stepper, sizes: sizes.to_vec(), dims, rule: rule.into(), step: 3, seed: 1 << 40 | 5, layout, faults }
    }

    pub fn before(&self) -> Snapshot {
        Snapshot::before(&self.sizes, self.layout.format, self.rule)
    }

    pub fn rows(&self, device: &Device) -> Rows {
        self.before().rows(device, &self.sizes, self.layout, self.rule)
    }

    fn gradients(&self) -> Vec<f32> {
        let mut gradients = signed(S::gradient_rows(self) * self.dims as usize, 3);
        self.faults.iter().for_each(|&(number, fault)| gradients[number] = fault);
        gradients
    }

    pub fn what(&self) -> String {
        let (sizes, rows) = (self.sizes.len(), S::gradient_rows(self));
        format!("{:?}, {:?}, {sizes} sizes, {rows} x {} gradients", self.rule, self.layout, self.dims)
    }

    pub fn run(&self, device: &Device) -> Snapshot {
        self.run_from(&self.before(), device, None)
    }

    pub fn run_from(&self, before: &Snapshot, device: &Device, counter: Option<&mut Buffer<u32>>) -> Snapshot {
        let gradients = self.gradients();
        let mut rows = before.rows(device, &self.sizes, self.layout, self.rule);
        let directories = oracle::directories(&rows);
        let gradients_buffer = upload(device, &gradients);
        S::step(self, device, &mut rows, &gradients_buffer, counter);
        assert_same("gradients", &gradients_buffer.read().unwrap(), &gradients);
        assert_same("directories", &oracle::directories(&rows), &directories);
        Snapshot::of(&self.what(), &rows)
    }

    /// Compares with f64 sums; untouched values must be equal bit for bit.
    pub fn check(&self, device: &Device) {
        let sums = S::sums(self, &self.gradients());
        let before = self.before();
        let mut counter = upload(device, &[7u32]);
        let after = self.run_from(&before, device, Some(&mut counter));
        let rule = (self.rule, self.step, self.layout.format);
        let what = self.what();
        let count = oracle::check(&what, rule, &offsets_of(&self.sizes), &sums, (&before, &after));
        assert_same(&format!("{what}, counter"), &counter.read().unwrap(), &[7 + count]);
    }
}

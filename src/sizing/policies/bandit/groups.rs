//! Groups of entities by frequency, the levels that they may have, and the features of both.

use super::discounted::{FEATURES, Vector};
use crate::Result;
use crate::sizing::weighted::weighted;
use crate::sizing::{Sizes, SizingContext};

/// Sizes that a group can have, relative to the mean.
pub(super) const LEVELS: [f32; 5] = [0.25, 0.5, 1.0, 2.0, 4.0];
/// The level of uniform sizes.
pub(super) const MEAN: u8 = 2;
/// Groups of a side.
const GROUPS: usize = 10;

/// A level for each group, users first.
pub(super) type Levels = [u8; 2 * GROUPS];

/// The levels of uniform sizes.
pub(super) const UNIFORM: Levels = [MEAN; 2 * GROUPS];

/// Who is in which group.
pub(super) struct Groups {
    /// The group of each row, users first.
    of_row: Vec<u8>,
    /// How frequent each group is, -1 to 1; none for a group without rows.
    frequency: [Option<f64>; 2 * GROUPS],
}

impl Groups {
    pub fn of(context: &SizingContext<'_>) -> Self {
        let (users, items) = (context.users, context.items);
        let mut groups = Self { of_row: vec![0; users.len() + items.len()], frequency: [None; 2 * GROUPS] };
        for (side, (first, frequencies)) in [(0, users), (users.len(), items)].into_iter().enumerate() {
            let mut order: Vec<usize> = (0..frequencies.len()).collect();
            order.sort_by_key(|&row| std::cmp::Reverse(frequencies[row]));
            let (mut sums, mut counts) = ([0.0; GROUPS], [0u32; GROUPS]);
            for (rank, row) in order.into_iter().enumerate() {
                let group = rank * GROUPS / frequencies.len();
                groups.of_row[first + row] = (side * GROUPS + group) as u8;
                sums[group] += libm::log1p(f64::from(frequencies[row]));
                counts[group] += 1;
            }
            let mean = |group: usize| (counts[group] > 0).then(|| sums[group] / f64::from(counts[group]));
            let largest = (0..GROUPS).filter_map(mean).fold(0.0, f64::max);
            let scale = if largest > 0.0 { 2.0 / largest } else { 0.0 };
            for group in 0..GROUPS {
                groups.frequency[side * GROUPS + group] = mean(group).map(|mean| mean * scale - 1.0);
            }
        }
        groups
    }

    pub fn features_of(&self, group: usize, level: u8) -> Vector {
        let mut features = Vector::default();
        if let Some(f) = self.frequency[group] {
            let l = (f64::from(level) - f64::from(MEAN)) / f64::from(MEAN);
            let first = group / GROUPS * (FEATURES / 2);
            features[first..first + FEATURES / 2].copy_from_slice(&[l, l * l, f * l, f * l * l]);
        }
        features
    }

    pub fn features(&self, levels: &Levels) -> Vector {
        let mut sum = Vector::default();
        for (group, &level) in levels.iter().enumerate() {
            sum.iter_mut().zip(self.features_of(group, level)).for_each(|(sum, x)| *sum += x);
        }
        sum
    }

    pub fn sizes(&self, context: &SizingContext<'_>, levels: &Levels) -> Result<Sizes> {
        let weights: Vec<f32> =
            self.of_row.iter().map(|&group| LEVELS[usize::from(levels[usize::from(group)])]).collect();
        weighted(context, &weights)
    }
}

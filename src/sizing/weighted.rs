//! One apportionment over users and items together, for policies that weigh rows rather than sides.

use rayon::prelude::*;

use super::{Sizes, SizingContext};
use crate::kernels::sizing::apportion::{Allotment, apportion};
use crate::table::RaggedTable;
use crate::{Result, check};

/// Sizes in proportion to the weights of all rows, users first, within the bounds and exactly the dims there are: one
/// scale for both sides, so the weights also say what each side gets. A row never gets less than one of smaller weight;
/// among equal weights the first rows get what is left over.
///
/// # Cost
/// A sort of all rows on the host: the order is that of weights, which only the host has.
///
/// # Errors
/// [`Error::Infeasible`]; [`Error::Limit`] past 2^32 dims or rows of both sides together; [`Error::Argument`] for a
/// weight that is negative or not finite.
pub(super) fn weighted(context: &SizingContext<'_>, weights: &[f32]) -> Result<Sizes> {
    let total = context.total()?;
    check::below_2_32("sizing/weighted", "dims", "32-bit sum of both sides", total.max(weights.len() as u64))?;
    let allotment = Allotment { total: total as u32, d_min: context.d_min, d_max: context.d_max };
    Ok(sides(context, by_weight(weights, allotment)?))
}

/// Shares of an allotment in proportion to weights in any order, as [`weighted`] has them.
pub(super) fn by_weight(weights: &[f32], allotment: Allotment) -> Result<Vec<u32>> {
    let mut order: Vec<u32> = (0..weights.len() as u32).collect();
    let weight = |row: &u32| weights[*row as usize];
    order.par_sort_unstable_by(|a, b| weight(b).total_cmp(&weight(a)).then(a.cmp(b)));
    let falling: Vec<f32> = order.iter().map(weight).collect();
    let mut by_rank = vec![0; order.len()];
    apportion(&falling, allotment, &mut by_rank)?;
    let mut shares = vec![0; order.len()];
    for (&row, share) in order.iter().zip(by_rank) {
        shares[row as usize] = share;
    }
    Ok(shares)
}

/// Cuts the sizes of all rows, users first, into the two sides.
pub(super) fn sides(context: &SizingContext<'_>, mut users: Vec<u32>) -> Sizes {
    let items = users.split_off(context.users.len());
    Sizes { users, items, action: None }
}

/// The sizes that rows have now, stretched or squeezed to the dims there are; a new row weighs as much as the mean of
/// its side. What an admission does for a policy whose decision was on values that have changed since.
///
/// # Errors
/// Those of [`weighted`].
pub(super) fn as_held(context: &SizingContext<'_>) -> Result<Sizes> {
    let side = |table: Option<&RaggedTable>, entities: usize, bias: u32| {
        let sizes = table.map_or_else(Vec::new, |table| table.sizes().map(|size| (size - bias) as f32).collect());
        with_newcomers(sizes, entities)
    };
    let bias = context.rows.map_or(0, |rows| u32::from(rows.item_bias));
    let mut weights = side(context.rows.map(|rows| rows.users), context.users.len(), 0);
    weights.extend(side(context.rows.map(|rows| rows.items), context.items.len(), bias));
    weighted(context, &weights)
}

/// Weights of known rows, and their mean for each row past them: 1 where none is known.
pub(super) fn with_newcomers(mut weights: Vec<f32>, entities: usize) -> Vec<f32> {
    let sum: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
    let mean = if weights.is_empty() { 1.0 } else { sum / weights.len() as f64 };
    weights.resize(entities, mean as f32);
    weights
}

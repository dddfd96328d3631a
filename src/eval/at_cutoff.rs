//! Numbers by name, at each of some cutoffs.

use std::collections::BTreeMap;

/// A struct of named f64, which is also an array of them with their names.
macro_rules! at_cutoff {
    ($(#[$doc:meta])* $name:ident: $count:literal { $($(#[$field_doc:meta])* $field:ident,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: f64,)+
        }

        impl $name {
            /// The names of the fields, in their order.
            pub const NAMES: [&'static str; $count] = [$(stringify!($field)),+];

            /// The fields in their order.
            pub fn values(self) -> [f64; $count] {
                [$(self.$field),+]
            }
        }

        impl From<[f64; $count]> for $name {
            fn from([$($field),+]: [f64; $count]) -> Self {
                Self { $($field),+ }
            }
        }
    };
}
pub(super) use at_cutoff;

/// What stands at a cutoff.
///
/// # Panics
/// Where nothing does.
#[track_caller]
pub(super) fn found_at<T: Copy>(by_cutoff: &BTreeMap<u32, T>, cutoff: u32) -> T {
    *by_cutoff.get(&cutoff).unwrap_or_else(|| {
        let there: Vec<String> = by_cutoff.keys().map(u32::to_string).collect();
        panic!("nothing at the cutoff {cutoff}, but at {}", there.join(", "))
    })
}

/// The mean of several at the cutoffs that all of them have.
pub(super) fn mean_at_each<'a, T: Copy + From<[f64; N]> + 'a, const N: usize>(
    all: impl ExactSizeIterator<Item = &'a BTreeMap<u32, T>> + Clone,
    values: fn(T) -> [f64; N],
) -> BTreeMap<u32, T> {
    let count = all.len();
    let mean = |cutoff: u32| {
        let there: Vec<[f64; N]> = all.clone().filter_map(|of| of.get(&cutoff)).map(|of| values(*of)).collect();
        let mean = |i: usize| there.iter().map(|of| of[i]).sum::<f64>() / count as f64;
        (there.len() == count).then(|| (cutoff, T::from(std::array::from_fn(mean))))
    };
    all.clone().next().into_iter().flat_map(|first| first.keys()).filter_map(|&cutoff| mean(cutoff)).collect()
}

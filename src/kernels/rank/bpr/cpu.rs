//! The CPU twin: blocks of triples in parallel, each row in whole vectors, the widest that the CPU has.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::{BiasUse, Bpr, UserRows};
use crate::Result;
use crate::device::Kernel;
use crate::kernels::vectors::{Floats, first, whole_vectors};
use crate::kernels::{HAND_OVER, TASK_ELEMENTS};
use crate::rows::{Codec, HostRows};

impl Bpr<'_> {
    pub(super) fn twin_of<U: Codec, I: Codec>(self) -> Result<()> {
        let op = <Self as Kernel>::NAME;
        let batch = self.loss.len();
        let scale = 1.0 / batch as f32;
        let tables = Tables {
            triples: &self.triples.host(op, "triples")?[self.first as usize..][..3 * batch],
            users: match self.users {
                UserRows::Ragged(rows) => HostUsers::Ragged(HostRows::<U>::new(op, "users", rows)?),
                UserRows::History { values, weights } => {
                    HostUsers::History(values.host(op, "users.values")?, weights.host(op, "users.weights")?)
                }
            },
            items: HostRows::<I>::new(op, "items", self.items)?,
            rows: [self.users.rows(), self.items.len()],
            formula: Formula {
                dims: [self.user_dims as usize, self.item_dims as usize],
                bias: usize::from(self.item_bias != BiasUse::None),
                learned: self.item_bias == BiasUse::Learned,
                scale,
                decay: [2.0 * self.l2 * scale, 2.0 * self.l2_bias * scale],
            },
        };
        let loss = self.loss.host_mut(op, "loss")?;
        let dims @ [user_dims, item_dims] = tables.formula.dims;
        let (positives, negatives) =
            self.item_gradients.host_mut(op, "item_gradients")?.split_at_mut(batch * item_dims);
        let mut rest =
            Block { first: 0, loss, users: self.user_gradients.host_mut(op, "user_gradients")?, positives, negatives };
        // The blocks are cut by hand: with a width of 0 there is nothing to zip over.
        let task = (TASK_ELEMENTS / (user_dims + 2 * item_dims).max(1)).clamp(1, 1024);
        let mut blocks = Vec::with_capacity(batch.div_ceil(task));
        while rest.loss.len() > task {
            let (block, tail) = rest.split(task, dims);
            blocks.push(block);
            rest = tail;
        }
        blocks.push(rest);
        let (arch, tables) = (Arch::new(), &tables);
        let fill = |block: Block<'_>| block.fill(tables, batch, arch);
        // The two exponentials of a triple take as long as some forty elements.
        if batch * (user_dims + 2 * item_dims + 40) <= HAND_OVER {
            blocks.into_iter().for_each(fill);
        } else {
            blocks.into_par_iter().for_each(fill);
        }
        Ok(())
    }
}

struct Tables<'a, U, I> {
    triples: &'a [u32],
    users: HostUsers<'a, U>,
    items: HostRows<'a, I>,
    /// Of users and of items.
    rows: [u32; 2],
    formula: Formula,
}

/// What is the same for all triples.
#[derive(Clone, Copy)]
struct Formula {
    /// Widths of the gradients of users and of items.
    dims: [usize; 2],
    /// How many values of an item's row are a bias.
    bias: usize,
    learned: bool,
    /// Of each triple's part in the mean.
    scale: f32,
    /// Twice the weights of squared embeddings and biases, times the scale.
    decay: [f32; 2],
}

enum HostUsers<'a, U> {
    Ragged(HostRows<'a, U>),
    /// Values and weights.
    History(&'a [f32], &'a [f32]),
}

/// The outputs of neighbouring triples.
struct Block<'a> {
    first: usize,
    loss: &'a mut [f32],
    users: &'a mut [f32],
    positives: &'a mut [f32],
    negatives: &'a mut [f32],
}

/// How many triples are found before they are computed: so many, that memory answers for one while others are found.
const FOUND_AT_ONCE: usize = 16;

impl Block<'_> {
    fn split(self, count: usize, [user_dims, item_dims]: [usize; 2]) -> (Self, Self) {
        let (loss, loss_tail) = self.loss.split_at_mut(count);
        let (users, users_tail) = self.users.split_at_mut(count * user_dims);
        let (positives, positives_tail) = self.positives.split_at_mut(count * item_dims);
        let (negatives, negatives_tail) = self.negatives.split_at_mut(count * item_dims);
        let tail = Self {
            first: self.first + count,
            loss: loss_tail,
            users: users_tail,
            positives: positives_tail,
            negatives: negatives_tail,
        };
        (Self { first: self.first, loss, users, positives, negatives }, tail)
    }

    /// Finds rows by the formats of their tables, and computes with them whatever these are.
    fn fill<U: Codec, I: Codec>(self, tables: &Tables<'_, U, I>, batch: usize, arch: Arch) {
        let ids = [0, 1, 2].map(|block| &tables.triples[block * batch + self.first..][..self.loss.len()]);
        let begin = self.first;
        let mut scratch: [[Vec<f32>; 3]; FOUND_AT_ONCE] = Default::default();
        let mut rest = self;
        while !rest.loss.is_empty() {
            let count = rest.loss.len().min(FOUND_AT_ONCE);
            let (block, tail) = rest.split(count, tables.formula.dims);
            let mut found = [None; FOUND_AT_ONCE];
            let found = &mut found[..block.loss.len()];
            for (k, (found, scratch)) in found.iter_mut().zip(&mut scratch).enumerate() {
                let k = block.first - begin + k;
                tables.prefetch(ids, k);
                *found = tables.find(ids.map(|ids| ids[k]), scratch);
            }
            arch.dispatch(Fill { block, found, formula: tables.formula });
            rest = tail;
        }
    }
}

/// Neighbouring triples, to be computed.
struct Fill<'a, 'b> {
    block: Block<'a>,
    /// None where there is no such user or item.
    found: &'b [Option<Triple<'b>>],
    formula: Formula,
}

impl WithSimd for Fill<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { block: Block { loss, users, positives, negatives, .. }, found, formula } = self;
        let [user_dims, item_dims] = formula.dims;
        for (k, (loss, found)) in loss.iter_mut().zip(found).enumerate() {
            let gradients = [
                &mut users[k * user_dims..][..user_dims],
                &mut positives[k * item_dims..][..item_dims],
                &mut negatives[k * item_dims..][..item_dims],
            ];
            *loss = match found {
                Some(triple) => triple.learn(simd, formula, gradients),
                None => {
                    gradients.into_iter().for_each(|gradient| gradient.fill(0.0));
                    0.0
                }
            };
        }
    }
}

impl<U: Codec, I: Codec> Tables<'_, U, I> {
    #[inline(always)]
    fn prefetch(&self, [users, positives, negatives]: [&[u32]; 3], k: usize) {
        let [user_dims, item_dims] = self.formula.dims;
        if let HostUsers::Ragged(rows) = &self.users {
            rows.prefetch(users, k, user_dims);
        }
        self.items.prefetch(positives, k, item_dims);
        self.items.prefetch(negatives, k, item_dims);
    }

    /// The rows of a triple, those that are not f32 widened into `scratch`.
    #[inline(always)]
    fn find<'s>(&self, [u, p, n]: [u32; 3], scratch: &'s mut [Vec<f32>; 3]) -> Option<Triple<'s>>
    where
        Self: 's,
    {
        let [users, items] = self.rows;
        if u >= users || p >= items || n >= items {
            return None;
        }
        let Formula { dims: [user_dims, item_dims], bias, .. } = self.formula;
        let [user_scratch, of_p, of_n] = scratch;
        let (user, weight) = match &self.users {
            HostUsers::Ragged(rows) => (Row::of(rows, u, user_dims, user_scratch), None),
            HostUsers::History(values, weights) => {
                let values = &values[u as usize * user_dims..];
                (Row { values, len: user_dims }, Some(weights[u as usize]))
            }
        };
        let [positive, negative] =
            [(p, of_p), (n, of_n)].map(|(id, scratch)| Row::of(&self.items, id, item_dims, scratch).split(bias));
        let biases = [positive.0, negative.0];
        Some(Triple { user, weight, positive: positive.1, negative: negative.1, biases })
    }
}

/// A row, and what lies behind it where it does not end its page.
#[derive(Clone, Copy)]
struct Row<'a> {
    values: &'a [f32],
    len: usize,
}

impl<'a> Row<'a> {
    /// The first dims of the row of an id.
    #[inline(always)]
    fn of<V: Codec>(rows: &HostRows<'a, V>, id: u32, dims: usize, scratch: &'a mut Vec<f32>) -> Self {
        let (values, len) = rows.row(id);
        let len = len.min(dims);
        match V::as_f32(values) {
            Some(values) => Self { values, len },
            None => {
                V::widen((values, len), scratch);
                whole_vectors(scratch);
                Self { values: scratch, len }
            }
        }
    }

    /// The bias, if rows begin with one and there is room for it, and what comes after it.
    #[inline(always)]
    fn split(self, bias: usize) -> (Option<f32>, Self) {
        if bias == 0 || self.len == 0 {
            return (None, self);
        }
        (Some(self.values[0]), Self { values: &self.values[1..], len: self.len - 1 })
    }

    /// The dims from `at` on, and where there are any.
    #[inline(always)]
    fn load<S: Simd>(self, simd: S, at: usize) -> (Floats<S>, S::m32s) {
        let there = first(simd, self.len.saturating_sub(at));
        let numbers = match self.values.get(at..at + S::F32_LANES) {
            Some(whole) => S::as_simd_f32s(whole).0[0],
            None => simd.partial_load_f32s(self.values.get(at..).unwrap_or_default()),
        };
        (Floats { simd, numbers: simd.select_f32s(there, numbers, simd.splat_f32s(0.0)) }, there)
    }
}

/// The rows of a triple.
#[derive(Clone, Copy)]
struct Triple<'a> {
    user: Row<'a>,
    /// Of the positive's row within the user's, which is left out then.
    weight: Option<f32>,
    /// Without its bias.
    positive: Row<'a>,
    /// Without its bias.
    negative: Row<'a>,
    /// Of the positive and of the negative, where they have one.
    biases: [Option<f32>; 2],
}

/// A vector of dims of each.
struct Dims<S: Simd> {
    user: Floats<S>,
    positive: Floats<S>,
    negative: Floats<S>,
    /// Where the user, the positive and the negative have dims.
    there: [S::m32s; 3],
    /// The user without the positive.
    without: Floats<S>,
    /// Positive minus negative; a dim that a row lacks counts as zero.
    difference: Floats<S>,
}

impl Triple<'_> {
    /// Writes the gradients, and returns the loss.
    #[inline(always)]
    fn learn<S: Simd>(&self, simd: S, formula: Formula, gradients: [&mut [f32]; 3]) -> f32 {
        let Formula { scale, bias, learned, decay: [decay, decay_bias], .. } = formula;
        let [p, n] = self.biases.map(|of| of.filter(|_| learned));
        let x = self.score(simd) + (p.unwrap_or(0.0) - n.unwrap_or(0.0));
        let e = (-x.abs()).exp();
        let pull = if x >= 0.0 { e } else { 1.0 } / (1.0 + e) * scale;

        let [of_user, of_positive, of_negative] = gradients;
        let [of_positive, of_negative] =
            [(of_positive, p, -pull), (of_negative, n, pull)].map(|(gradient, own, pull)| {
                let (of_bias, of_row) = gradient.split_at_mut(bias.min(gradient.len()));
                of_bias.fill(own.map_or(0.0, |bias| decay_bias * bias + pull));
                of_row
            });
        self.put(simd, pull, decay, [of_user, of_positive, of_negative]);
        (-x).max(0.0) + e.ln_1p()
    }

    #[inline(always)]
    fn dims<S: Simd>(&self, simd: S, at: usize) -> Dims<S> {
        let (user, in_user) = self.user.load(simd, at);
        let (positive, in_positive) = self.positive.load(simd, at);
        let (negative, in_negative) = self.negative.load(simd, at);
        // A difference of zeros would have another sign than a zero that is negated.
        let alone = Floats::splat(simd, 0.0).where_in(in_negative, negative.negated());
        let difference = alone.where_in(in_positive, positive - negative);
        let without = match self.weight {
            None => user,
            Some(weight) => user.where_in(in_positive, user - Floats::splat(simd, weight) * positive),
        };
        let there = [in_user, in_positive, in_negative];
        Dims { user, positive, negative, there, without, difference }
    }

    /// `<e_u - w_u e_p, e_p - e_n>`, in eight partial sums.
    #[inline(always)]
    fn score<S: Simd>(&self, simd: S) -> f32 {
        let mut sums = [0.0f32; 8];
        for at in (0..self.user.len).step_by(S::F32_LANES) {
            let Dims { there, without, difference, .. } = self.dims(simd, at);
            let products = Floats::splat(simd, 0.0).where_in(there[0], without * difference);
            let products: &[f32] = bytemuck::cast_slice(std::slice::from_ref(&products.numbers));
            // Adding zero changes no sum: these begin at +0, and so never become -0.
            if S::F32_LANES < sums.len() {
                sums[at % 8..].iter_mut().zip(products).for_each(|(sum, product)| *sum += product);
            } else {
                for eight in products.as_chunks::<8>().0 {
                    sums.iter_mut().zip(eight).for_each(|(sum, product)| *sum += product);
                }
            }
        }
        let [s0, s1, s2, s3, s4, s5, s6, s7] = sums;
        ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7))
    }

    /// Writes the gradients of the embeddings.
    #[inline(always)]
    fn put<S: Simd>(&self, simd: S, pull: f32, decay: f32, [of_user, of_positive, of_negative]: [&mut [f32]; 3]) {
        let [zero, pull, decay] = [0.0, pull, decay].map(|number| Floats::splat(simd, number));
        let user_decay = if self.weight.is_some() { zero } else { decay };
        let excluded = self.weight.filter(|weight| *weight != 0.0).map(|weight| pull * Floats::splat(simd, weight));
        let longest = self.user.len.max(self.positive.len).max(self.negative.len);
        let width = of_user.len().max(of_positive.len());
        for at in (0..width).step_by(S::F32_LANES) {
            if at >= longest {
                for out in [&mut *of_user, of_positive, of_negative] {
                    out.get_mut(at..).unwrap_or_default().fill(0.0);
                }
                break;
            }
            let Dims { user, positive, negative, there, without, difference } = self.dims(simd, at);
            let gradient = user_decay * user - pull * difference;
            store(simd, zero.where_in(there[0], gradient), of_user, at);

            let (decayed, pulled) = (decay * positive, pull * without);
            let mut gradient = decayed - pulled;
            if let Some(excluded) = excluded {
                gradient = gradient + excluded * difference;
            }
            let gradient = decayed.where_in(there[0], gradient);
            store(simd, zero.where_in(there[1], gradient), of_positive, at);

            let decayed = decay * negative;
            let gradient = decayed.where_in(there[0], decayed + pulled);
            store(simd, zero.where_in(there[2], gradient), of_negative, at);
        }
    }
}

/// Writes a vector from `at` on, or what there is room for.
#[inline(always)]
fn store<S: Simd>(simd: S, numbers: Floats<S>, out: &mut [f32], at: usize) {
    match out.get_mut(at..at + S::F32_LANES) {
        Some(whole) => S::as_mut_simd_f32s(whole).0[0] = numbers.numbers,
        None => simd.partial_store_f32s(out.get_mut(at..).unwrap_or_default(), numbers.numbers),
    }
}

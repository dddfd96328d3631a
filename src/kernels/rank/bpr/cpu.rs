//! The CPU twin: blocks of triples in parallel, each filled in loops compiled for the widest vectors.

use pulp::{Arch, NullaryFnOnce};
use rayon::prelude::*;

use super::{BiasUse, Bpr, UserRows};
use crate::Result;
use crate::device::Kernel;
use crate::kernels::{HAND_OVER, TASK_ELEMENTS};
use crate::rows::{Codec, HostRows};

impl Bpr<'_> {
    pub(super) fn twin_of<U: Codec, I: Codec>(self) -> Result<()> {
        let op = <Self as Kernel>::NAME;
        let tables = Tables {
            triples: self.triples.host(op, "triples")?,
            users: match self.users {
                UserRows::Ragged(rows) => HostUsers::Ragged(HostRows::<U>::new(op, "users", rows)?),
                UserRows::History { values, weights } => {
                    HostUsers::History(values.host(op, "users.values")?, weights.host(op, "users.weights")?)
                }
            },
            items: HostRows::<I>::new(op, "items", self.items)?,
            rows: [self.users.rows(), self.items.len()],
            dims: [self.user_dims as usize, self.item_dims as usize],
            bias: usize::from(self.item_bias != BiasUse::None),
            learned: self.item_bias == BiasUse::Learned,
            decay: [2.0 * self.l2, 2.0 * self.l2_bias],
        };
        let loss = self.loss.host_mut(op, "loss")?;
        let batch = loss.len();
        let [user_dims, item_dims] = tables.dims;
        let (positives, negatives) =
            self.item_gradients.host_mut(op, "item_gradients")?.split_at_mut(batch * item_dims);
        let mut rest =
            Block { first: 0, loss, users: self.user_gradients.host_mut(op, "user_gradients")?, positives, negatives };
        // The blocks are cut by hand: with a width of 0 there is nothing to zip over.
        let task = (TASK_ELEMENTS / (user_dims + 2 * item_dims).max(1)).clamp(1, 1024);
        let mut blocks = Vec::with_capacity(batch.div_ceil(task));
        while rest.loss.len() > task {
            let (block, tail) = rest.split(task, tables.dims);
            blocks.push(block);
            rest = tail;
        }
        blocks.push(rest);
        let (arch, tables) = (Arch::new(), &tables);
        let fill = |block| arch.dispatch(Fill { block, tables, batch });
        if batch * (user_dims + 2 * item_dims) <= HAND_OVER {
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
    dims: [usize; 2],
    bias: usize,
    learned: bool,
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

/// A block, filled in loops compiled for the widest vectors.
struct Fill<'a, 'b, U, I> {
    block: Block<'a>,
    tables: &'a Tables<'b, U, I>,
    batch: usize,
}

impl<U: Codec, I: Codec> NullaryFnOnce for Fill<'_, '_, U, I> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.block.fill(self.tables, self.batch);
    }
}

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

    #[inline(always)]
    fn fill<U: Codec, I: Codec>(self, tables: &Tables<'_, U, I>, batch: usize) {
        let [user_dims, item_dims] = tables.dims;
        let ids = [0, 1, 2].map(|block| &tables.triples[block * batch + self.first..][..self.loss.len()]);
        let scale = 1.0 / batch as f32;
        let mut scratch = Scratch::default();
        for (k, loss) in self.loss.iter_mut().enumerate() {
            tables.prefetch(ids, k);
            let gradients = [
                &mut self.users[k * user_dims..][..user_dims],
                &mut self.positives[k * item_dims..][..item_dims],
                &mut self.negatives[k * item_dims..][..item_dims],
            ];
            *loss = tables.triple(ids.map(|ids| ids[k]), scale, gradients, &mut scratch);
        }
    }
}

/// Rows in f32, and what is computed from them.
#[derive(Default)]
struct Scratch {
    rows: [Vec<f32>; 3],
    difference: Vec<f32>,
    without: Vec<f32>,
}

impl<U: Codec, I: Codec> Tables<'_, U, I> {
    #[inline(always)]
    fn prefetch(&self, [users, positives, negatives]: [&[u32]; 3], k: usize) {
        let [user_dims, item_dims] = self.dims;
        if let HostUsers::Ragged(rows) = &self.users {
            rows.prefetch(users, k, user_dims);
        }
        self.items.prefetch(positives, k, item_dims);
        self.items.prefetch(negatives, k, item_dims);
    }

    /// Writes the gradients of a triple, and returns its loss.
    #[inline(always)]
    fn triple(&self, [u, p, n]: [u32; 3], scale: f32, mut gradients: [&mut [f32]; 3], scratch: &mut Scratch) -> f32 {
        let [users, items] = self.rows;
        if u >= users || p >= items || n >= items {
            gradients.into_iter().for_each(|gradient| gradient.fill(0.0));
            return 0.0;
        }
        let ([user_dims, item_dims], Scratch { rows, difference, without }) = (self.dims, scratch);
        let [user_scratch, item_scratch @ ..] = rows;
        let (user, weight) = match &self.users {
            HostUsers::Ragged(rows) => (cut(U::widen(rows.row(u), user_scratch), user_dims), None),
            HostUsers::History(values, weights) => {
                (&values[u as usize * user_dims..][..user_dims], Some(weights[u as usize]))
            }
        };
        let [first, second] = item_scratch;
        let [positive, negative] =
            [(p, first), (n, second)].map(|(id, scratch)| cut(I::widen(self.items.row(id), scratch), item_dims));
        for (gradient, row) in gradients.iter_mut().zip([user, positive, negative]) {
            gradient[row.len()..].fill(0.0);
        }
        let [of_user, of_positive, of_negative] = gradients;
        let [positive, negative] = [positive, negative].map(|row| row.split_at(self.bias.min(row.len())));
        let bias = |row: (&[f32], &[f32])| row.0.first().copied().filter(|_| self.learned).unwrap_or(0.0);
        let biases = bias(positive) - bias(negative);
        let [decay, decay_bias] = self.decay.map(|decay| decay * scale);
        let of_user = &mut of_user[..user.len()];
        let of_items = [(of_positive, positive, -1.0), (of_negative, negative, 1.0)].map(|(gradient, row, sign)| {
            let (of_bias, rest) = gradient.split_at_mut(row.0.len());
            (of_bias, &mut rest[..row.1.len()], row, sign)
        });

        let embeddings = [positive.1, negative.1];
        // The user without the positive.
        let (user_decay, without) = match weight {
            None => (decay, user),
            Some(weight) => {
                without.clear();
                without.extend_from_slice(user);
                without.iter_mut().zip(positive.1).for_each(|(v, p)| *v -= weight * *p);
                (0.0, &without[..])
            }
        };
        let difference = difference_of(embeddings, user.len(), difference);
        let x = dot(without, difference) + biases;
        let e = (-x.abs()).exp();
        let pull = if x >= 0.0 { e } else { 1.0 } / (1.0 + e) * scale;

        for ((g, u), d) in of_user.iter_mut().zip(user).zip(difference) {
            *g = user_decay * u - pull * d;
        }
        for (of_bias, gradient, (bias, embedding), sign) in of_items {
            let pull = sign * pull;
            let of_learned = |b: &f32| if self.learned { decay_bias * b + pull } else { 0.0 };
            of_bias.iter_mut().zip(bias).for_each(|(g, b)| *g = of_learned(b));
            let common = gradient.len().min(without.len());
            let (gradient, beyond) = gradient.split_at_mut(common);
            for ((g, e), u) in gradient.iter_mut().zip(embedding).zip(without) {
                *g = decay * e + pull * u;
            }
            beyond.iter_mut().zip(&embedding[common..]).for_each(|(g, e)| *g = decay * e);
            if let Some(weight) = weight.filter(|weight| sign < 0.0 && *weight != 0.0) {
                gradient.iter_mut().zip(difference).for_each(|(g, d)| *g += pull * -weight * d);
            }
        }
        (-x).max(0.0) + e.ln_1p()
    }
}

/// The first dims of a positive minus those of a negative. Dims that a row lacks count as zero.
#[inline(always)]
fn difference_of<'a>([positive, negative]: [&[f32]; 2], dims: usize, out: &'a mut Vec<f32>) -> &'a [f32] {
    out.resize(dims, 0.0);
    let [of_positive, of_negative] = [positive, negative].map(|row| row.len().min(dims));
    let common = of_positive.min(of_negative);
    let (both, one) = out.split_at_mut(common);
    both.iter_mut().zip(positive).zip(negative).for_each(|((d, p), n)| *d = p - n);
    let (one, none) = one.split_at_mut(of_positive.max(of_negative) - common);
    match of_positive > common {
        true => one.copy_from_slice(&positive[common..of_positive]),
        false => one.iter_mut().zip(&negative[common..]).for_each(|(d, n)| *d = -n),
    }
    none.fill(0.0);
    out
}

#[inline(always)]
fn cut(row: &[f32], dims: usize) -> &[f32] {
    &row[..row.len().min(dims)]
}

/// Inner product over the common length in eight partial sums, which the compiler turns into vectors.
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let common = a.len().min(b.len());
    let (a, a_tail) = a[..common].as_chunks::<8>();
    let (b, b_tail) = b[..common].as_chunks::<8>();
    let mut sums = [0.0f32; 8];
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    for ((sum, a), b) in sums.iter_mut().zip(a_tail).zip(b_tail) {
        *sum += a * b;
    }
    let [s0, s1, s2, s3, s4, s5, s6, s7] = sums;
    ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7))
}

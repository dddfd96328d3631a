//! The graph of users and items, normalised for propagation.

use crate::stream::UserItems;
use crate::{Error, Result};

const OP: &str = "models/bipartite";

/// What the edge of user u and item i weighs, d their degrees.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Normalisation {
    /// `1 / sqrt(d_u * d_i)`: LightGCN's.
    #[default]
    Symmetric,
    /// `d_u^-exponent`, whatever the item: FISM's.
    User {
        /// 0 sums a user's items, 1 averages them.
        exponent: f64,
    },
}

impl Normalisation {
    /// The value of an edge, computed in f64 with software's power and rounded once.
    pub fn weight(self, user_degree: u32, item_degree: u32) -> f32 {
        match self {
            Self::Symmetric => (1.0 / (f64::from(user_degree) * f64::from(item_degree)).sqrt()) as f32,
            Self::User { exponent } => libm::pow(user_degree.into(), -exponent) as f32,
        }
    }
}

/// The adjacency `[[0, R], [R^T, 0]]` with weighted edges in compressed rows: users first, then items.
///
/// Every edge has one weight both ways, so the matrix is symmetric in every bit; with [`Normalisation::Symmetric`] it
/// is `D^-1/2 [[0, R], [R^T, 0]] D^-1/2`, D the degrees. Columns ascend within a row; a node without edges has an empty
/// row. The layout is that of [`Spmm`](crate::kernels::graph::spmm::Spmm).
///
/// ```
/// use scall_gpu::models::{Bipartite, Normalisation};
/// use scall_gpu::stream::UserItems;
///
/// let graph = Bipartite::new(&UserItems::new(2, [(0, 0), (0, 2), (1, 2)])?, 3, Normalisation::Symmetric)?;
/// assert_eq!(graph.row_offsets(), [0, 2, 3, 4, 4, 6]);
/// assert_eq!(graph.columns(), [2, 4, 4, 0, 0, 1]);
/// assert_eq!(graph.values()[1], 0.5); // two items of user 0, two users of item 2
/// # Ok::<(), scall_gpu::Error>(())
/// ```
///
/// Source: He et al., "LightGCN: Simplifying and powering graph convolution network for recommendation", SIGIR 2020.
#[derive(Clone, Debug, PartialEq)]
pub struct Bipartite {
    row_offsets: Vec<u32>,
    columns: Vec<u32>,
    values: Vec<f32>,
    users: u32,
}

impl Bipartite {
    /// The graph of `interactions` with `items` items.
    ///
    /// # Cost
    /// Linear in users, items and interactions; 16 bytes an interaction and 4 a node.
    ///
    /// # Errors
    /// [`Error::IdOutOfRange`] for an item of `items` or above; [`Error::Limit`] past 2^32 - 1 nodes or non-zeros.
    pub fn new(interactions: &UserItems, items: u32, normalisation: Normalisation) -> Result<Self> {
        let (users, edges) = (interactions.users(), interactions.len());
        let within = |arg, requested: u64| {
            let allowed = u64::from(u32::MAX);
            if requested <= allowed {
                return Ok(());
            }
            Err(Error::Limit { op: OP, arg, limit: "32-bit index", allowed, requested })
        };
        within("items", u64::from(users) + u64::from(items))?;
        within("interactions", 2 * edges as u64)?;
        let mut row_offsets = Vec::with_capacity(users as usize + items as usize + 1);
        row_offsets.extend_from_slice(interactions.offsets());
        row_offsets.resize(users as usize + items as usize + 1, 0);
        let (user_ends, item_ends) = row_offsets.split_at_mut(users as usize + 1);
        for (position, &item) in interactions.items().iter().enumerate() {
            match item_ends.get_mut(item as usize) {
                Some(degree) => *degree += 1,
                None => {
                    let (op, arg, rows) = (OP, "interactions", u64::from(items));
                    return Err(Error::IdOutOfRange { op, arg, position, id: item, rows });
                }
            }
        }
        let degrees: Vec<u32> = item_ends.to_vec();
        let mut end = user_ends[users as usize];
        for degree in item_ends {
            end += *degree;
            *degree = end;
        }
        let mut columns = vec![0; 2 * edges];
        let mut values = vec![0.0; 2 * edges];
        // Users ascend, so the columns of each item do.
        let mut next = row_offsets[users as usize..].to_vec();
        for user in 0..users {
            let row = interactions.row(user);
            let begin = row_offsets[user as usize] as usize;
            for (i, &item) in row.iter().enumerate() {
                let value = normalisation.weight(row.len() as u32, degrees[item as usize]);
                let mirrored = &mut next[item as usize];
                columns[begin + i] = users + item;
                columns[*mirrored as usize] = user;
                values[begin + i] = value;
                values[*mirrored as usize] = value;
                *mirrored += 1;
            }
        }
        Ok(Self { row_offsets, columns, values, users })
    }

    /// Users and items together: rows and columns of the matrix.
    pub fn nodes(&self) -> u32 {
        (self.row_offsets.len() - 1) as u32
    }

    /// Users: node u is user u, node `users + i` is item i.
    pub fn users(&self) -> u32 {
        self.users
    }

    /// Where each node's non-zeros start, and where the last ones end.
    pub fn row_offsets(&self) -> &[u32] {
        &self.row_offsets
    }

    /// The neighbours of all nodes, one node after the other.
    pub fn columns(&self) -> &[u32] {
        &self.columns
    }

    /// The value of each non-zero.
    pub fn values(&self) -> &[f32] {
        &self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dense(graph: &Bipartite) -> Vec<f32> {
        let n = graph.nodes() as usize;
        let mut dense = vec![0.0; n * n];
        for r in 0..n {
            let range = graph.row_offsets[r] as usize..graph.row_offsets[r + 1] as usize;
            assert!(graph.columns[range.clone()].is_sorted_by(|a, b| a < b), "columns of {r} ascend");
            for e in range {
                dense[r * n + graph.columns[e] as usize] = graph.values[e];
            }
        }
        dense
    }

    #[test]
    fn matches_a_dense_oracle_and_is_symmetric() {
        for (users, items, edges) in
            [(0, 0, 0), (3, 0, 0), (0, 4, 0), (1, 1, 1), (7, 5, 12), (40, 23, 300), (2, 90, 80)]
        {
            // Repeats, users and items without any.
            let pairs: Vec<(u32, u32)> = (0..edges)
                .map(|e: u32| (e.wrapping_mul(0x9E37_79B9) >> 7, e.wrapping_mul(0x85EB_CA6B) >> 9))
                .map(|(u, i)| ((u % users * (u % 3)) % users, i % items * (i % 2)))
                .collect();
            let graph =
                Bipartite::new(&UserItems::new(users, pairs.iter().copied()).unwrap(), items, Normalisation::Symmetric)
                    .unwrap();
            let n = (users + items) as usize;
            let mut adjacent = vec![false; n * n];
            for (u, i) in pairs {
                let (u, i) = (u as usize, (users + i) as usize);
                (adjacent[u * n + i], adjacent[i * n + u]) = (true, true);
            }
            let degree = |v: usize| adjacent[v * n..][..n].iter().filter(|&&a| a).count() as f64;
            let got = dense(&graph);
            assert_eq!((graph.nodes(), graph.users()), (users + items, users));
            assert_eq!(graph.columns.len(), adjacent.iter().filter(|&&a| a).count());
            for r in 0..n {
                for c in 0..n {
                    let want = if adjacent[r * n + c] { degree(r).powf(-0.5) * degree(c).powf(-0.5) } else { 0.0 };
                    let value = got[r * n + c];
                    assert!((f64::from(value) - want).abs() <= f64::from(f32::EPSILON) * want, "{r} {c}");
                    assert_eq!(value.to_bits(), got[c * n + r].to_bits(), "{r} {c}");
                }
            }
        }
    }

    #[test]
    fn by_the_users_degree_alone() {
        let seen = UserItems::new(2, [(0, 0), (0, 1), (0, 2), (0, 3), (1, 1)]).unwrap();
        let graph = Bipartite::new(&seen, 4, Normalisation::User { exponent: 0.5 }).unwrap();
        assert_eq!(graph.values(), [0.5, 0.5, 0.5, 0.5, 1.0, 0.5, 0.5, 1.0, 0.5, 0.5]);
    }

    #[test]
    fn items_past_the_last_are_errors() {
        let seen = UserItems::new(2, [(0, 1), (1, 3)]).unwrap();
        assert_eq!(
            Bipartite::new(&seen, 3, Normalisation::Symmetric).unwrap_err().to_string(),
            "models/bipartite: `interactions[1]` is row 3, but the table has 3 rows"
        );
        let error = Bipartite::new(&seen, u32::MAX, Normalisation::Symmetric).unwrap_err();
        assert!(matches!(error, Error::Limit { arg: "items", .. }), "{error}");
    }
}

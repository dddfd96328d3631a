//! Recommendations: lists with scores, and rows that are alike.

use std::collections::HashMap;

use super::scall::Scall;
use crate::models::{RankRequest, rank, similar};
use crate::stream::{Names, decayed_counts};
use crate::table::RaggedTable;
use crate::{Error, Result};

const OP: &str = "Scall::recommend_batch";

/// Half-life, in rows, of what is popular now, where the model counts no biases.
const HALF_LIFE: f64 = 2000.0;

/// What lists may hold.
#[derive(Clone, Copy, Debug)]
pub struct RecommendOptions<'a> {
    /// Length of a list, 1 to [`MAX_K`](crate::kernels::rank::top_k::MAX_K) (default 10).
    pub k: u32,
    /// The only items that may be listed (default: all).
    pub among: Option<&'a [&'a str]>,
    /// Items that are not listed (default: none).
    pub without: &'a [&'a str],
    /// Whether items that the user touched may be listed again (default: no).
    pub known_items: bool,
}

impl Default for RecommendOptions<'_> {
    fn default() -> Self {
        Self { k: 10, among: None, without: &[], known_items: false }
    }
}

/// An item of a list, or what is like another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored<'a> {
    /// Its name.
    pub name: &'a str,
    /// The larger, the better. Scores of one list compare; those of two users do not.
    pub score: f32,
}

/// A user's list.
#[derive(Clone, Debug, PartialEq)]
pub struct Recommendations<'a> {
    /// Whether the user has a row. Somebody unknown gets what is popular now.
    pub known: bool,
    /// Best first.
    pub items: Vec<Scored<'a>>,
}

impl Scall {
    /// The best items for each of these users, best first, with their scores: by the model for who has a row, and by
    /// what is popular now for who has none.
    ///
    /// One batch costs less than its users one by one: the items are gone through once.
    ///
    /// # Errors
    /// [`Error::Argument`] for an item of `among` or `without` that the stream does not know;
    /// [`Error::Limit`] or [`Error::Argument`] for a `k` outside 1 to
    /// [`MAX_K`](crate::kernels::rank::top_k::MAX_K); what the device reports.
    ///
    /// # Example
    /// ```
    /// use scall_gpu::device::Device;
    /// use scall_gpu::run::RecommendOptions;
    /// use scall_gpu::sizing::{Amount, Budget, FrequencyRanked};
    /// use scall_gpu::{Scall, ScallOptions};
    ///
    /// # fn main() -> scall_gpu::Result<()> {
    /// let options = ScallOptions::new(Budget::new(Amount::MeanSize(4.0)));
    /// let mut scall = Scall::new(&Device::cpu(), Box::new(FrequencyRanked::default()), options)?;
    /// scall.observe([("ann", "tea", 1), ("bob", "tea", 2), ("bob", "jam", 3), ("cy", "jam", 4), ("ann", "oats", 5)])?;
    /// scall.step(|_| {})?;
    ///
    /// let options = RecommendOptions { k: 2, without: &["oats"], ..RecommendOptions::default() };
    /// let [cy, dee] = &scall.recommend_batch(&["cy", "dee"], options)?[..] else { panic!("a list for each") };
    /// assert!(cy.known && !dee.known);
    /// assert_eq!(cy.items.len(), 1); // she has jam
    /// assert_eq!(cy.items[0].name, "tea");
    /// assert_eq!(dee.items.len(), 2); // what sells
    /// assert!(dee.items[0].score >= dee.items[1].score);
    /// # Ok(()) }
    /// ```
    pub fn recommend_batch(&self, users: &[&str], options: RecommendOptions<'_>) -> Result<Vec<Recommendations<'_>>> {
        let tables = self.model.embeddings();
        let (user_rows, item_rows) = (tables.users().rows(), tables.items().rows());
        let without = self.items_of("without", options.without)?;
        let mut candidates: Vec<u32> = match options.among {
            None => (0..item_rows).collect(),
            Some(names) => self.items_of("among", names)?.into_iter().filter(|&item| item < item_rows).collect(),
        };
        candidates.sort_unstable();
        candidates.dedup();

        let known: Vec<Option<u32>> = users.iter().map(|name| self.data.user_id(name)).collect();
        let rows: Vec<u32> =
            known.iter().map(|known| known.filter(|&user| user < user_rows).unwrap_or(u32::MAX)).collect();
        // By what a request asks for: a row, or nobody. Nobody's list leaves out what all of them do.
        let left_out = self.left_out(&known, &without, options.known_items);
        let excluded = |row: u32| left_out.get(&row).map_or(&without[..], Vec::as_slice);
        let biases = self.served_biases();
        let request = RankRequest {
            users: &rows,
            candidates: &candidates,
            excluded: &excluded,
            k: options.k,
            item_biases: biases,
            scores: true,
        };
        let rankings = rank(&*self.model, request)?;
        let popular = match rows.contains(&u32::MAX) && !tables.item_bias() {
            true => self.popular(&candidates, &without, options.k as usize),
            false => Vec::new(),
        };
        let list = |(at, &row): (usize, &u32)| {
            if row == u32::MAX && !tables.item_bias() {
                return Recommendations { known: false, items: popular.clone() };
            }
            let scores = rankings.scores(at).unwrap_or(&[]);
            let items = rankings.user(at).iter().enumerate().filter_map(|(place, &item)| {
                // A model of a caller's own may give lists alone: places then stand for scores.
                let score = scores.get(place).copied().unwrap_or(-(place as f32));
                Some(Scored { name: self.data.item_names().get(item)?, score })
            });
            Recommendations { known: row != u32::MAX, items: items.collect() }
        };
        Ok(rows.iter().enumerate().map(list).collect())
    }

    /// The `k` items whose rows are most like that of `item`: by the cosine between the embeddings, biases left out.
    ///
    /// # Errors
    /// [`Error::Argument`] for an item without a row, and for a `k` of 0; what the device reports.
    ///
    /// # Cost
    /// All rows of the table are read. Rows of a model on a graph are those that it propagates.
    pub fn similar_items(&self, item: &str, k: u32) -> Result<Vec<Scored<'_>>> {
        let tables = self.model.embeddings();
        let of = (self.data.item_id(item), item, "item");
        self.similar(
            "Scall::similar_items",
            tables.items(),
            u32::from(tables.item_bias()),
            of,
            k,
            self.data.item_names(),
        )
    }

    /// The same for users.
    ///
    /// # Errors
    /// Those of [`similar_items`](Self::similar_items).
    pub fn similar_users(&self, user: &str, k: u32) -> Result<Vec<Scored<'_>>> {
        let of = (self.data.user_id(user), user, "user");
        let table = self.model.embeddings().users();
        self.similar("Scall::similar_users", table, 0, of, k, self.data.user_names())
    }

    fn similar<'a>(
        &self,
        op: &'static str,
        table: &RaggedTable,
        skipped: u32,
        (id, name, arg): (Option<u32>, &str, &'static str),
        k: u32,
        names: &'a Names,
    ) -> Result<Vec<Scored<'a>>> {
        let wrong = |arg, expected: &str, got: String| Error::Argument { op, arg, expected: expected.to_owned(), got };
        let row = id.filter(|&row| row < table.rows());
        let row = row.ok_or_else(|| wrong(arg, "one that has a row", name.to_owned()))?;
        if k == 0 {
            return Err(wrong("k", "at least 1", "0".to_owned()));
        }
        let found = similar(table, row, skipped, k as usize)?;
        Ok(found.into_iter().filter_map(|(row, score)| Some(Scored { name: names.get(row)?, score })).collect())
    }

    /// Ids of items, ascending.
    fn items_of(&self, arg: &'static str, names: &[&str]) -> Result<Vec<u32>> {
        let id = |name: &&str| {
            let got = (*name).to_owned();
            let unknown = || Error::Argument { op: OP, arg, expected: "items of the stream".to_owned(), got };
            self.data.item_id(name).ok_or_else(unknown)
        };
        let mut ids = names.iter().map(id).collect::<Result<Vec<u32>>>()?;
        ids.sort_unstable();
        Ok(ids)
    }

    /// What the lists of those leave out who have touched something.
    fn left_out(&self, users: &[Option<u32>], without: &[u32], known_items: bool) -> HashMap<u32, Vec<u32>> {
        if known_items {
            return HashMap::new();
        }
        let mut left_out: HashMap<u32, Vec<u32>> = HashMap::new();
        for &user in users.iter().flatten() {
            let touched = if user < self.history.users() { self.history.row(user) } else { &[] };
            left_out.entry(user).or_insert_with(|| [without, touched].concat());
        }
        for (user, item) in self.data.pairs(self.learned..self.data.len()) {
            if let Some(items) = left_out.get_mut(&user) {
                items.push(item);
            }
        }
        left_out
    }

    /// What sells lately among the candidates.
    fn popular(&self, candidates: &[u32], without: &[u32], k: usize) -> Vec<Scored<'_>> {
        let rows = match self.segments.get(self.reports.len()) {
            // A recorded stream is known to its end; what sells later there is met in time.
            Some(segment) => segment.rows.start,
            None => self.data.len(),
        };
        let counts = decayed_counts(&self.data, rows, HALF_LIFE);
        let count = |item: u32| counts.get(item as usize).copied().unwrap_or(0.0);
        let mut items: Vec<u32> =
            candidates.iter().copied().filter(|item| without.binary_search(item).is_err()).collect();
        items.sort_by(|&a, &b| count(b).total_cmp(&count(a)).then(a.cmp(&b)));
        let scored = |item: u32| Some(Scored { name: self.data.item_names().get(item)?, score: count(item) as f32 });
        items.into_iter().take(k).filter_map(scored).collect()
    }
}

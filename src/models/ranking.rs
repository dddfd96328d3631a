//! The best candidates of each user, in bounded memory.

mod tile;

use self::tile::{Candidates, Place, Tile, padded};
use crate::check;
use crate::device::{Buffer, Device};
use crate::kernels::rank::top_k::{Ragged, TopK};
use crate::kernels::table::lookup::Lookup;
use crate::rows::Rows;
use crate::{Error, Result};

/// What [`RankCandidates::working_bytes`] is when nothing speaks against it: large enough that launches cost nothing
/// beside the products, small beside any table that needs a budget.
pub const DEFAULT_WORKING_BYTES: usize = 16 << 20;

/// Candidate tiles in one submission: long enough to hide its cost, short enough that no driver's watchdog minds.
const SUBMISSION_TILES: usize = 16;

const OP: &str = "models/rank_candidates";

/// Whom to rank what for.
#[derive(Clone, Copy)]
pub struct RankRequest<'a> {
    /// Ids of the users to rank for; u32::MAX is somebody without a row.
    pub users: &'a [u32],
    /// Ids of the items to rank, ascending and distinct.
    pub candidates: &'a [u32],
    /// The item ids that a user's list leaves out, in any order; others than candidates may be among them.
    pub excluded: &'a dyn Fn(u32) -> &'a [u32],
    /// Length of a list, 1 to [`MAX_K`](crate::kernels::rank::top_k::MAX_K).
    pub k: u32,
    /// The biases of all items, in place of those in their rows, for models whose items have one: what is counted
    /// changes with each row of
    /// a stream, and a list need not write it into the table. None: those of the rows.
    pub item_biases: Option<&'a [f32]>,
    /// Whether the lists come with their [scores](Rankings::scores), which are read back too.
    pub scores: bool,
}

impl RankRequest<'_> {
    /// The same request with these candidates.
    pub(crate) fn among<T>(&self, candidates: &[u32], rank: impl FnOnce(RankRequest<'_>) -> T) -> T {
        // A closure of its own, whose lists may be taken for as short-lived as the candidates.
        let excluded = |user: u32| (self.excluded)(user);
        rank(RankRequest { candidates, excluded: &excluded, ..*self })
    }
}

/// Ranks candidate items for users, by `b_i + <e_u, e_i>` over the common dims, ties to the smaller id.
///
/// Users are taken in blocks and candidates in tiles, the widest rows first; each tile's rows are looked up and merged
/// into the block's lists ([`TopK`]), which are read back once a block. The order changes no list. Products with the
/// dims that a row does not have are almost all left out.
///
/// # Cost
/// On the device: [`working_bytes`](Self::working_bytes), plus 12 bytes a candidate, plus 8 bytes for each user and 4
/// for each exclusion of one block; where a block has fewer than some 4,000 users, what [`TopK`] takes for each tile of
/// a submission; with biases of their own, 10 bytes a candidate and one dispatch a tile more. The CPU packs each tile,
/// which takes up to half of `working_bytes` more.
/// On the host: 4 bytes for each place of the result, 8 for each user and each candidate, and the exclusions of one
/// block. Candidates are looked up once for each block of users.
///
/// # Errors
/// An id past its table, candidates out of order, `k` or `dims` past what [`TopK`] allows, another number of biases
/// than items.
#[derive(Clone, Copy)]
pub struct RankCandidates<'a, 'r> {
    /// The users' rows.
    pub users: &'a Rows,
    /// The items' rows.
    pub items: &'a Rows,
    /// True: the first value of an item row is its bias.
    pub item_bias: bool,
    /// How many dims of an embedding, its bias not counted, enter the product: the widest row's, to use all.
    pub dims: u32,
    /// Whom to rank what for.
    pub request: RankRequest<'r>,
    /// Bytes for dense rows and lists: one half holds a tile of candidates, the other a block of users with their
    /// lists. At least one of each is held, however few bytes are given.
    pub working_bytes: usize,
}

/// The best items of each user.
#[derive(Clone, Debug, PartialEq)]
pub struct Rankings {
    k: usize,
    items: Vec<u32>,
    /// Of each place, or nothing.
    scores: Vec<f32>,
}

impl Rankings {
    /// Rankings from lists of at most `k` item ids each, best first; what is longer is cut.
    ///
    /// # Errors
    /// [`Error::Argument`] for a `k` outside 1 to [`MAX_K`](crate::kernels::rank::top_k::MAX_K).
    pub fn from_lists<L: AsRef<[u32]>>(k: u32, lists: impl IntoIterator<Item = L>) -> Result<Self> {
        TopK::check_sizes(k, 0)?;
        let k = k as usize;
        let mut items = Vec::new();
        for list in lists {
            let end = items.len() + k;
            items.extend(list.as_ref().iter().take(k));
            items.resize(end, u32::MAX);
        }
        Ok(Self { k, items, scores: Vec::new() })
    }

    /// Item ids of the i-th user's list, best first; shorter than k when there were fewer candidates.
    ///
    /// # Panics
    /// When there is no i-th user.
    pub fn user(&self, i: usize) -> &[u32] {
        let list = &self.items[i * self.k..(i + 1) * self.k];
        &list[..list.iter().position(|id| *id == u32::MAX).unwrap_or(self.k)]
    }

    /// The scores of the i-th user's list, where they were [asked for](RankRequest::scores) and the recommender gives
    /// any. What [`RankCandidates::run_both`] ranks among a part has none.
    ///
    /// # Panics
    /// When there is no i-th user.
    pub fn scores(&self, i: usize) -> Option<&[f32]> {
        let len = self.user(i).len();
        self.scores.get(i * self.k..)?.get(..len).filter(|_| !self.scores.is_empty())
    }

    /// The lists in the order of the users.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u32]> + Clone {
        (0..self.len()).map(|i| self.user(i))
    }

    /// Number of users.
    pub fn len(&self) -> usize {
        self.items.len() / self.k
    }

    /// True when there was no user.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

impl RankCandidates<'_, '_> {
    /// Ranks. Blocks until the lists are read back.
    ///
    /// # Errors
    /// See [`RankCandidates`].
    pub fn run(&self, device: &Device) -> Result<Rankings> {
        self.check()?;
        let mut rankings = self.run_parts(device, &[self.candidates()])?;
        Ok(rankings.remove(0))
    }

    /// The lists among a part of the candidates, given by ids, and the lists among all: what two runs give, in every
    /// bit, at the cost of one. The part comes first, and the other candidates enter its lists.
    ///
    /// # Cost
    /// That of [`run`](Self::run). Of a user's lists, there is one more on the device.
    ///
    /// # Errors
    /// See [`RankCandidates`]; a part that is out of order, or that has another id than the candidates.
    pub fn run_both(&self, device: &Device, part: &[u32]) -> Result<[Rankings; 2]> {
        self.check()?;
        let mut rest = part;
        let is_part = |id| match rest.split_first() {
            Some((first, behind)) if *first == id => {
                rest = behind;
                true
            }
            _ => false,
        };
        let is_part: Vec<bool> = self.request.candidates.iter().copied().map(is_part).collect();
        if let Some(id) = rest.first() {
            let expected = "ids of candidates, ascending and distinct".to_owned();
            return Err(Error::Argument { op: OP, arg: "part", expected, got: id.to_string() });
        }
        let (part, others) = self.candidates().into_iter().partition(|place| is_part[place.at as usize]);
        let mut rankings = self.run_parts(device, &[part, others])?;
        let all = rankings.remove(1);
        Ok([rankings.remove(0), all])
    }

    /// The lists after each part of the candidates, those before included.
    fn run_parts(&self, device: &Device, parts: &[Vec<Place>]) -> Result<Vec<Rankings>> {
        let (k, dims) = (self.request.k as usize, self.dims as usize);
        let stride = dims + usize::from(self.item_bias);
        let half = self.working_bytes / (2 * size_of::<f32>());
        let tile = (half / stride.max(1)).clamp(1, self.request.candidates.len().max(1));
        let block = (half / (dims + (1 + parts.len()) * k).max(1)).clamp(1, self.request.users.len().max(1));
        let tiles_of = |part: &Vec<Place>| part.chunks(tile).map(|some| Tile::new(device, self, some, tile)).collect();
        let parts = parts.iter().map(tiles_of).collect::<Result<Vec<Vec<_>>>>()?;
        let mut candidates = Candidates::new(device, self, tile, stride as u32)?;
        let mut queries = Buffer::zeroed(device, block * dims)?;
        let mut best_scores = Buffer::zeroed(device, block * k)?;
        let of_part = |_| Buffer::<u32>::zeroed(device, block * k);
        let mut best_positions = parts.iter().map(of_part).collect::<Result<Vec<_>>>()?;
        let mut items = vec![vec![u32::MAX; self.request.users.len() * k]; parts.len()];
        let mut scores = vec![0.0; if self.request.scores { self.request.users.len() * k } else { 0 }];
        for places in self.by_width(self.users, self.request.users, 0).chunks(block) {
            let users: Vec<u32> = places.iter().map(|place| self.request.users[place.at as usize]).collect();
            let (excluded_offsets, excluded) = self.excluded_positions(&users);
            let excluded_offsets = Buffer::from_slice(device, &excluded_offsets)?;
            let excluded = Buffer::from_slice(device, &excluded)?;
            let ids = padded(device, &users, block)?;
            let query_widths = Buffer::from_vec(device, places.iter().map(|place| place.width).collect())?;
            let mut commands = device.commands();
            commands.run(Lookup { rows: self.users, ids: &ids, dims: self.dims, out: &mut queries })?;
            let mut done = 0;
            for (part, tiles) in parts.iter().enumerate() {
                let (before, of_part) = best_positions.split_at_mut(part);
                if let (1.., Some(before)) = (done, before.last()) {
                    commands.copy(before, &mut of_part[0], users.len() * k)?;
                }
                for tile in tiles {
                    if done > 0 && done % SUBMISSION_TILES == 0 {
                        std::mem::replace(&mut commands, device.commands()).submit()?;
                    }
                    candidates.record(&mut commands, (self.items, stride as u32), tile)?;
                    commands.run(TopK {
                        queries: &queries,
                        query_count: users.len() as u32,
                        candidates: candidates.dense(),
                        candidate_count: tile.count,
                        candidate_base: 0,
                        dims: self.dims,
                        item_bias: self.item_bias,
                        ragged: Some(Ragged { query_widths: &query_widths, candidates: &tile.places }),
                        excluded_offsets: &excluded_offsets,
                        excluded: &excluded,
                        k: self.request.k,
                        fresh: done == 0,
                        best_scores: &mut best_scores,
                        best_positions: &mut of_part[0],
                    })?;
                    done += 1;
                }
            }
            commands.submit()?;
            let id = |position: u32| self.request.candidates.get(position as usize).copied().unwrap_or(u32::MAX);
            if self.request.scores && done > 0 {
                for (place, best) in places.iter().zip(best_scores.read()?.chunks_exact(k)) {
                    scores[place.at as usize * k..][..k].copy_from_slice(best);
                }
            }
            let mut ranked = false;
            for ((tiles, best), items) in parts.iter().zip(&best_positions).zip(&mut items) {
                // Before the first tile, lists hold nothing.
                ranked |= !tiles.is_empty();
                if !ranked {
                    continue;
                }
                for (place, best) in places.iter().zip(best.read()?.chunks_exact(k)) {
                    let list = &mut items[place.at as usize * k..][..k];
                    list.iter_mut().zip(best).for_each(|(item, position)| *item = id(*position));
                }
            }
        }
        let mut rankings: Vec<_> = items.into_iter().map(|items| Rankings { k, items, scores: Vec::new() }).collect();
        // The buffer of scores is that of all parts together.
        rankings.last_mut().expect("at least one part").scores = scores;
        Ok(rankings)
    }

    fn candidates(&self) -> Vec<Place> {
        self.by_width(self.items, self.request.candidates, u32::from(self.item_bias))
    }

    fn check(&self) -> Result<()> {
        TopK::check_sizes(self.request.k, self.dims)?;
        for (arg, ids, rows) in
            [("users", self.request.users, self.users), ("candidates", self.request.candidates, self.items)]
        {
            let rows = u64::from(rows.len());
            // Somebody without a row can be ranked for; what is ranked has one.
            let nobody = |id| arg == "users" && id == u32::MAX;
            let past = |id| u64::from(id) >= rows && !nobody(id);
            if let Some((position, &id)) = ids.iter().enumerate().find(|(_, id)| past(**id)) {
                return Err(Error::IdOutOfRange { op: OP, arg, position, id, rows });
            }
        }
        if let Some(biases) = self.request.item_biases.filter(|_| self.item_bias) {
            check::len(OP, "item_biases", biases.len(), self.items.len().into())?;
        }
        match self.request.candidates.windows(2).find(|pair| pair[0] >= pair[1]) {
            None => Ok(()),
            Some(pair) => Err(Error::Argument {
                op: OP,
                arg: "candidates",
                expected: "ascending and distinct".to_owned(),
                got: format!("{} before {}", pair[0], pair[1]),
            }),
        }
    }

    /// The rows of these ids, widest first, those of one width as they come. Widths are those that are multiplied.
    fn by_width(&self, rows: &Rows, ids: &[u32], bias: u32) -> Vec<Place> {
        let width = |id: u32| match id < rows.len() {
            true => rows.size(id).saturating_sub(bias).min(self.dims),
            false => 0,
        };
        let mut order: Vec<Place> = (0..).zip(ids).map(|(at, &id)| Place { at, width: width(id) }).collect();
        order.sort_by_key(|place| std::cmp::Reverse(place.width));
        order
    }

    /// Offsets and ascending positions in the candidate list of what the users' lists leave out.
    fn excluded_positions(&self, users: &[u32]) -> (Vec<u32>, Vec<u32>) {
        let (mut offsets, mut positions) = (vec![0], Vec::new());
        for &user in users {
            let start = positions.len();
            let found =
                (self.request.excluded)(user).iter().filter_map(|id| self.request.candidates.binary_search(id).ok());
            positions.extend(found.map(|position| position as u32));
            positions[start..].sort_unstable();
            offsets.push(positions.len() as u32);
        }
        (offsets, positions)
    }
}

#[cfg(test)]
mod tests;

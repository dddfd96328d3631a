//! Rows in the order in which they have to go: a binary heap that knows where each row stands.

/// Marks a row that does not stand in the queue.
const NOWHERE: u32 = u32::MAX;

/// A priority queue of rows, the lowest score first, the lower row where scores are equal. The scores are the owner's:
/// that of a row in the queue must not change.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    /// Each row goes before those at twice its index plus one and two.
    order: Vec<u32>,
    /// Where a row stands in the order.
    places: Vec<u32>,
}

impl Queue {
    /// Room for this many rows more than there have been.
    pub fn reserve_exact(&mut self, more: usize) {
        self.order.reserve_exact((self.places.len() + more).saturating_sub(self.order.len()));
        self.places.reserve_exact(more);
    }

    /// Takes all rows out, and keeps the room for them.
    pub fn clear(&mut self) {
        self.order.clear();
        self.places.fill(NOWHERE);
    }

    pub fn bytes(&self) -> usize {
        4 * (self.order.capacity() + self.places.capacity())
    }

    /// Adds a row that is not there yet.
    pub fn insert(&mut self, row: u32, scores: &[f64]) {
        if self.places.len() <= row as usize {
            self.places.resize(row as usize + 1, NOWHERE);
        }
        if self.places[row as usize] == NOWHERE {
            self.order.push(row);
            self.rise(self.order.len() - 1, scores);
        }
    }

    /// Takes a row out if it is there.
    pub fn remove(&mut self, row: u32, scores: &[f64]) {
        let Some(place) = self.places.get_mut(row as usize) else { return };
        let place = std::mem::replace(place, NOWHERE);
        if place == NOWHERE {
            return;
        }
        let last = self.order.pop().expect("the row itself at least");
        if last != row {
            self.order[place as usize] = last;
            self.places[last as usize] = place;
            self.rise(place as usize, scores);
            self.sink(self.places[last as usize] as usize, scores);
        }
    }

    /// Takes the first row out.
    pub fn pop(&mut self, scores: &[f64]) -> Option<u32> {
        let first = *self.order.first()?;
        self.remove(first, scores);
        Some(first)
    }

    fn rise(&mut self, mut place: usize, scores: &[f64]) {
        let row = self.order[place];
        while place > 0 && before(row, self.order[(place - 1) / 2], scores) {
            self.put(self.order[(place - 1) / 2], place);
            place = (place - 1) / 2;
        }
        self.put(row, place);
    }

    fn sink(&mut self, mut place: usize, scores: &[f64]) {
        let row = self.order[place];
        while let Some(&left) = self.order.get(2 * place + 1) {
            let (mut next, mut child) = (2 * place + 1, left);
            if let Some(&right) = self.order.get(next + 1)
                && before(right, left, scores)
            {
                (next, child) = (next + 1, right);
            }
            if !before(child, row, scores) {
                break;
            }
            self.put(child, place);
            place = next;
        }
        self.put(row, place);
    }

    fn put(&mut self, row: u32, place: usize) {
        self.order[place] = row;
        self.places[row as usize] = place as u32;
    }
}

fn before(a: u32, b: u32, scores: &[f64]) -> bool {
    scores[a as usize].total_cmp(&scores[b as usize]).then(a.cmp(&b)).is_lt()
}

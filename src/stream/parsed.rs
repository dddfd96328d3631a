//! Rows that are looked up among the names that there are, by any number of threads, before those that are new get
//! their numbers.

use super::builder::AHEAD;
use super::names::{Dictionary, Lookup};

/// The id of a name that was not there, until it gets one.
pub(super) const NEW: u32 = u32::MAX;

/// Rows by columns, with ids as far as they are known.
#[derive(Default)]
pub(super) struct Parsed {
    pub users: Vec<u32>,
    pub items: Vec<u32>,
    pub micros: Vec<i64>,
    /// The rows that are no clicks.
    pub non_clicks: Vec<usize>,
    pub new_users: News,
    pub new_items: News,
}

/// Names that were not there, by row, one for each time that it occurs.
#[derive(Default)]
pub(super) struct News {
    names: String,
    found: Vec<New>,
}

struct New {
    row: usize,
    lookup: Lookup,
    /// Where the name ends.
    end: usize,
}

impl News {
    fn push(&mut self, row: usize, lookup: Lookup, name: &str) {
        match lookup.short() {
            Some((bytes, count)) => self.names.extend(bytes[..count].utf8_chunks().map(|chunk| chunk.valid())),
            None => self.names.push_str(name),
        }
        self.found.push(New { row, lookup, end: self.names.len() });
    }

    /// Row, name and what it is looked up by, in the order of rows.
    pub fn iter(&self) -> impl Iterator<Item = (usize, Lookup, &str)> {
        let starts = std::iter::once(0).chain(self.found.iter().map(|new| new.end));
        starts.zip(&self.found).map(|(start, new)| (new.row, new.lookup, &self.names[start..new.end]))
    }

    fn clear(&mut self) {
        self.names.clear();
        self.found.clear();
    }
}

/// A name, and what it is looked up by. One that is its own key may be empty.
#[derive(Clone, Copy)]
pub(super) struct Name<'n> {
    lookup: Lookup,
    text: &'n str,
}

/// Looks up rows among the names that there are.
pub(super) struct Known<'r> {
    users: &'r Dictionary,
    items: &'r Dictionary,
    rows: &'r mut Parsed,
    /// The names of rows that are not yet looked up and are not their own keys, end to end.
    names: String,
    ahead: Vec<[Ahead; 2]>,
    /// What longer names are compared with.
    places: Vec<(Option<u32>, Option<u32>)>,
}

struct Ahead {
    lookup: Lookup,
    end: usize,
}

impl<'r> Known<'r> {
    /// With rows that take the place of those of another time.
    pub fn new(users: &'r Dictionary, items: &'r Dictionary, rows: &'r mut Parsed) -> Self {
        rows.users.clear();
        rows.items.clear();
        rows.micros.clear();
        rows.non_clicks.clear();
        rows.new_users.clear();
        rows.new_items.clear();
        Self { users, items, rows, names: String::new(), ahead: Vec::with_capacity(AHEAD), places: Vec::new() }
    }

    /// A user by name.
    pub fn user<'n>(&self, text: &'n str) -> Name<'n> {
        Name { lookup: self.users.lookup(text), text }
    }

    /// An item by name.
    pub fn item<'n>(&self, text: &'n str) -> Name<'n> {
        Name { lookup: self.items.lookup(text), text }
    }

    /// A user whose name is its own key.
    pub fn short_user(&self, key: u64) -> Name<'static> {
        Name { lookup: self.users.lookup_short(key), text: "" }
    }

    /// An item whose name is its own key.
    pub fn short_item(&self, key: u64) -> Name<'static> {
        Name { lookup: self.items.lookup_short(key), text: "" }
    }

    /// Adds a row that is no click.
    pub fn push_non_click(&mut self, user: Name<'_>, item: Name<'_>, micros: i64) {
        self.rows.non_clicks.push(self.rows.micros.len());
        self.push(user, item, micros);
    }

    /// Adds a row that is a click.
    pub fn push(&mut self, user: Name<'_>, item: Name<'_>, micros: i64) {
        self.users.expect(user.lookup);
        self.items.expect(item.lookup);
        self.rows.micros.push(micros);
        let row = [user, item].map(|Name { lookup, text }| {
            if lookup.short().is_none() {
                self.names.push_str(text);
            }
            Ahead { lookup, end: self.names.len() }
        });
        self.ahead.push(row);
        if self.ahead.len() == AHEAD {
            self.look_up();
        }
    }

    fn look_up(&mut self) {
        let Parsed { users, items, new_users, new_items, .. } = &mut *self.rows;
        // Memory comes for many names at once, as it does for their entries.
        let places = self
            .ahead
            .iter()
            .map(|[user, item]| (self.users.expect_place(user.lookup), self.items.expect_place(item.lookup)));
        self.places.extend(places);
        for (user, item) in self.places.drain(..) {
            user.iter().for_each(|&id| self.users.expect_text(id));
            item.iter().for_each(|&id| self.items.expect_text(id));
        }
        let mut start = 0;
        for [user, item] in self.ahead.drain(..) {
            let users = (user, self.users, &mut *users, &mut *new_users);
            let items = (item, self.items, &mut *items, &mut *new_items);
            for (Ahead { lookup, end }, dictionary, ids, news) in [users, items] {
                let name = &self.names[start..end];
                let id = dictionary.get_of(lookup, name);
                if id.is_none() {
                    news.push(ids.len(), lookup, name);
                }
                ids.push(id.unwrap_or(NEW));
                start = end;
            }
        }
        self.names.clear();
    }

    /// Looks up the rows that came last.
    pub fn finish(mut self) {
        self.look_up();
    }
}

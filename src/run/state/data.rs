//! The stream: its columns, its names, and what is left of the rows that it has forgotten.

use crate::Result;
use crate::file::State;
use crate::stream::{Forgotten, Interactions};

/// There where the stream has some: their rows.
const NON_CLICKS: &str = "non_clicks";

const ENTRIES: [&str; 13] = [
    "users",
    "items",
    "timestamps",
    "users.text",
    "users.ends",
    "items.text",
    "items.ends",
    NON_CLICKS,
    // Where rows were forgotten: how many, the time of the last of them, the rows in which users and items first
    // appeared, and how often each item was taken in them.
    "forgotten",
    "forgotten.latest",
    "forgotten.users",
    "forgotten.items",
    "forgotten.counts",
];

pub(super) fn save(data: &Interactions) -> State {
    let mut state = State::default();
    state.put("users", data.users());
    state.put("items", data.items());
    state.put("timestamps", data.timestamps());
    for (side, names) in [("users", data.user_names()), ("items", data.item_names())] {
        state.put_texts(side, names.iter());
    }
    if data.has_non_clicks() {
        let rows = data.kept().filter(|&row| !data.clicked(row));
        state.put(NON_CLICKS, rows.map(|row| row as u64).collect::<Vec<u64>>());
    }
    let Forgotten { rows, latest, item_counts } = data.forgotten();
    if *rows > 0 {
        state.put("forgotten", [*rows as u64]);
        state.put("forgotten.latest", [*latest]);
        for (name, rows) in ["forgotten.users", "forgotten.items"].into_iter().zip(data.forgotten_first_rows()) {
            state.put(name, rows);
        }
        state.put("forgotten.counts", &item_counts[..]);
    }
    state
}

/// Row after row, so that whatever the state says is a stream, or an error.
pub(super) fn restored(state: &State) -> Result<Interactions> {
    state.only(&ENTRIES)?;
    let users = state.numbers::<u32>("users")?;
    let (items, times) =
        (state.exactly::<u32>("items", users.len())?, state.exactly::<i64>("timestamps", users.len())?);
    let names = [state.texts("users")?, state.texts("items")?];
    let mut data = match state.has("forgotten") {
        true => forgotten(state, &names)?,
        false => Interactions::default(),
    };
    let first = data.len();
    for (row, ((&user, &item), &time)) in (first..).zip(users.iter().zip(items).zip(times)) {
        let name = |side: usize, name: &str, id: u32| {
            let text = names[side].get(id as usize).copied();
            text.ok_or_else(|| state.wrong(name, &format!("names for {} only", names[side].len()), &id.to_string()))
        };
        data.push(name(0, "users", user)?, name(1, "items", item)?, time)
            .map_err(|error| state.wrong("users", &format!("a row {row} of a stream"), &error.to_string()))?;
        if data.pair(row) != (user, item) {
            let found = format!("user {user} and item {item} in row {row}");
            return Err(state.wrong("users", "ids by first appearance", &found));
        }
    }
    for (side, (name, count)) in
        [("users.ends", data.user_count()), ("items.ends", data.item_count())].iter().enumerate()
    {
        if names[side].len() != *count as usize {
            return Err(state.wrong(name, &format!("{count} names, as the rows have"), &names[side].len().to_string()));
        }
    }
    if state.has(NON_CLICKS) {
        let (rows, kept) = (state.numbers::<u64>(NON_CLICKS)?, data.kept());
        let expected = format!("some of the {} rows", kept.len());
        state.check(NON_CLICKS, rows, |row| kept.contains(&(row as usize)), &expected)?;
        data.mark_non_clicks(rows.iter().map(|&row| row as usize))?;
    }
    Ok(data)
}

/// The stream at the moment when all of its rows were forgotten.
fn forgotten(state: &State, names: &[Vec<&str>; 2]) -> Result<Interactions> {
    let rows = state.one::<u64>("forgotten")?;
    state.check("forgotten", &[rows], |rows| (1..u64::from(u32::MAX)).contains(&rows), "from 1 to 2^32 - 2")?;
    let latest = state.one::<i64>("forgotten.latest")?;
    let mut first_rows = [Vec::new(), Vec::new()];
    for (side, name) in ["forgotten.users", "forgotten.items"].into_iter().enumerate() {
        let of = state.numbers::<u32>(name)?;
        let ascending = of.is_sorted_by(|a, b| a < b) && of.first() == Some(&0);
        if !ascending || of.last().is_some_and(|&last| u64::from(last) >= rows) || of.len() > names[side].len() {
            let expected = format!("rows from 0 on that ascend below {rows}, for at most {}", names[side].len());
            return Err(state.wrong(name, &expected, &format!("{} other rows", of.len())));
        }
        first_rows[side] = of.to_vec();
    }
    let counts = state.exactly::<u32>("forgotten.counts", first_rows[1].len())?;
    let sum = counts.iter().map(|&count| u64::from(count)).sum::<u64>();
    if sum > rows {
        return Err(state.wrong("forgotten.counts", &format!("a sum of at most {rows}"), &sum.to_string()));
    }
    let forgotten = Forgotten { rows: rows as usize, latest, item_counts: counts.to_vec() };
    let [users, items] = first_rows;
    let [user_names, item_names] = [&names[0][..users.len()], &names[1][..items.len()]];
    let (user_count, item_count) = (users.len() as u32, items.len() as u32);
    let data = Interactions::of_forgotten(forgotten, (users, user_names), (items, item_names))?;
    // Names that are there twice would be fewer.
    let known = (data.user_names().len() as u32, data.item_names().len() as u32);
    if known != (user_count, item_count) {
        let found = format!("{} and {}", known.0, known.1);
        return Err(state.wrong("users.ends", &format!("{user_count} and {item_count} different names"), &found));
    }
    Ok(data)
}

//! A loop that is kept, and one that goes on where it was.

mod data;
mod folder;
mod reports;

use super::evaluation::Evaluation;
use super::options::ScallOptions;
use super::scall::Scall;
use super::segment::{Begun, LastSegment};
use crate::Result;
use crate::device::Device;
use crate::file::State;
use crate::models::{ModelBuilder, Recommender, TrainingData};
use crate::sizing::{Action, SizePolicy, Sizes};
use crate::spans::span;
use crate::stream::{Segment, UserItems};
use crate::table::Account;

/// Of what [`Scall::state`] gives.
const VERSION: u32 = 5;

const ENTRIES: [&str; 18] = [
    "version",
    "options",
    "model.name",
    "model.options",
    "policy.name",
    "policy.options",
    "seed",
    "segments",
    "capacity",
    "progress",
    "history.users",
    "history.offsets",
    "history.items",
    "frequencies.users",
    "frequencies.items",
    "bias",
    "l2",
    "begun",
];

impl Scall {
    /// All that the loop has seen, learned and decided, but for its options: what [`restore`](Self::restore) takes.
    /// Streams of random numbers are among it: each is a function of the seed and of how far the loop is.
    ///
    /// # Cost
    /// All of it is on the host then: the stream, both tables with their optimizer state, and for a policy that
    /// searches their copy from before the last segment.
    ///
    /// # Errors
    /// What the device and the policy report.
    ///
    /// # Example
    /// ```
    /// use scall_gpu::device::Device;
    /// use scall_gpu::sizing::{Amount, Budget, FrequencyRanked};
    /// use scall_gpu::{Scall, ScallOptions};
    ///
    /// # fn main() -> scall_gpu::Result<()> {
    /// let device = Device::cpu();
    /// let options = ScallOptions::new(Budget::new(Amount::MeanSize(4.0)));
    /// let policy = || Box::new(FrequencyRanked::default());
    /// let mut scall = Scall::new(&device, policy(), options.clone())?;
    /// scall.observe([("ann", "tea", 1), ("bob", "tea", 2), ("bob", "jam", 3), ("cy", "jam", 4), ("ann", "oats", 5)])?;
    /// scall.step(|_| {})?;
    ///
    /// let mut restored = Scall::restore(&device, policy(), options, scall.state()?)?;
    /// assert_eq!(restored.recommend("cy", 2)?, scall.recommend("cy", 2)?);
    /// for loops in [&mut restored, &mut scall] {
    ///     loops.observe([("cy", "rye", 6), ("ann", "rye", 7), ("cy", "tea", 8)])?;
    ///     loops.step(|_| {})?;
    /// }
    /// assert_eq!(restored.report()[1].loss, scall.report()[1].loss);
    /// # Ok(()) }
    /// ```
    pub fn state(&self) -> Result<State> {
        let mut state = State::default();
        state.put("version", [VERSION]);
        state.put_text("options", &self.options.words());
        state.put_text("model.name", self.options.model.name());
        state.put_text("model.options", &self.options.model.options());
        state.put_text("policy.name", self.policy.name());
        state.put_text("policy.options", &self.policy.options());
        state.put("seed", [self.options.seed]);
        state.put_state("data", data::save(&self.data));
        let ends = self.segments.iter().flat_map(|segment| [segment.rows.start as u64, segment.rows.end as u64]);
        state.put("segments", ends.collect::<Vec<u64>>());
        state.put_state("policy", self.policy.save()?);
        state.put_state("model", self.model.save()?);
        state.put("capacity", [self.account.capacity_bytes()]);
        state.put("progress", [self.learned as u64, self.counted as u64]);
        state.put("history.users", [self.history.users()]);
        if self.data.kept().start > 0 {
            // It does not follow from the rows that are left.
            state.put("history.offsets", self.history.offsets());
            state.put("history.items", self.history.items());
        }
        let [users, items] = &self.frequencies;
        state.put("frequencies.users", &users[..]);
        state.put("frequencies.items", &items[..]);
        if let Some(bias) = &self.bias {
            state.put("bias", bias.quality());
        }
        if let Some(l2) = &self.l2 {
            l2.save(&mut state, "l2");
        }
        state.put_state("reports", reports::save(&self.reports));
        if let Some(last) = &self.last {
            state.put_state("last", save_last(last)?);
        }
        let Begun { probes, before, faded } = &self.begun;
        if probes.is_some() || *faded {
            // Without a search one less than none.
            state.put("begun", [u64::from(*faded), probes.map_or(0, |probes| u64::from(probes) + 1)]);
        }
        if let Some(before) = before {
            state.put_state("begun.before", before.save()?);
        }
        Ok(state)
    }

    /// A loop that goes on where the one was whose [`state`](Self::state) that is: with the same bits, given the same
    /// options and a policy of the same options, on the same device. The policy's own state is taken from there too.
    ///
    /// # Errors
    /// [`Error::BadState`](crate::Error::BadState) for a state of something else, of another model, policy, seed or
    /// other options (the first that differs is named), or one that has been damaged;
    /// [`Error::Argument`](crate::Error::Argument) for options outside their domain; what the device reports.
    pub fn restore<M: ModelBuilder + 'static>(
        device: &Device,
        mut policy: Box<dyn SizePolicy>,
        options: ScallOptions<M>,
        mut state: State,
    ) -> Result<Self> {
        let _span = span!("restore");
        let [data, of_policy, of_model, reports, last, before] =
            ["data", "policy", "model", "reports", "last", "begun.before"].map(|name| state.take_state(name));
        state.only(&ENTRIES)?;
        let expect = |name: &str, expected: String, found: String| match expected == found {
            true => Ok(()),
            false => Err(state.wrong(name, &expected, &found)),
        };
        expect("version", VERSION.to_string(), state.one::<u32>("version")?.to_string())?;
        expect("model.name", options.model.name().to_owned(), state.text("model.name")?.to_owned())?;
        expect("policy.name", policy.name().to_owned(), state.text("policy.name")?.to_owned())?;
        expect("seed", options.seed.to_string(), state.one::<u64>("seed")?.to_string())?;
        let words = [("model.options", options.model.options()), ("policy.options", policy.options())];
        for (name, words) in words.into_iter().chain([("options", options.words())]) {
            let (expected, found) = first_difference(&words, state.text(name)?);
            expect(name, expected, found)?;
        }
        let data = data::restored(&data)?;
        let segments = segments(&state, data.len())?;
        policy.restore(&of_policy)?;

        let mut scall = Self::begin(device, data, segments, policy, options)?;
        scall.reports = reports::restored(&reports, &scall.options.cutoffs)?;
        if scall.reports.len() > scall.segments.len() {
            let (most, found) = (scall.segments.len(), scall.reports.len());
            return Err(state.wrong("reports", &format!("at most {most} segments"), &found.to_string()));
        }
        scall.check_kept(&state, !last.is_empty())?;
        scall.restore_tables(&state, &of_model)?;
        scall.restore_progress(&state)?;
        scall.restore_begun(&state, &before)?;
        if !last.is_empty() {
            scall.last = Some(scall.restored_last(&last)?);
        }
        Ok(scall)
    }

    /// That the rows are kept which are needed again.
    fn check_kept(&self, state: &State, has_last: bool) -> Result<()> {
        let first = self.data.kept().start;
        let [learned, _] = state.array::<u64, 2>("progress")?;
        let done = self.reports.len();
        let of_last = done
            .checked_sub(1)
            .filter(|_| has_last)
            .map(|last| self.options.replay.first_row(self.segments[last].rows.start));
        let next = self.segments.get(done).map(|next| next.rows.start);
        let needed = [Some(learned as usize), of_last, next].into_iter().flatten().min().unwrap_or(0);
        let found = format!("a stream without its first {first}");
        if first <= needed { Ok(()) } else { Err(state.wrong("data", &format!("all rows from {needed} on"), &found)) }
    }

    fn restore_tables(&mut self, state: &State, of_model: &State) -> Result<()> {
        // Room for what there is now and then.
        self.account.set_capacity(u64::MAX)?;
        self.model.restore(of_model)?;
        let tables = self.model.embeddings();
        let known = [(tables.users().rows(), self.data.user_count()), (tables.items().rows(), self.data.item_count())];
        for (name, (rows, most)) in ["model/users/sizes", "model/items/sizes"].into_iter().zip(known) {
            if rows > most {
                return Err(state.wrong(
                    name,
                    &format!("rows for at most the {most} of the stream"),
                    &rows.to_string(),
                ));
            }
        }
        let capacity = state.one("capacity")?;
        self.account.set_capacity(capacity).map_err(|error| state.wrong("capacity", "room", &error.to_string()))
    }

    fn restore_progress(&mut self, state: &State) -> Result<()> {
        let rows = self.data.len() as u64;
        let [learned, counted] = state.array::<u64, 2>("progress")?;
        state.check("progress", &[learned, counted], |of| of <= rows, &format!("at most the {rows} rows there are"))?;
        (self.learned, self.counted) = (learned as usize, counted as usize);
        let (users, known) = (state.one::<u32>("history.users")?, self.data.user_count());
        let least = self.data.users_seen(self.learned);
        let expected = format!("from {least} to {known} users");
        state.check("history.users", &[users], |users| (least..=known).contains(&users), &expected)?;
        self.history = match self.data.kept().start {
            0 => UserItems::new(users, self.data.pairs(0..self.learned))?,
            _ => self.restored_history(state, users)?,
        };
        if !self.reports.is_empty() || self.learned > 0 {
            // The graph that lists are made with; the rows to train on come with the next segment.
            self.model.prepare(TrainingData { rows: &[], history: &self.history, blocks: None })?;
        }
        let sides = [("frequencies.users", known), ("frequencies.items", self.data.item_count())];
        for (side, (name, known)) in sides.into_iter().enumerate() {
            let frequencies = state.numbers::<u32>(name)?;
            if frequencies.len() > known as usize {
                return Err(state.wrong(name, &format!("at most {known}"), &frequencies.len().to_string()));
            }
            let expected = format!("at most the {rows} rows there are");
            state.check(name, frequencies, |of| u64::from(of) <= rows, &expected)?;
            self.frequencies[side] = frequencies.to_vec();
        }
        if let Some(l2) = &mut self.l2 {
            l2.restore(state, "l2")?;
            self.set_l2();
        }
        match &mut self.bias {
            Some(bias) => bias.restore(state, "bias"),
            None if state.has("bias") => Err(state.wrong("bias", "none of a model that counts no biases", "some")),
            None => Ok(()),
        }
    }

    fn restored_history(&self, state: &State, users: u32) -> Result<UserItems> {
        let (items, most) = (state.numbers::<u32>("history.items")?, self.data.item_count());
        state.check("history.items", items, |item| item < most, &format!("below {most}, the number of items"))?;
        let offsets = state.numbers::<u32>("history.offsets")?;
        UserItems::from_parts(offsets.to_vec(), items.to_vec()).filter(|history| history.users() == users).ok_or_else(
            || {
                let found = format!("{} numbers for {} items", offsets.len(), items.len());
                state.wrong("history.offsets", &format!("where the items of each of {users} users begin"), &found)
            },
        )
    }

    fn restore_begun(&mut self, state: &State, before: &State) -> Result<()> {
        if state.has("begun") {
            let [faded, probes] = state.array::<u64, 2>("begun")?;
            state.check("begun", &[faded], |faded| faded <= 1, "0 or 1")?;
            self.begun.faded = faded == 1;
            let most = u64::from(u32::MAX);
            state.check("begun", &[probes], |probes| probes <= most, "a count of probes")?;
            self.begun.probes = probes.checked_sub(1).map(|probes| probes as u32);
        }
        if !before.is_empty() {
            self.begun.before = Some(self.restored_model(before)?);
        }
        Ok(())
    }

    /// A recommender outside the budget.
    fn restored_model(&self, state: &State) -> Result<Box<dyn Recommender>> {
        let mut model = self.options.model.build(&self.device, &Account::unlimited(), self.options.seed)?;
        model.embeddings_mut().expect_sizes(self.options.budget.d_max);
        model.restore(state)?;
        Ok(model)
    }

    /// The segment that has ended: rows, biases and what it is judged by follow from the stream.
    fn restored_last(&self, state: &State) -> Result<LastSegment> {
        let mut state = state.clone();
        let (action, before) = (state.take_state("action"), state.take_state("before"));
        state.only(&["users", "items", "dims"])?;
        let Some(t) = self.reports.len().checked_sub(1) else {
            return Err(state.wrong("dims", "no last segment before the first is done", "one"));
        };
        let (segment, [users, items]) = (&self.segments[t], &self.frequencies);
        let (train, test) = segment.split(self.options.train_share)?;
        let end = train.rows.end;
        let sampled = self.sampled_rows(t, segment, &train);
        Ok(LastSegment {
            segment: t,
            dims: state.one("dims")?,
            sizes: Sizes {
                users: state.exactly("users", users.len())?.to_vec(),
                items: state.exactly("items", items.len())?.to_vec(),
                action: Action::restored(&action)?,
            },
            rows: self.training_rows(end, &sampled),
            blocks: self.training_blocks(end, &sampled)?,
            biases: self.bias.as_ref().map(|bias| bias.biases(&self.data, end, items.len() as u32)),
            evaluation: Evaluation::new(&self.data, &test, end, &self.history)?.sampled(&self.options, t),
            frequencies: self.frequencies.clone(),
            before: self.restored_model(&before)?,
        })
    }
}

fn save_last(last: &LastSegment) -> Result<State> {
    let mut state = State::default();
    let Sizes { users, items, action } = &last.sizes;
    state.put("users", &users[..]);
    state.put("items", &items[..]);
    state.put("dims", [last.dims]);
    if let Some(action) = action {
        state.put_state("action", action.save());
    }
    state.put_state("before", last.before.save()?);
    Ok(state)
}

fn segments(state: &State, rows: usize) -> Result<Vec<Segment>> {
    let (ends, rest) = state.numbers::<u64>("segments")?.as_chunks();
    let segments: Vec<Segment> =
        ends.iter().map(|&[start, end]| Segment { rows: start as usize..end as usize }).collect();
    match (rest, Segment::check_all("Scall::restore", &segments, rows)) {
        ([], Ok(())) => Ok(segments),
        ([], Err(error)) => Err(state.wrong("segments", "segments of the stream", &error.to_string())),
        _ => Err(state.wrong("segments", "begin and end of each", &format!("{} numbers", 2 * ends.len() + 1))),
    }
}

/// The first words in which two descriptions differ; the same, and so equal, where they do not.
fn first_difference(one: &str, other: &str) -> (String, String) {
    let words = |text: &str| text.split(", ").map(str::to_owned).collect::<Vec<_>>();
    let (one, other) = (words(one), words(other));
    let at = (0..one.len().max(other.len())).find(|&at| one.get(at) != other.get(at)).unwrap_or(0);
    let word = |words: &[String]| words.get(at).cloned().unwrap_or_else(|| "nothing more".to_owned());
    (word(&one), word(&other))
}

#[cfg(test)]
mod tests;

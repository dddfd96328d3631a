//! What a model makes of the items that test users were shown: do those score higher that they took?

use super::evaluation::Evaluation;
use crate::Result;
use crate::eval::Exposures;
use crate::kernels::rank::top_k::MAX_K;
use crate::models::{RankRequest, Recommender, rank};

/// How much one request scores.
#[derive(Clone, Copy)]
struct Sizes {
    /// Items of a user: the length of the longest list.
    own: usize,
    /// Ids that lists leave out, unless the list of one user alone leaves out more.
    excluded: usize,
}

const SIZES: Sizes = Sizes { own: MAX_K as usize, excluded: 1 << 22 };

impl Evaluation {
    /// The AUC of what a model's users took over what they were shown and did not take. None where no user who is
    /// ranked for has both.
    ///
    /// A model gives lists. So a user's list is one of candidates that leaves out all that the user was not shown.
    pub(super) fn exposures(&self, model: &dyn Recommender) -> Result<Option<Exposures>> {
        self.exposures_by(model, SIZES)
    }

    fn exposures_by(&self, model: &dyn Recommender, sizes: Sizes) -> Result<Option<Exposures>> {
        let (users, items): (Vec<u32>, Vec<Vec<u32>>) = self
            .users()
            .iter()
            .filter(|&&user| !self.declined().row(user).is_empty())
            .map(|&user| {
                let mut items = [self.relevant().row(user), self.declined().row(user)].concat();
                items.sort_unstable();
                items.dedup();
                (user, items)
            })
            .unzip();
        let scores = scores(model, &users, &items, sizes)?;
        let of = |at: usize, own: &[u32]| -> Vec<f32> {
            let score = |item| items[at].binary_search(item).map_or(f32::NAN, |place| scores[at][place]);
            // Those that the model says nothing of are left out.
            own.iter().map(score).filter(|score| !score.is_nan()).collect()
        };
        let both = |(at, &user): (usize, &u32)| (of(at, self.relevant().row(user)), of(at, self.declined().row(user)));
        let found = Exposures::mean(users.iter().enumerate().map(both));
        Ok((found.users > 0).then_some(found))
    }
}

/// The scores of each user's own items, users and items ascending: NaN for those that have none. A model of a caller's
/// own may give lists alone. Then a place stands for a score, of the first items of a user as far as one list goes.
fn scores(model: &dyn Recommender, users: &[u32], items: &[Vec<u32>], sizes: Sizes) -> Result<Vec<Vec<f32>>> {
    let mut scores: Vec<Vec<f32>> = items.iter().map(|own| vec![f32::NAN; own.len()]).collect();
    let rounds = items.iter().map(|own| own.len().div_ceil(sizes.own)).max().unwrap_or(0);
    for round in 0..rounds {
        let own = |at: usize| items[at].chunks(sizes.own).nth(round).unwrap_or(&[]);
        let asked: Vec<usize> = (0..users.len()).filter(|&at| !own(at).is_empty()).collect();
        let mut parts = vec![&asked[..]];
        while let Some(part) = parts.pop() {
            let mut candidates: Vec<u32> = part.iter().flat_map(|&at| own(at)).copied().collect();
            candidates.sort_unstable();
            candidates.dedup();
            if part.len() > 1 && part.len() * candidates.len() > sizes.excluded {
                let (first, second) = part.split_at(part.len() / 2);
                parts.extend([second, first]);
                continue;
            }
            let others = |&at: &usize| -> Vec<u32> {
                candidates.iter().copied().filter(|item| own(at).binary_search(item).is_err()).collect()
            };
            let others: Vec<Vec<u32>> = part.iter().map(others).collect();
            let part_users: Vec<u32> = part.iter().map(|&at| users[at]).collect();
            let excluded = |user: u32| part_users.binary_search(&user).map_or(&[][..], |k| &others[k][..]);
            let request = RankRequest {
                users: &part_users,
                candidates: &candidates,
                excluded: &excluded,
                k: sizes.own as u32,
                item_biases: None,
                scores: true,
            };
            let rankings = rank(model, request)?;
            for (k, &at) in part.iter().enumerate() {
                for (place, item) in rankings.user(k).iter().enumerate() {
                    let score = match rankings.scores(k) {
                        Some(scores) => scores[place],
                        None if round == 0 => -(place as f32),
                        None => continue,
                    };
                    if let Ok(own) = items[at].binary_search(item) {
                        scores[at][own] = score;
                    }
                }
            }
        }
    }
    Ok(scores)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{Scall, ScallOptions};
    use crate::sizing::{Amount, Budget, Uniform};
    use crate::stream::{Cut, Interactions, UserItems, cut};
    use crate::testing::devices;

    fn stream() -> Interactions {
        let rows = (0..900).map(|n: i64| (format!("u{}", n * 7 % (20 + n / 60)), format!("i{}", n * n % 61), n));
        let mut data = Interactions::from_rows(rows).unwrap();
        data.mark_non_clicks((0..900).filter(|row| row * row % 11 > 5)).unwrap();
        data
    }

    fn options() -> ScallOptions {
        let mut options = ScallOptions::new(Budget::new(Amount::MeanSize(4.0)));
        options.steps = 10;
        options.model.training_mut().batch = 64;
        options
    }

    /// The report's AUC is that of the scores that lists come with, a user at a time and pair by pair.
    #[test]
    fn reports_have_the_auc_of_the_models_scores() {
        for device in devices() {
            let data = stream();
            let segments = cut(&data, Cut::Equal { segments: 2 }).unwrap();
            let mut scall = Scall::over(&device, data.clone(), segments.clone(), Box::new(Uniform), options()).unwrap();
            while scall.step(|_| {}).unwrap().is_some() {}
            let found = scall.report()[1].exposures.unwrap();

            let (train, test) = segments[1].split(0.8).unwrap();
            let end = train.rows.end;
            let history = UserItems::new(data.users_seen(end), data.pairs(0..end)).unwrap();
            let mut users = Vec::new();
            for user in 0..data.users_seen(end) {
                let scores = |clicked: bool| -> Vec<f32> {
                    let of = test.rows.clone().filter(|&row| data.clicked(row) == clicked);
                    let mut items: Vec<u32> = data.pairs(of).filter(|of| of.0 == user).map(|of| of.1).collect();
                    items.retain(|&item| item < data.items_seen(end) && !history.contains(user, item));
                    items.sort_unstable();
                    items.dedup();
                    let score = |item: u32| {
                        let request = RankRequest {
                            users: &[user],
                            candidates: &[item],
                            excluded: &|_| &[],
                            k: 1,
                            item_biases: None,
                            scores: true,
                        };
                        scall.model().rank(request).unwrap().scores(0).unwrap()[0]
                    };
                    items.into_iter().map(score).collect()
                };
                users.push((scores(true), scores(false)));
            }
            let wanted = Exposures::mean(users);
            assert!(wanted.users > 3 && wanted.auc > 0.0 && wanted.auc < 1.0, "{wanted:?}");
            assert_eq!(found, wanted, "{}", device.describe());
        }
    }

    #[test]
    fn however_little_is_asked_at_once_it_is_the_same() {
        let data = stream();
        let (fit, test) = crate::stream::Segment { rows: 0..900 }.split(0.6).unwrap();
        let history = UserItems::new(data.users_seen(fit.rows.end), []).unwrap();
        let evaluation = Evaluation::new(&data, &test, fit.rows.end, &history).unwrap();
        let segments = cut(&data, Cut::Equal { segments: 1 }).unwrap();
        let device = crate::device::Device::cpu();
        let mut scall = Scall::over(&device, data, segments, Box::new(Uniform), options()).unwrap();
        scall.step(|_| {}).unwrap();
        let of = |own, excluded| evaluation.exposures_by(scall.model(), Sizes { own, excluded }).unwrap().unwrap();
        let all = of(100, 1 << 22);
        assert!(all.users > 3);
        for (own, excluded) in [(1, 1 << 22), (3, 40), (100, 0)] {
            assert_eq!(of(own, excluded), all, "{own} items and {excluded} exclusions");
        }
    }

    #[test]
    fn without_non_clicks_there_is_none() {
        let mut data = stream();
        data = Interactions::from_rows(data.pairs(0..900).map(|(user, item)| (user.to_string(), item.to_string(), 1)))
            .unwrap();
        let segments = cut(&data, Cut::Equal { segments: 2 }).unwrap();
        let device = crate::device::Device::cpu();
        let mut scall = Scall::over(&device, data, segments, Box::new(Uniform), options()).unwrap();
        while scall.step(|_| {}).unwrap().is_some() {}
        assert!(scall.report().iter().all(|report| report.exposures.is_none()));
    }
}

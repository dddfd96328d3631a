//! A caller's own size policy: what it gets wrong is said before anything moves.

use std::sync::{Arc, Mutex};

use scall_gpu::device::Device;
use scall_gpu::file::State;
use scall_gpu::sizing::{Amount, Budget, Outcome, Probe, SizePolicy, Sizes, SizingContext, Uniform};
use scall_gpu::{Error, ProbeOptions, Result, Scall, ScallOptions};

type Edit = fn(&mut Sizes);

/// Where a policy is wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    Decide,
    Admit,
    Probe,
    ProbeAll,
}

/// Uniform sizes but for an edit.
struct Own {
    when: When,
    edit: Edit,
    exact: bool,
}

impl Own {
    fn sizes(&self, context: &SizingContext<'_>, when: When) -> Result<Sizes> {
        let mut sizes = Uniform.decide(context)?;
        if when == self.when {
            (self.edit)(&mut sizes);
        }
        Ok(sizes)
    }
}

impl SizePolicy for Own {
    fn name(&self) -> &'static str {
        "own"
    }

    fn is_exact(&self) -> bool {
        self.exact
    }

    fn searches(&self) -> bool {
        true
    }

    fn search(&mut self, last: &SizingContext<'_>, probe: &mut dyn Probe) -> Result<()> {
        let (one, all) = (self.sizes(last, When::Probe)?, self.sizes(last, When::ProbeAll)?);
        let Outcome { quality, of_users, .. } = probe.run(&one)?;
        let outcomes = probe.run_all(&[one, all])?;
        assert_eq!((outcomes[0].quality, &outcomes[0].of_users), (quality, &of_users));
        // All probes rank for the same users, and their qualities make up that of the probe.
        assert!(!of_users.is_empty() && outcomes[1].of_users.len() == of_users.len());
        let mean = of_users.iter().map(|&of_user| f64::from(of_user)).sum::<f64>() / of_users.len() as f64;
        assert!((mean - quality).abs() < 1e-6, "{mean} and {quality}");
        assert!(outcomes[1].relative_to(&outcomes[0])?.error.is_finite());
        Ok(())
    }

    fn decide(&mut self, context: &SizingContext<'_>) -> Result<Sizes> {
        self.sizes(context, When::Decide)
    }

    fn admit(&mut self, context: &SizingContext<'_>) -> Result<Sizes> {
        self.sizes(context, When::Admit)
    }

    fn save(&self) -> Result<State> {
        Ok(State::default())
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        state.only(&[])
    }
}

fn scall(own: Own) -> Scall {
    let options = ScallOptions {
        steps: 3,
        probe: ProbeOptions { steps: 2, ..ProbeOptions::default() },
        ..ScallOptions::new(Budget::new(Amount::MeanSize(8.0)))
    };
    Scall::new(&Device::cpu(), Box::new(own), options).unwrap()
}

/// 7 users and 5 items, 8 values each on average: 91 dims, and a bias an item.
fn rows(from: i64) -> impl Iterator<Item = (String, String, i64)> {
    (from..from + 40).map(|n| (format!("u{}", n % 7), format!("i{}", n % 5), n))
}

/// The error of a policy that is wrong there, once all its other answers were right.
fn refusal(own: Own) -> (Error, Scall) {
    let when = own.when;
    let mut scall = scall(own);
    scall.observe(rows(0)).unwrap();
    scall.step(|_| {}).unwrap().unwrap();
    scall.observe(rows(40)).unwrap();
    let before = sizes(&scall);
    let error = match when {
        When::Admit => {
            scall.step(|_| {}).unwrap().unwrap();
            let before = sizes(&scall);
            let error = scall.observe([("u7", "i1", 80)]).unwrap_err();
            assert_eq!(sizes(&scall), before, "no table has changed");
            error
        }
        _ => {
            let error = scall.step(|_| {}).unwrap_err();
            assert_eq!(sizes(&scall), before, "no table has changed");
            error
        }
    };
    (error, scall)
}

fn sizes(scall: &Scall) -> (Vec<u32>, Vec<u32>, u64) {
    let tables = scall.model().embeddings();
    let sizes = |table: &scall_gpu::table::RaggedTable| table.sizes().collect();
    (sizes(tables.users()), sizes(tables.items()), tables.users().account().used_bytes())
}

#[test]
fn sizes_that_are_wrong_are_errors_that_name_the_policy_and_the_entity() {
    // With the eighth user 99 dims. Uniform sizes are 8 and 7 dims.
    let cases: [(Edit, &str, &str); 9] = [
        (|sizes| sizes.users[0] += 1, "sizes that add up to {} dims", "{+1}, more than that from items[4] on"),
        (|sizes| sizes.items[4] += 2, "sizes that add up to {} dims", "{+2}, more than that from items[4] on"),
        (|sizes| sizes.users[2] -= 1, "sizes that add up to {} dims", "{-1}"),
        (
            |sizes| sizes.users.truncate(sizes.users.len() - 1),
            "a size for each of {users} users",
            "none for users[{last}]",
        ),
        (|sizes| sizes.users.push(1), "a size for each of {users} users", "another for users[{users}]"),
        (|sizes| sizes.items.truncate(2), "a size for each of 5 items", "none for items[2]"),
        (|sizes| sizes.items.push(0), "a size for each of 5 items", "another for items[5]"),
        (|sizes| sizes.users[3] = 65, "from 1 to 64 dims for users[3]", "65"),
        (|sizes| sizes.items[1..].fill(0), "from 1 to 64 dims for items[1]", "0"),
    ];
    for when in [When::Decide, When::Admit, When::Probe, When::ProbeAll] {
        for (edit, expected, found) in cases {
            let (users, total) = if when == When::Admit { (8, 99) } else { (7, 91) };
            if matches!(when, When::Probe | When::ProbeAll) && found == "{-1}" {
                continue;
            }
            let filled = |text: &str| {
                let text = text.replace("{users}", &users.to_string()).replace("{last}", &(users - 1).to_string());
                let text = text.replace("{+1}", &(total + 1).to_string()).replace("{+2}", &(total + 2).to_string());
                text.replace("{-1}", &(total - 1).to_string()).replace("{}", &total.to_string())
            };
            let (error, _) = refusal(Own { when, edit, exact: true });
            assert!(matches!(error, Error::BadSizes { policy: "own", .. }), "{when:?}: {error}");
            let text = format!("size policy `own`: expected {}, found {}", filled(expected), filled(found));
            assert_eq!(error.to_string(), text, "{when:?}");
        }
    }
}

#[test]
fn a_policy_that_is_not_exact_may_leave_dims_and_not_pass_the_budget() {
    let (error, _) = refusal(Own { when: When::Decide, edit: |sizes| sizes.users[0] += 1, exact: false });
    assert!(matches!(error, Error::OverBudget { needed: 92, budget: 91, unit: "parameters" }), "{error}");
    let (error, _) = refusal(Own { when: When::Decide, edit: |sizes| sizes.users[0] = 65, exact: false });
    assert!(matches!(error, Error::BadSizes { policy: "own", .. }), "{error}");

    let mut scall = scall(Own { when: When::Decide, edit: |sizes| sizes.users[0] = 1, exact: false });
    for t in 0..2 {
        scall.observe(rows(40 * t)).unwrap();
        let report = scall.step(|_| {}).unwrap().unwrap();
        assert_eq!(report.params == report.budget_params, t == 0);
    }
    assert_eq!(scall.model().embeddings().users().size(0), 1);
}

/// Sizes that depend on how often it was asked, and one failure in each of some places.
struct Flaky {
    asked: u32,
    failures: Arc<Mutex<Vec<(usize, When)>>>,
}

impl Flaky {
    /// Fails once in each of its places, after it has changed.
    fn fails(&mut self, segment: usize, when: When) -> bool {
        self.asked += 1;
        let mut failures = self.failures.lock().unwrap();
        let before = failures.len();
        failures.retain(|place| *place != (segment, when));
        failures.len() < before
    }

    fn sizes(&self, context: &SizingContext<'_>) -> Result<Sizes> {
        let mut sizes = Uniform.decide(context)?;
        let users = sizes.users.len();
        sizes.users[self.asked as usize % users] -= 1;
        sizes.users[(self.asked as usize + 3) % users] += 1;
        Ok(sizes)
    }
}

fn broken() -> Error {
    Error::NoGpu { reason: "broken".into() }
}

impl SizePolicy for Flaky {
    fn name(&self) -> &'static str {
        "flaky"
    }

    fn searches(&self) -> bool {
        true
    }

    fn search(&mut self, last: &SizingContext<'_>, probe: &mut dyn Probe) -> Result<()> {
        for _ in 0..2 {
            let better = probe.run(&self.sizes(last)?)?.quality > 0.0;
            self.asked += u32::from(better);
        }
        if self.fails(last.segment, When::Probe) { Err(broken()) } else { Ok(()) }
    }

    fn decide(&mut self, context: &SizingContext<'_>) -> Result<Sizes> {
        if self.fails(context.segment, When::Decide) {
            return Err(broken());
        }
        let mut sizes = self.sizes(context)?;
        if self.fails(context.segment, When::Admit) {
            sizes.items[0] = 0;
        }
        Ok(sizes)
    }

    fn admit(&mut self, context: &SizingContext<'_>) -> Result<Sizes> {
        self.sizes(context)
    }

    fn save(&self) -> Result<State> {
        let mut state = State::default();
        state.put("asked", [self.asked]);
        Ok(state)
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.asked = state.one("asked")?;
        Ok(())
    }
}

/// Reports and values of four segments, the step repeated until it goes well; and how often it did not.
fn run(failures: &[(usize, When)]) -> (Vec<String>, Vec<u32>, usize) {
    let failures = Arc::new(Mutex::new(failures.to_vec()));
    let options = ScallOptions {
        steps: 6,
        probe: ProbeOptions { steps: 3, ..ProbeOptions::default() },
        ..ScallOptions::new(Budget::new(Amount::MeanSize(8.0)))
    };
    let mut scall = Scall::new(&Device::cpu(), Box::new(Flaky { asked: 0, failures }), options).unwrap();
    let (mut reports, mut failed) = (Vec::new(), 0);
    for t in 0..4 {
        scall.observe(rows(40 * t)).unwrap();
        let report = loop {
            let before = sizes(&scall);
            match scall.step(|_| {}) {
                Ok(report) => break report.unwrap(),
                Err(_) => {
                    failed += 1;
                    assert_eq!(sizes(&scall), before);
                    // Lists can be asked for all the same.
                    scall.recommend("u1", 3).unwrap();
                }
            }
        };
        let (test, all) = (report.test_candidates, report.all_candidates);
        let resized = report.resized;
        reports.push(format!("{} {} {test:?} {all:?} {resized:?}", report.probes, report.loss));
    }
    let tables = scall.model().embeddings();
    let values = [tables.users(), tables.items()].map(|table| table.read().unwrap()).concat();
    (reports, values.into_iter().map(f32::to_bits).collect(), failed)
}

/// A search that fails, a decision that fails, and one that is refused: the step is repeated as if nothing had been.
#[test]
fn a_step_that_fails_before_rows_move_can_be_repeated() {
    let (reports, values, failed) = run(&[]);
    assert_eq!(failed, 0);
    let all = [(0, When::Probe), (1, When::Decide), (2, When::Admit), (2, When::Probe), (3, When::Decide)];
    for failures in [&all[..], &all[..1], &all[1..2], &all[2..3]] {
        let again = run(failures);
        assert_eq!(again.2, failures.len());
        assert_eq!(again.0, reports, "{failures:?}");
        assert!(again.1 == values, "other values after {failures:?}");
    }
}

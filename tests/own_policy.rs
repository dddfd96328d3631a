//! A caller's own size policy: what it gets wrong is said before anything moves.

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
        let Outcome { quality, .. } = probe.run(&one)?;
        assert_eq!(probe.run_all(&[one, all])?[0].quality, quality);
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

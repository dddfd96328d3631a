//! The same stream by other sizes, and by rankings without embeddings, to compare with.

use std::process::ExitCode;
use std::time::Instant;

use scall_gpu::run::Config;
use scall_gpu::sizing::PolicyOptions;
use scall_gpu::{Error, Phase, Result, Summary, follow};
use serde::Serialize;

use super::args::Args;
use super::output;
use super::probes;
use super::report::{Coherence, Found, Quality};
use super::running::Running;
use crate::common::{Interrupt, ended, print, width, wrapped};
use crate::compare::Counting;

/// What `--against` takes for nothing.
const NONE: &str = "none";

/// What a page is drawn against.
const USUAL: [Rival; 2] = [Rival::Policy("uniform"), Rival::Counting(Counting::Decayed)];

/// Who a run is compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rival {
    /// The same run with the sizes of this policy.
    Policy(&'static str),
    Counting(Counting),
}

/// What a rival found.
#[derive(Serialize)]
pub struct Against {
    pub name: String,
    /// Of the whole stream, reading not included.
    pub seconds: f64,
    pub segments: Vec<Ranked>,
    /// Over t >= 1, as the run's own.
    pub mean: Option<Quality>,
    #[serde(skip)]
    pub summary: Option<Summary>,
}

/// How well it ranked after a segment.
#[derive(Serialize)]
pub struct Ranked {
    t: usize,
    test_users: usize,
    #[serde(flatten)]
    quality: Quality,
    /// Of a policy's run, where that is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    coherence: Option<Coherence>,
}

impl Ranked {
    fn new(t: usize, test: Found<'_>, all: Found<'_>) -> Self {
        Self { t, test_users: test.0.users, quality: Quality::of(test, all), coherence: None }
    }
}

impl Rival {
    /// Its name for a person.
    pub fn name(self) -> &'static str {
        match self {
            Self::Policy(name) => name,
            Self::Counting(counting) => counting.name(),
        }
    }

    /// Its name on the command line.
    fn flag(self) -> &'static str {
        match self {
            Self::Policy(name) => name,
            Self::Counting(Counting::Popularity) => "popularity",
            Self::Counting(Counting::Recent) => "recent-popularity",
            Self::Counting(Counting::Decayed) => "decayed-popularity",
            Self::Counting(Counting::Knn) => "item-knn",
        }
    }

    /// All that there are in this build.
    fn all() -> Vec<Self> {
        let policies = PolicyOptions::NAMES.iter().filter(|name| PolicyOptions::from_name(name).is_ok());
        policies.map(|&name| Self::Policy(name)).chain(Counting::ALL.map(Self::Counting)).collect()
    }

    /// The names that the flag takes.
    pub fn flags() -> Vec<&'static str> {
        std::iter::once(NONE).chain(Self::all().into_iter().map(Self::flag)).collect()
    }

    /// Those that the flags ask for, each once, in their order.
    ///
    /// # Errors
    /// For the policy of the run itself, and for `none` next to others.
    pub fn asked(args: &Args, config: &Config) -> Result<Vec<Self>> {
        let own = &config.policy.name;
        let Some(names) = &args.against else {
            let usual = USUAL.into_iter().filter(|rival| args.html.is_some() && rival.name() != own);
            return Ok(usual.collect());
        };
        let refused = |expected: String, got: &str| Error::Argument {
            op: "stream",
            arg: "--against",
            expected,
            got: got.to_owned(),
        };
        if names.iter().any(|name| name == NONE) {
            return match names.as_slice() {
                [_] => Ok(Vec::new()),
                _ => Err(refused(format!("{NONE} alone, or names without it"), &names.join(","))),
            };
        }
        let mut asked = Vec::new();
        for rival in Self::all().into_iter().filter(|rival| names.iter().any(|name| name == rival.flag())) {
            if rival == Self::Policy(rival.name()) && rival.name() == own {
                return Err(refused("another policy than that of the run".to_owned(), own));
            }
            asked.push(rival);
        }
        Ok(asked)
    }

    /// The run with its policy, where it is one.
    fn policy(self, config: &Config) -> Result<Option<Config>> {
        match self {
            Self::Policy(name) => config.with_policy(name).map(Some),
            Self::Counting(_) => Ok(None),
        }
    }

    /// Takes it through the whole stream; `progress` hears of the segment and what happens in it. None where somebody
    /// wants the program to end before.
    ///
    /// # Errors
    /// What the run reports.
    fn run(
        self,
        running: &Running,
        half_life: f64,
        interrupt: &Interrupt,
        mut progress: impl FnMut(usize, Phase),
    ) -> Result<Option<Against>> {
        let Running { config, device, scall, .. } = running;
        let data = scall.data();
        let _span = tracing::debug_span!(target: scall_gpu::spans::SPANS, "against", name = self.name()).entered();
        let begin = Instant::now();
        let (segments, summary) = match self {
            Self::Policy(name) => {
                // The run's own data: it may have come from a checkpoint or a pipe.
                let mut scall = config.with_policy(name)?.build_on(device, data.clone())?;
                loop {
                    if interrupt.asked() {
                        return Ok(None);
                    }
                    let (t, _) = scall.progress();
                    if scall.step(|phase| progress(t, phase))?.is_none() {
                        break;
                    }
                }
                let of = scall.report().iter();
                let ranked = of.map(|of| {
                    let test = (&of.test_candidates, &of.test_catalogue);
                    let ranked = Ranked::new(of.t, test, (&of.all_candidates, &of.all_catalogue));
                    Ranked { coherence: of.coherence.as_ref().map(Coherence::from), ..ranked }
                });
                (ranked.collect(), Summary::of(scall.report()))
            }
            Self::Counting(counting) => {
                if interrupt.asked() {
                    return Ok(None);
                }
                let baseline = &mut *counting.build(half_life);
                let followed = follow(data, &config.segments(data)?, config.train_share, &config.cutoffs, baseline)?;
                let test = followed.test_candidates.iter().zip(&followed.test_catalogue);
                let all = followed.all_candidates.iter().zip(&followed.all_catalogue);
                let ranked = test.zip(all).enumerate().map(|(t, (test, all))| Ranked::new(t, test, all));
                (ranked.collect(), followed.summary())
            }
        };
        let mean = summary.as_ref().map(Quality::of_mean);
        let (name, seconds) = (self.name().to_owned(), begin.elapsed().as_secs_f64());
        Ok(Some(Against { name, seconds, segments, mean, summary }))
    }
}

/// Takes rivals through the stream of a run that is done, and prints how well they ranked. The exit code, by whether
/// all have come to their end, is the second. What the others found is there in any case.
pub fn all(
    args: &Args,
    running: &Running,
    rivals: &[Rival],
    interrupt: &Interrupt,
) -> (Vec<Against>, Result<ExitCode>) {
    let mut found = Vec::with_capacity(rivals.len());
    let ended = each(args, running, rivals, interrupt, &mut found);
    (found, ended)
}

fn each(
    args: &Args,
    running: &Running,
    rivals: &[Rival],
    interrupt: &Interrupt,
    found: &mut Vec<Against>,
) -> Result<ExitCode> {
    let Running { config, scall, .. } = running;
    let (steps, (_, segments)) = (config.steps()?, scall.progress());
    let half_life = args.setup.training.half_life.or(config.model.half_life).unwrap_or(Counting::HALF_LIFE);
    for rival in rivals {
        let probes = rival.policy(config)?.map_or(Ok([0; 2]), |config| probes(&config))?;
        let progress = output::Run::new((0, segments), steps, probes);
        let ran = rival.run(running, half_life, interrupt, |t, phase| progress.show(t, phase));
        drop(progress);
        let Some(against) = ran? else {
            return Ok(ended(&format!("the run is done; {} and what follows is not compared with", rival.name())));
        };
        let first = if found.is_empty() { "\n" } else { "" };
        print(&wrapped(&format!("{first}{}", output::against(&against)), width()));
        found.push(against);
    }
    Ok(ExitCode::SUCCESS)
}

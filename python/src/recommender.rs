//! A recommender that follows a stream.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use scall_gpu::file::Checkpoints;
use scall_gpu::run::{Config, RecommendOptions, Scored};
use scall_gpu::stream::{Interactions, Names, ReadReport};
use scall_gpu::table::RaggedTable;
use scall_gpu::{Error, Result, Scall, Summary};
use serde_json::{Value, json};

use crate::error::raised;
use crate::report;
use crate::table::Device;

/// The streaming loop and how it was configured.
#[pyclass(frozen)]
pub struct Recommender {
    config: Config,
    scall: Mutex<Scall>,
    /// Who takes a step, and may call what is told of its progress meanwhile.
    stepping: Mutex<Option<ThreadId>>,
}

/// Names, best first, and their scores.
type List<'py> = (Vec<String>, Bound<'py, PyArray1<f32>>);

fn owned(scored: Vec<Scored<'_>>) -> Vec<(String, f32)> {
    scored.into_iter().map(|of| (of.name.to_owned(), of.score)).collect()
}

fn array<'py>(py: Python<'py>, scored: Vec<(String, f32)>) -> List<'py> {
    let (names, scores): (Vec<String>, Vec<f32>) = scored.into_iter().unzip();
    (names, scores.into_pyarray(py))
}

impl Recommender {
    fn of(config: Config, scall: Scall) -> Self {
        Self { config, scall: Mutex::new(scall), stepping: Mutex::new(None) }
    }

    fn lock(&self) -> MutexGuard<'_, Scall> {
        self.scall.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stepping(&self) -> MutexGuard<'_, Option<ThreadId>> {
        self.stepping.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Without the interpreter: a step of another thread, which has to end first, wants it for its progress.
    fn with<T: Send>(&self, py: Python<'_>, work: impl FnOnce(&mut Scall) -> Result<T> + Send) -> PyResult<T> {
        if *self.stepping() == Some(std::thread::current().id()) {
            let said = "a recommender can't be asked from within its own progress function";
            return Err(PyRuntimeError::new_err(said));
        }
        py.detach(|| work(&mut self.lock())).map_err(raised)
    }

    /// Names, sizes and values of the rows of one side.
    #[allow(clippy::type_complexity)]
    fn rows<'py>(
        &self,
        py: Python<'py>,
        of: fn(&Scall) -> (&RaggedTable, &Names),
    ) -> PyResult<(Vec<String>, Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<f32>>)> {
        let (names, sizes, values) = self.with(py, |scall| {
            let (table, names) = of(scall);
            let names: Vec<String> = names.iter().take(table.rows() as usize).map(str::to_owned).collect();
            Ok((names, table.sizes().collect::<Vec<u32>>(), table.read()?))
        })?;
        Ok((names, sizes.into_pyarray(py), values.into_pyarray(py)))
    }
}

/// Says that this thread takes a step, as long as it lives.
struct Stepping<'a>(&'a Recommender);

impl<'a> Stepping<'a> {
    fn of(recommender: &'a Recommender) -> Self {
        *recommender.stepping() = Some(std::thread::current().id());
        Self(recommender)
    }
}

impl Drop for Stepping<'_> {
    fn drop(&mut self) {
        *self.0.stepping() = None;
    }
}

fn read_config(text: &str) -> PyResult<Config> {
    let config = Config::from_json(text).map_err(raised)?;
    config.check().map_err(raised)?;
    Ok(config)
}

/// Rows of three columns, which have to be of one length.
fn rows<'a>(
    users: &'a [String],
    items: &'a [String],
    times: &'a [i64],
) -> Result<impl Iterator<Item = (&'a str, &'a str, i64)> + Clone> {
    for (arg, len) in [("items", items.len()), ("times", times.len())] {
        if len != users.len() {
            let (expected, got) = (users.len() as u64, len as u64);
            return Err(Error::Shape { op: "Recommender", arg, expected, got });
        }
    }
    Ok(users.iter().zip(items).zip(times).map(|((user, item), &time)| (user.as_str(), item.as_str(), time)))
}

/// What was read, for a person.
fn words(report: &ReadReport) -> String {
    report.to_string()
}

#[pymethods]
impl Recommender {
    /// At the beginning of a live stream.
    #[new]
    fn new(py: Python<'_>, config: &str, device: &Device) -> PyResult<Self> {
        let config = read_config(config)?;
        let scall = py.detach(|| Scall::new(&device.0, config.policy()?, config.scall_options()?));
        Ok(Self::of(config, scall.map_err(raised)?))
    }

    /// At the beginning of a recorded stream, cut as the configuration says.
    #[staticmethod]
    fn over(
        py: Python<'_>,
        config: &str,
        device: &Device,
        users: Vec<String>,
        items: Vec<String>,
        times: PyReadonlyArray1<'_, i64>,
    ) -> PyResult<Self> {
        let (config, times) = (read_config(config)?, times.as_slice()?);
        let scall = py.detach(|| {
            let data = Interactions::from_rows(rows(&users, &items, times)?)?;
            config.build_on(&device.0, data)
        });
        Ok(Self::of(config, scall.map_err(raised)?))
    }

    /// The same, of the files that the configuration names. Also says what was read.
    #[staticmethod]
    fn over_files(py: Python<'_>, config: &str, device: &Device) -> PyResult<(Self, String)> {
        let config = read_config(config)?;
        let built = py.detach(|| {
            let (data, report) = config.read_and_report()?;
            Ok((config.build_on(&device.0, data)?, words(&report)))
        });
        let (scall, report) = built.map_err(raised)?;
        Ok((Self::of(config, scall), report))
    }

    #[staticmethod]
    fn load(py: Python<'_>, folder: PathBuf, device: &Device) -> PyResult<Self> {
        let (config, scall) = py.detach(|| kept(&folder, device)).map_err(raised)?;
        Ok(Self::of(config, scall))
    }

    fn save(&self, py: Python<'_>, folder: PathBuf) -> PyResult<()> {
        self.with(py, |scall| {
            let config: Value = serde_json::from_str(&self.config.to_json()?).map_err(Error::other)?;
            // As `scall` keeps it, so that `scall recommend`, `similar`, `export` and `serve` read it too.
            let notes = json!({ "config": config, "data": "rows from Python", "profiles": [] });
            Checkpoints::open(folder)?.save(&scall.state()?, &notes.to_string()).map(drop)
        })
    }

    fn config(&self) -> PyResult<String> {
        self.config.to_json().map_err(raised)
    }

    fn observe(
        &self,
        py: Python<'_>,
        users: Vec<String>,
        items: Vec<String>,
        times: PyReadonlyArray1<'_, i64>,
    ) -> PyResult<()> {
        let times = times.as_slice()?;
        self.with(py, |scall| scall.observe(rows(&users, &items, times)?))
    }

    /// The next segment's report; none where there are no rows. `progress` is called with a phase, what of it is done,
    /// and of how much. What it raises, and an interrupt, is raised once the segment is done.
    fn step<'py>(&self, py: Python<'py>, progress: Option<Py<PyAny>>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let mut raised_meanwhile = None;
        let stepped = self.with(py, |scall| {
            let _stepping = Stepping::of(self);
            scall.step(|phase| {
                if raised_meanwhile.is_some() {
                    return;
                }
                let heard = Python::attach(|py| {
                    if let Some(progress) = &progress {
                        progress.call1(py, report::phase(phase))?;
                    }
                    py.check_signals()
                });
                raised_meanwhile = heard.err();
            })
        });
        match raised_meanwhile {
            Some(error) => Err(error),
            None => stepped?.map(|of| report::segment(py, &of)).transpose(),
        }
    }

    /// Segments done, and given in all.
    fn progress(&self, py: Python<'_>) -> PyResult<(usize, usize)> {
        self.with(py, |scall| Ok(scall.progress()))
    }

    fn reports<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let reports = self.with(py, |scall| Ok(scall.report().to_vec()))?;
        reports.iter().map(|of| report::segment(py, of)).collect()
    }

    fn summary<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let summary = self.with(py, |scall| Ok(Summary::of(scall.report())))?;
        summary.map(|of| report::summary(py, &of)).transpose()
    }

    /// Rows of the stream so far, users, items.
    fn counts(&self, py: Python<'_>) -> PyResult<(usize, u32, u32)> {
        self.with(py, |scall| {
            let data = scall.data();
            Ok((data.len(), data.user_count(), data.item_count()))
        })
    }

    fn has_user(&self, py: Python<'_>, name: &str) -> PyResult<bool> {
        self.with(py, |scall| Ok(scall.data().user_id(name).is_some()))
    }

    fn has_item(&self, py: Python<'_>, name: &str) -> PyResult<bool> {
        self.with(py, |scall| Ok(scall.data().item_id(name).is_some()))
    }

    /// For each user whether it has a row, the items' names and their scores.
    #[pyo3(signature = (users, k, among, without, known_items))]
    #[allow(clippy::type_complexity)]
    fn recommend<'py>(
        &self,
        py: Python<'py>,
        users: Vec<String>,
        k: u32,
        among: Option<Vec<String>>,
        without: Vec<String>,
        known_items: bool,
    ) -> PyResult<Vec<(bool, Vec<String>, Bound<'py, PyArray1<f32>>)>> {
        fn borrowed(names: &[String]) -> Vec<&str> {
            names.iter().map(String::as_str).collect()
        }
        let lists = self.with(py, |scall| {
            let (users, without) = (borrowed(&users), borrowed(&without));
            let among = among.as_deref().map(borrowed);
            let options = RecommendOptions { k, among: among.as_deref(), without: &without, known_items };
            let lists = scall.recommend_batch(&users, options)?;
            Ok(lists.into_iter().map(|list| (list.known, owned(list.items))).collect::<Vec<_>>())
        })?;
        let list = |(known, scored)| {
            let (names, scores) = array(py, scored);
            (known, names, scores)
        };
        Ok(lists.into_iter().map(list).collect())
    }

    fn similar_items<'py>(&self, py: Python<'py>, item: &str, k: u32) -> PyResult<List<'py>> {
        let scored = self.with(py, |scall| Ok(owned(scall.similar_items(item, k)?)))?;
        Ok(array(py, scored))
    }

    fn similar_users<'py>(&self, py: Python<'py>, user: &str, k: u32) -> PyResult<List<'py>> {
        let scored = self.with(py, |scall| Ok(owned(scall.similar_users(user, k)?)))?;
        Ok(array(py, scored))
    }

    #[allow(clippy::type_complexity)]
    fn user_rows<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Vec<String>, Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<f32>>)> {
        self.rows(py, |scall| (scall.model().embeddings().users(), scall.data().user_names()))
    }

    #[allow(clippy::type_complexity)]
    fn item_rows<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Vec<String>, Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<f32>>)> {
        self.rows(py, |scall| (scall.model().embeddings().items(), scall.data().item_names()))
    }

    fn item_bias(&self, py: Python<'_>) -> PyResult<bool> {
        self.with(py, |scall| Ok(scall.model().embeddings().item_bias()))
    }
}

/// A checkpoint that this package or `scall` wrote.
fn kept(folder: &Path, device: &Device) -> Result<(Config, Scall)> {
    if !folder.is_dir() {
        return Err(Error::Io { file: folder.to_owned(), source: std::io::ErrorKind::NotFound.into() });
    }
    let bad = |expected: &str, found: String| Error::BadFile {
        file: folder.to_owned(),
        expected: expected.to_owned(),
        found,
    };
    let latest = Checkpoints::open(folder)?.latest()?.ok_or_else(|| bad("a checkpoint", "none".to_owned()))?;
    let expected = "a checkpoint with its configuration";
    let notes: Value = serde_json::from_str(&latest.notes).map_err(|error| bad(expected, error.to_string()))?;
    let config = notes.get("config").ok_or_else(|| bad(expected, "one without".to_owned()))?;
    let config = Config::from_json(&config.to_string())?;
    let scall = Scall::restore(&device.0, config.policy()?, config.scall_options()?, latest.state)?;
    Ok((config, scall))
}

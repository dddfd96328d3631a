//! Reports as dictionaries.

use std::collections::BTreeMap;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use scall_gpu::eval::{AtCutoff, CatalogueAtCutoff, CatalogueMetrics, Exposures, Metrics};
use scall_gpu::run::Held;
use scall_gpu::{Phase, SegmentReport, Summary};

/// Numbers by name.
fn numbers<'py, V: IntoPyObject<'py>>(
    py: Python<'py>,
    pairs: impl IntoIterator<Item = (&'static str, V)>,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    pairs.into_iter().try_for_each(|(name, number)| dict.set_item(name, number))?;
    Ok(dict)
}

/// Metrics by cutoff, each by name.
fn metrics<'py>(py: Python<'py>, of: &Metrics, catalogue: &CatalogueMetrics) -> PyResult<Bound<'py, PyDict>> {
    let all = PyDict::new(py);
    let listed: &BTreeMap<u32, CatalogueAtCutoff> = &catalogue.by_cutoff;
    for (cutoff, at) in &of.by_cutoff {
        let named = numbers(py, AtCutoff::NAMES.into_iter().zip(at.values()))?;
        if let Some(at) = listed.get(cutoff) {
            named.update(numbers(py, CatalogueAtCutoff::NAMES.into_iter().zip(at.values()))?.as_mapping())?;
        }
        all.set_item(cutoff, named)?;
    }
    Ok(all)
}

fn held(py: Python<'_>, of: Held) -> PyResult<Bound<'_, PyDict>> {
    let total = of.total();
    let Held { values, optimizer, directory, samples, layers, history, stream, names, working } = of;
    numbers(
        py,
        [
            ("total", total),
            ("values", values),
            ("optimizer", optimizer),
            ("directory", directory),
            ("samples", samples),
            ("layers", layers),
            ("history", history),
            ("stream", stream),
            ("names", names),
            ("working", working),
        ],
    )
}

/// Whether clicks score above non-clicks; none where the stream has no non-clicks.
fn exposures(py: Python<'_>, of: Option<Exposures>) -> PyResult<Option<Bound<'_, PyDict>>> {
    let Some(Exposures { auc, users }) = of else { return Ok(None) };
    let dict = numbers(py, [("users", users)])?;
    dict.set_item("auc", auc)?;
    Ok(Some(dict))
}

/// What happened in a segment.
pub fn segment<'py>(py: Python<'py>, of: &SegmentReport) -> PyResult<Bound<'py, PyDict>> {
    let dict = numbers(
        py,
        [
            ("segment", of.t as u64),
            ("users", of.users.into()),
            ("items", of.items.into()),
            ("interactions", of.interactions as u64),
            ("probes", of.probes.into()),
            ("params", of.params),
            ("budget_params", of.budget_params),
            ("budget_bytes", of.budget_bytes),
            ("counted_bytes", of.counted_bytes),
            ("steps", of.steps.into()),
            ("grown_rows", of.resized.grown_rows.into()),
            ("shrunk_rows", of.resized.shrunk_rows.into()),
            ("new_rows", of.resized.new_rows),
            ("test_users", of.test_candidates.users as u64),
        ],
    )?;
    dict.set_item("loss", of.loss)?;
    dict.set_item("l2", of.l2)?;
    dict.set_item("seconds", of.seconds.total())?;
    dict.set_item("held_bytes", held(py, of.held)?)?;
    dict.set_item("exposures", exposures(py, of.exposures)?)?;
    dict.set_item("among_test_items", metrics(py, &of.test_candidates, &of.test_catalogue)?)?;
    dict.set_item("among_all_items", metrics(py, &of.all_candidates, &of.all_catalogue)?)?;
    Ok(dict)
}

/// The mean of all segments after the first.
pub fn summary<'py>(py: Python<'py>, of: &Summary) -> PyResult<Bound<'py, PyDict>> {
    let dict = numbers(py, [("segments", of.segments)])?;
    dict.set_item("among_test_items", metrics(py, &of.test_candidates, &of.test_catalogue)?)?;
    dict.set_item("among_all_items", metrics(py, &of.all_candidates, &of.all_catalogue)?)?;
    Ok(dict)
}

/// Name of a phase, and how much of it is done of how much.
pub fn phase(of: Phase) -> (&'static str, u32, Option<u32>) {
    match of {
        Phase::Search { probes } => ("search", probes, None),
        Phase::Size => ("size", 0, None),
        Phase::Resize => ("resize", 0, None),
        Phase::Regularize { probes } => ("regularize", probes, None),
        Phase::Train { done, steps } => ("train", done, Some(steps)),
        Phase::Evaluate => ("evaluate", 0, None),
        _ => ("other", 0, None),
    }
}

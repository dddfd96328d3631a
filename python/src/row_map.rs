//! Keys and their rows.

use std::sync::{Mutex, MutexGuard, PoisonError};

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use scall_gpu::table::{self, Evicted, RowMapOptions};

use crate::error::raised;

/// Gives keys rows of their own.
#[pyclass(frozen)]
pub struct RowMap(Mutex<table::RowMap>);

/// Rows that stay with their keys until they are released.
#[pyclass(frozen)]
pub struct HeldRows(Mutex<Option<table::HeldRows>>);

type Keys<'py> = Bound<'py, PyArray1<u64>>;
type Rows<'py> = Bound<'py, PyArray1<u32>>;

impl RowMap {
    pub fn of(map: table::RowMap) -> Self {
        Self(Mutex::new(map))
    }

    pub fn lock(&self) -> MutexGuard<'_, table::RowMap> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keys and the rows that they had.
fn left(py: Python<'_>, evicted: Vec<Evicted>) -> (Keys<'_>, Rows<'_>) {
    let (keys, rows): (Vec<u64>, Vec<u32>) = evicted.into_iter().map(|of| (of.key, of.row)).unzip();
    (keys.into_pyarray(py), rows.into_pyarray(py))
}

#[pymethods]
impl RowMap {
    #[new]
    fn new(capacity: u32, half_life: f64) -> PyResult<Self> {
        table::RowMap::new(capacity, RowMapOptions { half_life }).map(Self::of).map_err(raised)
    }

    #[staticmethod]
    fn default_half_life() -> f64 {
        RowMapOptions::default().half_life
    }

    fn capacity(&self) -> u32 {
        self.lock().capacity()
    }

    fn half_life(&self) -> f64 {
        self.lock().options().half_life
    }

    fn len(&self) -> usize {
        self.lock().len()
    }

    fn rows(&self) -> u32 {
        self.lock().rows()
    }

    fn bytes(&self) -> u64 {
        self.lock().bytes()
    }

    /// Rows, fresh rows, keys that left, and their rows.
    #[allow(clippy::type_complexity)]
    fn assign<'py>(
        &self,
        py: Python<'py>,
        keys: PyReadonlyArray1<'_, u64>,
    ) -> PyResult<(Rows<'py>, Rows<'py>, Keys<'py>, Rows<'py>)> {
        let keys = keys.as_slice()?;
        let assigned = py.detach(|| self.lock().assign(keys)).map_err(raised)?;
        let (evicted, from) = left(py, assigned.evicted);
        Ok((assigned.rows.into_pyarray(py), assigned.fresh.into_pyarray(py), evicted, from))
    }

    /// The row of each key, -1 for one without.
    fn get<'py>(&self, py: Python<'py>, keys: PyReadonlyArray1<'_, u64>) -> PyResult<Bound<'py, PyArray1<i64>>> {
        let keys = keys.as_slice()?;
        let rows: Vec<i64> = py.detach(|| {
            let map = self.lock();
            keys.iter().map(|&key| map.get(key).map_or(-1, i64::from)).collect()
        });
        Ok(rows.into_pyarray(py))
    }

    /// How often each key came lately, 0 for one without a row.
    fn frequency<'py>(&self, py: Python<'py>, keys: PyReadonlyArray1<'_, u64>) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let keys = keys.as_slice()?;
        let frequencies: Vec<f64> = py.detach(|| {
            let map = self.lock();
            keys.iter().map(|&key| map.frequency(key).unwrap_or(0.0)).collect()
        });
        Ok(frequencies.into_pyarray(py))
    }

    /// All keys with a row, and their rows.
    fn items<'py>(&self, py: Python<'py>) -> (Keys<'py>, Rows<'py>) {
        let (keys, rows): (Vec<u64>, Vec<u32>) = self.lock().iter().unzip();
        (keys.into_pyarray(py), rows.into_pyarray(py))
    }

    fn remove(&self, key: u64) -> Option<u32> {
        self.lock().remove(key)
    }

    fn evict<'py>(&self, py: Python<'py>, count: usize) -> (Keys<'py>, Rows<'py>) {
        left(py, self.lock().evict(count))
    }

    fn set_capacity<'py>(&self, py: Python<'py>, capacity: u32) -> PyResult<(Keys<'py>, Rows<'py>)> {
        let evicted = self.lock().set_capacity(capacity).map_err(raised)?;
        Ok(left(py, evicted))
    }

    fn hold(&self, rows: PyReadonlyArray1<'_, u32>) -> PyResult<HeldRows> {
        let held = self.lock().hold(rows.as_slice()?).map_err(raised)?;
        Ok(HeldRows(Mutex::new(Some(held))))
    }

    /// Whether they were held still.
    fn release(&self, held: &HeldRows) -> PyResult<bool> {
        let rows = held.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        match rows {
            Some(rows) => self.lock().release(rows).map(|()| true).map_err(raised),
            None => Ok(false),
        }
    }
}

//! Devices, accounts and tables.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use scall_gpu::device::{self, Buffer};
use scall_gpu::kernels::table::bags::Pooling;
use scall_gpu::kernels::table::optimizer::UpdateRule;
use scall_gpu::rows::Layout;
use scall_gpu::run::DeviceChoice;
use scall_gpu::table::{self, Counts, RaggedTable, TableOptions};

use crate::error::raised;
use crate::row_map::RowMap;

/// Where tables live and kernels run.
#[pyclass(frozen)]
pub struct Device(pub device::Device);

#[pymethods]
impl Device {
    #[new]
    fn new(py: Python<'_>, name: &str) -> PyResult<Self> {
        let choice: DeviceChoice = name.parse().map_err(raised)?;
        py.detach(|| choice.open()).map(Self).map_err(raised)
    }

    fn describe(&self) -> String {
        self.0.describe()
    }

    fn is_gpu(&self) -> bool {
        self.0.as_gpu().is_some()
    }
}

/// Bytes that tables share.
#[pyclass(frozen)]
pub struct Account(pub table::Account);

#[pymethods]
impl Account {
    #[new]
    fn new(capacity: Option<u64>, count_optimizer: bool) -> Self {
        let counts = Counts { optimizer: count_optimizer, metadata: true };
        Self(table::Account::new(capacity.unwrap_or(u64::MAX), counts))
    }

    fn capacity_bytes(&self) -> Option<u64> {
        Some(self.0.capacity_bytes()).filter(|&bytes| bytes != u64::MAX)
    }

    fn used_bytes(&self) -> u64 {
        self.0.used_bytes()
    }

    fn set_capacity(&self, bytes: u64) -> PyResult<()> {
        self.0.set_capacity(bytes).map_err(raised)
    }
}

/// Rows of different sizes, looked up and updated.
#[pyclass(frozen)]
pub struct Table(Mutex<RaggedTable>);

type Floats<'py> = Bound<'py, PyArray1<f32>>;
type Words<'py> = Bound<'py, PyArray1<u32>>;

impl Table {
    pub fn lock(&self) -> MutexGuard<'_, RaggedTable> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Without the interpreter.
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut RaggedTable) -> scall_gpu::Result<T> + Send,
    ) -> PyResult<T> {
        py.detach(|| work(&mut self.lock())).map_err(raised)
    }
}

/// How a table is made.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Options {
    optimizer: String,
    weight_decay: f32,
    max_norm: f32,
    non_finite: String,
    format: String,
    aligned: bool,
    init_std: f32,
    zero_dims: u32,
    seed: u64,
}

impl Options {
    fn table(&self) -> scall_gpu::Result<TableOptions> {
        let Self { weight_decay, max_norm, aligned, init_std, zero_dims, seed, .. } = *self;
        let (optimizer, non_finite) = (self.optimizer.parse()?, self.non_finite.parse()?);
        let rule = UpdateRule { optimizer, weight_decay, max_norm, non_finite };
        let layout = Layout { format: self.format.parse()?, aligned, page_bytes: None };
        Ok(TableOptions { rule, init_std, zero_dims, seed, layout })
    }
}

#[pymethods]
impl Table {
    #[new]
    fn new(
        py: Python<'_>,
        device: &Device,
        sizes: PyReadonlyArray1<'_, u32>,
        options: Options,
        account: &Account,
    ) -> PyResult<Self> {
        let (sizes, options) = (sizes.as_slice()?, options.table().map_err(raised)?);
        let made = py.detach(|| RaggedTable::new(&device.0, sizes, options, &account.0));
        made.map(|table| Self(Mutex::new(table))).map_err(raised)
    }

    #[staticmethod]
    fn load(py: Python<'_>, device: &Device, account: &Account, file: PathBuf) -> PyResult<(Self, Option<RowMap>)> {
        let loaded = py.detach(|| RaggedTable::load_with_ids(&device.0, &account.0, &file));
        let (table, ids) = loaded.map_err(raised)?;
        Ok((Self(Mutex::new(table)), ids.map(RowMap::of)))
    }

    fn save(&self, py: Python<'_>, file: PathBuf, ids: Option<&RowMap>) -> PyResult<()> {
        self.with(py, |table| match ids {
            Some(ids) => table.save_with_ids(&ids.lock(), &file),
            None => table.save(&file),
        })
    }

    fn rows(&self) -> u32 {
        self.lock().rows()
    }

    fn values(&self) -> u64 {
        self.lock().len()
    }

    fn widest(&self) -> u32 {
        self.lock().widest()
    }

    fn steps(&self) -> u32 {
        self.lock().steps()
    }

    fn format(&self) -> &'static str {
        self.lock().options().layout.format.name()
    }

    fn optimizer(&self) -> String {
        self.lock().options().rule.optimizer.to_string()
    }

    /// Values, optimizer state, directory, the most at once in the last resize.
    fn memory(&self) -> [u64; 4] {
        let memory = self.lock().memory();
        [memory.values_bytes, memory.optimizer_bytes, memory.metadata_bytes, memory.peak_bytes]
    }

    fn sizes<'py>(&self, py: Python<'py>) -> Words<'py> {
        self.lock().sizes().collect::<Vec<u32>>().into_pyarray(py)
    }

    fn read<'py>(&self, py: Python<'py>) -> PyResult<Floats<'py>> {
        Ok(self.with(py, |table| table.read())?.into_pyarray(py))
    }

    fn lookup<'py>(&self, py: Python<'py>, ids: PyReadonlyArray1<'_, u32>, dims: u32) -> PyResult<Floats<'py>> {
        let ids = ids.as_slice()?;
        Ok(self.with(py, |table| table.lookup(ids, dims)?.read())?.into_pyarray(py))
    }

    fn lookup_bags<'py>(
        &self,
        py: Python<'py>,
        ids: PyReadonlyArray1<'_, u32>,
        offsets: PyReadonlyArray1<'_, u32>,
        pooling: &str,
        dims: u32,
    ) -> PyResult<Floats<'py>> {
        let (ids, offsets) = (ids.as_slice()?, offsets.as_slice()?);
        let pooling = match pooling {
            "sum" => Pooling::Sum,
            "mean" => Pooling::Mean,
            _ => Pooling::Max,
        };
        Ok(self.with(py, |table| table.lookup_bags(ids, offsets, pooling, dims)?.read())?.into_pyarray(py))
    }

    fn update(
        &self,
        py: Python<'_>,
        ids: PyReadonlyArray1<'_, u32>,
        gradients: PyReadonlyArray1<'_, f32>,
        dims: u32,
    ) -> PyResult<()> {
        let (ids, gradients) = (ids.as_slice()?, gradients.as_slice()?);
        self.with(py, |table| {
            let gradients = Buffer::from_slice(table.device(), gradients)?;
            table.apply_gradients(ids, &gradients, dims)
        })
    }

    fn check_finite(&self, py: Python<'_>) -> PyResult<u32> {
        self.with(py, RaggedTable::check_finite)
    }

    fn store(
        &self,
        py: Python<'_>,
        ids: PyReadonlyArray1<'_, u32>,
        values: PyReadonlyArray1<'_, f32>,
        dims: u32,
    ) -> PyResult<()> {
        let (ids, values) = (ids.as_slice()?, values.as_slice()?);
        self.with(py, |table| {
            let values = Buffer::from_slice(table.device(), values)?;
            table.store_rows(ids, &values, dims)
        })
    }

    fn reset(&self, py: Python<'_>, ids: PyReadonlyArray1<'_, u32>) -> PyResult<()> {
        let ids = ids.as_slice()?;
        self.with(py, |table| table.reset_rows(ids))
    }

    fn resize(&self, py: Python<'_>, sizes: PyReadonlyArray1<'_, u32>) -> PyResult<()> {
        let sizes = sizes.as_slice()?;
        self.with(py, |table| {
            let plan = table.plan(sizes)?;
            table.resize(&plan)
        })
    }

    fn append(&self, py: Python<'_>, sizes: PyReadonlyArray1<'_, u32>) -> PyResult<()> {
        let sizes = sizes.as_slice()?;
        self.with(py, |table| table.append_rows(sizes))
    }

    fn set_learning_rate(&self, rate: f32) -> PyResult<()> {
        self.lock().set_learning_rate(rate).map_err(raised)
    }
}

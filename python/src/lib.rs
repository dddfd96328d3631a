//! scall-gpu for Python: the half that is written in Rust.
//!
//! What people call is in `scall_gpu/*.py`, with its documentation. Classes here take arrays of the right type and
//! nothing else, give the interpreter away while they work, and turn each error of the library into one of Python's.

use pyo3::prelude::*;

mod error;
mod recommender;
mod report;
mod row_map;
mod table;

#[pymodule(name = "_native")]
mod native {
    #[pymodule_export]
    use super::error::{BudgetError, DeviceError, DivergedError, ScallError};
    #[pymodule_export]
    use super::recommender::Recommender;
    #[pymodule_export]
    use super::row_map::{HeldRows, RowMap};
    #[pymodule_export]
    use super::table::{Account, Device, Table};

    use super::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}

//! The library's errors as exceptions.

use pyo3::exceptions::{PyIndexError, PyOSError, PyValueError};
use pyo3::{PyErr, create_exception};
use scall_gpu::Error;

create_exception!(scall_gpu, ScallError, pyo3::exceptions::PyException, "An error of scall-gpu.");
create_exception!(
    scall_gpu,
    BudgetError,
    ScallError,
    "The budget has no room for what was asked for. Nothing has changed."
);
create_exception!(
    scall_gpu,
    DivergedError,
    ScallError,
    "Training has left the finite numbers. A smaller learning rate or more regularisation helps."
);
create_exception!(scall_gpu, DeviceError, ScallError, "There is no such device, it was lost, or it reports an error.");

/// The exception that says an error: Python's own where it has one for it.
pub fn raised(error: Error) -> PyErr {
    let said = error.to_string();
    match error {
        Error::Io { source, file } => match source.raw_os_error() {
            Some(code) => PyOSError::new_err((code, source.to_string(), file.display().to_string())),
            None => PyOSError::new_err(said),
        },
        Error::IdOutOfRange { .. } => PyIndexError::new_err(said),
        Error::Infeasible { .. } | Error::OverBudget { .. } => BudgetError::new_err(said),
        Error::Diverged { .. } | Error::NonFinite { .. } => DivergedError::new_err(said),
        Error::NoGpu { .. } | Error::DeviceLost { .. } | Error::Gpu { .. } => DeviceError::new_err(said),
        Error::Shape { .. }
        | Error::Argument { .. }
        | Error::Limit { .. }
        | Error::BadConfig { .. }
        | Error::BadFile { .. }
        | Error::BadRow { .. }
        | Error::BadState { .. } => PyValueError::new_err(said),
        _ => ScallError::new_err(said),
    }
}

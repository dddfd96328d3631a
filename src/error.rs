//! One error type for the whole crate: fields instead of sentences, so that a caller can match on what went wrong.

use std::path::PathBuf;

use crate::text::printable;

/// What went wrong, with the operator and argument (or file and line), what was expected and what was found.
///
/// Its text is fit for a terminal: what a file or a caller put into it is shown as
/// [`text::printable`](crate::text::printable) does.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An argument has a length or shape that does not fit the others.
    #[error("{op}: `{arg}` has length {got}, expected {expected}")]
    Shape {
        /// The operator, such as `table/lookup`.
        op: &'static str,
        /// The argument's name.
        arg: &'static str,
        /// The length it should have.
        expected: u64,
        /// The length it has.
        got: u64,
    },
    /// An argument has a value outside its domain.
    #[error("{op}: `{arg}` must be {}, got {}", printable(expected), printable(got))]
    Argument {
        /// The operator or constructor.
        op: &'static str,
        /// The argument's name.
        arg: &'static str,
        /// The domain in words.
        expected: String,
        /// The value found.
        got: String,
    },
    /// A row id points past the end of its table.
    #[error("{op}: `{arg}[{position}]` is row {id}, but the table has {rows} rows")]
    IdOutOfRange {
        /// The operator.
        op: &'static str,
        /// The argument's name.
        arg: &'static str,
        /// Where in the argument the id stands.
        position: usize,
        /// The id.
        id: u32,
        /// Rows in the table.
        rows: u64,
    },
    /// More than the device or the number format can address.
    #[error("{op}: `{arg}` needs {requested}, the limit `{limit}` is {allowed}")]
    Limit {
        /// The operator.
        op: &'static str,
        /// The argument's name.
        arg: &'static str,
        /// Name of the limit.
        limit: &'static str,
        /// What the limit allows.
        allowed: u64,
        /// What was asked for.
        requested: u64,
    },
    /// Two arguments live on different devices, or a buffer lacks a usage.
    #[error("{op}: `{arg}` must be {expected}, got {got}")]
    Buffer {
        /// The operator.
        op: &'static str,
        /// The argument's name.
        arg: &'static str,
        /// What the operator needs of the buffer.
        expected: &'static str,
        /// What it is.
        got: String,
    },
    /// No assignment of sizes can meet the budget: the smallest one is larger.
    #[error("infeasible budget: {entities} entities need at least {min} {unit}, the budget is {budget}")]
    Infeasible {
        /// Entities that need a row.
        entities: u64,
        /// The least they need.
        min: u64,
        /// What there is.
        budget: u64,
        /// Unit of `min` and `budget`: `parameters` or `bytes`.
        unit: &'static str,
    },
    /// A table would pass its budget; nothing was moved.
    #[error("over budget: the change needs {needed} {unit}, the budget is {budget}")]
    OverBudget {
        /// What the tables on this budget would hold together.
        needed: u64,
        /// What they may hold.
        budget: u64,
        /// Unit of both: `parameters` or `bytes`.
        unit: &'static str,
    },
    /// A size policy returned sizes that are not what it was asked for; no table has changed.
    #[error("size policy `{policy}`: expected {expected}, found {found}")]
    BadSizes {
        /// The policy's name.
        policy: &'static str,
        /// What it was asked for, and for whom.
        expected: String,
        /// What it returned.
        found: String,
    },
    /// Training has left the finite numbers.
    #[error(
        "training diverged: the loss is {loss} after {steps} steps; a smaller learning rate or more regularisation helps"
    )]
    Diverged {
        /// Steps taken.
        steps: u32,
        /// Mean loss of the last batch.
        loss: f32,
    },
    /// Gradients were not finite, or the steps along them would not have been; those steps were left out.
    #[error(
        "{op}: {count} dims of `{table}` had gradients or steps that are not finite, and stay as they were; a smaller \
         learning rate helps, or a rule that skips or clips them"
    )]
    NonFinite {
        /// What looked.
        op: &'static str,
        /// Whose dims: `users`, `items`, or `users and items` of a recommender, `rows` of a table by itself.
        table: &'static str,
        /// How many dims, each time that it happened (modulo 2^32).
        count: u32,
    },
    /// A resize plan was made for another table or an earlier state of this one.
    #[error(
        "stale resize plan: it starts from {expected_rows} rows and {expected_values} values, the table has {rows} and {values}"
    )]
    StalePlan {
        /// Rows the plan starts from.
        expected_rows: u64,
        /// Values the plan starts from.
        expected_values: u64,
        /// Rows in the table.
        rows: u64,
        /// Values in the table.
        values: u64,
    },
    /// No GPU adapter was found, or it gave no device.
    #[error("no GPU: {reason}")]
    NoGpu {
        /// Why.
        reason: String,
    },
    /// The GPU device was lost; nothing that lives on it can be read any more.
    #[error("GPU device lost: {reason}")]
    DeviceLost {
        /// What the driver said.
        reason: String,
    },
    /// The GPU reported an error (out of memory or validation).
    #[error("GPU error: {message}")]
    Gpu {
        /// What wgpu said.
        message: String,
    },
    /// A [`State`](crate::file::State) is not one of what is to be restored.
    #[error("state `{name}`: expected {expected}, found {found}")]
    BadState {
        /// The entry's name.
        name: String,
        /// What it should hold.
        expected: String,
        /// What it holds.
        found: String,
    },
    /// A [`Config`](crate::run::Config) says something that cannot be run.
    #[error(
        "{}{}:{} expected {}, found {}",
        file.as_ref().map_or("config".to_owned(), printable),
        line.map_or(String::new(), |line| format!(":{line}")),
        if key.is_empty() { String::new() } else { format!(" `{}`:", printable(key)) },
        printable(expected),
        printable(found)
    )]
    BadConfig {
        /// The file, where it was read from one.
        file: Option<PathBuf>,
        /// Line, counted from 1, where it was read from a text.
        line: Option<u64>,
        /// The key as a file has it, such as `model.learning_rate`; empty where no single key is wrong.
        key: String,
        /// What it should say.
        expected: String,
        /// What it says.
        found: String,
    },
    /// A file could not be opened or read.
    #[error("{}: {source}", printable(file))]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line of an interaction file does not have the expected form.
    #[error("{}:{line}: expected {}, found {}", printable(file), printable(expected), printable(found))]
    BadRow {
        /// The file.
        file: PathBuf,
        /// Line, counted from 1.
        line: u64,
        /// What should stand there.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// A file as a whole is not usable: empty, or a column is missing.
    #[error("{}: expected {}, found {}", printable(file), printable(expected), printable(found))]
    BadFile {
        /// The file.
        file: PathBuf,
        /// What it should hold.
        expected: String,
        /// What it holds.
        found: String,
    },
    /// What a caller's own recommender or size policy reports of itself.
    #[error("{}", printable(source.to_string()))]
    Other {
        /// The caller's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// An error of a caller's own.
    ///
    /// ```
    /// use scall_gpu::Error;
    /// let error = Error::other("the feature store is down");
    /// assert_eq!(error.to_string(), "the feature store is down");
    /// ```
    pub fn other(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Other { source: source.into() }
    }
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_is_escaped() {
        let (file, raw) = (PathBuf::from("\u{1b}[2J.csv"), "\u{1b}]0;x\u{7}\n".to_owned());
        let (expected, found, got) = (raw.clone(), raw.clone(), raw);
        for error in [
            Error::Argument { op: "a", arg: "b", expected: expected.clone(), got },
            Error::BadRow { file: file.clone(), line: 1, expected: expected.clone(), found: found.clone() },
            Error::BadFile { file: file.clone(), expected, found },
            Error::Io { file, source: std::io::ErrorKind::NotFound.into() },
            Error::other("\u{1b}[2J"),
        ] {
            let text = error.to_string();
            assert!(text.contains(r"\u{1b}") && !text.contains(|c: char| c.is_control()), "{text:?}");
        }
    }
}

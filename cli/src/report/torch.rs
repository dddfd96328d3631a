//! Torch next to the kernels: a Python process that times what it is asked for.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use scall_gpu::device::Device;
use scall_gpu::text::printable;
use scall_gpu::{Error, Result};
use serde_json::{Value, json};

use crate::cases::Torch;

const SCRIPT: &str = include_str!("../../../benches/torch/peer.py");

/// A running `benches/torch/peer.py`. It ends with its input.
pub struct Peer {
    python: PathBuf,
    process: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    described: String,
}

impl Peer {
    /// On the GPU that CUDA gives where the kernels run on one, else on the same number of threads of the CPU.
    pub fn start(python: &Path, device: &Device) -> Result<Self> {
        let kind = if device.as_gpu().is_some() { "cuda" } else { "cpu" };
        let spawned = Command::new(python)
            .args(["-u", "-c", SCRIPT, kind, &rayon::current_num_threads().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut process = spawned.map_err(|source| Error::Io { file: python.to_owned(), source })?;
        let answers = BufReader::new(process.stdout.take().expect("it is piped"));
        let requests = process.stdin.take();
        let mut peer = Self { python: python.to_owned(), process, requests, answers, described: String::new() };
        let about = peer.answer()?;
        peer.described = format!("{} on {}", text(&about["version"]), text(&about["device"]));
        Ok(peer)
    }

    /// Version and device.
    pub fn describe(&self) -> &str {
        &self.described
    }

    /// Median of a case.
    pub fn seconds(&mut self, Torch { work, rows, dims, bag, ids }: Torch<'_>) -> Result<f64> {
        let io = |source| Error::Io { file: std::env::temp_dir(), source };
        let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
        // With a name of its own, and gone at the end.
        let mut file = tempfile::NamedTempFile::new().map_err(io)?;
        file.write_all(&bytes).map_err(io)?;
        let request = json!({ "work": work, "rows": rows, "dims": dims, "bag": bag, "ids": file.path() });
        let requests = self.requests.as_mut().expect("open until the end");
        // Whoever no longer listens has no answer either.
        let _ = writeln!(requests, "{request}").and_then(|()| requests.flush());
        let answer = self.answer();
        answer?["seconds"].as_f64().ok_or_else(|| self.failed("a number of seconds"))
    }

    fn answer(&mut self) -> Result<Value> {
        let mut line = String::new();
        let read = self.answers.read_line(&mut line);
        read.map_err(|source| Error::Io { file: self.python.clone(), source })?;
        serde_json::from_str(&line).map_err(|_| self.failed("a line of JSON"))
    }

    fn failed(&self, expected: &str) -> Error {
        Error::Argument {
            op: "kernel_report",
            arg: "--torch",
            expected: format!("a Python with torch that answers with {expected}"),
            got: format!("none from {} (what it said is above)", printable(&self.python)),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.requests.take());
        let _ = self.process.wait();
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

//! What a record says of itself, so that two of them can be compared.

use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use scall_gpu::device::Device;
use scall_gpu::text::printable;
use serde::Serialize;

/// When a record was made, by what and on what.
#[derive(Serialize)]
pub struct Made {
    /// Kind of the record, and a number that grows when its fields change their meaning.
    schema: &'static str,
    version: &'static str,
    /// How the program was built: a `dev` build is slower.
    profile: &'static str,
    /// UTC.
    date: String,
    cpu: String,
    /// Of the CPU, and of them those that are used.
    cores: usize,
    threads: usize,
    system: String,
    /// What ran; a CPU has its name here too.
    pub device: String,
}

impl Made {
    /// Now, here.
    pub fn now(schema: &'static str, device: &Device) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self {
            schema,
            version: env!("CARGO_PKG_VERSION"),
            profile: if cfg!(debug_assertions) { "dev" } else { "release" },
            date: utc(since),
            cpu: cpu_name(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            threads: rayon::current_num_threads(),
            system: format!("{} on {}", std::env::consts::OS, std::env::consts::ARCH),
            device: match device.as_gpu() {
                Some(_) => device.describe(),
                None => format!("CPU ({}), {} threads", cpu_name(), rayon::current_num_threads()),
            },
        }
    }
}

/// The CPU's name as the system has it, or its architecture.
fn cpu_name() -> String {
    let from_linux = || {
        let text = std::fs::read_to_string(Path::new("/proc/cpuinfo")).ok()?;
        let of = |key: &str| {
            let line = text.lines().find(|line| line.split(':').next().is_some_and(|name| name.trim() == key))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        of("model name").or_else(|| of("Model")).or_else(|| of("cpu model"))
    };
    let from_macos = || {
        let said = Command::new("sysctl").args(["-n", "machdep.cpu.brand_string"]).output().ok()?;
        Some(String::from_utf8_lossy(&said.stdout).trim().to_owned())
    };
    let found = match std::env::consts::OS {
        "linux" | "android" => from_linux(),
        "macos" => from_macos(),
        "windows" => std::env::var("PROCESSOR_IDENTIFIER").ok(),
        _ => None,
    };
    printable(found.filter(|name| !name.is_empty()).unwrap_or_else(|| std::env::consts::ARCH.to_owned()))
}

/// Seconds since 1970 as `2025-01-31T23:59:59Z`.
pub fn utc(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Years that begin in March, so that a leap day is the last of its year; 400 of them have 146,097 days.
    let day = days + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = 400 * era + year + next;
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z", second % 60)
}

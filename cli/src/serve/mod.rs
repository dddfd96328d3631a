//! A service that learns while it is asked.

mod engine;
mod http;
mod metrics;
mod wal;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use engine::{Closing, Engine};
use http::Limits;
use scall_gpu::run::Config;
use scall_gpu::sizing::Amount;
use scall_gpu::text::printable;
use scall_gpu::{Error, Result};
use serde_json::json;

use crate::common::{Json, Threads, choices, load, note, parse, print, print_json};

/// Serves recommendations over HTTP, takes events in, and learns from them while it is asked.
///
/// It begins where `scall stream --checkpoint` or an earlier `scall serve` has left the folder, or without anything.
/// An event is on the disk before it is acknowledged, and counts at once: who has an item is not offered it again, and
/// newcomers have rows. The rows learn when a segment closes.
///
/// A second copy of the recommender is held for learning, outside the budget.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Folder of checkpoints, and of events that none has yet
    #[arg(long, value_name = "DIR")]
    checkpoint: PathBuf,

    /// Where to listen
    ///
    /// Other addresses than those of this machine are for networks that you trust, or with a token.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8477")]
    listen: SocketAddr,

    /// A file whose first line clients have to send
    ///
    /// As `Authorization: Bearer`.
    #[arg(long, value_name = "FILE")]
    token: Option<PathBuf>,

    /// Where to run [default: that of the configuration, or auto]
    ///
    /// A hardware GPU or else the CPU (auto), the best GPU there is, software included (gpu), or the CPU (cpu).
    #[arg(long, value_parser = choices(), hide_possible_values = true)]
    device: Option<scall_gpu::run::DeviceChoice>,

    /// The run, as `scall stream --config` takes it
    #[arg(long, value_name = "FILE", help_heading = "Where a run begins here")]
    config: Option<PathBuf>,

    /// Who gets which size [default: ranked]
    #[arg(long, value_name = "NAME", help_heading = "Where a run begins here")]
    policy: Option<String>,

    /// What the tables may hold: mean=8, params=N, bytes=10MB [default: mean=8]
    #[arg(long, value_name = "AMOUNT", value_parser = parse::<Amount>, help_heading = "Where a run begins here")]
    budget: Option<Amount>,

    /// Events that close a segment: it is learned then
    #[arg(long, value_name = "COUNT", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(2..),
        help_heading = "Learning")]
    segment_events: u32,

    /// Seconds after which a segment closes [default: never]
    ///
    /// With fewer events than --segment-events.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Learning")]
    segment_seconds: Option<u64>,

    /// Largest body of a request, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 20, help_heading = "Limits")]
    max_body: usize,

    /// Seconds after which a request is given up
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..),
        help_heading = "Limits")]
    timeout: u64,

    #[command(flatten)]
    threads: Threads,

    #[command(flatten)]
    json: Json,
}

pub fn run(args: &Args) -> Result<()> {
    let json = args.json.asked();
    args.threads.start();
    let closing = Closing { events: args.segment_events as usize, seconds: args.segment_seconds };
    let threads = args.threads.threads.map_or_else(rayon::current_num_threads, usize::from);
    let (engine, learner, taker) = Engine::open(&args.checkpoint, |kept| args.config(kept), closing, threads)?;
    let limits = Limits { body_bytes: args.max_body, timeout: Duration::from_secs(args.timeout), token: args.token()? };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::other)?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind(args.listen));
    let listener = listener.map_err(|error| Error::other(format!("--listen {}: {error}", args.listen)))?;
    let address = listener.local_addr().map_err(Error::other)?;

    let wal = taker.wal();
    let taking = thread::Builder::new().name("events".to_owned()).spawn({
        let engine = engine.clone();
        move || taker.run(&engine)
    });
    let learning = thread::Builder::new().name("learn".to_owned()).spawn({
        let engine = engine.clone();
        move || learner.run(&engine, &wal)
    });
    let (taking, learning) = (taking.map_err(Error::other)?, learning.map_err(Error::other)?);
    {
        let served = engine.served();
        let (rows, users, items) = (served.data().len(), served.data().user_count(), served.data().item_count());
        print(&format!("serving  http://{address}"));
        print(&format!("device   {}", served.model().embeddings().device().describe()));
        print(&format!("stream   {rows} interactions, {users} users, {items} items"));
        print(&format!("kept in  {}", printable(&args.checkpoint)));
        if json {
            print_json(&json!({
                "address": format!("http://{address}"),
                "interactions": rows,
                "users": users,
                "items": items,
            }));
        }
    }
    let router = http::router(engine.clone(), limits);
    let served = runtime.block_on(async {
        let stop = engine.clone();
        axum::serve(listener, router)
            .with_graceful_shutdown(async move {
                stopped(&stop).await;
            })
            .await
    });
    note("stopping: what is learned now comes to its end and is kept");
    engine.stop();
    let panicked = |_| Error::other("a thread ended by a panic; what was acknowledged is on the disk");
    taking.join().map_err(panicked)?;
    learning.join().map_err(panicked)??;
    served.map_err(Error::other)?;
    match engine.trouble() {
        None => Ok(()),
        Some(trouble) => Err(Error::other(trouble)),
    }
}

/// Until somebody ends the program, or nothing can be kept any more.
async fn stopped(engine: &Engine) {
    let trouble = async {
        while !engine.is_stopping() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let Ok(mut terminated) = signal(SignalKind::terminate()) else { return trouble.await };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminated.recv() => {}
            () = trouble => {}
        }
    }
    #[cfg(not(unix))]
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = trouble => {}
    }
}

impl Args {
    /// The run, over what was kept.
    fn config(&self, kept: Option<&Config>) -> Result<Config> {
        let mut config = match (&self.config, kept) {
            (Some(path), _) => load(path)?,
            (None, Some(kept)) => kept.clone(),
            (None, None) => Config::default(),
        };
        if let Some(policy) = &self.policy {
            config = config.with_policy(policy)?;
        }
        config.device = self.device.unwrap_or(config.device);
        config.budget.amount = self.budget.unwrap_or(config.budget.amount);
        Ok(config)
    }

    fn token(&self) -> Result<Option<String>> {
        let Some(path) = &self.token else { return Ok(None) };
        let text = std::fs::read_to_string(path).map_err(|source| Error::Io { file: path.clone(), source })?;
        let token = text.lines().next().unwrap_or("").trim();
        if token.len() < 16 {
            let (expected, found) = ("a token of at least 16 characters".to_owned(), token.len().to_string());
            return Err(Error::BadFile { file: path.clone(), expected, found });
        }
        Ok(Some(token.to_owned()))
    }
}

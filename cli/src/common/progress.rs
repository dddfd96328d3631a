//! Progress with the time that is left, on a terminal's standard error.

use std::borrow::Cow;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::voice;

/// The bar that is on the screen, for all that is printed next to it.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

fn on_screen() -> MutexGuard<'static, Option<ProgressBar>> {
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A bar, as long as this lives. Hidden where standard error is no terminal, and by `--quiet`. Only one at a time. What
/// a narrow terminal has no room for is the end of what is said last.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Of a number of parts that take the same time each.
    pub fn new(length: u64) -> Self {
        Self::styled(length, "{bar:20} {percent:>3} %  {elapsed} gone, about {eta} left: {wide_msg}")
    }

    /// Of bytes that are read.
    pub fn of_bytes(length: u64) -> Self {
        Self::styled(length, "{bar:20} {percent:>3} %  {bytes} of {total_bytes}, about {eta} left: {wide_msg}")
    }

    /// Of work whose end is not known.
    pub fn endless() -> Self {
        let endless = Self::styled(1, "{elapsed} gone: {wide_msg}");
        endless.bar.enable_steady_tick(Duration::from_millis(500));
        endless
    }

    /// For one who says the time that is left by what it knows.
    pub fn bare(length: u64) -> Self {
        Self::styled(length, "{bar:20} {percent:>3} %  {wide_msg}")
    }

    fn styled(length: u64, template: &str) -> Self {
        let target = if voice::quiet() { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(length), target);
        bar.set_style(ProgressStyle::with_template(template).expect("a valid template"));
        *on_screen() = Some(bar.clone());
        Self { bar }
    }

    /// Shows how much is done, and what is done now.
    pub fn show(&self, done: u64, what: impl Into<Cow<'static, str>>) {
        self.bar.set_message(what);
        self.bar.set_position(done);
    }

    /// Begins with a part that was done before, whose speed is not known.
    pub fn begin_at(&self, done: u64) {
        self.bar.set_position(done);
        self.bar.reset_eta();
    }

    /// Whether there is no one to see it.
    pub fn is_hidden(&self) -> bool {
        self.bar.is_hidden()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        on_screen().take();
    }
}

/// Does something without the bar, which would be torn by what it prints.
pub fn suspended<R>(print: impl FnOnce() -> R) -> R {
    let bar = on_screen().clone();
    match bar {
        Some(bar) => bar.suspend(print),
        None => print(),
    }
}

/// More is done of what the bar on the screen shows.
pub fn advance(by: u64) {
    if let Some(bar) = &*on_screen() {
        bar.inc(by);
    }
}

//! How far `--lines` has come: counted always, shown on a terminal, summed up at the end.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::failure::Failure;
use crate::output::printable;

/// Counts, and the bar that shows them where standard error is a terminal.
pub(super) struct Progress {
    bar: ProgressBar,
    started: Instant,
    num_accepted: u64,
    num_refused: u64,
    num_bad: u64,
    quiet: bool,
}

impl Progress {
    pub(super) fn start(quiet: bool) -> Progress {
        // Hidden by itself where standard error is no terminal.
        let target = if quiet {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        let style = ProgressStyle::with_template("{spinner} {human_pos} accepted, {per_sec}, {elapsed}");
        let bar = ProgressBar::with_draw_target(None, target);
        let bar = bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        if !bar.is_hidden() {
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        Progress {
            bar,
            started: Instant::now(),
            num_accepted: 0,
            num_refused: 0,
            num_bad: 0,
            quiet,
        }
    }

    pub(super) fn accepted(&mut self) {
        self.num_accepted += 1;
        // The bar is for eyes: telling it of every event would cost more than some brokers do.
        if self.num_accepted.is_multiple_of(256) || self.num_accepted < 256 {
            self.bar.set_position(self.num_accepted);
        }
    }

    pub(super) fn refused(&mut self, number: u64, failure: Option<&Failure>) {
        self.num_refused += 1;
        if let Some(failure) = failure {
            self.say(&format!("sio: line {number} was refused: {failure}"));
        }
    }

    pub(super) fn bad(&mut self, number: u64, reason: &str) {
        self.num_bad += 1;
        self.say(&format!("sio: line {number} is bad: {}", printable(reason)));
    }

    /// Takes the bar away and sums up.
    pub(super) fn finish(&self, interrupted: bool) {
        self.bar.finish_and_clear();
        if self.quiet {
            return;
        }
        let seconds = self.started.elapsed().as_secs_f64();
        let rate = (self.num_accepted as f64 / seconds.max(1e-6)).round();
        let early = if interrupted { ", interrupted" } else { "" };
        let Progress {
            num_accepted,
            num_refused,
            num_bad,
            ..
        } = self;
        eprintln!(
            "sio: {num_accepted} accepted, {num_refused} refused, {num_bad} bad in {seconds:.2} s ({rate}/s){early}"
        );
    }

    /// Prints a line above the bar.
    pub(super) fn say(&self, line: &str) {
        self.bar.suspend(|| eprintln!("{line}"));
    }
}

//! How far `--lines` has come: counted always, shown on a terminal, summed up at the end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::reader::{Counters, Input};
use crate::failure::Failure;
use crate::output::{printable, tell};
use crate::stop::Signal;

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
    pub(super) fn start(input: &Input, quiet: bool) -> Progress {
        // Hidden by itself where standard error is not a terminal.
        let target = if quiet {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        Progress::drawn_on(target, input, quiet)
    }

    fn drawn_on(target: ProgressDrawTarget, input: &Input, quiet: bool) -> Progress {
        let bar = ProgressBar::with_draw_target(None, target);
        let bar = bar.with_style(style(input));
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

    /// Counts an event, and returns how many there were.
    pub(super) fn accepted(&mut self) -> u64 {
        self.num_accepted += 1;
        // The bar is for eyes: telling it of every event would cost more than some brokers do.
        if self.num_accepted.is_multiple_of(256) || self.num_accepted < 256 {
            self.bar.set_position(self.num_accepted);
        }
        self.num_accepted
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

    /// Says what a signal leaves to wait for.
    pub(super) fn interrupted(&self, signal: Signal, num_in_flight: usize) {
        if !self.quiet && num_in_flight > 0 {
            let signal = signal.name();
            self.say(&format!(
                "sio: {signal}: waiting for the broker to answer {num_in_flight} events; a second signal ends it at once"
            ));
        }
    }

    pub(super) fn num_refused(&self) -> u64 {
        self.num_refused
    }

    /// Takes the bar away, once it has shown how it ended, and sums up.
    pub(super) fn finish(&self, num_unsent: u64, num_unconfirmed: usize, signal: Option<Signal>) {
        self.bar.set_position(self.num_accepted);
        self.bar.tick();
        self.bar.finish_and_clear();
        if self.quiet {
            return;
        }
        tell(&self.summary(self.started.elapsed(), num_unsent, num_unconfirmed, signal));
    }

    fn summary(&self, took: Duration, num_unsent: u64, num_unconfirmed: usize, signal: Option<Signal>) -> String {
        let seconds = took.as_secs_f64();
        let rate = (self.num_accepted as f64 / seconds.max(1e-6)).round();
        let unsent = some("not sent", num_unsent);
        let unconfirmed = some("sent without an answer", num_unconfirmed as u64);
        let early = if signal.is_some() { ", interrupted" } else { "" };
        let Progress {
            num_accepted,
            num_refused,
            num_bad,
            ..
        } = self;
        format!(
            "sio: {num_accepted} accepted, {num_refused} refused, {num_bad} bad{unconfirmed}{unsent} in {seconds:.2} s ({rate}/s){early}"
        )
    }

    /// Prints a line above the bar.
    pub(super) fn say(&self, line: &str) {
        self.bar.suspend(|| tell(line));
    }
}

/// What there is, if there is any.
fn some(what: &str, count: u64) -> String {
    match count {
        0 => String::new(),
        count => format!(", {count} {what}"),
    }
}

/// What the bar shows: how many were accepted, how many a second, for how long, and how much of a file was read.
fn style(input: &Input) -> ProgressStyle {
    let template = "{spinner} {human_pos} accepted, {rate}, {elapsed}{percent}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner());
    let (counters, len) = (Arc::clone(&input.counters), input.len);
    style
        .with_key("rate", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = write!(out, "{:.0}/s", state.per_sec());
        })
        .with_key("percent", move |_: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = out.write_str(&percent(&counters, len));
        })
}

/// How much of a file of this length was read; it may grow meanwhile.
fn percent(counters: &Counters, len: Option<u64>) -> String {
    match len {
        None | Some(0) => String::new(),
        Some(len) => format!(", {} %", counters.num_bytes().min(len) * 100 / len),
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    /// A file of 300 bytes of which so many were read.
    fn file(num_bytes: u64) -> Input {
        let (_, batches) = mpsc::channel(1);
        Input {
            batches,
            counters: Arc::new(Counters::of(num_bytes, 3)),
            len: Some(300),
        }
    }

    #[test]
    fn a_file_is_at_100_percent_once_it_was_read_and_not_before() {
        for (num_bytes, shown) in [(0, ", 0 %"), (299, ", 99 %"), (300, ", 100 %"), (900, ", 100 %")] {
            assert_eq!(percent(&file(num_bytes).counters, Some(300)), shown);
        }
        for len in [None, Some(0)] {
            assert_eq!(
                percent(&Counters::of(7, 1), len),
                "",
                "of a pipe, or an empty file, there are none"
            );
        }
    }

    #[test]
    fn the_sum_rounds_the_rate_and_tells_what_has_no_answer() {
        let mut progress = Progress::drawn_on(ProgressDrawTarget::hidden(), &file(300), true);
        progress.num_accepted = 5;
        let took = Duration::from_secs(3);
        assert_eq!(
            progress.summary(took, 0, 0, None),
            "sio: 5 accepted, 0 refused, 0 bad in 3.00 s (2/s)"
        );
        assert_eq!(
            progress.summary(took, 4, 1, Some(Signal::Interrupt)),
            "sio: 5 accepted, 0 refused, 0 bad, 1 sent without an answer, 4 not sent in 3.00 s (2/s), interrupted"
        );
    }
}

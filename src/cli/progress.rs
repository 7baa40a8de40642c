//! How far a task is, on standard error: a bar on a terminal, a line now and then elsewhere.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::{Interruption, output};
use crate::run::TraceLine;
use crate::task::{Callback, Event};

/// Between two lines of how many things are done, where there is no terminal.
const RARELY: Duration = Duration::from_secs(10);

/// Shows events as they come.
pub struct Progress {
    quiet: bool,
    terminal: bool,
    interruption: Arc<Interruption>,
    bar: Option<ProgressBar>,
    /// When it was told last how many things are done.
    told: Option<Instant>,
    stage: String,
    epochs: usize,
    /// When the layer was begun or resumed, and with how many visits of images behind it.
    begun: Instant,
    before: usize,
    /// Visits of images to this layer: done, and in all epochs.
    done: usize,
    all: usize,
}

impl Progress {
    /// Shows nothing where `quiet`; tells tasks to stop once `interruption` asks for it.
    pub fn new(quiet: bool, interruption: Arc<Interruption>) -> Self {
        Self {
            quiet,
            terminal: std::io::stderr().is_terminal(),
            interruption,
            bar: None,
            told: None,
            stage: String::new(),
            epochs: 0,
            begun: Instant::now(),
            before: 0,
            done: 0,
            all: 0,
        }
    }

    /// Clears the bar away.
    pub fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => output::say(text),
        }
    }

    fn begin(&mut self, length: usize, done: usize) {
        self.finish();
        if !self.terminal {
            return;
        }
        let bar = ProgressBar::new(length as u64);
        let style =
            ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len}  {msg}  {eta} left");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.set_position(done as u64);
        bar.reset_eta();
        bar.enable_steady_tick(Duration::from_millis(200));
        self.bar = Some(bar);
    }

    /// The seconds left for this layer, at the pace of this session.
    fn left(&self) -> String {
        let visited = self.done.saturating_sub(self.before);
        match self.all.saturating_sub(self.done) {
            0 => String::new(),
            _ if visited == 0 => String::new(),
            rest => {
                let pace = self.begun.elapsed().as_secs_f64() / visited as f64;
                format!(", {:.0} s left in this layer", pace * rest as f64)
            }
        }
    }

    /// A batch of the epoch is done.
    fn advance(&mut self, epoch: usize, images: usize, numbers: String) {
        self.done += images;
        if let Some(bar) = &self.bar {
            bar.set_prefix(format!(
                "{} epoch {}/{}",
                self.stage,
                epoch + 1,
                self.epochs
            ));
            bar.set_message(numbers);
            bar.inc(images as u64);
        }
    }

    fn numbers(line: &TraceLine) -> String {
        let snr = line.snr.map(|snr| format!("  SNR {snr:.2} dB"));
        format!(
            "objective {:.2}{}  non-zero {:.2} %",
            line.after_filters,
            snr.unwrap_or_default(),
            100.0 * line.density
        )
    }
}

impl Callback<Event> for Progress {
    fn event(&mut self, event: Event) {
        if matches!(event, Event::Stage { .. } | Event::Item { .. }) {
            // From here on the step in progress is finished and saved; the task asks soon.
            self.interruption.heeded.store(true, Ordering::SeqCst);
        }
        if self.quiet {
            return;
        }
        match event {
            Event::Note(text) => self.say(&text),
            Event::Stage {
                name,
                epochs,
                images,
                done,
            } => {
                self.stage = name;
                self.epochs = epochs;
                self.begun = Instant::now();
                self.before = done;
                self.done = done;
                self.all = epochs * images;
                self.begin(self.all, done);
            }
            Event::Batch(line) => self.advance(line.epoch, line.images, Self::numbers(&line)),
            Event::LabelledBatch {
                epoch,
                images,
                numbers,
            } => self.advance(epoch, images, numbers),
            Event::Epoch(line) => {
                let resampled = match line.resampled {
                    0 => String::new(),
                    n => format!("  {n} dead filters replaced"),
                };
                self.say(&format!(
                    "{} epoch {}/{}  {}  {:.1} s{}{resampled}",
                    self.stage,
                    line.epoch + 1,
                    self.epochs,
                    Self::numbers(&line),
                    line.seconds,
                    self.left()
                ));
            }
            Event::Item { name, done, of } => {
                if done <= 1 || self.bar.is_none() {
                    self.begin(of, done);
                }
                match &self.bar {
                    Some(bar) => {
                        bar.set_prefix(name);
                        bar.set_position(done as u64);
                    }
                    None if done >= of || self.told.is_none_or(|told| told.elapsed() > RARELY) => {
                        self.say(&format!("{done}/{of}  {name}"));
                        self.told = Some(Instant::now());
                    }
                    None => {}
                }
            }
        }
    }

    fn interrupted(&self) -> bool {
        self.interruption.heeded.store(true, Ordering::SeqCst);
        self.interruption.wanted.load(Ordering::SeqCst)
    }
}

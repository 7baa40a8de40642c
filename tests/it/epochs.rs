//! Epochs that a run is given later, and a death between checkpoints, end with the bits of a run that had neither.

use std::panic::{AssertUnwindSafe, catch_unwind};

use deconvnet::config::Form;
use deconvnet::task::train::Ended;
use deconvnet::task::{Callback, Event};

use crate::resume::{Settings, assert_same, interrupted_once, learnt, resume, resume_for, whole};

#[test]
fn a_run_that_is_given_more_epochs_is_as_one_that_was_begun_with_them() {
    for Settings { name, .. } in Settings::all() {
        let of = |epochs: usize| {
            let mut settings = Settings::named(name);
            let config = &mut settings.config;
            // In the last epoch, whichever that is, dead filters are not replaced.
            config.train.resample_dead = false;
            let first = match config.train.form {
                Form::Joint => 0,
                Form::LayerWise | Form::Adaptive => config.layers.len() - 1,
            };
            for layer in &mut config.layers[first..] {
                layer.epochs = epochs;
            }
            settings
        };
        let (wanted, _) = whole(&of(2));
        let shorter = of(1);
        let (_, moments) = whole(&shorter);
        // After the first batch, the last and the last epoch.
        for n in [1, moments - 1, moments] {
            let folder = interrupted_once(&shorter, n);
            let report = resume_for(Some(2), folder.path(), &mut ()).expect("more");
            assert_eq!(report.ended, Ended::Finished, "{name}");
            let what = format!("{name}, stopped at {n} of {moments}");
            assert_same(&learnt(folder.path()), &wanted, &what);
        }
        // That there are more of them is saved at once.
        let folder = tempfile::tempdir().expect("a folder");
        shorter.start(folder.path(), &mut ());
        dies(
            DiesAt::new(0, |event| matches!(event, Event::Stage { .. })),
            |observer| {
                resume_for(Some(2), folder.path(), observer).expect("more");
            },
        );
        resume(folder.path(), &mut ());
        assert_same(&learnt(folder.path()), &wanted, name);

        for (epochs, words) in [(1, "has had 2 by now"), (0, "has had 2 by now")] {
            let error = resume_for(Some(epochs), folder.path(), &mut ()).expect_err("fewer");
            assert!(error.to_string().contains(words), "{error}");
        }
    }
    let fresh = interrupted_once(&Settings::named("split, two layers"), 1);
    let error = resume_for(Some(0), fresh.path(), &mut ()).expect_err("none");
    assert!(error.to_string().contains("epochs"), "{error}");
}

/// Whether an event is of a kind.
type Kind = fn(&Event) -> bool;

/// Dies at an event of a kind, after so many of them.
struct DiesAt {
    left: usize,
    at: Kind,
}

impl DiesAt {
    fn new(left: usize, at: Kind) -> Self {
        Self { left, at }
    }
}

impl Callback<Event> for DiesAt {
    fn event(&mut self, event: Event) {
        if (self.at)(&event) {
            assert!(self.left > 0, "it was told to die here");
            self.left -= 1;
        }
    }
}

fn dies(mut observer: DiesAt, at_work: impl FnOnce(&mut DiesAt)) {
    let death = catch_unwind(AssertUnwindSafe(|| at_work(&mut observer)));
    assert!(death.is_err(), "it went on");
}

#[test]
fn a_death_between_two_layers_or_after_epochs_that_were_not_saved_changes_no_bit() {
    for settings in Settings::all() {
        let (wanted, _) = whole(&settings);
        // A remark on the sparsity is made as a stage begins.
        let deaths: [(usize, Kind); 3] = [
            (1, |event| matches!(event, Event::Epoch(_))),
            (2, |event| matches!(event, Event::Batch(_))),
            (
                settings.config.layers.len() - 1,
                |event| matches!(event, Event::Note(text) if text.starts_with("sparsity")),
            ),
        ];
        for (k, (left, at)) in deaths.into_iter().enumerate() {
            // All layers of the joint form are one stage.
            if k == 2 && (settings.config.train.form == Form::Joint || left == 0) {
                continue;
            }
            let folder = tempfile::tempdir().expect("a folder");
            dies(DiesAt::new(left, at), |observer| {
                settings.start(folder.path(), observer);
            });
            resume(folder.path(), &mut ());
            let what = format!("{}, death {k}", settings.name);
            assert_same(&learnt(folder.path()), &wanted, &what);
        }
    }
}

//! The command line: what was typed, what it means, and what is printed.

mod args;
mod invert;
mod plan;
mod progress;

pub use args::Arguments;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use args::Command;
use clap::CommandFactory;
use progress::Progress;
use serde::Serialize;

use crate::backend::{self, Backend};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::solve::Reason;
use crate::task::train::{self, Ended};
use crate::task::{self, Callback, compare, exchange, infer, visualize};

/// Runs a command. `Ok(false)`: it was interrupted and has saved what there was.
///
/// # Errors
/// Whatever the command ran into; [`Error::exit_code`] tells the kinds apart.
pub fn run(arguments: Arguments) -> Result<bool> {
    let Arguments {
        command,
        json,
        quiet,
    } = arguments;
    let interrupted = catch_interrupts()?;
    let mut progress = Progress::new(quiet || json, interrupted);
    match command {
        Command::Train(args) => {
            let report = match plan::train(&args)? {
                plan::Train::Resume {
                    run,
                    which,
                    backend,
                } => train::resume(&run, which, &backend.device()?, &mut progress)?,
                plan::Train::Start { config, run } => {
                    let device = config.backend.device()?;
                    train::start(*config, &run, &device, &mut progress)?
                }
            };
            progress.finish();
            tell(&report, json, quiet)?;
            Ok(report.ended == Ended::Finished)
        }
        Command::Infer(args) => {
            let device = args.backend.device()?;
            match plan::infer(&args)? {
                plan::Infer::Images(options) => {
                    let report = infer::run(&options, &device, &mut progress)?;
                    progress.finish();
                    tell(&report, json, quiet)?;
                    report.complete()?;
                    Ok(!report.interrupted)
                }
                plan::Infer::Problem {
                    file,
                    method,
                    limits,
                } => {
                    let report = infer::solve_problem(
                        &file,
                        &method,
                        &limits,
                        args.out.as_deref(),
                        args.overwrite,
                        &device,
                        &mut progress,
                    )?;
                    progress.finish();
                    tell(&report, json, quiet)?;
                    Ok(report.reason != Reason::Interrupted)
                }
            }
        }
        Command::Export(args) => {
            let device = args.run.backend.device()?;
            let run = plan::existing(&args.run.checkpoint);
            let done = exchange::export(
                &run,
                args.run.at,
                &args.out,
                args.maps.unwrap_or_default(),
                args.overwrite,
                &device,
            )?;
            tell(&done, json, quiet)?;
            Ok(true)
        }
        Command::Import(args) => {
            let config = args.config.as_deref().map(Config::read).transpose()?;
            let device = Backend::Flex.device()?;
            let run = plan::folder(&args.run);
            let done = exchange::import(&args.file, config.as_ref(), &run, &device)?;
            tell(&done, json, quiet)?;
            Ok(true)
        }
        Command::Visualize(args) => {
            let device = args.run.backend.device()?;
            let report = visualize::run(&plan::visualize(&args), &device, &mut progress)?;
            progress.finish();
            tell(&report, json, quiet)?;
            Ok(!progress.interrupted())
        }
        Command::Compare(args) => {
            let options = plan::compare(&args)?;
            let device = options.config.backend.device()?;
            let report = compare::run(&options, &device, &mut progress)?;
            progress.finish();
            tell(&report, json, quiet)?;
            Ok(!report.interrupted)
        }
        Command::Invert(args) => {
            let options = invert::options(&args)?;
            let device = options.experiment.backend.device()?;
            let report = task::invert::run(&options, &device, &mut progress)?;
            progress.finish();
            tell(&report, json, quiet)?;
            Ok(!report.interrupted)
        }
        Command::Backends => {
            tell(&backend::survey(), json, quiet)?;
            Ok(true)
        }
        Command::Completions { shell } => {
            let mut command = Arguments::command();
            clap_complete::generate(shell, &mut command, "deconvnet", &mut std::io::stdout());
            Ok(true)
        }
    }
}

/// A first Ctrl-C asks to save and stop; a second one ends the program at once.
fn catch_interrupts() -> Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = interrupted.clone();
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        eprintln!("\nfinishing the step in progress; press Ctrl-C again to stop at once");
    })
    .map_err(|error| Error::Backend(format!("cannot listen for Ctrl-C: {error}")))?;
    Ok(interrupted)
}

/// Prints a report on standard output: as JSON for machines, else as text.
fn tell<R: Serialize + std::fmt::Display>(report: &R, json: bool, quiet: bool) -> Result<()> {
    let text = if json {
        serde_json::to_string_pretty(report)
            .map_err(|error| Error::Numeric(format!("cannot write the report: {error}")))?
    } else if quiet {
        return Ok(());
    } else {
        report.to_string()
    };
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{}", text.trim_end()) {
        // Whoever read the output has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(Error::io("write", "standard output")),
    }
}

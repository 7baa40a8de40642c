//! The command: parse, run, exit code.

use std::panic;
use std::process::ExitCode;

use clap::Parser;
use deconvnet::cli::{Arguments, run};
use mimalloc::MiMalloc;
use rayon::ThreadPoolBuilder;

/// Maps come and go at every step; glibc would hand each back to the system and fault it in anew.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Exit code after an interruption, as shells have it: 128 + SIGINT.
const INTERRUPTED: u8 = 130;
/// Exit code of a bug of ours.
const BUG: u8 = 70;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // This thread works with the others rather than sleep until they are done: with a thread more than
    // there are cores, Linux at times leaves two workers on one core for tens of milliseconds. Whoever
    // has built a pool already keeps it.
    let _ = ThreadPoolBuilder::new().use_current_thread().build_global();
    // Drivers and libraries report some failures by a panic; its message is told below.
    panic::set_hook(Box::new(|_| {}));
    match panic::catch_unwind(|| run(arguments)) {
        Ok(Ok(finished)) => ExitCode::from(if finished { 0 } else { INTERRUPTED }),
        Ok(Err(error)) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or(panic.downcast_ref::<&str>().copied());
            eprintln!(
                "error: something failed that should not: {}; checkpoints written so far are \
                 whole; please report it with the command that led here",
                text.unwrap_or("no message")
            );
            ExitCode::from(BUG)
        }
    }
}

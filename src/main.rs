//! The command: parse, run, exit code.

use std::process::ExitCode;

use clap::Parser;
use deconvnet::cli::{Arguments, Telling, guard, run};
use deconvnet::group::thread_count;
use mimalloc::MiMalloc;
use rayon::ThreadPoolBuilder;

/// Maps come and go at every step; glibc would hand each back to the system and fault it in anew.
#[global_allocator]
static ALLOCATOR: Telling<MiMalloc> = Telling(MiMalloc);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // This thread works with the others rather than sleep until they are done: with a thread more than
    // there are cores, Linux at times leaves two workers on one core for tens of milliseconds. A pool
    // that is there already is kept.
    let pool = ThreadPoolBuilder::new().num_threads(thread_count().unwrap_or(0));
    let _ = pool.use_current_thread().build_global();
    guard(|| run(arguments)).into()
}

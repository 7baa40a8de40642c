//! Panics: recorded where they happen, told where they arrive.
//!
//! A worker thread hands its panic on to the thread that waits for it, without the place. So the hook
//! records message, place and, if `RUST_BACKTRACE` asks for it, the calls that led there.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::set_hook;
use std::sync::{Mutex, PoisonError};

/// What is known of a panic.
#[derive(Clone, Debug, Default)]
pub struct Panic {
    message: String,
    /// The source file, its line and its column.
    place: String,
    calls: String,
}

/// The last panics, oldest first.
static RECORDED: Mutex<Vec<Panic>> = Mutex::new(Vec::new());
/// How many are kept: those caught while a device is looked for, and what threads do at once.
const KEPT: usize = 32;

/// How the names of the crates between Burn and the driver of a device begin.
const DEVICE_CRATES: [&str; 7] = [
    "burn-cu",
    "burn-wgpu",
    "cubecl",
    "cubek",
    "cudarc",
    "naga",
    "wgpu",
];
/// What those say when a device is lost or full, in lower case.
const DEVICE_FAILURES: [&str; 7] = [
    "device lost",
    "device was lost",
    "device is poisoned",
    "device was poisoned",
    "out of memory",
    "out-of-memory",
    "allocat",
];

/// Has panics of all threads recorded instead of printed.
pub fn record() {
    set_hook(Box::new(|info| {
        let calls = Backtrace::capture();
        let mut recorded = RECORDED.lock().unwrap_or_else(PoisonError::into_inner);
        if recorded.len() == KEPT {
            recorded.remove(0);
        }
        recorded.push(Panic {
            message: info.payload_as_str().unwrap_or(NO_MESSAGE).into(),
            place: info.location().map(ToString::to_string).unwrap_or_default(),
            calls: match calls.status() {
                BacktraceStatus::Captured => format!("\n{calls}"),
                _ => String::new(),
            },
        });
    }));
}

const NO_MESSAGE: &str = "no message";

/// The last panic with this payload.
pub fn recorded(payload: &(dyn Any + Send)) -> Panic {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or(payload.downcast_ref().copied());
    let message = text.unwrap_or(NO_MESSAGE);
    let recorded = RECORDED.lock().unwrap_or_else(PoisonError::into_inner);
    let found = recorded.iter().rfind(|panic| panic.message == message);
    found.cloned().unwrap_or_else(|| Panic {
        message: message.into(),
        ..Panic::default()
    })
}

impl Panic {
    /// Whether a device or its driver failed, and not this program.
    pub fn is_of_device(&self) -> bool {
        let message = self.message.to_lowercase();
        // The folder above the last `src` is called after the crate.
        let folders: Vec<&str> = self.place.split(['/', '\\']).collect();
        let source = folders.iter().rposition(|&folder| folder == "src");
        let name = source.and_then(|i| folders.get(i.checked_sub(1)?));
        name.is_some_and(|name| DEVICE_CRATES.iter().any(|of| name.starts_with(of)))
            || DEVICE_FAILURES.iter().any(|words| message.contains(words))
    }

    /// What happened and where, then `advice`, then the calls that led there.
    pub fn told(&self, advice: &str) -> String {
        // Drivers append calls of their own.
        let lines = self.message.lines().map(str::trim);
        let lines = lines.take_while(|line| !line.starts_with("Backtrace"));
        let message = lines.collect::<Vec<_>>().join(" ");
        let Self { place, calls, .. } = self;
        format!("{message} at {place}; {advice}{calls}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_fails_is_told_from_a_bug() {
        for (message, place, of_device) in [
            ("wgpu error: invalid", "cubecl-wgpu-0.11.3/src/a.rs", true),
            ("no adapter", "wgpu-core-30.0.1/src/instance.rs", true),
            ("out of bounds", "burn-cubecl-0.22.1/src/ops/a.rs", true),
            ("bad entry", "naga-30.0.1/src/back/spv/writer.rs", true),
            ("The device was lost", "burn-tensor-0.22.1/src/a.rs", true),
            ("can't allocate buffer", "burn-tensor-0.22.1/src/a", true),
            ("shapes differ", "burn-tensor-0.22.1/src/a.rs", false),
            ("out of bounds", "wgpu-tests/deconvnet/src/a.rs", false),
        ] {
            let panic = |folder: &str| Panic {
                message: message.into(),
                place: format!("{folder}{place}:42:17"),
                calls: String::new(),
            };
            for folder in ["/home/me/.cargo/registry/src/index.crates.io-1949cf8c/", ""] {
                assert_eq!(
                    panic(folder).is_of_device(),
                    of_device,
                    "{message}, {place}"
                );
            }
        }
    }

    #[test]
    fn the_calls_that_a_driver_appends_are_left_out() {
        let panic = Panic {
            message: "lost\nCaused by:\n  heat\nBacktrace:\n 0: a\n 1: b".into(),
            place: "src/a.rs:1:2".into(),
            calls: "\n0: c".into(),
        };
        let told = "lost Caused by: heat at src/a.rs:1:2; cool it\n0: c";
        assert_eq!(panic.told("cool it"), told);
    }
}

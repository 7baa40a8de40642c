//! Tests that need what a machine may lack.

use std::fmt::Display;
use std::io::Write;

/// Says that a test, or a part of one, is skipped for want of something: on standard error itself,
/// which the test harness does not hold back as it does what `println!` writes. Where
/// `DECONVNET_REQUIRE` names the thing, its absence is a failure instead.
#[track_caller]
pub fn skipped(thing: &str, reason: impl Display) {
    let required = std::env::var("DECONVNET_REQUIRE").unwrap_or_default();
    let required = required.split([' ', ',']).any(|name| name == thing);
    assert!(!required, "{thing} is required: {reason}");
    let test = std::thread::current();
    let test = test.name().unwrap_or("a test").to_owned();
    // One write, so that lines of several tests do not mix.
    let line = format!("skipped ({thing}): {test}: {reason}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}

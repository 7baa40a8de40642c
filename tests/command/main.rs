//! The command itself, as a person runs it: exit codes, messages, Ctrl-C, kill -9.

mod bad_input;
mod invert;
mod stopping;
mod support;
mod workflow;

//! The command itself, as a person runs it: exit codes, messages, Ctrl-C, kill -9.

#[macro_use]
#[path = "../support/says.rs"]
mod says;

mod bad_input;
mod classify;
mod codes;
mod convnet_train;
mod exit;
mod folders;
mod invert;
mod pages;
mod restore;
#[path = "../support/skipped.rs"]
mod skipped;
mod stopping;
mod streams;
mod support;
mod workflow;

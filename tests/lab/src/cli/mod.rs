//! The verbs of the command line. Each returns the exit status, or what to tell the user.

mod child;
mod control;
mod demo;
mod environment;
mod fakes;
mod guard;
pub(crate) mod help;
mod options;
mod orders;
mod run;
mod status;

use std::any::Any;
use std::io::Write;

pub(crate) use control::ctl;
pub(crate) use demo::demo;
pub(crate) use run::run;

/// The exit status of `run` when the kit and not the command has failed.
pub(crate) const FAILED: u8 = 125;

/// By what name the kit was called: it is `lab` where it was built, and installed as `libsentinel-lab`.
pub(crate) fn own_name() -> String {
    let called = std::env::args_os().next().unwrap_or_default();
    let name = std::path::Path::new(&called).file_name().unwrap_or_default();
    Some(name.to_string_lossy().into_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "libsentinel-lab".into())
}

/// One line on standard error; where that is closed, nobody listens.
pub(crate) fn say(problem: &str) {
    let line = format!("{}: {problem}\n", own_name());
    std::io::stderr().write_all(line.as_bytes()).ok();
}

/// Prints, and does not mind a reader that has gone.
pub(crate) fn print(text: &str) {
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).ok();
}

/// What a panic has said: the laboratory panics when something cannot be done.
pub(crate) fn reason(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("an error without a text").to_owned()
}

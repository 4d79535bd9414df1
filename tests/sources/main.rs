//! What the project says more than once has one source, and what is printed from it is compared here: `make check` runs
//! this, and `make bless` prints anew what differs.
//!
//! - `src/options/keys.rs`: the table of `docs/options.md` is printed; what other pages say of options is compared.
//! - `include/sentinel.h`: `docs/api.md` and the gem's `numbers.rb` are printed; names in C++ and Go, the functions that
//!   Ruby declares, and the README's table of failures are compared.
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod api;
mod bindings;
mod header;
mod options;
mod readme;
mod ruby;

use std::path::{Path, PathBuf};

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn read(file: &str) -> String {
    std::fs::read_to_string(path(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// A file is what is printed; with BLESS=1 it becomes that.
fn compare(file: &str, printed: &str) {
    let committed = read(file);
    if committed == printed {
        return;
    }
    if std::env::var("BLESS").is_ok_and(|mode| mode == "1") {
        std::fs::write(path(file), printed).unwrap_or_else(|error| panic!("{file}: {error}"));
        return;
    }
    let lines = committed.lines().map(Some).chain(std::iter::repeat(None));
    let (number, (old, new)) = lines
        .zip(printed.lines().map(Some).chain(std::iter::repeat(None)))
        .enumerate()
        .find(|(_, (old, new))| old != new)
        .expect("they differ");
    panic!(
        "{file}:{}: not what its source gives: run `make bless`, look at the change, commit it\nis:  {}\nnot: {}",
        number + 1,
        old.unwrap_or("the end"),
        new.unwrap_or("the end"),
    );
}

/// `file` with `printed` between the line `<!-- printed from SOURCE: ... -->` and `<!-- end -->`.
fn spliced(file: &str, printed: &str) -> String {
    let committed = read(file);
    let parts = committed.split_once("<!-- printed from ").and_then(|(before, rest)| {
        let (mark, rest) = rest.split_once("-->\n")?;
        let (_, after) = rest.split_once("<!-- end -->\n")?;
        Some(format!(
            "{before}<!-- printed from {mark}-->\n{printed}<!-- end -->\n{after}"
        ))
    });
    parts.unwrap_or_else(|| panic!("{file} has no place for what is printed"))
}

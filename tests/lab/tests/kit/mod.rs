//! The kit as a command, with a TMPDIR of its own.

// Each test program uses a part of it.
#![allow(dead_code)]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use sentinel_lab::{process_exists, wait_for, wait_until};
use tempfile::TempDir;

pub const LAB: &str = env!("CARGO_BIN_EXE_lab");
pub const LONG: Duration = Duration::from_secs(20);
/// A topology that is up in a moment.
pub const SMALL: [&str; 4] = ["--replicas", "0", "--sentinels", "1"];

/// A TMPDIR of its own, in which nothing may be left.
pub struct Place {
    pub folder: TempDir,
}

impl Place {
    pub fn new() -> Place {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("tmp")).expect("a folder");
        Place { folder }
    }

    pub fn temporary(&self) -> PathBuf {
        self.folder.path().join("tmp")
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn kit(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(LAB);
        command.args(arguments).env("TMPDIR", self.temporary()).env("LAB", LAB);
        command.env("HERE", self.folder.path()).env_remove("LAB_CONTROL");
        command
    }

    /// `run` of a small topology with a script.
    pub fn script(&self, script: &str) -> Command {
        self.script_with(&SMALL, script)
    }

    pub fn script_with(&self, options: &[&str], script: &str) -> Command {
        let arguments = [&["run"], options, &["--", "sh", "-c", script]].concat();
        self.kit(&arguments)
    }

    /// What the script has written to a file of this name, when it has written a line that says so.
    pub fn numbers(&self, name: &str) -> Vec<u32> {
        let text = wait_for("the script's pids", LONG, || {
            fs::read_to_string(self.file(name))
                .ok()
                .filter(|text| text.contains("done"))
        });
        text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
    }

    pub fn is_clean(&self) -> bool {
        fs::read_dir(self.temporary()).expect("read the folder").count() == 0
    }

    #[track_caller]
    pub fn wait_until_clean(&self, pids: &[u32]) {
        let left = || {
            pids.iter()
                .copied()
                .filter(|pid| process_exists(*pid))
                .collect::<Vec<u32>>()
        };
        wait_until("the end of everything", LONG, || left().is_empty() && self.is_clean());
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn status(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

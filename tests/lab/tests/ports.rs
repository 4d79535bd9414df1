//! A port is one owner's on the whole machine.

use std::process::Command;

use sentinel_lab::{Port, free_port};

/// Set in the other process: the number that it is to take.
const NUMBER: &str = "LAB_TEST_PORT";
const TAKEN: i32 = 40;
const REFUSED: i32 = 41;

#[test]
fn a_port_is_its_owners_whatever_folder_others_have_for_their_files() {
    if let Ok(number) = std::env::var(NUMBER) {
        let taken = Port::take(number.parse().expect("a number")).is_some();
        std::process::exit(if taken { TAKEN } else { REFUSED });
    }
    let elsewhere = tempfile::tempdir().expect("a folder");
    let in_another_process = |number: u16| {
        let this = std::env::current_exe().expect("the program");
        let mut command = Command::new(this);
        command.env("TMPDIR", elsewhere.path()).env(NUMBER, number.to_string());
        command.output().expect("run").status.code()
    };
    let port = free_port();
    let number = port.number();
    assert!(Port::take(number).is_none());
    // Nothing listens there, as while a server is down.
    assert_eq!(in_another_process(number), Some(REFUSED));
    drop(port);
    assert_eq!(in_another_process(number), Some(TAKEN));
    let left = std::fs::read_dir(elsewhere.path()).expect("read").count();
    assert_eq!(left, 0, "files are left of what was taken");
}

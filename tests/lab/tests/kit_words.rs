//! The kit as a command: what it says of bad arguments, of what is missing, and of itself.

mod kit;

use std::fs;
use std::path::Path;
use std::process::Stdio;

use kit::{Place, status, text};

#[test]
fn bad_arguments_are_named() {
    let place = Place::new();
    let cases: &[(&[&str], &[&str])] = &[
        (&["run"], &["`--`"]),
        (&["run", "true"], &["`--`"]),
        (&["run", "--"], &["command"]),
        (&["run", "--replicas", "--", "true"], &["--replicas", "value"]),
        (&["run", "--replicas", "-1", "--", "true"], &["--replicas", "-1"]),
        (
            &["run", "--replicas=many", "--", "true"],
            &["--replicas", "many", "0 to 49"],
        ),
        (&["run", "--nodes", "0", "--", "true"], &["--nodes", "\"0\""]),
        (
            &["run", "--sentinels", "99999999999999999999", "--", "true"],
            &["--sentinels"],
        ),
        (
            &["run", "--sentinels", "1", "--quorum", "2", "--", "true"],
            &["--quorum 2"],
        ),
        (&["run", "--down-after", "0", "--", "true"], &["--down-after"]),
        (&["run", "--service", "", "--", "true"], &["--service", "empty"]),
        (&["run", "--service", "a\nb", "--", "true"], &["--service", "control"]),
        (&["run", "--user", "name", "--", "true"], &["--user", "NAME:PASSWORD"]),
        (&["run", "--user", "default:x", "--", "true"], &["--user", "--password"]),
        (
            &["run", "--fake-sentinels", "1", "--tls", "--", "true"],
            &["--fake-sentinels", "--tls"],
        ),
        (&["run", "--proxy", "--ipv6", "--", "true"], &["--proxy", "--ipv6"]),
        (&["run", "--tls=yes", "--", "true"], &["tls"]),
        (&["run", "--frobnicate", "--", "true"], &["--frobnicate"]),
        (&["run", "-x", "--", "true"], &["-x"]),
        (&["run", "stray", "--", "true"], &["stray"]),
        (
            &["run", "--server", "/no/such/server", "--", "true"],
            &["/no/such/server"],
        ),
        (
            &["run", "--server", "/bin/true", "--", "true"],
            &["/bin/true", "no server"],
        ),
    ];
    for (arguments, words) in cases {
        let output = place.kit(arguments).output().expect("run");
        let said = text(&output.stderr);
        assert_eq!(status(&output), 125, "{arguments:?}: {said}");
        assert!(words.iter().all(|word| said.contains(word)), "{arguments:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    for (arguments, expected, word) in [
        (&["frobnicate"][..], 2, "frobnicate"),
        (&[], 2, "--help"),
        (&["ctl"], 2, "order"),
        (&["ctl", "primary"], 3, "LAB_CONTROL"),
    ] {
        let output = place.kit(arguments).output().expect("run");
        assert_eq!(status(&output), expected, "{arguments:?}");
        assert!(text(&output.stderr).contains(word), "{arguments:?}: {output:?}");
    }
    let gone = place
        .kit(&["ctl", "primary"])
        .env("LAB_CONTROL", "127.0.0.1:1")
        .output()
        .expect("run");
    assert_eq!(status(&gone), 3);
    assert!(place.is_clean());
}

#[test]
fn what_is_missing_on_the_machine_is_said() {
    let place = Place::new();
    let mut bare = place.kit(&["run", "--", "true"]);
    bare.env("PATH", place.folder.path())
        .env_remove("LAB_SERVER")
        .env_remove("LAB_SENTINEL");
    let output = bare.output().expect("run");
    assert_eq!(status(&output), 125);
    let said = text(&output.stderr);
    assert!(
        said.contains("redis-server") && said.contains("--server") && said.contains("install"),
        "{said}"
    );
    let nowhere = place
        .kit(&["run", "--", "true"])
        .env("TMPDIR", "/proc")
        .output()
        .expect("run");
    assert_eq!(status(&nowhere), 125);
    assert!(text(&nowhere.stderr).contains("/proc"), "{nowhere:?}");
    assert_eq!(text(&nowhere.stderr).lines().count(), 1, "{nowhere:?}");
}

#[test]
fn the_manual_page_has_all_that_the_help_has() {
    let place = Place::new();
    let output = place.kit(&["--help"]).output().expect("run");
    let help = text(&output.stdout);
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("libsentinel-lab.1");
    let page = fs::read_to_string(page).expect("the manual page").replace("\\-", "-");
    let entries = help.lines().filter(|line| line.starts_with("        "));
    let words: Vec<&str> = entries.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(words.len() > 30, "{words:?}");
    for word in &words {
        let has = |line: &str| line.starts_with(".B") && line.split_whitespace().any(|part| part == *word);
        assert!(page.lines().any(has), "the manual page lacks {word}");
    }
    let version = place.kit(&["--version"]).output().expect("run");
    assert_eq!(text(&version.stdout), format!("lab {}\n", env!("CARGO_PKG_VERSION")));
    let closed = place
        .script("exit 5")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .expect("run");
    assert_eq!(closed.code(), Some(5));
}

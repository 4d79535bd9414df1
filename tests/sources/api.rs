//! docs/api.md is a line for each function of the header, and below it what is absent.

use std::process::Command;

use crate::header::HEADER;

#[test]
fn the_page_has_each_function_of_the_header() {
    let listed = Command::new("awk")
        .args(["-v", "form=list", "-f"])
        .arg(crate::path("packaging/reference.awk"))
        .arg(crate::path("include/sentinel.h"))
        .output()
        .expect("awk runs");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let list = String::from_utf8(listed.stdout).expect("text");
    for function in &HEADER.functions {
        let line = format!("\n- `{}(", function.name);
        assert!(
            list.contains(&line),
            "packaging/reference.awk does not list {}",
            function.name
        );
    }
    crate::compare("docs/api.md", &crate::spliced("docs/api.md", &list));
}

#[test]
fn the_page_has_each_macro_of_the_header() {
    let (page, header) = (crate::read("docs/api.md"), crate::read("include/sentinel.h"));
    let names = header.lines().filter_map(|line| line.strip_prefix("#define "));
    for name in names.map(|line| line.split([' ', '(']).next().unwrap_or_default()) {
        // Versions are named by what they have in common; SENTINEL_H says that the header was read.
        let shown = name
            .strip_prefix("SENTINEL_VERSION_")
            .map_or(name, |_| "SENTINEL_VERSION_");
        assert!(name == "SENTINEL_H" || page.contains(shown), "docs/api.md lacks {name}");
    }
}

/// What the page says of absence, as far as it can be read here: it names nothing of the library that the header does
/// not have, and no signature has a type but those that every language can call with.
#[test]
fn what_is_absent_is_absent() {
    let page = crate::read("docs/api.md");
    let (_, absent) = page.split_once("## What is not there").expect("the last section");
    let header = crate::read("include/sentinel.h");
    for name in absent.split('`').skip(1).step_by(2) {
        if name.to_lowercase().starts_with("sentinel_") {
            assert!(header.contains(name), "docs/api.md names {name}");
        }
    }
    let plain = "void * int int32_t int64_t uint16_t uint32_t uint64_t size_t double";
    for function in &HEADER.functions {
        for kind in function.parameters.iter().chain([&function.result]) {
            assert!(plain.split(' ').any(|known| known == kind), "{}: {kind}", function.name);
        }
    }
}

/// The two statuses of which the page says that nothing returns them.
#[test]
fn no_call_ends_with_a_status_that_is_said_to_be_never() {
    let page = crate::read("docs/api.md");
    assert!(page.contains("\n- `CONNECT`: ") && page.contains("\n- `UNAVAILABLE`: "));
    let mut folders = vec![crate::path("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a source");
            // Patterns, the kind and the failure themselves apart.
            let made = text.lines().find(|line| {
                (line.contains("ErrorKind::Connect ") && !line.contains("{ .. }"))
                    || (line.contains("Failure::Unavailable(") && !line.contains(" => "))
            });
            assert_eq!(made, None, "{}", path.display());
        }
    }
}

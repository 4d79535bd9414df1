//! The options: docs/options.md is the table of src/options/keys.rs, and no other page says anything else.

use sentinel::options::{Key, Kind, Scope, keys};

fn row(key: &Key) -> String {
    let default = match (key.default, key.kind) {
        ("", _) => "none".to_owned(),
        (word, Kind::Choice(_)) => format!("`{word}`"),
        (number, _) => number.to_owned(),
    };
    let scope = match key.scope {
        Scope::Deployment => "Sentinels",
        Scope::Client => "clients",
        Scope::Both => "both",
    };
    format!(
        "| `{}` | {} | {default} | {scope} | {} |\n",
        key.name,
        takes(key),
        key.help
    )
}

/// What it takes and in which unit, shorter than in a message.
fn takes(key: &Key) -> String {
    let unit = key.unit().to_str().expect("text");
    let unit = if unit.is_empty() {
        String::new()
    } else {
        format!(" {unit}")
    };
    match key.kind {
        Kind::Int { min, max: i64::MAX } => format!("from {min}{unit}"),
        Kind::Int { min, max } => format!("{min} to {max}{unit}"),
        Kind::Limit => {
            let (min, max) = key.range();
            format!("{min} to {max}{unit}, or -1")
        }
        Kind::Choice(words) => {
            let words: Vec<_> = words
                .to_str()
                .expect("text")
                .split(' ')
                .map(|word| format!("`{word}`"))
                .collect();
            words.join(", ")
        }
        Kind::AddressMap => format!("`{}`", key.takes()),
        Kind::Text => "text".into(),
        Kind::User => "text or bytes".into(),
        Kind::Secret => "bytes".into(),
        Kind::ClientName | Kind::Flag => key.takes(),
    }
}

#[test]
fn the_page_is_the_table_of_the_keys() {
    let rows: String = keys().iter().map(row).collect();
    let table = format!("| key | takes | default | for | meaning |\n| --- | --- | --- | --- | --- |\n{rows}");
    crate::compare("docs/options.md", &crate::spliced("docs/options.md", &table));
}

/// Every page that a program's author reads.
fn pages() -> Vec<(String, String)> {
    let mut files = vec![
        "README.md".to_owned(),
        "include/sentinel.h".to_owned(),
        "include/sentinel/options.hpp".to_owned(),
    ];
    files.extend(["bindings/go/README.md", "bindings/ruby/README.md"].map(str::to_owned));
    for file in std::fs::read_dir(crate::path("docs")).expect("the guides") {
        files.push(format!("docs/{}", file.expect("a file").file_name().to_string_lossy()));
    }
    files
        .into_iter()
        .map(|file| (file.clone(), crate::read(&file)))
        .collect()
}

fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Groups of keys by what stands before the first dot.
fn groups() -> Vec<&'static str> {
    let mut groups: Vec<_> = keys()
        .iter()
        .filter_map(|key| Some(key.name.split_once('.')?.0))
        .collect();
    groups.dedup();
    groups
}

#[test]
fn the_pages_name_no_option_that_is_none() {
    let mut seen = 0;
    for (file, text) in pages() {
        // A code block has three of these marks.
        for word in quoted(&text.replace("```", "")) {
            let name = word.split(['=', ' ']).next().unwrap_or_default();
            let name = name.trim_start_matches('?');
            let of_a_group = name.split_once('.').is_some_and(|(group, rest)| {
                groups().contains(&group)
                    && !rest.is_empty()
                    && rest.chars().all(|letter| matches!(letter, 'a'..='z' | '_' | '.'))
            });
            let a_file = ["h", "hpp", "pc", "conf", "so"]
                .iter()
                .any(|ending| name == format!("sentinel.{ending}"));
            // A client is called so in the guides, and its methods stand behind the same point.
            let a_method = ["acquire", "call", "close", "scan"]
                .iter()
                .any(|method| name == format!("primary.{method}"));
            if of_a_group && !a_file && !a_method {
                assert!(
                    keys().iter().any(|key| key.name == name),
                    "{file} names an option `{name}`"
                );
                seen += 1;
            }
        }
    }
    assert!(seen > 60, "{seen}");
}

/// Tables of other pages that have a column of options and one of defaults.
#[test]
fn the_pages_have_the_defaults_of_the_table() {
    let mut seen = 0;
    for (file, text) in pages().into_iter().filter(|(file, _)| file != "docs/options.md") {
        let mut columns = None;
        for line in text.lines() {
            let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
            let find = |names: &[&str]| cells.iter().position(|cell| names.contains(cell));
            if !line.starts_with('|') {
                columns = None;
            } else if let (Some(option), Some(default)) = (find(&["option", "key", "keyword"]), find(&["default"])) {
                columns = Some((option, default));
            } else if let Some((option, default)) = columns {
                let names = quoted(cells[option]).filter_map(|name| keys().iter().find(|key| key.name == name));
                for (key, told) in names.zip(cells[default].split(", ")) {
                    let given = if key.default.is_empty() { "none" } else { key.default };
                    assert_eq!(told.trim_matches('`'), given, "{file}: {}", key.name);
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 5, "{seen}");
}

/// A default told in a sentence: `pool.max_connections` (64), or `timeout_ms` counts (5 s).
#[test]
fn the_sentences_have_the_defaults_of_the_table() {
    let mut seen = 0;
    for (file, text) in pages() {
        let words: Vec<&str> = text.split('`').collect();
        for (name, behind) in words.iter().zip(words.iter().skip(1)) {
            let Some(key) = keys().iter().find(|key| key.name == *name) else {
                continue;
            };
            let told = behind
                .split_once('(')
                .filter(|(between, _)| between.len() < 12 && !between.contains(['.', '|', ',']));
            let Some(told) = told.and_then(|(_, told)| told.split([')', ',', ';']).next()) else {
                continue;
            };
            let (number, unit) = told.split_once(' ').unwrap_or((told, ""));
            let Ok(number) = number.parse::<i64>() else { continue };
            let number = match (unit, key.unit().to_str().expect("text")) {
                ("s", "ms") => number * 1000,
                _ => number,
            };
            assert_eq!(number.to_string(), key.default, "{file}: `{name}`{behind}");
            seen += 1;
        }
    }
    assert!(seen > 2, "{seen}");
}

//! The constants of C++ and Go: each stands for the one of the header that has its name, and none is missing.

use crate::header::HEADER;

/// The constants of the header that begin so are these of a language; `other`: those that have another name there, and
/// those that have none, with the reason.
struct Family {
    prefix: &'static str,
    /// What the names begin with in Go: `Status`.
    go: Option<&'static str>,
    /// The `enum class` in C++.
    cpp: Option<&'static str>,
    other: &'static [(&'static str, &'static str)],
}

const fn family(prefix: &'static str, go: Option<&'static str>, cpp: Option<&'static str>) -> Family {
    Family {
        prefix,
        go,
        cpp,
        other: &[],
    }
}

const FAMILIES: &[Family] = &[
    Family {
        prefix: "ERR_",
        go: Some("Status"),
        cpp: Some("status"),
        // Go: no callback of the library's runs its code, and it brings its own buffers.
        other: &[("WOULD_DEADLOCK", "go -"), ("BUFFER_TOO_SMALL", "go -")],
    },
    family("REASON_", Some("Reason"), Some("reason")),
    family("OUTCOME_", Some("Outcome"), Some("outcome")),
    family("ROLE_", Some("Role"), Some("role")),
    Family {
        prefix: "REPLY_",
        go: Some("Kind"),
        cpp: Some("type"),
        // Words of the language itself.
        other: &[("DOUBLE", "cpp floating"), ("BOOL", "cpp boolean")],
    },
    family("EVENT_", Some("Event"), None),
    family("COMPLETION_", None, Some("completion_kind")),
    family("BATCH_", None, Some("batch_kind")),
    Family {
        prefix: "SUBSCRIBE_",
        go: None,
        cpp: Some("channel_kind"),
        other: &[("CONFIRM", "cpp -")], // a flag, and an argument of its own there
    },
    Family {
        prefix: "OPTION_",
        go: Some("Takes"),
        cpp: Some("option_kind"),
        other: &[],
    },
];

impl Family {
    /// The name that a constant has in a language; none: it has none there.
    fn name<'a>(&self, language: &str, constant: &'a str) -> Option<&'a str>
    where
        Self: 'a,
    {
        let other = self
            .other
            .iter()
            .find(|(name, told)| *name == constant && told.starts_with(language));
        match other.and_then(|(_, told)| told.split_once(' ')) {
            Some((_, "-")) => None,
            Some((_, name)) => Some(name),
            None => Some(constant),
        }
    }
}

/// The same in every style: `PrimaryNotFound`, `primary_not_found` and `PRIMARY_NOT_FOUND`.
fn plain(name: &str) -> String {
    name.replace('_', "").to_lowercase()
}

fn all(folder: &str, ending: &str) -> String {
    let files = std::fs::read_dir(crate::path(folder)).expect("a folder");
    let mut paths: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    paths.sort();
    let texts = paths.iter().filter(|path| path.to_string_lossy().ends_with(ending));
    texts.map(|path| std::fs::read_to_string(path).expect("text")).collect()
}

/// Compares what `pairs` gives, the name in the language and the name in C without its prefix, with the header's.
fn compare(language: &str, family: &Family, pairs: &[(String, String)]) {
    let mut missing: Vec<&str> = HEADER.of(family.prefix);
    for (name, constant) in pairs {
        let known = family.name(language, constant);
        assert_eq!(
            Some(plain(name)),
            known.map(plain),
            "{language}: {name} is SENTINEL_{}{constant}",
            family.prefix
        );
        let before = missing.len();
        missing.retain(|each| each != constant);
        assert!(
            missing.len() < before,
            "{language}: SENTINEL_{}{constant} has two names, or none in C",
            family.prefix
        );
    }
    missing.retain(|constant| family.name(language, constant).is_some());
    assert!(
        missing.is_empty(),
        "{language} has no SENTINEL_{}{missing:?}",
        family.prefix
    );
}

#[test]
fn go_has_each_constant_under_its_name() {
    let text = all("bindings/go", ".go");
    for family in FAMILIES {
        let Some(kind) = family.go else { continue };
        let mut pairs = Vec::new();
        for line in text.lines() {
            // `StatusTLS Status = C.SENTINEL_ERR_TLS`
            let Some((front, constant)) = line.split_once(&format!("= C.SENTINEL_{}", family.prefix)) else {
                continue;
            };
            let mut words = front.split_whitespace();
            match (
                words.next().and_then(|name| name.strip_prefix(kind)),
                words.next(),
                words.next(),
            ) {
                (Some(name), Some(_), None) => pairs.push((name.to_owned(), constant.trim().to_owned())),
                _ => continue,
            }
        }
        compare("go", family, &pairs);
    }
}

#[test]
fn cpp_has_each_constant_under_its_name() {
    let text = all("include/sentinel", ".hpp");
    for family in FAMILIES {
        let Some(name) = family.cpp else { continue };
        let head = format!("enum class {name} :");
        let (_, body) = text.split_once(&head).unwrap_or_else(|| panic!("no {head}"));
        let (body, _) = body.split_once('}').expect("it ends");
        let mut pairs = Vec::new();
        for line in body.lines() {
            if let Some((name, constant)) = line.trim().split_once(" = SENTINEL_") {
                let constant = constant.trim_end_matches(',');
                // Those of success stand among the failures.
                if family.prefix == "ERR_" && ["OK", "EMPTY"].contains(&constant) {
                    assert_eq!(plain(name), plain(constant));
                    continue;
                }
                let constant = constant.strip_prefix(family.prefix);
                let constant = constant.unwrap_or_else(|| panic!("{head} {line}"));
                pairs.push((name.to_owned(), constant.to_owned()));
            }
        }
        compare("cpp", family, &pairs);
    }
}

/// `a - 1` and `a-1` have none.
fn negative_numbers(line: &str) -> impl Iterator<Item = i64> {
    line.match_indices('-').filter_map(|(at, _)| {
        let (before, behind) = line.split_at(at + 1);
        let digits = behind.split(|letter: char| !letter.is_ascii_digit()).next()?;
        let stands_alone = !before
            .trim_end_matches('-')
            .ends_with(|letter: char| letter.is_alphanumeric());
        digits
            .parse::<i64>()
            .ok()
            .filter(|_| stands_alone)
            .map(|number| -number)
    })
}

/// A number in the place of a name would not follow the header. Those of statuses can be told from other numbers.
#[test]
fn no_binding_has_a_number_of_its_own() {
    let printed = crate::read("bindings/ruby/lib/sentinel_redis/numbers.rb");
    let ruby = all("bindings/ruby/lib/sentinel_redis", ".rb").replace(&printed, "");
    let others = [
        ruby,
        all("bindings/ruby/lib", ".rb"),
        all("include/sentinel", ".hpp"),
        all("bindings/go", ".go"),
    ];
    for line in others.iter().flat_map(|text| text.lines()) {
        if line.trim_start().starts_with(['#', '*', '/']) {
            continue; // a comment
        }
        for number in negative_numbers(line) {
            let mut statuses = HEADER.constants.iter().filter(|(name, _)| name.starts_with("ERR_"));
            let own = statuses.find(|(_, status)| *status == number);
            assert_eq!(own, None, "{line}");
        }
    }
}

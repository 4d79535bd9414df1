//! What include/sentinel.h declares: constants, structs, functions.

use std::sync::LazyLock;

/// A parameter, field or result by its type, without `const`: `size_t`, or `*` for every pointer.
type Type = String;

#[derive(Debug)]
pub(crate) struct Struct {
    pub(crate) name: String,
    /// Name and type.
    pub(crate) fields: Vec<(String, Type)>,
}

#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) result: Type,
    pub(crate) parameters: Vec<Type>,
}

#[derive(Debug)]
pub(crate) struct Header {
    /// Without `SENTINEL_`, and without those of the version.
    pub(crate) constants: Vec<(String, i64)>,
    pub(crate) structs: Vec<Struct>,
    pub(crate) functions: Vec<Function>,
}

pub(crate) static HEADER: LazyLock<Header> = LazyLock::new(|| parse(&crate::read("include/sentinel.h")));

impl Header {
    /// What stands behind a prefix: `of("ROLE_")` gives PRIMARY, REPLICA and SENTINEL.
    pub(crate) fn of(&self, prefix: &str) -> Vec<&str> {
        let names = self.constants.iter().map(|(name, _)| name.as_str());
        names.filter_map(|name| name.strip_prefix(prefix)).collect()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Function> {
        self.functions.iter().find(|function| function.name == name)
    }
}

fn parse(text: &str) -> Header {
    let code = without_comments(text);
    let mut header = Header {
        constants: Vec::new(),
        structs: Vec::new(),
        functions: Vec::new(),
    };
    for line in code.lines() {
        let Some((name, value)) = line
            .strip_prefix("#define SENTINEL_")
            .and_then(|line| line.split_once(' '))
        else {
            continue;
        };
        if let (false, Ok(value)) = (name.starts_with("VERSION_"), value.trim_end_matches('u').parse()) {
            header.constants.push((name.to_owned(), value));
        }
    }
    let code: String = code
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect::<Vec<_>>()
        .join("\n");
    for part in code.split("typedef struct ").skip(1) {
        if let Some((_, fields)) = part.split_once('{').filter(|(name, _)| !name.contains(';')) {
            let (fields, name) = fields.split_once('}').expect("a struct ends");
            let fields = fields.split(';').map(str::trim).filter(|field| !field.is_empty());
            header.structs.push(Struct {
                name: name.split(';').next().unwrap_or_default().trim().to_owned(),
                fields: fields
                    .map(|field| (name_of(field).to_owned(), type_of(field, true)))
                    .collect(),
            });
        }
    }
    for statement in code.split(';') {
        // What stands before an opening brace belongs to `extern "C"`.
        let statement = statement.rsplit('{').next().unwrap_or_default().trim();
        let Some((front, parameters)) = statement.split_once('(') else {
            continue;
        };
        if statement.contains("typedef") || !name_of(front).starts_with("sentinel_") {
            continue;
        }
        let parameters = parameters.trim_end_matches(')').split(',').map(str::trim);
        header.functions.push(Function {
            name: name_of(front).to_owned(),
            result: type_of(front, true),
            parameters: parameters
                .filter(|parameter| *parameter != "void")
                .map(|parameter| type_of(parameter, true))
                .collect(),
        });
    }
    header
}

fn without_comments(text: &str) -> String {
    let mut rest = text;
    let mut code = String::new();
    while let Some((before, comment)) = rest.split_once("/*") {
        code += before;
        rest = comment.split_once("*/").map_or("", |(_, behind)| behind);
    }
    code + rest
}

/// The last word of a declaration.
fn name_of(declaration: &str) -> &str {
    let word = declaration.split([' ', '*', '\n']).next_back();
    word.unwrap_or_default()
}

fn type_of(declaration: &str, named: bool) -> Type {
    if declaration.contains('*') || declaration.contains("_fn ") {
        return "*".into();
    }
    let words = declaration.split_whitespace();
    let words: Vec<_> = words
        .filter(|word| !["const", "SENTINEL_MUST_CHECK"].contains(word))
        .collect();
    let kept = words.len() - usize::from(named);
    match words[..kept].join(" ").as_str() {
        "sentinel_status_t" => "int32_t".into(),
        other => other.to_owned(),
    }
}

#[test]
fn the_header_is_read_whole() {
    let mut functions: Vec<&str> = HEADER.functions.iter().map(|function| function.name.as_str()).collect();
    functions.sort_unstable();
    let symbols = crate::read("tests/symbols.txt");
    assert_eq!(functions, symbols.lines().collect::<Vec<_>>());
    let numbers = crate::read("tests/c/numbers.txt");
    let numbers = numbers.lines().filter(|line| line.contains('=')).count();
    assert_eq!(HEADER.constants.len(), numbers);
    let structs: Vec<&str> = HEADER.structs.iter().map(|found| found.name.as_str()).collect();
    let opaque = crate::read("include/sentinel.h").matches("\n} sentinel_").count();
    assert_eq!(structs.len(), opaque, "{structs:?}");
    let poll = HEADER.get("sentinel_queue_poll").expect("a function");
    assert_eq!(
        (poll.result.as_str(), poll.parameters.join(" ").as_str()),
        ("int32_t", "* * size_t size_t int64_t *")
    );
}

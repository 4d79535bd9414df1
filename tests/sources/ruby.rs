//! The gem: its numbers and layouts are printed from the header, its functions are declared as the header has them.

use crate::header::{HEADER, Struct};

/// Ruby's letter for a type, as `pack` and `unpack` have it, and its bytes where pointers have 64 bits.
fn packed(of: &str) -> (char, usize) {
    match of {
        "int32_t" => ('l', 4),
        "uint32_t" => ('L', 4),
        "int64_t" => ('q', 8),
        "uint64_t" | "size_t" | "*" => ('Q', 8),
        "double" => ('d', 8),
        other => panic!("no letter for {other}"),
    }
}

/// Each field with its letter and offset, the whole format, and the size.
fn layout(of: &Struct) -> (Vec<(&str, char, usize)>, String, usize) {
    let (mut at, mut widest, mut format, mut fields) = (0, 1, String::new(), Vec::new());
    for (name, kind) in &of.fields {
        let (letter, size) = packed(kind);
        let start = usize::next_multiple_of(at, size);
        format += &"x".repeat(start - at);
        format.push(letter);
        fields.push((name.as_str(), letter, start));
        (at, widest) = (start + size, widest.max(size));
    }
    let size = at.next_multiple_of(widest);
    (fields, format + &"x".repeat(size - at), size)
}

fn printed() -> String {
    let mut text = String::from(
        "# frozen_string_literal: true\n# shareable_constant_value: literal\n\n\
         # Printed from include/sentinel.h by `make bless`: change src/ffi.\n\
         class SentinelRedis\n  module Native\n",
    );
    for (name, number) in &HEADER.constants {
        text += &format!("    {name} = {number}\n");
    }
    text += "    # All of these by name.\n    NUMBERS = constants.freeze\n";
    for each in &HEADER.structs {
        let (fields, format, size) = layout(each);
        let name = each
            .name
            .trim_start_matches("sentinel_")
            .trim_end_matches("_t")
            .to_uppercase();
        let fields: Vec<_> = fields
            .iter()
            .map(|(field, letter, at)| format!("      {field}: [{at}, \"{letter}\"]"))
            .collect();
        text += &format!(
            "\n    # {}: for pack and unpack, its size, and for each field where it is.\n",
            each.name
        );
        text += &format!("    {name} = \"{format}\"\n    {name}_SIZE = {size}\n");
        text += &format!("    {name}_FIELDS = {{\n{}\n    }}\n", fields.join(",\n"));
    }
    text + "  end\nend\n"
}

#[test]
fn the_numbers_are_those_of_the_header() {
    crate::compare("bindings/ruby/lib/sentinel_redis/numbers.rb", &printed());
}

/// The compiler's word on the layouts that are counted here.
#[test]
fn the_layouts_are_those_of_the_library() {
    use sentinel::ffi::command::sentinel_call_t;
    use sentinel::ffi::completion::sentinel_completion_t;
    use sentinel::ffi::options::sentinel_options_key_t;
    use sentinel::ffi::reply::sentinel_reply_node_t;
    use std::mem::offset_of;

    macro_rules! of {
        ($name:ident: $($field:ident)*) => {
            (stringify!($name), vec![$((stringify!($field), offset_of!($name, $field))),*], size_of::<$name>())
        };
    }
    let mut library = vec![
        of!(sentinel_call_t: struct_size flags timeout_ms replicas reserved),
        of!(sentinel_reply_node_t: r#type depth len data integer number),
        of!(sentinel_completion_t: tag kind status reply error),
        of!(sentinel_options_key_t: struct_size kind name default_value unit words help min max scope reserved),
    ];
    for each in &HEADER.structs {
        let (fields, _, size) = layout(each);
        let fields: Vec<_> = fields.into_iter().map(|(name, _, at)| (name, at)).collect();
        let index = library.iter().position(|(name, ..)| *name == each.name);
        let (name, mut known, known_size) = library.swap_remove(index.unwrap_or_else(|| panic!("{}", each.name)));
        known
            .iter_mut()
            .for_each(|(name, _)| *name = name.trim_start_matches("r#"));
        assert_eq!((fields, size), (known, known_size), "{name}");
    }
}

/// What Ruby's FFI calls a type, as the header's.
fn in_c(ruby: &str) -> &str {
    match ruby {
        "pointer" | "string" | "buffer_in" | "buffer_out" => "*",
        "int32" => "int32_t",
        "int64" => "int64_t",
        "uint16" => "uint16_t",
        "uint32" => "uint32_t",
        "uint64" => "uint64_t",
        "size_t" | "int" | "void" => ruby,
        other => panic!("native.rb has a type {other}"),
    }
}

#[test]
fn the_functions_are_declared_as_in_the_header() {
    let native = crate::read("bindings/ruby/lib/sentinel_redis/native.rb");
    let mut declared = 0;
    let mut lines = native.lines().peekable();
    while let Some(line) = lines.next() {
        let mut line = line.trim().to_owned();
        let Some(start) = ["function :", "attach_function :"]
            .iter()
            .find(|start| line.starts_with(**start))
        else {
            continue;
        };
        while line.ends_with(',') {
            line += lines.next().expect("a declaration ends").trim();
        }
        // The name in Ruby, and that in C where it is another one.
        let (front, types) = line.split_once('[').expect("parameters");
        let names: Vec<_> = front.trim_start_matches(start).split(',').map(str::trim).collect();
        let name = match names[..] {
            [_, c, ..] if c.starts_with(":sentinel_") => c.trim_start_matches(':').to_owned(),
            [ruby, ..] => format!("sentinel_{ruby}"),
            [] => unreachable!("{line}"),
        };
        let (parameters, result) = types.split_once(']').expect("parameters end");
        let parameters = parameters
            .split([' ', ','])
            .map(|each| each.trim_start_matches(':'))
            .filter(|each| !each.is_empty());
        let result = result
            .trim_start_matches([',', ' ', ':'])
            .split(',')
            .next()
            .unwrap_or_default();
        let function = HEADER
            .get(&name)
            .unwrap_or_else(|| panic!("{name} is not in the header"));
        // By their address, which a completion holds as a number.
        let by_address = names[0].ends_with("_at");
        let parameters = parameters.enumerate().map(|(index, each)| match (index, by_address) {
            (0, true) => "*",
            _ => in_c(each),
        });
        let parameters: Vec<_> = parameters.collect();
        assert_eq!(
            (parameters, in_c(result)),
            (
                function.parameters.iter().map(String::as_str).collect(),
                function.result.as_str()
            ),
            "{name}"
        );
        declared += 1;
    }
    assert!(declared > 60, "native.rb declares functions in another way: {declared}");
}

//! Writes include/sentinel.h from src/ffi with cbindgen, and gives the shared object its name.
//!
//! cbindgen orders a header by kind: constants, types, functions. Here it runs once for each file of src/ffi, in the
//! order of src/ffi/mod.rs, so that the header has a section for each, headed by the file's module comment. What is
//! done to its text is done here and is no more than layout.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

fn main() -> Result<()> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    for path in [
        "src/ffi",
        "cbindgen.toml",
        "Cargo.toml",
        "build.rs",
        "include/sentinel.h",
    ] {
        println!("cargo::rerun-if-changed={path}");
    }
    println!("cargo::rerun-if-env-changed=SENTINEL_HEADER_CHECK");
    name_the_shared_object()?;

    let header = header(&root)?;
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("sentinel.h"), &header)?;
    let committed = root.join("include/sentinel.h");
    if fs::read_to_string(&committed).is_ok_and(|text| text == header) {
        return Ok(());
    }
    if env::var("SENTINEL_HEADER_CHECK").is_ok_and(|mode| mode == "1") {
        return Err(
            "include/sentinel.h is not what src/ffi says: build without SENTINEL_HEADER_CHECK, then commit it".into(),
        );
    }
    // A source tree that cannot be written to (a registry's, a package's) keeps the header it came with.
    if let Err(error) = fs::create_dir_all(root.join("include")).and_then(|()| fs::write(&committed, &header)) {
        println!("cargo::warning=include/sentinel.h is out of date and could not be written: {error}");
    }
    Ok(())
}

/// SONAME, so that programs ask for the version of the ABI; NODELETE, since the threads may outlive a dlclose().
fn name_the_shared_object() -> Result<()> {
    if env::var("CARGO_CFG_TARGET_OS")? == "linux" {
        let abi = env::var("CARGO_PKG_VERSION_MAJOR")?;
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libsentinel.so.{abi}");
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
    Ok(())
}

fn header(root: &Path) -> Result<String> {
    let mut config = cbindgen::Config::from_file(root.join("cbindgen.toml"))?;
    let preamble = config.header.take().unwrap_or_default();
    let macros = config.after_includes.take().unwrap_or_default();

    let mut handles = Vec::new();
    let mut sections = String::new();
    let modules = fs::read_to_string(root.join("src/ffi/mod.rs"))?;
    for module in modules
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
    {
        let file = root.join("src/ffi").join(module).with_extension("rs");
        sections += &section(&file, &config, &mut handles)?;
    }
    let handles = handles.join("\n");
    let version = version()?;
    Ok(format!(
        "{}\n#ifndef SENTINEL_H\n#define SENTINEL_H\n\n#include <stddef.h>\n#include <stdint.h>\n\n{version}\n{}\n\n\
         #ifdef __cplusplus\nextern \"C\" {{\n#endif\n{}{handles}\n{sections}\n\
         #ifdef __cplusplus\n}}\n#endif\n\n#endif /* SENTINEL_H */\n",
        preamble.trim(),
        macros.trim(),
        banner("Handles"),
    ))
}

fn version() -> Result<String> {
    let mut number = 0u32;
    let mut text =
        String::from("/** The version of this header; sentinel_version_number() is that of the library loaded. */\n");
    for part in ["MAJOR", "MINOR", "PATCH"] {
        let value = env::var(format!("CARGO_PKG_VERSION_{part}"))?;
        number = number * 100 + value.parse::<u32>()?;
        text += &format!("#define SENTINEL_VERSION_{part} {value}\n");
    }
    Ok(text + &format!("/** MAJOR * 10000 + MINOR * 100 + PATCH */\n#define SENTINEL_VERSION_NUMBER {number}\n"))
}

/// One file's part of the header, empty when it exports nothing; its opaque types are moved to `handles`.
fn section(file: &Path, config: &cbindgen::Config, handles: &mut Vec<String>) -> Result<String> {
    let bindings = cbindgen::Builder::new()
        .with_src(file)
        .with_config(config.clone())
        .generate();
    let mut generated = Vec::new();
    bindings
        .map_err(|error| format!("{}: {error}", file.display()))?
        .write(&mut generated);
    let generated = String::from_utf8(generated)?;

    let mut text = String::new();
    let mut constants = false;
    for block in generated.split("\n\n").map(str::trim).filter(|block| !block.is_empty()) {
        let block = tidy(block);
        let last = block.lines().last().unwrap_or_default();
        if last.starts_with("typedef struct ") && last.ends_with(';') {
            handles.push(block);
            continue;
        }
        // Constants stand line by line; everything else has an empty line in front of it.
        let constant = last.starts_with("#define ");
        text += if constant && constants { "" } else { "\n" };
        text += &block;
        text.push('\n');
        constants = constant;
    }
    if text.is_empty() {
        return Ok(text);
    }
    let source = fs::read_to_string(file)?;
    let mut comment = source.lines().map_while(|line| line.strip_prefix("//!"));
    let title = banner(comment.next().unwrap_or_default().trim());
    let comment: Vec<_> = comment.skip(1).map(|line| format!(" *{line}\n")).collect();
    Ok(format!("{title}/*\n{} */\n{text}", comment.concat()))
}

fn banner(title: &str) -> String {
    let width = 110usize.saturating_sub(title.len());
    format!("\n/* {} {} -- */\n", "-".repeat(width), title.to_lowercase())
}

/// One item without `# Safety`, which the preamble says for all, and with the tag that a struct has in C.
fn tidy(block: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    let mut safety = false;
    for line in block.lines() {
        safety = (safety || line == " * # Safety") && line != " */";
        if safety {
            continue;
        }
        while line == " */" && lines.last() == Some(&" *") {
            lines.pop();
        }
        lines.push(line);
    }
    let text = one_line_comments(&lines);
    match text.rsplit_once("\n} ") {
        Some((_, name)) => {
            let tagged = format!("typedef struct {} {{\n", name.trim_end_matches(';'));
            text.replacen("typedef struct {\n", &tagged, 1)
        }
        None => text,
    }
}

/// `/**`, one line, `*/` on one line.
fn one_line_comments(mut rest: &[&str]) -> String {
    let mut result = Vec::new();
    while let [line, behind @ ..] = rest {
        rest = behind;
        match behind {
            [comment, end, after @ ..] if line.trim() == "/**" && end.trim() == "*/" => {
                let comment = comment.trim().trim_start_matches('*').trim();
                result.push(format!("{}{comment} */", line.replace("/**", "/** ")));
                rest = after;
            }
            _ => result.push((*line).to_owned()),
        }
    }
    result.join("\n")
}

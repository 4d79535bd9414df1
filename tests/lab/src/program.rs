//! The programs that the servers are: those that are named, or the first that is installed.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

const SERVERS: [&str; 2] = ["redis-server", "valkey-server"];
const SENTINELS: [&str; 2] = ["redis-sentinel", "valkey-sentinel"];

/// The program of a kind of server, and whether it takes an argument to be one.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) sentinel_flag: bool,
}

/// Where PATH has a program of this name.
fn find(name: &str) -> Option<PathBuf> {
    let is_program = |path: &PathBuf| {
        std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(is_program)
}

/// A variable that is set and not empty.
fn named_by(variable: &str) -> Option<OsString> {
    std::env::var_os(variable).filter(|value| !value.is_empty())
}

impl Program {
    /// What is `named`, or LAB_SERVER names, or is installed.
    pub(crate) fn server(named: Option<&Path>) -> Result<Program, String> {
        let named = named
            .map(PathBuf::from)
            .or_else(|| named_by("LAB_SERVER").map(PathBuf::from));
        let found = named.or_else(|| SERVERS.into_iter().find_map(find));
        let path = found.ok_or(
            "neither redis-server nor valkey-server is in PATH: install one (apt install redis-server), or name the \
             program by --server or LAB_SERVER",
        )?;
        Ok(Program {
            path,
            sentinel_flag: false,
        })
    }

    /// What is `named`, or LAB_SENTINEL names, or the server that is named, run as a sentinel, or what is installed.
    pub(crate) fn sentinel(named: Option<&Path>, server: Option<&Path>) -> Result<Program, String> {
        let server = server.map(PathBuf::from);
        let given = named
            .map(PathBuf::from)
            .or_else(|| named_by("LAB_SENTINEL").map(PathBuf::from))
            .or(server)
            .or_else(|| named_by("LAB_SERVER").map(PathBuf::from));
        let path = match given.or_else(|| SENTINELS.into_iter().find_map(find)) {
            Some(path) => path,
            None => Program::server(None)?.path,
        };
        let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Program {
            path,
            sentinel_flag: !file_name.contains("sentinel"),
        })
    }

    /// The line that `--version` prints.
    fn version_line(&self) -> Result<String, String> {
        let output = Command::new(&self.path)
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("cannot run {}: {error}", self.path.display()))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The major and the minor version.
    pub(crate) fn version(&self) -> Result<(u32, u32), String> {
        let line = self.version_line()?;
        let version = line.split_whitespace().find_map(|word| word.strip_prefix("v="));
        let mut numbers = version
            .into_iter()
            .flat_map(|version| version.split('.'))
            .map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Ok((major, minor)),
            _ => Err(format!(
                "{} is no server of Redis or Valkey: its --version has no v=N.N: {line:?}",
                self.path.display()
            )),
        }
    }
}

/// Whether the servers that the tests run against are Valkey's, and their version.
fn tested() -> (bool, (u32, u32)) {
    static TESTED: OnceLock<(bool, (u32, u32))> = OnceLock::new();
    let ask = || {
        let program = Program::server(None)?;
        Ok((program.version_line()?.starts_with("Valkey"), program.version()?))
    };
    *TESTED.get_or_init(|| ask().unwrap_or_else(|problem: String| panic!("{problem}")))
}

/// Whether the servers that the tests run against are of this version (major, minor) or a later one.
pub fn servers_since(version: (u32, u32)) -> bool {
    tested().1 >= version
}

/// Whether the servers that the tests run against are Valkey's.
pub fn servers_are_valkey() -> bool {
    tested().0
}

/// Whether a test is to be skipped, for these servers are `unlike` those that it compares with; says so.
pub fn skipped_where(unlike: bool, why: &str) -> bool {
    if unlike {
        println!("skipped: {why}");
    }
    unlike
}

/// Whether a test is to be skipped, for `what` it needs came with this version and the servers are older; says so.
pub fn skipped_before(version: (u32, u32), what: &str) -> bool {
    let older = !servers_since(version);
    if older {
        let ((major, minor), (_, (has, has_minor))) = (version, tested());
        println!("skipped: {what} came with {major}.{minor}, and these servers are of {has}.{has_minor}");
    }
    older
}

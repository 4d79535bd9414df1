//! What an error reply means: for the caller, and for the next attempt. Pure.

use super::commands;
use crate::error::{Error, ErrorKind, Outcome};

/// Whether another node or moment cures it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// The error is about the command: it would be the same anywhere.
    None,
    /// The node is not, or not now, what it was taken for.
    AnotherNode,
}

/// Reads the text of an error reply to `args`.
pub(super) fn of_error(args: &[&[u8]], text: &str) -> (Error, Remedy) {
    let owned = text.to_owned();
    let code = text.split(' ').next().unwrap_or_default();
    let kind = match code {
        "READONLY" => ErrorKind::Readonly { text: owned },
        "LOADING" => ErrorKind::Loading { text: owned },
        "EXECABORT" => ErrorKind::TransactionAborted { text: owned },
        // A script of redis-server 6 and older wraps the error of its command.
        _ if text.contains("-READONLY You can't write") => ErrorKind::Readonly { text: owned },
        _ => ErrorKind::Server { text: owned },
    };
    let remedy = match is_about_the_node(text) {
        true => Remedy::AnotherNode,
        false => Remedy::None,
    };
    let outcome = match remedy {
        Remedy::AnotherNode => Outcome::Refused,
        Remedy::None => outcome(args, text),
    };
    (Error::new(kind).with_outcome(outcome), remedy)
}

/// Whether the server declined because of what it is or does at the moment. Its own words count, not the code alone: a
/// script may end with an error of any code after it has written, and CLIENT UNBLOCK is somebody's wish.
fn is_about_the_node(text: &str) -> bool {
    let begins = |own: &[&str]| own.iter().any(|own| text.starts_with(own));
    begins(&[
        "READONLY You can't write",
        "MASTERDOWN Link with MASTER is down",
        "UNBLOCKED force unblock",
        "ERR max number of clients",
        "ERR WAIT cannot be used with replica",
        "ERR WAITAOF cannot be used with replica",
    ]) || (text.starts_with("LOADING ") && text.contains("is loading the dataset"))
        || text.contains("-READONLY You can't write")
        || (text.starts_with("EXECABORT ") && text.contains("READONLY You can't write"))
}

/// What the server says before it executes anything, word for word.
const BEFORE_EXECUTION: [&str; 6] = [
    "NOSCRIPT No matching script",
    "NOAUTH Authentication required",
    "BUSY Redis is busy running a script",
    "BUSY Valkey is busy running a script",
    "NOREPLICAS Not enough good replicas to write",
    "EXECABORT Transaction discarded",
];

/// What it says in many words, so that a script could begin with the same: good for plain commands.
const BEFORE_PLAIN_COMMANDS: [&str; 3] = ["NOPERM ", "ERR unknown command", "ERR wrong number of arguments"];

/// An error reply of a plain command means that it changed nothing. A script, a function or a module's command may
/// have written before it failed, and may say anything.
fn outcome(args: &[&[u8]], text: &str) -> Outcome {
    let begins = |own: &[&str]| own.iter().any(|own| text.starts_with(own));
    let refused = if runs_other_commands(args) {
        begins(&BEFORE_EXECUTION) && !in_a_script(text)
    } else {
        commands::traits(args).is_some() || begins(&BEFORE_EXECUTION) || begins(&BEFORE_PLAIN_COMMANDS)
    };
    if refused { Outcome::Refused } else { Outcome::Unknown }
}

/// Whether the error comes from within a script: redis-server 7 says where, older ones wrap it.
fn in_a_script(text: &str) -> bool {
    text.contains(" script: ") || text.contains("user_script")
}

fn runs_other_commands(args: &[&[u8]]) -> bool {
    let name = args.first().copied().unwrap_or_default();
    let begins = |prefix: &[u8]| {
        name.get(..prefix.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(prefix))
    };
    [b"EVAL".as_slice(), b"FCALL", b"EXEC", b"MIGRATE", b"DEBUG"]
        .iter()
        .any(|own| begins(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_its_outcome_and_remedy() {
        use Outcome::{Refused, Unknown};
        use Remedy::{AnotherNode, None};
        let rows: &[(&[&str], &str, Outcome, Remedy)] = &[
            (
                &["SET", "k", "v"],
                "READONLY You can't write against a read only replica.",
                Refused,
                AnotherNode,
            ),
            (
                &["SET", "k", "v"],
                "LOADING Redis is loading the dataset in memory",
                Refused,
                AnotherNode,
            ),
            (
                &["GET", "k"],
                "MASTERDOWN Link with MASTER is down",
                Refused,
                AnotherNode,
            ),
            (
                &["BLPOP", "k", "0"],
                "UNBLOCKED force unblock from blocking operation",
                Refused,
                AnotherNode,
            ),
            (
                &["EXEC"],
                "EXECABORT Transaction discarded because of: READONLY You can't write",
                Refused,
                AnotherNode,
            ),
            (
                &["EXEC"],
                "EXECABORT Transaction discarded because of previous errors.",
                Refused,
                None,
            ),
            (&["GET", "k"], "ERR max number of clients reached", Refused, AnotherNode),
            (
                &["EVAL", "s", "0"],
                "ERR Error running script: @user_script: -READONLY You can't write",
                Refused,
                AnotherNode,
            ),
            (
                &["SET", "k", "v"],
                "OOM command not allowed when used memory > 'maxmemory'.",
                Refused,
                None,
            ),
            (&["LPUSH", "k", "v"], "WRONGTYPE Operation against a key", Refused, None),
            (&["eval", "s", "0"], "ERR something in the script", Unknown, None),
            (&["EVALSHA", "s", "0"], "NOSCRIPT No matching script.", Refused, None),
            (&["NO.SUCH"], "ERR unknown command 'NO.SUCH'", Refused, None),
            (&["MODULE.CMD"], "ERR half way", Unknown, None),
        ];
        for (args, text, outcome, remedy) in rows {
            let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
            let (error, cure) = of_error(&args, text);
            assert_eq!((error.outcome(), cure), (*outcome, *remedy), "{text}");
            assert_eq!(error.server_code(), text.split(' ').next());
        }
    }
}

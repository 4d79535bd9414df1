//! Scripts by their SHA-1: `EVALSHA`, and `EVAL` where a node does not have the script, as after a failover.

use std::sync::Arc;

use super::learnt::Learnt;
use super::life::Life;
use super::replication::shape;
use super::terms::CallOptions;
use super::waiting::{Letter, Waiting};
use crate::base::deadline::Deadline;
use crate::base::error::{Error, Result};
use crate::pool::Pool;
use crate::resp::Reply;

/// A Lua script with its name, made once. Never changes; any thread.
#[derive(Debug)]
pub struct Script {
    source: Box<[u8]>,
    sha1: String,
    read_only: bool,
}

impl Script {
    /// A script of this source. `read_only`: it runs by `EVALSHA_RO` and `EVAL_RO`, which refuse writes, and is repeated
    /// as commands are that only read.
    pub fn new(source: &[u8], read_only: bool) -> Script {
        Script {
            source: source.into(),
            sha1: sha1_smol::Sha1::from(source).digest().to_string(),
            read_only,
        }
    }

    /// The SHA-1 of the source in 40 hexadecimal digits, by which the servers know it.
    pub fn sha1(&self) -> &str {
        &self.sha1
    }

    /// Runs it; the first `keys` of `args` are the names of keys.
    pub(crate) fn run(
        &self,
        pool: &Arc<Pool>,
        (keys, args): (usize, &[&[u8]]),
        call: &CallOptions,
        learnt: &Learnt,
        deadline: Deadline,
    ) -> Result<Reply> {
        if keys > args.len() {
            let problem = format!("is {keys}, but there are {} arguments", args.len());
            return Err(Error::invalid("numkeys", problem));
        }
        let keys = keys.to_string();
        let [by_name, by_source]: [&[u8]; 2] = match self.read_only {
            true => [b"EVALSHA_RO", b"EVAL_RO"],
            false => [b"EVALSHA", b"EVAL"],
        };
        let rest = || std::iter::once(keys.as_bytes()).chain(args.iter().copied());
        let named = [by_name, self.sha1.as_bytes()].into_iter().chain(rest());
        let whole = [by_source, &self.source].into_iter().chain(rest());
        let letter = Letter::Script {
            by_name: &named.collect::<Vec<_>>(),
            by_source: &whole.collect::<Vec<_>>(),
        };
        let life = Life::new(shape(pool, call)?, call, false).of_script();
        Waiting::new(pool, letter, learnt, deadline).run(life)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_named_as_the_servers_name_it() {
        // `redis-cli SCRIPT LOAD "return 1"`
        let script = Script::new(b"return 1", false);
        assert_eq!(script.sha1(), "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
    }
}

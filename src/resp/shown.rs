//! A reply as tests and reports show it.

use std::fmt;

use super::node::Kind;
use super::reply::{Reply, Value};

/// Values shown of one tree, and bytes of one text: enough to recognise a reply in a test or a report.
const SHOWN_VALUES: usize = 64;
const SHOWN_BYTES: usize = 64;

impl fmt::Debug for Value<'_> {
    /// The tree depth first on one line, without recursion and cut short.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (shown, value) in self.subtree().enumerate() {
            if shown > 0 {
                f.write_str(" ")?;
            }
            if shown == SHOWN_VALUES {
                return f.write_str("...");
            }
            let data = value.data();
            match value.kind() {
                Kind::Nil => f.write_str("Nil")?,
                kind @ (Kind::Integer | Kind::Bool) => write!(f, "{kind:?}({})", value.integer())?,
                kind if kind.is_aggregate() => write!(f, "{kind:?}[{}]", value.len())?,
                kind => match data.get(..SHOWN_BYTES) {
                    Some(start) if data.len() > SHOWN_BYTES => {
                        write!(f, "{kind:?}(\"{}\"... {} bytes)", start.escape_ascii(), data.len())?;
                    }
                    _ => write!(f, "{kind:?}(\"{}\")", data.escape_ascii())?,
                },
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root().fmt(f)
    }
}

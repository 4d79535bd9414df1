//! What a server says on a connection that is subscribed: the same in RESP2 and RESP3 but for the type. Pure.

use super::names::ChannelKind;
use crate::resp::{Kind, Reply};

/// What one reply or push is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// `message`, `pmessage` or `smessage`, whole.
    Message(ChannelKind),
    /// The confirmation of one subscription.
    Subscribed(ChannelKind),
    /// The end of one subscription.
    Unsubscribed,
    /// The answer to PING.
    Pong,
    /// A command was refused.
    Error,
    /// Something that a later server may push.
    Other,
}

/// Reads a reply.
pub(super) fn read(reply: &Reply) -> Said {
    match reply.kind() {
        Kind::Error => Said::Error,
        // PING outside of RESP2's subscribed state.
        Kind::Status => Said::Pong,
        Kind::Push | Kind::Array => read_push(reply),
        _ => Said::Other,
    }
}

fn read_push(reply: &Reply) -> Said {
    let Some(word) = reply.at(0).filter(|word| word.kind() == Kind::String) else {
        return Said::Other;
    };
    let word = word.data();
    for kind in ChannelKind::ALL {
        let (message, parts): (&[u8], usize) = match kind {
            ChannelKind::Channel => (b"message", 3),
            ChannelKind::Pattern => (b"pmessage", 4),
            ChannelKind::Sharded => (b"smessage", 3),
        };
        if word == message && reply.len() == parts {
            return Said::Message(kind);
        }
        if word.eq_ignore_ascii_case(kind.subscribe().as_bytes()) {
            return Said::Subscribed(kind);
        }
        if word.eq_ignore_ascii_case(kind.unsubscribe().as_bytes()) {
            return Said::Unsubscribed;
        }
    }
    match word {
        b"pong" => Said::Pong,
        _ => Said::Other,
    }
}

/// The channel or pattern that a message was subscribed to by.
pub(super) fn name_of(message: &Reply) -> &[u8] {
    message.root().at(1).map(|name| name.data()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::tests::decode;

    #[test]
    fn both_protocols_say_the_same() {
        let rows: &[(&str, Said)] = &[
            (
                "3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nv\r\n",
                Said::Message(ChannelKind::Channel),
            ),
            (
                "4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\nc\r\n$1\r\nv\r\n",
                Said::Message(ChannelKind::Pattern),
            ),
            (
                "3\r\n$8\r\nsmessage\r\n$1\r\nc\r\n$0\r\n\r\n",
                Said::Message(ChannelKind::Sharded),
            ),
            (
                "3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n",
                Said::Subscribed(ChannelKind::Channel),
            ),
            (
                "3\r\n$10\r\npsubscribe\r\n$1\r\nc\r\n:1\r\n",
                Said::Subscribed(ChannelKind::Pattern),
            ),
            (
                "3\r\n$10\r\nssubscribe\r\n$1\r\nc\r\n:1\r\n",
                Said::Subscribed(ChannelKind::Sharded),
            ),
            ("3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n", Said::Unsubscribed),
            ("3\r\n$12\r\nsunsubscribe\r\n$1\r\nc\r\n:0\r\n", Said::Unsubscribed),
            ("2\r\n$4\r\npong\r\n$0\r\n\r\n", Said::Pong),
            ("2\r\n$10\r\ninvalidate\r\n*0\r\n", Said::Other),
            ("2\r\n$7\r\nmessage\r\n$1\r\nc\r\n", Said::Other),
            ("0\r\n", Said::Other),
        ];
        for (rest, said) in rows {
            for kind in ['>', '*'] {
                let reply = decode(format!("{kind}{rest}").as_bytes());
                assert_eq!(read(&reply), *said, "{kind}{rest}");
            }
        }
        assert_eq!(read(&decode(b"+PONG\r\n")), Said::Pong);
        assert_eq!(read(&decode(b"-NOPERM no\r\n")), Said::Error);
    }

    #[test]
    fn the_name_is_what_was_subscribed_to() {
        let message = decode(b">4\r\n$8\r\npmessage\r\n$2\r\n\0*\r\n$3\r\n\0ab\r\n$1\r\nv\r\n");
        assert_eq!(name_of(&message), b"\0*");
    }
}

//! What a subscription wants to hear, in the order in which it was added. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// The three ways to subscribe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChannelKind {
    /// A channel by its name.
    Channel,
    /// Channels by a pattern.
    Pattern,
    /// A sharded channel, since Redis 7.
    Sharded,
}

impl ChannelKind {
    /// All of them.
    pub const ALL: [ChannelKind; 3] = [ChannelKind::Channel, ChannelKind::Pattern, ChannelKind::Sharded];

    /// Its name in events.
    pub fn name(self) -> &'static str {
        match self {
            ChannelKind::Channel => "channel",
            ChannelKind::Pattern => "pattern",
            ChannelKind::Sharded => "sharded",
        }
    }

    /// The commands that begin and end it.
    pub(crate) fn commands(self) -> (&'static str, &'static str) {
        (self.subscribe(), self.unsubscribe())
    }

    /// The command that begins to listen; its confirmation begins with the same word in lower case.
    pub(super) fn subscribe(self) -> &'static str {
        match self {
            ChannelKind::Channel => "SUBSCRIBE",
            ChannelKind::Pattern => "PSUBSCRIBE",
            ChannelKind::Sharded => "SSUBSCRIBE",
        }
    }

    /// The command that ends it.
    pub(super) fn unsubscribe(self) -> &'static str {
        match self {
            ChannelKind::Channel => "UNSUBSCRIBE",
            ChannelKind::Pattern => "PUNSUBSCRIBE",
            ChannelKind::Sharded => "SUNSUBSCRIBE",
        }
    }
}

/// A channel or pattern.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Name {
    pub(super) kind: ChannelKind,
    pub(super) bytes: Arc<[u8]>,
}

/// A name as it was added: adding it anew gives it another place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Added {
    pub(super) name: Name,
    pub(super) place: u64,
}

/// What has changed since a connection was last told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) removed: Vec<Name>,
    /// In the order in which they were added.
    pub(super) added: Vec<Added>,
}

#[derive(Debug)]
struct Wanted {
    place: u64,
    /// It was in force: the program counts on it.
    told: bool,
    /// The program wants to be told when it is.
    confirm: bool,
    /// The server refused it on this connection.
    refused: bool,
}

/// The names of a subscription.
#[derive(Debug, Default)]
pub(crate) struct Names {
    wanted: [HashMap<Arc<[u8]>, Wanted>; 3],
    order: BTreeMap<u64, Name>,
    next: u64,
    /// Places from here on are not known to the connection.
    unsaid: u64,
    /// Names to take back from the connection. Kept only while there is one, or it would grow without end.
    removed: HashSet<Name>,
    connected: bool,
}

impl Names {
    fn of(&self, kind: ChannelKind) -> &HashMap<Arc<[u8]>, Wanted> {
        let [channels, patterns, sharded] = &self.wanted;
        match kind {
            ChannelKind::Channel => channels,
            ChannelKind::Pattern => patterns,
            ChannelKind::Sharded => sharded,
        }
    }

    fn of_mut(&mut self, kind: ChannelKind) -> &mut HashMap<Arc<[u8]>, Wanted> {
        let [channels, patterns, sharded] = &mut self.wanted;
        match kind {
            ChannelKind::Channel => channels,
            ChannelKind::Pattern => patterns,
            ChannelKind::Sharded => sharded,
        }
    }

    /// Adds a name; false when it is there already. One that was refused is tried again. `confirm`: the program wants to
    /// be told when it is in force.
    pub(crate) fn add(&mut self, kind: ChannelKind, bytes: &[u8], confirm: bool) -> bool {
        let bytes: Arc<[u8]> = match self.of(kind).get_key_value(bytes) {
            Some((_, wanted)) if !wanted.refused => return false,
            Some((bytes, wanted)) => {
                let (bytes, place) = (Arc::clone(bytes), wanted.place);
                self.order.remove(&place);
                bytes
            }
            None => bytes.into(),
        };
        let place = self.next;
        self.next += 1;
        let name = Name { kind, bytes };
        self.removed.remove(&name);
        let wanted = Wanted {
            place,
            told: false,
            confirm,
            refused: false,
        };
        self.of_mut(kind).insert(Arc::clone(&name.bytes), wanted);
        self.order.insert(place, name);
        true
    }

    /// Removes a name; false when it is not there.
    pub(crate) fn remove(&mut self, kind: ChannelKind, bytes: &[u8]) -> bool {
        let Some((bytes, wanted)) = self.of_mut(kind).remove_entry(bytes) else {
            return false;
        };
        self.order.remove(&wanted.place);
        if self.connected {
            self.removed.insert(Name { kind, bytes });
        }
        true
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn wants(&self, kind: ChannelKind, bytes: &[u8]) -> bool {
        self.of(kind).contains_key(bytes)
    }

    /// Whether it is still wanted, and was not removed and added anew since.
    pub(super) fn is_current(&self, added: &Added) -> bool {
        let wanted = self.of(added.name.kind).get(&added.name.bytes);
        wanted.is_some_and(|wanted| wanted.place == added.place)
    }

    /// Whether the program counts on any name: it was in force.
    pub(super) fn any_told(&self) -> bool {
        self.wanted.iter().flat_map(HashMap::values).any(|wanted| wanted.told)
    }

    /// All names for a new connection, in order. Changes are noted from now on.
    pub(super) fn connect(&mut self) -> Vec<Added> {
        self.connected = true;
        self.removed.clear();
        self.unsaid = self.next;
        for wanted in self.wanted.iter_mut().flat_map(HashMap::values_mut) {
            wanted.refused = false;
        }
        let added = |(place, name): (&u64, &Name)| Added {
            name: name.clone(),
            place: *place,
        };
        self.order.iter().map(added).collect()
    }

    /// The connection is gone.
    pub(super) fn disconnect(&mut self) {
        self.connected = false;
        self.removed = HashSet::new();
    }

    /// What the connection does not know yet.
    pub(super) fn take_changes(&mut self) -> Changes {
        let added = |(place, name): (&u64, &Name)| Added {
            name: name.clone(),
            place: *place,
        };
        let added = self.order.range(self.unsaid..).map(added).collect();
        self.unsaid = self.next;
        Changes {
            removed: self.removed.drain().collect(),
            added,
        }
    }

    /// The server has confirmed it. True when the program is to be told: the first time, if it asked for that.
    pub(super) fn confirm(&mut self, added: &Added) -> bool {
        match self.of_mut(added.name.kind).get_mut(&added.name.bytes) {
            Some(wanted) if wanted.place == added.place => !std::mem::replace(&mut wanted.told, true) && wanted.confirm,
            _ => false,
        }
    }

    /// The server has refused it. True when the program is to be told.
    pub(super) fn refuse(&mut self, added: &Added) -> bool {
        match self.of_mut(added.name.kind).get_mut(&added.name.bytes) {
            Some(wanted) if wanted.place == added.place => {
                (wanted.told, wanted.refused) = (false, true);
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ChannelKind::{Channel, Pattern, Sharded};
    use super::*;

    fn shown(added: &[Added]) -> Vec<String> {
        let text = |added: &Added| String::from_utf8_lossy(&added.name.bytes).into_owned();
        added.iter().map(text).collect()
    }

    #[test]
    fn a_connection_gets_all_names_in_the_order_in_which_they_were_added() {
        let mut names = Names::default();
        for (kind, bytes) in [(Pattern, "b*"), (Channel, "c"), (Sharded, "a"), (Channel, "b*")] {
            assert!(names.add(kind, bytes.as_bytes(), true));
        }
        assert!(!names.add(Channel, b"c", true), "it is there");
        assert!(names.remove(Sharded, b"a"));
        assert!(!names.remove(Sharded, b"a"), "it is not there");
        assert!(names.add(Sharded, b"a", true));
        assert_eq!(shown(&names.connect()), ["b*", "c", "b*", "a"]);
        assert_eq!(names.take_changes(), Changes::default());
    }

    #[test]
    fn a_connection_is_told_what_has_changed_and_each_name_once() {
        let mut names = Names::default();
        names.add(Channel, b"old", true);
        names.connect();
        names.add(Channel, b"short", true);
        names.remove(Channel, b"short");
        names.add(Channel, b"new", true);
        names.remove(Channel, b"old");
        names.add(Channel, b"old", true);
        let changes = names.take_changes();
        assert_eq!(shown(&changes.added), ["new", "old"]);
        // The connection never heard of "short": to take it back does no harm.
        assert_eq!(changes.removed.len(), 1);
        assert_eq!(names.take_changes(), Changes::default());
    }

    #[test]
    fn nothing_piles_up_while_there_is_no_connection() {
        let mut names = Names::default();
        for n in 0..1000u32 {
            names.add(Channel, &n.to_be_bytes(), true);
            names.remove(Channel, &n.to_be_bytes());
        }
        assert!(names.removed.is_empty() && names.is_empty());
        names.connect();
        names.add(Channel, b"a", true);
        names.remove(Channel, b"a");
        names.disconnect();
        assert_eq!(names.take_changes(), Changes::default());
    }

    #[test]
    fn the_program_is_told_once_of_each_add() {
        let mut names = Names::default();
        names.add(Channel, b"c", true);
        let first = names.connect().remove(0);
        assert!(!names.any_told());
        assert!(names.confirm(&first));
        assert!(names.any_told());
        assert!(!names.confirm(&first), "a restored name is no news");
        names.remove(Channel, b"c");
        names.add(Channel, b"c", true);
        assert!(!names.confirm(&first), "the answer to the add before");
        let second = names.take_changes().added.remove(0);
        assert!(names.confirm(&second));
    }

    #[test]
    fn a_refused_name_is_tried_again_when_it_is_added_again_and_on_the_next_connection() {
        let mut names = Names::default();
        names.add(Channel, b"c", true);
        let first = names.connect().remove(0);
        assert!(names.refuse(&first));
        assert!(names.add(Channel, b"c", true));
        let second = names.take_changes().added.remove(0);
        assert!(names.refuse(&second));
        assert!(!names.refuse(&first));
        let third = names.connect().remove(0);
        assert_eq!(third, second);
        assert!(!names.add(Channel, b"c", true), "it is being tried");
        assert!(names.confirm(&third), "news, since it was refused before");
    }
}

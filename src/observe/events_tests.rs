//! Events as maps, and who gets them.

use super::*;

fn replicas(service: &str) -> Event {
    Event {
        service: service.into(),
        what: What::Replicas {
            usable: vec![Endpoint::new("a", 1)],
            added: vec![Endpoint::new("a", 1)],
            removed: vec![],
        },
    }
}

/// Has room for so many.
#[derive(Debug)]
struct Shelf(usize, Mutex<Vec<(u64, String)>>);

impl Shelf {
    fn new(room: usize) -> Arc<Shelf> {
        Arc::new(Shelf(room, Mutex::default()))
    }

    fn taken(&self) -> Vec<(u64, String)> {
        std::mem::take(&mut *self.1.lock())
    }
}

impl Sink for Shelf {
    fn take(&self, tag: u64, event: Reply) -> bool {
        let mut kept = self.1.lock();
        let room = kept.len() < self.0;
        if room {
            kept.push((tag, event.get(b"event").unwrap().text().into_owned()));
        }
        room
    }
}

#[test]
fn an_event_is_a_map_of_its_fields() {
    let event = Event {
        service: "my service".into(),
        what: What::Primary {
            from: Endpoint::new("::1", 1),
            to: Endpoint::new("b", 2),
            epoch: 7,
            reboot: false,
            last_good_ms: None,
            foreseen: false,
        },
    };
    let map = event.reply().unwrap();
    let text = |name: &str| map.get(name.as_bytes()).unwrap().text().into_owned();
    assert_eq!(text("event"), "primary_changed");
    assert_eq!(text("service"), "my service");
    assert_eq!((text("from"), text("to")), ("[::1]:1".into(), "b:2".into()));
    assert_eq!(map.get(b"epoch").unwrap().integer(), 7);
    assert_eq!(map.get(b"reboot").unwrap().integer(), 0);
    assert!(map.get(b"last_good_ms").unwrap().is_nil());
    let map = replicas("s").reply().unwrap();
    assert_eq!(map.get(b"added").unwrap().len(), 1);
    assert_eq!(map.get(b"removed").unwrap().len(), 0);
}

#[test]
fn every_kind_of_event_makes_a_whole_map() {
    let node = || Endpoint::new("n", 1);
    let whats = [
        What::Sentinel {
            sentinel: node(),
            change: SentinelChange::Lost("x".into()),
        },
        What::Connection {
            node: node(),
            role: Role::Replica,
            lost: None,
        },
        What::Gap {
            from: node(),
            to: node(),
            milliseconds: 7,
            dropped: 0,
        },
    ];
    for what in whats {
        let service = "s".to_owned();
        assert!(Event { service, what }.reply().is_some());
    }
}

#[test]
fn each_gets_what_it_waits_for_and_a_full_one_loses_it() {
    let (bus, one, other) = (Bus::default(), Shelf::new(1), Shelf::new(9));
    bus.watch(&one, Topic::Replicas.bit(), 1);
    bus.watch(&other, Topic::Primary.bit(), 2);
    bus.post(&replicas("s"));
    bus.post(&replicas("s"));
    assert_eq!(one.taken(), [(1, "replicas_changed".to_owned())]);
    assert_eq!(other.taken(), []);
    assert_eq!(bus.dropped.get(), 1);
    assert_eq!(bus.happened().nth(1), Some(("replicas_changed", 2)));
    // The last mask counts, and none ends it.
    bus.watch(&other, Topic::Replicas.bit() | Topic::Gap.bit(), 3);
    bus.watch(&one, 0, 1);
    bus.post(&replicas("s"));
    assert_eq!(one.taken(), []);
    assert_eq!(other.taken(), [(3, "replicas_changed".to_owned())]);
}

#[test]
fn what_was_freed_is_forgotten() {
    let (bus, shelf) = (Bus::default(), Shelf::new(1));
    bus.watch(&shelf, 0x1f, 1);
    drop(shelf);
    bus.post(&replicas("s"));
    assert_eq!(bus.watches.lock().len(), 0);
    assert_eq!(bus.wanted.load(Ordering::Relaxed), 0);
    assert_eq!(bus.dropped.get(), 0);
}

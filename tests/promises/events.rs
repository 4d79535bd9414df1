//! What the Sentinels publish, and when, as the test itself hears it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sentinel_lab::{Control, Topology, wait_for};

/// The first of these anywhere is the soonest that a safe client can know.
pub(crate) const FLOOR: &[&str] = &["+promoted-slave", "+switch-master"];

/// The event that names the new primary.
pub(crate) const SWITCH: &[&str] = &["+switch-master"];

const CHANNELS: [&str; 7] = [
    "+promoted-slave",
    "+switch-master",
    "+sdown",
    "+odown",
    "+reset-master",
    "+monitor",
    "+reboot",
];

/// One event.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) at: Instant,
    pub(crate) channel: String,
}

/// Listens to every Sentinel of a topology until they are gone. A Sentinel that is started again needs another listener.
pub(crate) struct Events {
    heard: Arc<Mutex<Vec<Event>>>,
}

impl Events {
    pub(crate) fn of(topology: &Topology) -> Events {
        let events = Events { heard: Arc::default() };
        for (host, port) in topology.sentinels() {
            if let Ok(control) = Control::connect((host.as_str(), port)) {
                events.listen(control);
            }
        }
        events
    }

    /// Listens to this one only.
    pub(crate) fn of_sentinel(topology: &Topology, index: usize) -> Events {
        let events = Events { heard: Arc::default() };
        let (host, port) = topology.sentinels()[index].clone();
        events.listen(Control::connect((host.as_str(), port)).unwrap());
        events
    }

    fn listen(&self, mut control: Control) {
        let mut subscribe = vec!["SUBSCRIBE"];
        subscribe.extend(CHANNELS);
        control.send(&subscribe).unwrap();
        for _ in CHANNELS {
            control.read().unwrap();
        }
        control.set_timeout(Duration::from_secs(600));
        let heard = Arc::clone(&self.heard);
        let listen = move || {
            while let Ok(message) = control.read() {
                let at = Instant::now();
                let channel = message.as_items().get(1).map(|channel| channel.as_text());
                let channel = channel.unwrap_or_default();
                heard.lock().unwrap().push(Event { at, channel });
            }
        };
        std::thread::Builder::new().name("events".into()).spawn(listen).unwrap();
    }

    /// The first event on one of these channels since then.
    pub(crate) fn first(&self, channels: &[&str], since: Instant) -> Option<Event> {
        let heard = self.heard.lock().unwrap();
        let wanted = |event: &&Event| event.at >= since && channels.contains(&event.channel.as_str());
        heard.iter().filter(wanted).min_by_key(|event| event.at).cloned()
    }

    /// Waits for the first such event.
    #[track_caller]
    pub(crate) fn wait(&self, channels: &[&str], since: Instant, timeout: Duration) -> Event {
        wait_for(&format!("one of {channels:?}"), timeout, || self.first(channels, since))
    }
}

//! What the machine itself is late by: a thread that wants to run each millisecond, and how late it did.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const STEP: Duration = Duration::from_millis(1);

/// Measures until it is dropped.
pub(crate) struct Noise {
    late: Arc<Mutex<Vec<(Instant, Duration)>>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Noise {
    pub(crate) fn measure() -> Noise {
        let late = Arc::new(Mutex::new(Vec::new()));
        let ended = Arc::new(AtomicBool::new(false));
        let (samples, end) = (Arc::clone(&late), Arc::clone(&ended));
        let sample = move || {
            while !end.load(Ordering::Relaxed) {
                let wanted = Instant::now() + STEP;
                std::thread::sleep(STEP);
                samples.lock().unwrap().push((wanted, wanted.elapsed()));
            }
        };
        let thread = std::thread::Builder::new().name("noise".into()).spawn(sample);
        Noise {
            late,
            ended,
            thread: Some(thread.unwrap()),
        }
    }

    /// The worst delay between the two instants.
    pub(crate) fn between(&self, from: Instant, to: Instant) -> Duration {
        let late = self.late.lock().unwrap();
        let within = late.iter().filter(|(at, by)| *at + *by >= from && *at <= to);
        within.map(|(_, by)| *by).max().unwrap_or_default()
    }

    /// The worst delay around an event: while it travelled, and while the calls it sets free ran.
    pub(crate) fn around(&self, event: Instant) -> Duration {
        self.between(event - Duration::from_millis(20), event + Duration::from_millis(100))
    }
}

impl Drop for Noise {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

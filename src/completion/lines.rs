//! Lines of the log on their way to the host's function, which `sentinel-cb` calls.

use std::sync::Arc;

use crate::observe::Level;
use crate::options::LogHook;

/// Lines that may wait for a function that takes its time. Those that come then are counted, and dropped.
const MOST: usize = 4096;

/// A line, and who gets it.
pub(super) struct Line {
    pub(super) to: LogHook,
    pub(super) level: Level,
    pub(super) text: String,
}

impl Line {
    pub(super) fn write(self) {
        (self.to)(self.level as i32, &self.text);
    }
}

/// What is known of those that wait.
#[derive(Default)]
pub(super) struct Lines {
    waiting: usize,
    /// Lines that were dropped, and how much the most important of them mattered.
    lost: Option<(usize, Level)>,
    /// One is being written.
    writing: bool,
    /// None is to be written any more.
    over: bool,
}

impl Lines {
    /// Whether this one may wait, too.
    pub(super) fn may_add(&mut self, line: &Line) -> bool {
        if self.over {
            return false;
        }
        if self.waiting == MOST {
            let (lost, level) = self.lost.unwrap_or((0, line.level));
            self.lost = Some((lost + 1, level.min(line.level)));
            return false;
        }
        self.waiting += 1;
        true
    }

    /// This one is written now. The line behind the last one that says how many are missing, where some are.
    pub(super) fn begin(&mut self, line: &Line) -> Option<Line> {
        self.writing = true;
        self.waiting -= 1;
        let (lost, level) = self.lost.take_if(|_| self.waiting == 0)?;
        self.waiting += 1;
        Some(Line {
            to: Arc::clone(&line.to),
            level,
            text: format!("{lost} lines are missing here: the log's function took too long"),
        })
    }

    pub(super) fn wrote(&mut self) {
        self.writing = false;
    }

    pub(super) fn is_writing(&self) -> bool {
        self.writing
    }

    /// Nothing waits, and nothing is to come.
    pub(super) fn end(&mut self) {
        (self.over, self.waiting, self.lost) = (true, 0, None);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::base::deadline::Deadline;
    use crate::completion::callbacks::Callbacks;
    use crate::observe::Log;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn in_time() -> Deadline {
        Deadline::after(Some(PATIENCE))
    }

    fn log(hook: impl Fn(i32, &str) + Send + Sync + 'static) -> (Arc<Callbacks>, Log) {
        let callbacks = Arc::<Callbacks>::default();
        let log = Log::new(5, Some(callbacks.scribe(Arc::new(hook))));
        (callbacks, log)
    }

    #[test]
    fn a_function_that_panics_gets_the_next_line_and_closing_waits_for_all() {
        let (told, heard) = mpsc::channel();
        let (callbacks, log) = log(move |level, line| {
            told.send((level, line.to_owned())).unwrap();
            assert_ne!(line, "1", "planted");
        });
        (0..3).for_each(|number| log.line(Level::Info, format_args!("{number}")));
        assert!(callbacks.close(in_time()));
        log.line(Level::Error, format_args!("too late"));
        let lines: Vec<_> = heard.try_iter().collect();
        assert_eq!(lines, [(3, "0".to_owned()), (3, "1".to_owned()), (3, "2".to_owned())]);
    }

    #[test]
    fn lines_that_nobody_keeps_up_with_are_counted_and_said_to_be_missing() {
        let (told, heard) = mpsc::channel();
        let (release, released) = mpsc::channel();
        let released = crate::base::sync::Mutex::new(released);
        let (callbacks, log) = log(move |level, line| {
            told.send((level, line.to_owned())).unwrap();
            if line == "first" {
                released.lock().recv_timeout(PATIENCE).unwrap();
            }
        });
        log.line(Level::Info, format_args!("first"));
        assert_eq!(heard.recv_timeout(PATIENCE).unwrap().1, "first");
        for number in 0..MOST + 7 {
            let level = if number == MOST + 3 { Level::Warn } else { Level::Debug };
            log.line(level, format_args!("{number}"));
        }
        release.send(()).unwrap();
        assert!(callbacks.close(in_time()));
        let lines: Vec<_> = heard.try_iter().collect();
        assert_eq!(lines.len(), MOST + 1);
        let (level, last) = lines.last().unwrap();
        assert!(last.starts_with("7 lines are missing"), "{last}");
        assert_eq!(*level, Level::Warn as i32);
    }

    #[test]
    fn once_lines_have_ended_the_function_is_not_called_again() {
        let (told, heard) = mpsc::channel();
        let (release, released) = mpsc::channel();
        let released = crate::base::sync::Mutex::new(released);
        let (callbacks, log) = log(move |_, _| {
            told.send(()).unwrap();
            let _ = released.lock().recv_timeout(PATIENCE);
        });
        (0..3).for_each(|_| log.line(Level::Info, format_args!("line")));
        heard.recv_timeout(PATIENCE).unwrap();
        let late = Deadline::after(Some(Duration::from_millis(20)));
        callbacks.end_lines(late);
        assert!(late.passed(), "one is being written");
        release.send(()).unwrap();
        callbacks.end_lines(in_time());
        assert!(heard.try_recv().is_err());
        drop(release);
        assert!(callbacks.close(in_time()));
        assert!(heard.try_recv().is_err(), "the other two");
    }
}

//! The log: one line a decision, for the function that the host gave. Silent without one, and then nothing is formatted.

use std::fmt::Arguments;

use crate::base::flag::Flag;

/// How much a line matters; the numbers are those of the C surface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// An operator must look at it.
    Error = 1,
    /// The library recovers from it by itself.
    Warn = 2,
    /// A failover or another change.
    Info = 3,
    /// Connections and repetitions.
    Debug = 4,
    /// Everything.
    Trace = 5,
}

/// What is given each line, and has the host's function called elsewhere: no thread that logs ever runs it.
pub trait Scribe: Send + Sync {
    /// A line of this level.
    fn write(&self, level: Level, line: String);
}

/// Where the lines go. They are given away with no lock of the library's held.
pub struct Log {
    max: i32,
    scribe: Option<Box<dyn Scribe>>,
    /// The last handle is gone, and with it the right to call the host's function.
    ended: Flag,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("max", &self.max).finish_non_exhaustive()
    }
}

impl Log {
    /// A log up to level `max`; silent without a scribe.
    pub fn new(max: i32, scribe: Option<Box<dyn Scribe>>) -> Log {
        Log {
            max: if scribe.is_some() { max } else { 0 },
            scribe,
            ended: Flag::default(),
        }
    }

    /// Writes nothing.
    pub fn silent() -> Log {
        Log::new(0, None)
    }

    /// Whether lines of `level` go anywhere.
    pub fn takes(&self, level: Level) -> bool {
        level as i32 <= self.max
    }

    /// Writes a line. What servers said may be in it: it stays one line, whatever that is.
    pub fn line(&self, level: Level, text: Arguments<'_>) {
        if !self.takes(level) || self.ended.is_up() {
            return;
        }
        if let Some(scribe) = &self.scribe {
            let mut line = text.to_string();
            if line.contains(char::is_control) {
                line = line.replace(char::is_control, " ");
            }
            scribe.write(level, line);
        }
    }

    /// Nothing is written any more.
    pub fn end(&self) {
        self.ended.raise();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::base::sync::Mutex;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<(Level, String)>>>);

    impl Scribe for Lines {
        fn write(&self, level: Level, line: String) {
            self.0.lock().push((level, line));
        }
    }

    #[test]
    fn lines_up_to_the_level_are_written_and_each_is_one_line() {
        let lines = Lines::default();
        let log = Log::new(3, Some(Box::new(lines.clone())));
        log.line(Level::Info, format_args!("a\nb\r{}", 7));
        log.line(Level::Debug, format_args!("not this"));
        assert_eq!(*lines.0.lock(), [(Level::Info, "a b 7".to_owned())]);
        log.end();
        log.line(Level::Error, format_args!("nor this"));
        assert_eq!(lines.0.lock().len(), 1);
    }

    #[test]
    fn what_goes_nowhere_is_not_formatted() {
        struct Trap;
        impl std::fmt::Display for Trap {
            fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                panic!("formatted")
            }
        }
        Log::silent().line(Level::Error, format_args!("{Trap}"));
        Log::new(5, None).line(Level::Error, format_args!("{Trap}"));
        let lines = Lines::default();
        Log::new(1, Some(Box::new(lines))).line(Level::Warn, format_args!("{Trap}"));
    }
}

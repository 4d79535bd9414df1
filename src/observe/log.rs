//! The log: one line a decision, to the function that the host gave. Silent without one, and then nothing is formatted.

use std::fmt::Arguments;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::options::{LogHook, Options};

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

/// Where the lines go. It is called with no lock of the library's held.
pub struct Log {
    max: i32,
    hook: Option<LogHook>,
    /// The last handle is gone, and with it the right to call the hook.
    ended: AtomicBool,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("max", &self.max).finish_non_exhaustive()
    }
}

impl Log {
    /// The log that `options` ask for.
    pub fn new(options: &Options) -> Log {
        let (max, hook) = options.log();
        Log {
            max,
            hook: hook.cloned(),
            ended: AtomicBool::new(false),
        }
    }

    /// Whether lines of `level` go anywhere.
    pub fn takes(&self, level: Level) -> bool {
        level as i32 <= self.max
    }

    /// Writes a line. What servers said may be in it: it stays one line, whatever that is.
    pub fn line(&self, level: Level, text: Arguments<'_>) {
        if !self.takes(level) || self.ended.load(Ordering::Acquire) {
            return;
        }
        if let Some(hook) = &self.hook {
            let mut line = text.to_string();
            if line.contains(char::is_control) {
                line = line.replace(char::is_control, " ");
            }
            // A hook of a Rust program may panic; that is no reason to lose the thread that follows the primary.
            let _ = catch_unwind(AssertUnwindSafe(|| hook(level as i32, &line)));
        }
    }

    /// Nothing is written any more.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::sync::Mutex;

    type Lines = Arc<Mutex<Vec<(i32, String)>>>;

    fn log(max: i32) -> (Log, Lines) {
        let lines = Lines::default();
        let kept = Arc::clone(&lines);
        let mut options = Options::new();
        let hook = move |level: i32, line: &str| kept.lock().push((level, line.to_owned()));
        options.set_log(max, Some(Arc::new(hook))).unwrap();
        (Log::new(&options), lines)
    }

    #[test]
    fn lines_up_to_the_level_are_written_and_each_is_one_line() {
        let (log, lines) = log(3);
        log.line(Level::Info, format_args!("a\nb\r{}", 7));
        log.line(Level::Debug, format_args!("not this"));
        assert_eq!(*lines.lock(), [(3, "a b 7".to_owned())]);
        log.end();
        log.line(Level::Error, format_args!("nor this"));
        assert_eq!(lines.lock().len(), 1);
    }

    #[test]
    fn without_a_hook_nothing_is_formatted() {
        struct Trap;
        impl std::fmt::Display for Trap {
            fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                panic!("formatted")
            }
        }
        Log::new(&Options::new()).line(Level::Error, format_args!("{Trap}"));
        log(1).0.line(Level::Warn, format_args!("{Trap}"));
    }

    #[test]
    fn a_hook_that_panics_is_survived() {
        let mut options = Options::new();
        options.set_log(5, Some(Arc::new(|_, _| panic!("planted")))).unwrap();
        Log::new(&options).line(Level::Error, format_args!("x"));
    }
}

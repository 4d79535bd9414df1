//! loom's atomics, whose orderings one run may weaken at one place of the sources: what `WEAKEN` says, as
//! `FILE:LINE:PART:ORDERING`, where PART is `success`, or `failure` for that of a comparison which fails.

use std::panic::Location;
use std::sync::OnceLock;

pub(crate) use std::sync::atomic::Ordering;

struct Weakened {
    file: String,
    line: u32,
    failure: bool,
    ordering: Ordering,
}

fn weakened() -> Option<&'static Weakened> {
    static WEAKENED: OnceLock<Option<Weakened>> = OnceLock::new();
    let read = || {
        let said = std::env::var("WEAKEN").ok()?;
        let parts: Vec<&str> = said.split(':').collect();
        let [file, line, part, ordering] = parts[..] else {
            panic!("WEAKEN is FILE:LINE:PART:ORDERING, not {said}");
        };
        Some(Weakened {
            file: file.to_owned(),
            line: line.parse().unwrap(),
            failure: part == "failure",
            ordering: match ordering {
                "Relaxed" => Ordering::Relaxed,
                "Acquire" => Ordering::Acquire,
                "Release" => Ordering::Release,
                _ => panic!("WEAKEN names no ordering that is weaker: {said}"),
            },
        })
    };
    WEAKENED.get_or_init(read).as_ref()
}

/// `ordering`, unless this run weakens it there.
fn there(at: &Location<'_>, failure: bool, ordering: Ordering) -> Ordering {
    let is_meant = |weakened: &&Weakened| {
        weakened.failure == failure && weakened.line == at.line() && at.file().ends_with(&weakened.file)
    };
    weakened()
        .filter(is_meant)
        .map_or(ordering, |weakened| weakened.ordering)
}

macro_rules! atomic {
    ($name:ident $(<$type:ident>)?, $value:ty) => {
        #[derive(Debug, Default)]
        pub(crate) struct $name $(<$type>)? (loom::sync::atomic::$name $(<$type>)?);

        impl $(<$type>)? $name $(<$type>)? {
            pub(crate) fn new(value: $value) -> Self {
                Self(loom::sync::atomic::$name::new(value))
            }

            #[track_caller]
            pub(crate) fn load(&self, ordering: Ordering) -> $value {
                self.0.load(there(Location::caller(), false, ordering))
            }

            #[track_caller]
            pub(crate) fn store(&self, value: $value, ordering: Ordering) {
                self.0.store(value, there(Location::caller(), false, ordering));
            }

            #[track_caller]
            pub(crate) fn swap(&self, value: $value, ordering: Ordering) -> $value {
                self.0.swap(value, there(Location::caller(), false, ordering))
            }

            #[track_caller]
            pub(crate) fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                let at = Location::caller();
                let orderings = (there(at, false, success), there(at, true, failure));
                self.0.compare_exchange(current, new, orderings.0, orderings.1)
            }
        }
    };
}

macro_rules! counting {
    ($name:ident, $value:ty) => {
        atomic!($name, $value);

        impl $name {
            #[track_caller]
            pub(crate) fn fetch_add(&self, value: $value, ordering: Ordering) -> $value {
                self.0
                    .fetch_add(value, there(Location::caller(), false, ordering))
            }

            #[track_caller]
            pub(crate) fn fetch_sub(&self, value: $value, ordering: Ordering) -> $value {
                self.0
                    .fetch_sub(value, there(Location::caller(), false, ordering))
            }
        }
    };
}

atomic!(AtomicBool, bool);
atomic!(AtomicPtr<T>, *mut T);
counting!(AtomicU8, u8);
counting!(AtomicU32, u32);
counting!(AtomicU64, u64);
counting!(AtomicUsize, usize);

//! The kernel's source of randomness: it is the seed's too. The keys of the standard library's hash maps come from here,
//! and with them the order in which these are walked through.

use std::cell::RefCell;

thread_local! {
    static SOURCE: RefCell<Option<fastrand::Rng>> = const { RefCell::new(None) };
}

/// What this thread draws is a function of `seed` from here on.
pub(crate) fn seed(seed: u64) {
    SOURCE.set(Some(fastrand::Rng::with_seed(seed)));
    fastrand::seed(seed);
}

/// Stands in front of the C library's function of that name.
///
/// # Safety
/// `room` is valid for writes of `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(room: *mut u8, len: usize, _flags: u32) -> isize {
    // SAFETY: as the caller promises.
    let room = unsafe { std::slice::from_raw_parts_mut(room, len) };
    SOURCE.with_borrow_mut(|source| source.get_or_insert_with(|| fastrand::Rng::with_seed(0)).fill(room));
    isize::try_from(len).unwrap_or(0)
}

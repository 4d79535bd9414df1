//! Ownership of the objects behind the opaque pointers, fixed per type.

use std::sync::Arc;

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::flag::Flag;

/// A Rust object that C holds by an opaque pointer.
pub trait Handle: Sized {
    /// The parameter's name in messages.
    const NAME: &'static str;
    /// [`InBox`] or [`InArc`].
    type Owner: Owner<Self>;
}

/// A handle with calls that can fail, which answers `CLOSED` after a panic in one of them.
pub trait Callable: Handle {
    /// Where that is remembered.
    fn poison(&self) -> &Poison;
}

/// How a kind of handle is kept between the calls.
pub trait Owner<T> {
    /// Gives the object to C.
    fn hand_out(object: T) -> *mut T;

    /// Ends C's ownership.
    ///
    /// # Safety
    /// `raw` came from `hand_out` and has not been taken back.
    unsafe fn take_back(raw: *mut T);
}

/// For what one thread at a time uses, and for what is immutable.
#[derive(Debug)]
pub enum InBox {}

/// For what any thread uses: a call holds its own reference, so that freeing the handle during a call takes effect when
/// the call ends.
#[derive(Debug)]
pub enum InArc {}

impl<T> Owner<T> for InBox {
    fn hand_out(object: T) -> *mut T {
        Box::into_raw(Box::new(object))
    }

    unsafe fn take_back(raw: *mut T) {
        // SAFETY: the caller passes what `hand_out` returned, once.
        drop(unsafe { Box::from_raw(raw) });
    }
}

impl<T> Owner<T> for InArc {
    fn hand_out(object: T) -> *mut T {
        Arc::into_raw(Arc::new(object)).cast_mut()
    }

    unsafe fn take_back(raw: *mut T) {
        // SAFETY: the caller passes what `hand_out` returned, once.
        drop(unsafe { Arc::from_raw(raw) });
    }
}

/// Set by a panic inside a call on the handle.
#[derive(Debug, Default)]
pub struct Poison(Flag);

impl Poison {
    /// Marks the handle unusable.
    pub fn set(&self) {
        self.0.raise();
    }

    /// `Closed` once the handle is unusable.
    pub fn check(&self) -> Result<()> {
        if self.0.is_up() {
            Err(Error::new(ErrorKind::Closed))
        } else {
            Ok(())
        }
    }
}

/// Borrows an object of C's for the time of a call.
///
/// # Safety
/// `raw` is NULL or a live handle, and nothing changes the object before the call returns.
pub unsafe fn borrow<'a, T: Handle>(raw: *const T) -> Result<&'a T> {
    // SAFETY: the caller passes NULL or a live handle that nothing changes meanwhile.
    unsafe { raw.as_ref() }.ok_or_else(|| missing(T::NAME))
}

/// Borrows an object that may be left out.
///
/// # Safety
/// As [`borrow`].
pub unsafe fn borrow_optional<'a, T: Handle>(raw: *const T) -> Option<&'a T> {
    // SAFETY: the caller passes NULL or a live handle that nothing changes meanwhile.
    unsafe { raw.as_ref() }
}

/// Borrows an object of C's to change it.
///
/// # Safety
/// `raw` is NULL or a live handle that no other thread uses before the call returns.
pub unsafe fn borrow_mut<'a, T: Handle<Owner = InBox>>(raw: *mut T) -> Result<&'a mut T> {
    // SAFETY: the caller passes NULL or a live handle of a kind that one thread at a time uses.
    unsafe { raw.as_mut() }.ok_or_else(|| missing(T::NAME))
}

/// A reference of the call's own to a shared object.
///
/// # Safety
/// `raw` is NULL or a live handle.
pub unsafe fn share<T: Handle<Owner = InArc>>(raw: *const T) -> Result<Arc<T>> {
    if raw.is_null() {
        return Err(missing(T::NAME));
    }
    // SAFETY: a live handle came from `Arc::into_raw` and still holds its count; the count added here is the one that
    // `from_raw` takes over.
    Ok(unsafe {
        Arc::increment_strong_count(raw);
        Arc::from_raw(raw)
    })
}

/// Writes a new object to an output, or drops it when the caller gave none.
///
/// # Safety
/// `out` is NULL or may be written.
pub unsafe fn put<T: Handle>(out: *mut *mut T, object: T) {
    if !out.is_null() {
        // SAFETY: the caller passes NULL or a place that may be written.
        unsafe { out.write(T::Owner::hand_out(object)) };
    }
}

/// The error for a NULL that must not be.
pub fn missing(argument: &str) -> Error {
    Error::new(ErrorKind::NullArgument {
        argument: argument.to_owned(),
    })
}

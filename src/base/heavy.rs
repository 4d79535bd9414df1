//! Memory that the kernel takes long to take back: a fifth of a millisecond for each megabyte. Where sentinel-io is the
//! last to hold it, another thread gives it back.

use std::ops::Deref;

use crate::base::elsewhere::discard;

/// What is larger than that is heavy.
pub(crate) const HEAVY: usize = 1 << 20;

/// Lets go of what holds so many bytes.
pub(crate) fn let_go<T: Send + 'static>(spent: T, bytes: usize) {
    if bytes > HEAVY {
        discard(Box::new(spent));
    }
}

/// Bytes of any number.
#[derive(Debug)]
pub(crate) struct Bytes(Vec<u8>);

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Bytes {
        Bytes(bytes)
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        let bytes = self.0.capacity();
        let_go(std::mem::take(&mut self.0), bytes);
    }
}

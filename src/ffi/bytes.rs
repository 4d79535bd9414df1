//! What C passes in: NUL-terminated text, bytes with a length, and lists of arguments. And text for C to read.

use std::ffi::{CStr, c_char, c_void};
use std::mem::MaybeUninit;
use std::slice;

use super::handle::missing;
use crate::base::error::{Error, ErrorKind, Result};

/// Arguments of a command that need no memory from the heap for their list.
const INLINE: usize = 16;

/// Arguments at most, the limit of the servers.
const MOST: usize = 0x7fff_ffff;

/// Text that must be given.
///
/// # Safety
/// `text` is NULL or ends with NUL, and lives as long as the result is used.
pub unsafe fn text<'a>(text: *const c_char, argument: &str) -> Result<&'a str> {
    // SAFETY: the caller passes NULL or NUL-terminated text.
    unsafe { optional_text(text, argument) }?.ok_or_else(|| missing(argument))
}

/// Text that may be left out with NULL.
///
/// # Safety
/// As [`text`].
pub unsafe fn optional_text<'a>(text: *const c_char, argument: &str) -> Result<Option<&'a str>> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller passes NUL-terminated text.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map(Some).map_err(|_| {
        Error::new(ErrorKind::InvalidUtf8 {
            argument: argument.to_owned(),
        })
    })
}

/// Bytes with a length; (NULL, 0) is empty.
///
/// # Safety
/// `data` is NULL or has `len` readable bytes that live as long as the result is used.
pub unsafe fn bytes<'a>(data: *const c_void, len: usize, argument: impl FnOnce() -> String) -> Result<&'a [u8]> {
    if len == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(missing(&argument()));
    }
    if isize::try_from(len).is_err() {
        return Err(Error::invalid(
            argument(),
            format!("a length of {len} bytes is more than memory can hold"),
        ));
    }
    // SAFETY: not NULL, not longer than an allocation can be, and the caller vouches for `len` bytes.
    Ok(unsafe { slice::from_raw_parts(data.cast(), len) })
}

/// The arguments of one command, borrowed from the caller.
#[derive(Debug)]
pub struct Args<'a> {
    /// How many of `few` are set.
    argc: usize,
    /// All of them when they are no more than `INLINE`.
    few: [MaybeUninit<&'a [u8]>; INLINE],
    /// All of them otherwise.
    many: Vec<&'a [u8]>,
}

impl<'a> Args<'a> {
    /// Room for arguments, to be filled where it stands: moving it costs more than filling it.
    #[allow(clippy::new_without_default, reason = "a default would be moved")]
    pub fn new() -> Args<'a> {
        Args {
            argc: 0,
            few: [const { MaybeUninit::uninit() }; INLINE],
            many: Vec::new(),
        }
    }

    /// From an array of pointers; `argvlen` NULL means NUL-terminated arguments.
    ///
    /// # Safety
    /// `argv`, and `argvlen` unless NULL, are NULL or have `argc` elements; each argument is NULL or has as many
    /// readable bytes as its length says, or ends with NUL. All of it lives as long as the result is used.
    pub unsafe fn read_pointers(
        &mut self,
        argc: usize,
        argv: *const *const c_char,
        argvlen: *const usize,
    ) -> Result<&[&'a [u8]]> {
        check_count(argc)?;
        if argv.is_null() {
            return Err(missing("argv"));
        }
        self.collect(argc, |index| {
            // SAFETY: `index` is below `argc`, and the caller vouches for so many elements in both arrays.
            let (argument, len) = unsafe {
                (
                    *argv.add(index),
                    if argvlen.is_null() {
                        None
                    } else {
                        Some(*argvlen.add(index))
                    },
                )
            };
            let name = || format!("argv[{index}]");
            match len {
                // SAFETY: the caller vouches for so many bytes behind the pointer.
                Some(len) => unsafe { bytes(argument.cast(), len, name) },
                None if argument.is_null() => Err(missing(&name())),
                // SAFETY: not NULL, and without lengths every argument ends with NUL.
                None => Ok(unsafe { CStr::from_ptr(argument) }.to_bytes()),
            }
        })
    }

    /// From lengths, and the arguments back to back.
    ///
    /// # Safety
    /// `lens` is NULL or has `argc` elements, `data` is NULL or has `data_len` readable bytes, and both live as long
    /// as the result is used.
    pub unsafe fn read_packed(
        &mut self,
        argc: usize,
        lens: *const usize,
        data: *const c_void,
        data_len: usize,
    ) -> Result<&[&'a [u8]]> {
        check_count(argc)?;
        if lens.is_null() {
            return Err(missing("lens"));
        }
        // SAFETY: not NULL, and the caller vouches for `argc` elements; `argc` is far below the limit of a slice.
        let lens = unsafe { slice::from_raw_parts(lens, argc) };
        let sum = lens.iter().try_fold(0usize, |sum, len| sum.checked_add(*len));
        if sum != Some(data_len) {
            let sum = sum.map_or("more than memory can hold".to_owned(), |sum| sum.to_string());
            return Err(Error::invalid(
                "data_len",
                format!("is {data_len}, but lens add up to {sum}"),
            ));
        }
        // SAFETY: the caller vouches for `data_len` bytes.
        let mut rest = unsafe { bytes(data, data_len, || "data".to_owned()) }?;
        let mut lens = lens.iter();
        self.collect(argc, |_| {
            let split = lens.next().and_then(|len| rest.split_at_checked(*len));
            let (argument, behind) = split.ok_or_else(|| Error::invalid("lens", "changed during the call"))?;
            rest = behind;
            Ok(argument)
        })
    }

    fn collect(&mut self, argc: usize, mut next: impl FnMut(usize) -> Result<&'a [u8]>) -> Result<&[&'a [u8]]> {
        self.argc = 0;
        self.many.clear();
        if argc <= INLINE {
            for (index, place) in self.few.iter_mut().take(argc).enumerate() {
                place.write(next(index)?);
                self.argc = index + 1;
            }
            return Ok(self.as_slice());
        }
        let no_memory = |_| Error::invalid("argc", format!("is {argc}, and there is no memory for so many"));
        self.many.try_reserve_exact(argc).map_err(no_memory)?;
        for index in 0..argc {
            self.many.push(next(index)?);
        }
        Ok(self.as_slice())
    }

    fn as_slice(&self) -> &[&'a [u8]] {
        if !self.many.is_empty() {
            return &self.many;
        }
        // SAFETY: `collect` has set the first `argc`, which are no more than there are.
        unsafe { slice::from_raw_parts(self.few.as_ptr().cast(), self.argc) }
    }
}

fn check_count(argc: usize) -> Result<()> {
    match argc {
        0 => Err(Error::invalid("argc", "is 0, a command has at least its name")),
        1..=MOST => Ok(()),
        _ => Err(Error::invalid(
            "argc",
            format!("is {argc}, a command has at most {MOST} arguments"),
        )),
    }
}

/// Checks a timeout: 0, -1 or milliseconds.
pub fn timeout(timeout_ms: i64) -> Result<i64> {
    if timeout_ms < -1 {
        let problem = format!("is {timeout_ms}, takes milliseconds, 0 for the default or -1 for no limit");
        return Err(Error::invalid("timeout_ms", problem));
    }
    Ok(timeout_ms)
}

/// Bytes for C to read, with one NUL behind them that the length does not count.
#[derive(Debug)]
pub struct Text(Box<[u8]>);

impl Text {
    /// Copies `bytes`, NULs inside included.
    pub fn new(bytes: &[u8]) -> Text {
        let mut text = Vec::with_capacity(bytes.len().saturating_add(1));
        text.extend_from_slice(bytes);
        text.push(0);
        Text(text.into_boxed_slice())
    }

    /// Copies `bytes` up to their first NUL, for what C reads without a length.
    pub fn until_nul(bytes: &[u8]) -> Text {
        Text::new(bytes.split(|byte| *byte == 0).next().unwrap_or_default())
    }

    /// The bytes without the NUL behind them.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.split_last().map_or(&[], |(_, bytes)| bytes)
    }

    /// The first byte.
    pub fn as_ptr(&self) -> *const c_char {
        self.0.as_ptr().cast()
    }
}

/// Lends a text to C, or NULL with length 0.
///
/// # Safety
/// `len` is NULL or may be written.
pub unsafe fn lend(text: Option<&Text>, len: *mut usize) -> *const c_char {
    // SAFETY: the caller passes NULL or a place that may be written.
    unsafe { write(len, text.map_or(0, |text| text.as_bytes().len())) };
    text.map_or(std::ptr::null(), Text::as_ptr)
}

/// Writes a plain output unless the caller gave none.
///
/// # Safety
/// `out` is NULL or may be written.
pub unsafe fn write<T>(out: *mut T, value: T) {
    if !out.is_null() {
        // SAFETY: the caller passes NULL or a place that may be written.
        unsafe { out.write(value) };
    }
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;

    fn args() -> &'static mut Args<'static> {
        Box::leak(Box::new(Args::new()))
    }

    fn message(result: Result<&[&[u8]]>) -> String {
        result.map_or_else(|error| error.to_string(), |args| format!("{args:?}"))
    }

    #[test]
    fn reads_arguments_with_and_without_lengths() {
        let argv = [c"SET".as_ptr(), c"key".as_ptr(), ptr::null()];
        let lens = [3, 2, 0];
        // SAFETY: the arrays have as many elements as the counts say.
        unsafe {
            let read = args().read_pointers(3, argv.as_ptr(), lens.as_ptr()).unwrap();
            assert_eq!(read, [b"SET".as_slice(), b"ke", b""]);
            assert_eq!(
                message(args().read_pointers(3, argv.as_ptr(), ptr::null())),
                "argv[2] is NULL"
            );
            assert_eq!(
                message(args().read_pointers(1, ptr::null(), ptr::null())),
                "argv is NULL"
            );
            assert_eq!(
                message(args().read_pointers(0, argv.as_ptr(), ptr::null())),
                "argc: is 0, a command has at least its name"
            );
        }
    }

    #[test]
    fn a_length_without_bytes_is_an_error() {
        let argv = [c"GET".as_ptr(), ptr::null()];
        // SAFETY: the arrays have as many elements as the counts say.
        unsafe {
            assert_eq!(
                message(args().read_pointers(2, argv.as_ptr(), [3, 1].as_ptr())),
                "argv[1] is NULL"
            );
            assert!(bytes(ptr::null(), 0, String::new).is_ok_and(<[u8]>::is_empty));
            let argument = [c"x".as_ptr()];
            let huge = message(args().read_pointers(1, argument.as_ptr(), [usize::MAX].as_ptr()));
            assert!(huge.starts_with("argv[0]: a length of"), "{huge}");
        }
    }

    #[test]
    fn packed_lengths_must_add_up() {
        let data = b"SETkv";
        // SAFETY: the arrays have as many elements as the counts say.
        unsafe {
            let packed = |lens: &[usize], len| args().read_packed(lens.len(), lens.as_ptr(), data.as_ptr().cast(), len);
            assert_eq!(packed(&[3, 1, 1], 5).unwrap(), [b"SET".as_slice(), b"k", b"v"]);
            assert_eq!(message(packed(&[3, 1], 5)), "data_len: is 5, but lens add up to 4");
            assert_eq!(
                message(packed(&[usize::MAX, 1], 5)),
                "data_len: is 5, but lens add up to more than memory can hold"
            );
            assert_eq!(
                message(args().read_packed(1, [2].as_ptr(), ptr::null(), 2)),
                "data is NULL"
            );
            assert_eq!(
                message(args().read_packed(1, ptr::null(), data.as_ptr().cast(), 2)),
                "lens is NULL"
            );
        }
    }

    #[test]
    fn more_arguments_than_fit_inline_keep_their_order() {
        let data: Vec<u8> = (0..100).collect();
        let lens = [1usize; 100];
        // SAFETY: the arrays have as many elements as the counts say.
        let args = unsafe { args().read_packed(100, lens.as_ptr(), data.as_ptr().cast(), 100) }.unwrap();
        assert!(args.iter().zip(&data).all(|(argument, byte)| *argument == [*byte]));
        assert_eq!(args.len(), 100);
    }

    #[test]
    fn text_ends_with_a_nul_that_does_not_count() {
        let mut len = 9;
        let text = Text::until_nul(b"ab\0c");
        // SAFETY: `len` is local; the text has two bytes and a NUL.
        unsafe {
            assert_eq!(CStr::from_ptr(lend(Some(&text), &mut len)), c"ab");
            assert_eq!(len, 2);
            assert!(lend(None, &mut len).is_null());
        }
        assert_eq!(len, 0);
    }
}

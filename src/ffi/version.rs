//! Version
//!
//! SENTINEL_VERSION_* is the version of the header, these functions give that of the library that was loaded.

use std::ffi::c_char;

/// The library's version, such as `1.2.3`; static.
#[unsafe(no_mangle)]
pub extern "C" fn sentinel_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// The library's version as a number, 10203 for 1.2.3, to be compared with SENTINEL_VERSION_NUMBER.
#[unsafe(no_mangle)]
pub extern "C" fn sentinel_version_number() -> u32 {
    NUMBER
}

const NUMBER: u32 = number(env!("CARGO_PKG_VERSION_MAJOR")) * 10_000
    + number(env!("CARGO_PKG_VERSION_MINOR")) * 100
    + number(env!("CARGO_PKG_VERSION_PATCH"));

/// Reads decimal digits, at compile time.
const fn number(digits: &str) -> u32 {
    let mut rest = digits.as_bytes();
    let mut number = 0;
    while let [digit, behind @ ..] = rest {
        number = number * 10 + (*digit - b'0') as u32;
        rest = behind;
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_and_library_agree() {
        let header = include_str!(concat!(env!("OUT_DIR"), "/sentinel.h"));
        let line = format!("#define SENTINEL_VERSION_NUMBER {}", sentinel_version_number());
        assert!(header.lines().any(|known| known == line), "{line}");
        // SAFETY: the version is static and ends with NUL.
        let version = unsafe { std::ffi::CStr::from_ptr(sentinel_version()) };
        assert_eq!(version.to_str(), Ok(env!("CARGO_PKG_VERSION")));
    }
}

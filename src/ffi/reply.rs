//! Replies
//!
//! A reply is an immutable tree that keeps everything the server sent: the order and the duplicates of map pairs, keys
//! of any type, nested errors, binary data. A value inside a reply is borrowed from it and lives as long. Accessors
//! answer NULL, of a wrong type or beyond the end with NIL, 0 or NULL.

use std::ffi::{c_char, c_void};
use std::mem::{align_of, offset_of, size_of};
use std::{ptr, slice};

use super::access;
use super::bytes::{bytes, write};
use super::error::{Failure, sentinel_error_t};
use crate::call::of_element;
use crate::resp::{Kind, Node, Reply, Rest, Value, View};

/// No value (`_`, `$-1`, `*-1`).
pub const SENTINEL_REPLY_NIL: i32 = 0;
/// A status line, such as `OK`.
pub const SENTINEL_REPLY_STATUS: i32 = 1;
/// Any bytes.
pub const SENTINEL_REPLY_STRING: i32 = 2;
/// A number of 64 bits.
pub const SENTINEL_REPLY_INTEGER: i32 = 3;
/// A floating point number; its text is its data.
pub const SENTINEL_REPLY_DOUBLE: i32 = 4;
/// A boolean; its integer is 0 or 1.
pub const SENTINEL_REPLY_BOOL: i32 = 5;
/// A list.
pub const SENTINEL_REPLY_ARRAY: i32 = 6;
/// Pairs of a key and a value, in the server's order.
pub const SENTINEL_REPLY_MAP: i32 = 7;
/// A list whose elements the server calls distinct.
pub const SENTINEL_REPLY_SET: i32 = 8;
/// Text with a format, see sentinel_reply_verbatim_format.
pub const SENTINEL_REPLY_VERBATIM: i32 = 9;
/// An integer of any size; its digits are its data.
pub const SENTINEL_REPLY_BIG_NUMBER: i32 = 10;
/// A message that no command asked for.
pub const SENTINEL_REPLY_PUSH: i32 = 11;
/// An error inside an array; the first word of its data is its code.
pub const SENTINEL_REPLY_ERROR: i32 = 12;

/// A reply, or a value inside one. Immutable; share freely.
#[derive(Debug)]
pub struct sentinel_reply_t {
    _node: [u8; 0],
}

/// One value of a reply, for sentinel_reply_nodes.
#[repr(C)]
#[derive(Debug)]
pub struct sentinel_reply_node_t {
    /// `SENTINEL_REPLY_*`.
    pub r#type: i32,
    /// 0 for the root, 1 for its elements, and so on.
    pub depth: u32,
    /// Bytes of data, or direct children: of a map its keys and its values.
    pub len: usize,
    /// As sentinel_reply_data; NULL for types without data.
    pub data: *const c_char,
    /// As sentinel_reply_integer.
    pub integer: i64,
    /// As sentinel_reply_double.
    pub number: f64,
}

/// C reads the core's nodes in place, so the one must begin with the other.
const _: () = {
    assert!(offset_of!(sentinel_reply_node_t, r#type) == offset_of!(Node, kind));
    assert!(offset_of!(sentinel_reply_node_t, depth) == offset_of!(Node, depth));
    assert!(offset_of!(sentinel_reply_node_t, len) == offset_of!(Node, len));
    assert!(offset_of!(sentinel_reply_node_t, data) == offset_of!(Node, data));
    assert!(offset_of!(sentinel_reply_node_t, integer) == offset_of!(Node, integer));
    assert!(offset_of!(sentinel_reply_node_t, number) == offset_of!(Node, number));
    assert!(size_of::<sentinel_reply_node_t>() <= size_of::<Node>());
    assert!(align_of::<sentinel_reply_node_t>() == align_of::<Node>());
    assert!(Kind::Nil as i32 == SENTINEL_REPLY_NIL && Kind::Status as i32 == SENTINEL_REPLY_STATUS);
    assert!(Kind::String as i32 == SENTINEL_REPLY_STRING && Kind::Integer as i32 == SENTINEL_REPLY_INTEGER);
    assert!(Kind::Double as i32 == SENTINEL_REPLY_DOUBLE && Kind::Bool as i32 == SENTINEL_REPLY_BOOL);
    assert!(Kind::Array as i32 == SENTINEL_REPLY_ARRAY && Kind::Map as i32 == SENTINEL_REPLY_MAP);
    assert!(Kind::Set as i32 == SENTINEL_REPLY_SET && Kind::Verbatim as i32 == SENTINEL_REPLY_VERBATIM);
    assert!(Kind::BigNumber as i32 == SENTINEL_REPLY_BIG_NUMBER && Kind::Push as i32 == SENTINEL_REPLY_PUSH);
    assert!(Kind::Error as i32 == SENTINEL_REPLY_ERROR);
};

/// Gives a reply to C, or drops it when the caller gave no output.
///
/// The handle is the address of the root's node, and the array of nodes is the reply: the head in front of the root
/// keeps the array's length in its `data`, and in its `integer` the address of what a large reply has besides.
///
/// # Safety
/// `out` is NULL or may be written.
#[inline]
pub unsafe fn put(out: *mut *mut sentinel_reply_t, reply: Reply) {
    if out.is_null() {
        return;
    }
    let (mut nodes, rest) = reply.into_parts();
    let (len, rest) = (nodes.len(), rest.map_or(ptr::null_mut(), Box::into_raw));
    if let Some(head) = nodes.first_mut() {
        head.data = len;
        head.integer = bytemuck::cast(rest.expose_provenance() as u64);
    }
    let head: *mut Node = Box::into_raw(nodes).cast();
    head.expose_provenance();
    // SAFETY: every reply has a head and a root; `out` may be written.
    unsafe { out.write(head.add(1).cast()) };
}

/// The head of the reply that a handle lies in, and the handle's position behind it.
///
/// # Safety
/// `handle` is a live reply, or a value inside one.
unsafe fn locate(handle: *const sentinel_reply_t) -> Option<(*mut Node, u32)> {
    let node: *const Node = handle.cast();
    // SAFETY: a live handle is the address of a node.
    let index = unsafe { (*node).index };
    let before = usize::try_from(index).ok()?.checked_mul(size_of::<Node>())?;
    let head = node.addr().checked_sub(before)?;
    Some((ptr::with_exposed_provenance_mut(head), index))
}

/// What `put` kept in the head: the array's length, and the rest of a large reply.
///
/// # Safety
/// `head` came from `locate`.
unsafe fn parts(head: *const Node) -> (usize, *mut Rest) {
    // SAFETY: the head of a live reply.
    let head = unsafe { *head };
    let rest = usize::try_from(bytemuck::cast::<i64, u64>(head.integer)).unwrap_or(0);
    (head.data, ptr::with_exposed_provenance_mut(rest))
}

/// The reply that a handle lies in, and the handle's position there.
///
/// # Safety
/// `handle` is a live reply, or a value inside one, and lives as long as what is returned is used.
unsafe fn view<'a>(handle: *const sentinel_reply_t) -> Option<(View<'a>, u32)> {
    // SAFETY: `put` kept in the head the length of the array that it leads, and the address of the rest or 0; both live
    // as long as the handle.
    unsafe {
        let (head, index) = locate(handle)?;
        let (len, rest) = parts(head);
        Some((View::new(slice::from_raw_parts(head, len), rest.as_ref()), index))
    }
}

/// Runs an accessor on the value behind a handle.
///
/// # Safety
/// `handle` is NULL, a live reply, or a value inside one.
unsafe fn read<R>(handle: *const sentinel_reply_t, absent: R, body: impl FnOnce(Value<'_>) -> Option<R>) -> R {
    access::value(absent, || {
        if handle.is_null() {
            return None;
        }
        // SAFETY: not NULL, so a live handle, whose reply lives as long.
        let (reply, index) = unsafe { view(handle) }?;
        body(reply.value(index)?)
    })
}

/// Runs an accessor that needs no more than the value's own node.
///
/// # Safety
/// `handle` is NULL, a live reply, or a value inside one.
unsafe fn look<R>(handle: *const sentinel_reply_t, absent: R, body: impl FnOnce(&Node) -> Option<R>) -> R {
    // SAFETY: a live handle is the address of a node, which lives as long.
    let node = unsafe { handle.cast::<Node>().as_ref() };
    access::value(absent, || body(node?))
}

/// The handle of a value inside a reply.
fn handle_of(value: Value<'_>) -> *const sentinel_reply_t {
    ptr::with_exposed_provenance(ptr::from_ref(value.node()).addr())
}

/// What a value is, one of `SENTINEL_REPLY_*`.
///
/// # Safety
/// `reply` is live or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_reply_type(reply: *const sentinel_reply_t) -> i32 {
    // SAFETY: `reply` is live or NULL.
    unsafe { look(reply, SENTINEL_REPLY_NIL, |node| Some(node.kind)) }
}

/// The bytes of a string, status, error, verbatim string, big number or double; NULL with length 0 for other types.
///
/// Borrowed from the reply. One NUL stands behind the last byte, which `*len` does not count; the bytes may hold NULs.
///
/// # Safety
/// `reply` is live or NULL, `len` may be written or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_reply_data(reply: *const sentinel_reply_t, len: *mut usize) -> *const c_char {
    // SAFETY: `reply` is live or NULL, `len` may be written or is NULL.
    unsafe {
        write(len, 0);
        look(reply, ptr::null(), |node| {
            if node.data == 0 {
                return None;
            }
            write(len, node.len);
            Some(ptr::with_exposed_provenance(node.data))
        })
    }
}

/// What an error inside a reply means, as the error of a call: its status, its outcome, the server's code. NULL for
/// everything else. The caller frees it with sentinel_error_free.
///
/// Of an element of a batch the outcome is REFUSED where the error is the server's own word that it executed nothing,
/// NOT_SENT and UNKNOWN with the status CONNECTION_LOST where the batch was cut; any other error is UNKNOWN: a script, a
/// function or a module may have said it after it had written, in whatever words.
///
/// # Safety
/// `reply` is live or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_reply_failure(reply: *const sentinel_reply_t) -> *mut sentinel_error_t {
    // SAFETY: `reply` is live or NULL.
    let error = unsafe { read(reply, None, |value| Some(of_element(value))) };
    access::make(|| error.map(|error| sentinel_error_t::new(&Failure::from(error))))
}

/// The number of an integer, 1 or 0 of a boolean; else 0.
///
/// # Safety
/// `reply` is live or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_reply_integer(reply: *const sentinel_reply_t) -> i64 {
    // SAFETY: `reply` is live or NULL.
    unsafe { look(reply, 0, |node| Some(node.integer)) }
}

/// The number of a double; else 0.
///
/// # Safety
/// `reply` is live or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_reply_double(reply: *const sentinel_reply_t) -> f64 {
    // SAFETY: `reply` is live or NULL.
    unsafe { look(reply, 0.0, |node| Some(node.number)) }
}

/// The elements of an array, set or push, the pairs of a map; else 0.
///
/// # Safety
/// `reply` is live or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_reply_len(reply: *const sentinel_reply_t) -> usize {
    // SAFETY: `reply` is live or NULL.
    unsafe { read(reply, 0, |value| Some(value.len())) }
}

/// An element of an array, set or push, in constant time; NULL beyond the last.
///
/// In a map keys and values alternate here. Borrowed from the reply, like all that follow: never free it.
///
/// # Safety
/// `reply` is live or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_reply_at(reply: *const sentinel_reply_t, index: usize) -> *const sentinel_reply_t {
    // SAFETY: `reply` is live or NULL.
    unsafe { read(reply, ptr::null(), |value| value.at(index).map(handle_of)) }
}

/// The key of a pair of a map; NULL beyond the last, or when `map` is no map.
///
/// # Safety
/// `map` is live or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_reply_key_at(map: *const sentinel_reply_t, index: usize) -> *const sentinel_reply_t {
    // SAFETY: `map` is live or NULL.
    unsafe { read(map, ptr::null(), |map| map.key_at(index).map(handle_of)) }
}

/// The value of a pair of a map; NULL beyond the last, or when `map` is no map.
///
/// # Safety
/// `map` is live or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_reply_value_at(
    map: *const sentinel_reply_t,
    index: usize,
) -> *const sentinel_reply_t {
    // SAFETY: `map` is live or NULL.
    unsafe { read(map, ptr::null(), |map| map.value_at(index).map(handle_of)) }
}

/// The value of the first pair of a map whose key has these bytes; NULL when there is none. Takes time with the size of
/// the map.
///
/// # Safety
/// `map` is live or NULL, `key` has `key_len` bytes or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_reply_get(
    map: *const sentinel_reply_t,
    key: *const c_void,
    key_len: usize,
) -> *const sentinel_reply_t {
    // SAFETY: `map` is live or NULL, `key` has `key_len` bytes or is NULL.
    unsafe {
        read(map, ptr::null(), |map| {
            let key = bytes(key, key_len, String::new).ok()?;
            map.get(key).map(handle_of)
        })
    }
}

/// The format of a verbatim string, three bytes such as `txt` or `mkd`; NULL for other types.
///
/// Borrowed from the reply, and not NUL-terminated: read three bytes.
///
/// # Safety
/// `reply` is live or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_reply_verbatim_format(reply: *const sentinel_reply_t) -> *const c_char {
    // SAFETY: `reply` is live or NULL.
    unsafe {
        read(reply, ptr::null(), |value| {
            value.verbatim_format().map(|format| format.as_ptr().cast())
        })
    }
}

/// The whole tree, depth first, as one array: one crossing for a binding.
///
/// `*count` gets the number of nodes and `*stride` the bytes from one to the next, which a later version may enlarge.
/// Borrowed from the reply. Of a value inside a reply: that value and what is below it. The address of a node is the
/// handle of its value. NULL and 0 for NULL.
///
/// # Safety
/// `reply` is live or NULL, `count` and `stride` may be written or are NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_reply_nodes(
    reply: *const sentinel_reply_t,
    count: *mut usize,
    stride: *mut usize,
) -> *const sentinel_reply_node_t {
    // SAFETY: `reply` is live or NULL, `count` and `stride` may be written or are NULL.
    unsafe {
        write(count, 0);
        write(stride, size_of::<Node>());
        read(reply, ptr::null(), |value| {
            write(count, subtree_len(reply)?);
            Some(handle_of(value).cast())
        })
    }
}

/// How many nodes a value and all below it are.
///
/// # Safety
/// `handle` is a live reply, or a value inside one.
unsafe fn subtree_len(handle: *const sentinel_reply_t) -> Option<usize> {
    // SAFETY: a live handle, whose reply lives as long.
    let (reply, index) = unsafe { view(handle) }?;
    let (nodes, index) = (reply.nodes_with_head(), usize::try_from(index).ok()?);
    if index == 1 {
        return nodes.len().checked_sub(1);
    }
    let (value, behind) = nodes.get(index..)?.split_first()?;
    Some(1 + behind.iter().take_while(|node| node.depth > value.depth).count())
}

/// Frees a reply and everything borrowed from it; NULL is allowed. A value inside a reply is not freed by itself: the
/// call does nothing then.
///
/// # Safety
/// `reply` is live or NULL, and neither it nor what was borrowed from it is used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_reply_free(reply: *mut sentinel_reply_t) {
    access::value((), || {
        if reply.is_null() {
            return None;
        }
        // SAFETY: `reply` is live; `put` took both parts from `Box::into_raw`, and the caller gives them up.
        unsafe {
            let (head, index) = locate(reply)?;
            if index == 1 {
                let (len, rest) = parts(head);
                if !rest.is_null() {
                    drop(Box::from_raw(rest));
                }
                drop(Box::from_raw(ptr::slice_from_raw_parts_mut(head, len)));
            }
        }
        Some(())
    });
}

//! The C surface: what `include/sentinel.h` declares, a file a section of the header, under the names of C.
//!
//! Every exported body runs in [`guard`] or [`access`], which check handles, catch panics and write the error out;
//! [`handle`] fixes who owns what; [`bytes`] reads what C passes in. None of the four is part of the header. `build.rs` runs
//! cbindgen over the others in the order below; a file's module comment heads its section.
//!
//! What every exported function asks of its caller, and each `# Safety` section means:
//! - a handle is NULL, or came from this library and has not been freed;
//! - a `const char *` is NULL or ends with NUL, and a pointer with a length is NULL or has as many readable elements;
//! - an output is NULL or may be written;
//! - options, connections and batches are used by one thread at a time.

#![allow(non_camel_case_types)]

pub mod access;
pub mod bytes;
pub mod guard;
pub mod handle;

pub mod status;

pub mod error;

pub mod options;

pub mod deployment;

pub mod discovery;

pub mod client;

pub mod command;

pub mod reply;

pub mod batch;

pub mod connection;

pub mod script;

pub mod scan;

pub mod completion;

pub mod queue;

pub mod subscription;

pub mod serve;

pub mod observe;

pub mod version;

/// The handles that any thread may use are safe to share, by the compiler's word.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<deployment::sentinel_t>();
    shared::<client::sentinel_client_t>();
    shared::<discovery::sentinel_nodes_t>();
    shared::<error::sentinel_error_t>();
    shared::<script::sentinel_script_t>();
    shared::<completion::sentinel_queue_t>();
    shared::<subscription::sentinel_subscription_t>();
    shared::<crate::resp::Reply>(); // what a sentinel_reply_t points into
};

//! What must not compile: tests of the documentation, which are compiled with it and with nothing else.
//!
//! Each has the right way beside the wrong one, so that it fails for what is wrong in it, and the compiler's number of
//! the error, which `make unit` looks at.

/// A value that is read out of a reply is gone with the reply.
///
/// ```
/// # use sentinel::resp::Builder;
/// let mut builder = Builder::new();
/// builder.array(1).string(b"text");
/// let reply = builder.finish().expect("whole");
/// let first = reply.at(0).expect("one");
/// assert_eq!(first.data(), b"text");
/// drop(reply);
/// ```
/// ```compile_fail,E0505
/// # use sentinel::resp::Builder;
/// let mut builder = Builder::new();
/// builder.array(1).string(b"text");
/// let reply = builder.finish().expect("whole");
/// let first = reply.at(0).expect("one");
/// drop(reply);
/// assert_eq!(first.data(), b"text");
/// ```
///
/// Nor does it leave the function that has the reply: what leaves is a copy.
///
/// ```
/// # use sentinel::{CallOptions, Client, Result};
/// fn get(client: &Client) -> Result<Vec<u8>> {
///     let reply = client.command(&[b"GET", b"key"], &CallOptions::default())?;
///     Ok(reply.data().to_vec())
/// }
/// ```
/// ```compile_fail,E0515
/// # use sentinel::{CallOptions, Client, Result};
/// fn get(client: &Client) -> Result<&[u8]> {
///     let reply = client.command(&[b"GET", b"key"], &CallOptions::default())?;
///     Ok(reply.data())
/// }
/// ```
///
/// What was made a push is no reply any more.
///
/// ```
/// # use sentinel::resp::Reply;
/// fn push(reply: Reply) -> usize {
///     let len = reply.len();
///     reply.into_push();
///     len
/// }
/// ```
/// ```compile_fail,E0382
/// # use sentinel::resp::Reply;
/// fn push(reply: Reply) -> usize {
///     reply.into_push();
///     reply.len()
/// }
/// ```
pub struct Replies;

/// A client is one, and not copied; many threads borrow it.
///
/// ```
/// # use sentinel::Client;
/// fn both(client: Client) {
///     std::thread::scope(|scope| {
///         scope.spawn(|| client.node());
///         scope.spawn(|| client.node());
///     });
/// }
/// ```
/// ```compile_fail,E0599
/// # use sentinel::Client;
/// fn both(client: Client) {
///     let copy = client.clone();
///     std::thread::scope(|scope| {
///         scope.spawn(|| client.node());
///         scope.spawn(|| copy.node());
///     });
/// }
/// ```
///
/// Whoever has handed it over has it no longer.
///
/// ```
/// # use sentinel::Client;
/// fn hand_over(client: Client) {
///     let node = client.node();
///     std::thread::spawn(move || client.node());
/// }
/// ```
/// ```compile_fail,E0382
/// # use sentinel::Client;
/// fn hand_over(client: Client) {
///     std::thread::spawn(move || client.node());
///     let node = client.node();
/// }
/// ```
pub struct Clients;

/// A connection that was given back is not used again.
///
/// ```
/// # use sentinel::{CallOptions, Connection, Result};
/// fn release(connection: Connection) -> Result<()> {
///     connection.command(&[b"PING"], &CallOptions::default())?;
///     drop(connection);
///     Ok(())
/// }
/// ```
/// ```compile_fail,E0382
/// # use sentinel::{CallOptions, Connection, Result};
/// fn release(connection: Connection) -> Result<()> {
///     drop(connection);
///     connection.command(&[b"PING"], &CallOptions::default())?;
///     Ok(())
/// }
/// ```
pub struct Connections;

/// A scan is walked by one thread: it may move to another, and is never shared.
///
/// ```
/// # use sentinel::{CallOptions, Scan};
/// fn walk(mut scan: Scan) {
///     std::thread::spawn(move || scan.next(&CallOptions::default()));
/// }
/// ```
/// ```compile_fail,E0596
/// # use sentinel::{CallOptions, Scan};
/// fn walk(scan: &Scan) {
///     scan.next(&CallOptions::default());
/// }
/// ```
/// ```compile_fail,E0277
/// # use sentinel::Scan;
/// fn walk(scan: &Scan) {
///     std::thread::scope(|scope| {
///         scope.spawn(|| scan);
///     });
/// }
/// ```
pub struct Scans;

/// Where the end of a submission goes is told once, and is used by one thread.
///
/// ```
/// # use sentinel::{CallOptions, Client};
/// # use sentinel::completion::Target;
/// fn submit(client: &Client, target: Target<'_>) {
///     client.submit(&[b"PING"], &CallOptions::default(), target);
/// }
/// ```
/// ```compile_fail,E0382
/// # use sentinel::{CallOptions, Client};
/// # use sentinel::completion::Target;
/// fn submit(client: &Client, target: Target<'_>) {
///     client.submit(&[b"PING"], &CallOptions::default(), target);
///     client.submit(&[b"PING"], &CallOptions::default(), target);
/// }
/// ```
/// ```compile_fail,E0277
/// # use sentinel::completion::Target;
/// fn shared<T: Sync>() {}
/// shared::<Target<'static>>();
/// ```
pub struct Submissions;

/// A batch and options do not change while somebody looks at them.
///
/// ```
/// # use sentinel::{Batch, CallOptions, Client};
/// fn add(client: &Client, batch: &mut Batch) {
///     batch.add(&[b"PING"]);
///     let lent = &*batch;
///     client.batch(lent, &CallOptions::default());
/// }
/// ```
/// ```compile_fail,E0502
/// # use sentinel::{Batch, CallOptions, Client};
/// fn add(client: &Client, batch: &mut Batch) {
///     let lent = &*batch;
///     batch.add(&[b"PING"]);
///     client.batch(lent, &CallOptions::default());
/// }
/// ```
/// ```
/// # use sentinel::Options;
/// fn set(options: &mut Options) {
///     options.set("tls", "1");
/// }
/// ```
/// ```compile_fail,E0596
/// # use sentinel::Options;
/// fn set(options: &Options) {
///     options.set("tls", "1");
/// }
/// ```
pub struct Changes;

/// C's handles: what any thread may use is shared, what one thread uses is exclusive, and no call mistakes the one for
/// the other.
///
/// ```
/// use sentinel::ffi::{client::sentinel_client_t, guard, options::sentinel_options_t};
/// unsafe fn calls(client: *mut sentinel_client_t, options: *mut sentinel_options_t) {
///     unsafe {
///         guard::shared(client, std::ptr::null_mut(), |_| Ok(()));
///         guard::exclusive(options, std::ptr::null_mut(), |_| Ok(()));
///     }
/// }
/// ```
/// ```compile_fail,E0271
/// use sentinel::ffi::{guard, options::sentinel_options_t};
/// unsafe fn calls(options: *mut sentinel_options_t) {
///     unsafe { guard::shared(options, std::ptr::null_mut(), |_| Ok(())) };
/// }
/// ```
/// ```compile_fail,E0271
/// use sentinel::ffi::{client::sentinel_client_t, guard};
/// unsafe fn calls(client: *mut sentinel_client_t) {
///     unsafe { guard::exclusive(client, std::ptr::null_mut(), |_| Ok(())) };
/// }
/// ```
///
/// An object without calls, as an error is, has no guard for one.
///
/// ```compile_fail,E0277
/// use sentinel::ffi::{error::sentinel_error_t, guard};
/// unsafe fn calls(error: *mut sentinel_error_t) {
///     unsafe { guard::exclusive(error, std::ptr::null_mut(), |_| Ok(())) };
/// }
/// ```
///
/// What a call is lent of an object stays in it.
///
/// ```
/// use sentinel::ffi::{guard, options::sentinel_options_t};
/// unsafe fn calls(options: *mut sentinel_options_t) {
///     let mut seen = false;
///     unsafe {
///         guard::exclusive(options, std::ptr::null_mut(), |options| {
///             seen = true;
///             Ok(())
///         })
///     };
/// }
/// ```
/// ```compile_fail,E0521
/// use sentinel::ffi::{guard, options::sentinel_options_t};
/// unsafe fn calls(options: *mut sentinel_options_t) {
///     let mut seen = None;
///     unsafe {
///         guard::exclusive(options, std::ptr::null_mut(), |options| {
///             seen = Some(options);
///             Ok(())
///         })
///     };
/// }
/// ```
///
/// What holds pointers of C's stays on its thread.
///
/// ```compile_fail,E0277
/// fn moves<T: Send>() {}
/// moves::<sentinel::ffi::completion::sentinel_completion_t>();
/// ```
pub struct Handles;

/// What a process has once is a static, so that a child of a fork finds it, and makes its own.
///
/// ```
/// # use sentinel::base::process::PerProcess;
/// static ONCE: PerProcess<u8> = PerProcess::new(|| 7);
/// assert_eq!(*ONCE.get(), 7);
/// ```
/// ```compile_fail,E0597
/// # use sentinel::base::process::PerProcess;
/// let once: PerProcess<u8> = PerProcess::new(|| 7);
/// assert_eq!(*once.get(), 7);
/// ```
pub struct Forks;

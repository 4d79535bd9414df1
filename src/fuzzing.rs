//! What the targets of `fuzz/` run, a function a target: each takes any bytes and panics when a promise about hostile
//! bytes is broken. Compiled for them and for the unit tests alone, which run the committed corpora.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a target reports"
)]

use std::ffi::CString;
use std::io::Write;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::ptr;
use std::time::Instant;

use crate::discovery::answer::{Address, Answer, read_address, read_fields, read_list, word};
use crate::discovery::{events, hear_all, replicas};
use crate::ffi::{batch, bytes::Args, error, options, reply};
use crate::net::handshake::{SENTINEL_LIMITS, node_words, sentinel_words};
use crate::net::{AddressMap, Endpoint, Login, Socket, Vault, Wire};
use crate::resp::{DecodeError, Decoder, Limits, Reply, Room, Value, encode};
use crate::serve::request::Inbox;
use crate::topology::{Role, Word};

mod served;
pub use served::socket;

/// Stands for a password: no message may repeat it.
const SECRET: &str = "hunter2!";

/// More than this fits into the buffer of no socket, and no target gets it.
const MOST: usize = 64 * 1024;

/// Two bytes say how the rest is cut and limited: in one piece or in many, with room for short replies or without, it is
/// the same replies and the same error, each a sound tree for Rust and for C, and memory follows what came.
pub fn decoder(data: &[u8]) {
    let Some((&[cut, limit], stream)) = data.split_first_chunk::<2>() else {
        return;
    };
    let limits = Limits {
        max_bytes: 64 << (limit % 16),
        max_depth: usize::from(limit / 16) * 9,
    };
    let (whole, failure) = decode(stream, stream.len().max(1), limits, || Some(Room::new()));
    let (cut_up, failure_again) = decode(stream, usize::from(cut) + 1, limits, || None);
    assert_eq!(failure, failure_again, "the error depends on the pieces");
    assert_eq!(whole.len(), cut_up.len(), "the count depends on the pieces");
    for (one, other) in whole.into_iter().zip(cut_up) {
        assert_same(one.root(), other.root());
        check_in_c(one);
    }
}

/// The first byte says how the rest is cut, the second what a request may cost: in one piece or in many, what a peer asks for
/// is the same, and the fault that ends it; memory follows what came; what was read is read again from a plain encoding.
pub fn requests(data: &[u8]) {
    let Some((&[cut, limit], stream)) = data.split_first_chunk::<2>() else {
        return;
    };
    let most = 64 << (limit % 20);
    let (whole, fault) = asked(stream, stream.len().max(1), most);
    let (cut_up, fault_again) = asked(stream, usize::from(cut) + 1, most);
    assert_eq!(fault, fault_again, "the fault depends on the pieces");
    assert_eq!(whole, cut_up, "the requests depend on the pieces");
    let mut plain = Vec::new();
    for request in &whole {
        assert!(!request.is_empty(), "a request without a name");
        let args: Vec<&[u8]> = request.iter().map(Vec::as_slice).collect();
        encode(&mut plain, &args);
    }
    let most = usize::MAX / 2;
    assert_eq!(
        asked(&plain, plain.len().max(1), most),
        (whole, None),
        "a request is another one when it is said again"
    );
}

type Asked = (Vec<Vec<Vec<u8>>>, Option<String>);

fn asked(stream: &[u8], piece: usize, most: usize) -> Asked {
    let (mut inbox, mut all) = (Inbox::new(most), Vec::new());
    for mut piece in stream.chunks(piece) {
        while !piece.is_empty() {
            let room = inbox.room();
            let (now, later) = piece.split_at(piece.len().min(room.len()));
            room[..now.len()].copy_from_slice(now);
            inbox.filled(now.len());
            piece = later;
        }
        loop {
            match inbox.next() {
                Ok(true) => all.push(inbox.args().into_iter().map(<[u8]>::to_vec).collect()),
                Ok(false) => break,
                Err(fault) => {
                    let text = fault.to_string();
                    assert!(text.starts_with("Protocol error: "), "{text}");
                    return (all, Some(text));
                }
            }
            inbox.take();
        }
    }
    assert!(
        inbox.room().len() <= (3 << 20) + 2 * stream.len(),
        "room for what was only announced"
    );
    (all, None)
}

fn decode(
    stream: &[u8],
    piece: usize,
    limits: Limits,
    room: impl Fn() -> Option<Room>,
) -> (Vec<Reply>, Option<DecodeError>) {
    let mut decoder = Decoder::new(limits);
    let mut replies = Vec::new();
    for piece in stream.chunks(piece) {
        decoder.feed(piece);
        loop {
            match decoder.next_in(&mut room()) {
                Ok(Some(reply)) => replies.push(reply),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.next().err().as_ref(), Some(&error), "an error is final");
                    return (replies, Some(error));
                }
            }
        }
    }
    assert!(
        decoder.spare().len() <= (2 << 20) + 2 * stream.len(),
        "room for what was only announced"
    );
    (replies, None)
}

fn assert_same(one: Value<'_>, other: Value<'_>) {
    assert!(one.subtree().count() == other.subtree().count());
    for (one, other) in one.subtree().zip(other.subtree()) {
        let facts = |value: Value<'_>| (value.kind(), value.node().depth, value.len(), value.integer());
        assert_eq!(facts(one), facts(other));
        assert_eq!(one.data(), other.data());
        assert_eq!(one.double().to_bits(), other.double().to_bits());
        assert_eq!(one.verbatim_format(), other.verbatim_format());
    }
}

/// The reply as a C program walks it.
fn check_in_c(sound: Reply) {
    let count = sound.nodes().len();
    let mut handle = ptr::null_mut();
    // SAFETY: `handle` is local, and live from `put` to the free; nodes and values are read while it lives, and each of
    // their data has the length that is told and one byte more.
    unsafe {
        reply::put(&raw mut handle, sound);
        let (mut seen, mut stride) = (0, 0);
        let nodes = reply::sentinel_reply_nodes(handle, &raw mut seen, &raw mut stride);
        assert_eq!(seen, count);
        for place in 0..seen {
            let node = &*nodes.byte_add(place * stride);
            if !node.data.is_null() {
                assert_eq!(*node.data.add(node.len), 0, "no NUL behind the data");
            }
        }
        let pairs = reply::sentinel_reply_len(handle);
        for index in [0, pairs.saturating_sub(1), pairs] {
            let key = reply::sentinel_reply_key_at(handle, index);
            let mut len = 0;
            let data = reply::sentinel_reply_data(key, &raw mut len);
            if !data.is_null() {
                assert!(
                    !reply::sentinel_reply_get(handle, data.cast(), len).is_null(),
                    "a key is found"
                );
            }
            let element = reply::sentinel_reply_at(handle, index);
            assert_eq!(element.is_null(), is_beyond(handle, index));
        }
        reply::sentinel_reply_free(handle);
    }
}

/// # Safety
/// `handle` is live.
unsafe fn is_beyond(handle: *const reply::sentinel_reply_t, index: usize) -> bool {
    // SAFETY: the caller's promise.
    let (len, kind) = unsafe { (reply::sentinel_reply_len(handle), reply::sentinel_reply_type(handle)) };
    let elements = if kind == reply::SENTINEL_REPLY_MAP {
        2 * len
    } else {
        len
    };
    index >= elements
}

/// The first byte says who greets how, the rest is what the peer answers before it closes: the greeting ends, and no
/// error repeats the password.
pub fn handshake(data: &[u8]) {
    let Some((&flags, said)) = data.split_first() else {
        return;
    };
    let is = |bit: u8| flags >> bit & 1 == 1;
    let mut login = crate::Options::new();
    login.set("username", if is(1) { "user" } else { "" }).unwrap();
    login.set("password", if is(2) { SECRET } else { "" }).unwrap();
    let credentials = login.client().unwrap().credentials;
    let result = talk(said, |wire| async move {
        let login = Login {
            vault: Vault::new(credentials.clone()),
            database: u32::from(is(3)),
            client_name: is(4).then(|| "name".to_owned()),
            client_info: is(6),
            protocol: if is(5) { 2 } else { 3 },
        };
        if is(0) {
            return sentinel_words(wire, &login, &credentials).await;
        }
        node_words(wire, &login, &credentials).await
    });
    match result {
        Ok(greeted) => assert!(greeted.protocol == 2 || greeted.protocol == 3),
        Err(error) => assert!(!is(2) || !format!("{error:?}").contains(SECRET), "{error:?}"),
    }
}

/// Runs a conversation with a peer that says `said` and closes.
fn talk<T, F: Future<Output = T>>(said: &[u8], words: impl FnOnce(Wire) -> F) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (wire, _peer) = wire_with(said);
        words(wire).await
    })
}

/// A connection on which the peer has said this and says no more; the peer still listens.
fn wire_with(said: &[u8]) -> (Wire, UnixStream) {
    let (ours, mut peer) = UnixStream::pair().unwrap();
    peer.write_all(&said[..said.len().min(MOST)]).unwrap();
    peer.shutdown(std::net::Shutdown::Write).unwrap();
    let ours = Socket::new(TcpStream::from(OwnedFd::from(ours))).unwrap();
    (Wire::new(ours, None, SENTINEL_LIMITS).unwrap(), peer)
}

/// A Sentinel that answers a question with any bytes, on one connection or on two: the talk ends, and whatever was
/// understood makes a word, replicas and Sentinels that can be addressed.
pub fn answers(data: &[u8]) {
    let Some((&flags, said)) = data.split_first() else {
        return;
    };
    let map = AddressMap::parse("127.0.0.1:7000=127.0.0.1:7001").unwrap();
    let (replies, _) = decode(said, usize::MAX, SENTINEL_LIMITS, || None);
    let fields = |index: usize| {
        replies
            .get(index)
            .map(|reply| read_fields(reply.root()))
            .unwrap_or_default()
    };
    let answer = Answer {
        depth: crate::discovery::answer::Depth::Lists,
        address: replies.first().map(read_address),
        primary: fields(1),
        replicas: replies.get(2).and_then(read_list),
        peers: replies.get(3).and_then(read_list),
    };
    let asked = Endpoint::new("127.0.0.1", 26379);
    match word(
        &answer,
        &asked,
        (&map, u32::from(flags % 3)),
        &Word::Asked,
        None,
        Instant::now(),
    ) {
        Word::Names { primary, .. } => assert!(primary.port != 0 && !primary.host.is_empty()),
        _ => assert!(!matches!(&answer.address, Some(Address::At(..))) || flags % 3 != 0),
    }
    let listed = replicas::sorted([&answer].into_iter(), None, &map);
    for node in listed.usable.iter().chain(listed.left_out.iter().map(|(node, _)| node)) {
        assert!(node.role == Role::Replica && node.endpoint.port != 0 && !node.endpoint.host.is_empty());
    }
    let (main, apart) = said.split_at(if flags < 128 { said.len() } else { said.len() / 2 });
    talk(main, |wire| async move {
        let (events, _peer) = wire_with(apart);
        hear_all(wire, (flags >= 128).then_some(events)).await
    });
}

/// A channel, a line end, a payload: a service that is named is a part of the payload.
pub fn events(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (channel, payload) = text.split_once('\n').unwrap_or((&text, ""));
    if let Some(event) = events::parse(channel, payload) {
        assert!(events::CHANNELS.contains(&channel) || events::STEPS.contains(&channel));
        if let Some(service) = event.service {
            assert!(!service.is_empty() && payload.contains(&service));
        }
    }
}

/// A URL through C: what fails changes nothing and repeats no password; what succeeds can be asked for its settings.
pub fn url(data: &[u8]) {
    let text: Vec<u8> = data.iter().copied().filter(|byte| *byte != 0).collect();
    let is_utf8 = std::str::from_utf8(&text).is_ok();
    // Of the query a message names the key: only what stands in front of it may be a secret.
    let shown = String::from_utf8_lossy(&text).into_owned();
    let (front, query) = shown.split_once('?').unwrap_or((&shown, ""));
    let has_secret = front.contains(SECRET) && !query.contains(SECRET);
    let url = CString::new(text).unwrap();
    // SAFETY: the options are live until their free, the URL ends with NUL, the error is local and freed once.
    unsafe {
        let given = options::sentinel_options_new();
        let mut failure = ptr::null_mut();
        let status = options::sentinel_options_parse_url(given, url.as_ptr(), &raw mut failure);
        if status == 0 {
            assert!(is_utf8 && failure.is_null());
        } else {
            let message = error::sentinel_error_message(failure, ptr::null_mut());
            let message = std::ffi::CStr::from_ptr(message).to_string_lossy().into_owned();
            assert!(!has_secret || !message.contains(SECRET), "{message}");
            error::sentinel_error_free(failure);
        }
        options::sentinel_options_free(given);
    }
    let Ok(text) = url.to_str() else { return };
    let mut given = crate::Options::new();
    let empty = format!("{given:?}");
    match given.parse_url(text) {
        Ok(()) => {
            assert!(!given.sentinels().is_empty());
            let _ = (given.deployment(), given.client());
            for sentinel in given.sentinels() {
                assert!(sentinel.port != 0 && !sentinel.host.is_empty());
            }
        }
        Err(_) => assert_eq!(format!("{given:?}"), empty, "a failure changed something"),
    }
}

/// The option `address.map`: every address in it can be written down and read again, and is mapped once.
pub fn address_map(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(map) = AddressMap::parse(&text) else { return };
    assert_eq!(map.is_empty(), text.is_empty());
    for entry in text.split(',').filter(|entry| !entry.is_empty()) {
        let (from, to) = entry.split_once('=').unwrap();
        let to = to.split_once('#').map_or(to, |(to, _)| to);
        let read = |text: &str| Endpoint::parse(text, None).unwrap();
        let (from, to) = (read(from), read(to));
        assert_eq!(map.map(from.clone()), to);
        for endpoint in [from, to] {
            assert_eq!(read(&endpoint.to_string()), endpoint);
        }
    }
}

/// Arguments as the bindings pass them: a count, that many lengths of which the highest values stand for lengths that
/// no memory has, and the bytes. What C accepts is what the lengths say, and nothing behind the bytes is read.
pub fn packed(data: &[u8]) {
    let Some((&count, rest)) = data.split_first() else {
        return;
    };
    let (lens, bytes) = rest.split_at(usize::from(count).min(rest.len()));
    let lens: Vec<usize> = lens.iter().copied().map(length).collect();
    // Exactly as large as told, so that AddressSanitizer sees a byte too many.
    let bytes = bytes.to_vec().into_boxed_slice();
    let start = if bytes.is_empty() {
        ptr::null()
    } else {
        bytes.as_ptr().cast()
    };
    let sum = lens.iter().try_fold(0usize, |sum, len| sum.checked_add(*len));
    let fits = !lens.is_empty() && sum == Some(bytes.len());
    // SAFETY: `lens` and `bytes` have as many elements as is told, and the batch is live until its free.
    unsafe {
        let mut args = Args::new();
        match args.read_packed(lens.len(), lens.as_ptr(), start, bytes.len()) {
            Ok(read) => {
                assert!(fits && read.iter().map(|argument| argument.len()).eq(lens.iter().copied()));
                assert_eq!(read.concat(), bytes.as_ref());
            }
            Err(_) => assert!(!fits),
        }
        let commands = batch::sentinel_batch_new(1);
        let status = batch::sentinel_batch_add_packed(commands, lens.len(), lens.as_ptr(), start, bytes.len());
        assert!(fits || status != 0);
        assert_eq!(batch::sentinel_batch_len(commands), usize::from(status == 0));
        batch::sentinel_batch_free(commands);
    }
}

fn length(byte: u8) -> usize {
    match byte {
        255 => usize::MAX,
        254 => usize::MAX / 2,
        253 => 1 << 40,
        small => usize::from(small),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every file of a target's corpus; a corpus that is not there is a failure too.
    fn replay(target: &str, run: fn(&[u8])) {
        let folder = format!("{}/fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
        let mut count = 0;
        for entry in std::fs::read_dir(&folder).expect(&folder) {
            let path = entry.unwrap().path();
            let data = std::fs::read(&path).unwrap();
            let outcome = std::panic::catch_unwind(|| run(&data));
            assert!(outcome.is_ok(), "{}", path.display());
            count += 1;
        }
        assert!(count >= 5, "{folder} has {count} files");
    }

    #[test]
    fn the_corpus_of_the_decoder_breaks_nothing() {
        replay("decoder", decoder);
    }

    #[test]
    fn the_corpus_of_the_requests_breaks_nothing() {
        replay("requests", requests);
    }

    #[test]
    fn the_corpus_of_the_handshake_breaks_nothing() {
        replay("handshake", handshake);
    }

    #[test]
    fn the_corpus_of_the_answers_breaks_nothing() {
        replay("answers", answers);
    }

    #[test]
    fn the_corpus_of_the_events_breaks_nothing() {
        replay("events", events);
    }

    #[test]
    fn the_corpus_of_the_url_breaks_nothing() {
        replay("url", url);
    }

    #[test]
    fn the_corpus_of_the_address_map_breaks_nothing() {
        replay("address_map", address_map);
    }

    #[test]
    fn the_corpus_of_the_packed_arguments_breaks_nothing() {
        replay("packed", packed);
    }
}

//! Servers that do not speak as the options say: how they are asked what they speak, by what and how often.

use std::io::{ErrorKind as IoKind, Read};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use sentinel::{Deployment, ErrorKind};
use sentinel_lab::FakeSentinel;

use crate::support::{SERVICE, options, run_within, with};

/// Begins what is said in TLS.
const HANDSHAKE: u8 = 22;

/// A connection as the server saw it: what it was told first, and how soon the end of the stream came.
#[derive(Debug, Clone, Default)]
struct Seen {
    told: Vec<u8>,
    ended_after: Option<Duration>,
}

/// Notes each connection; one that ends its stream is closed without a word.
fn server(hangs_up: bool) -> (u16, Arc<Mutex<Vec<Seen>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
    let noted = Arc::clone(&seen);
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let noted = Arc::clone(&noted);
            let place = {
                let mut noted = noted.lock().unwrap();
                noted.push(Seen::default());
                noted.len() - 1
            };
            thread::spawn(move || look(client, hangs_up, |change| change(&mut noted.lock().unwrap()[place])));
        }
    });
    (port, seen)
}

fn look(mut client: TcpStream, hangs_up: bool, note: impl Fn(&dyn Fn(&mut Seen))) {
    let (began, mut room) = (Instant::now(), [0; 4096]);
    loop {
        match client.read(&mut room) {
            Ok(0) => return note(&|seen| seen.ended_after = Some(began.elapsed())),
            Ok(count) => note(&|seen| seen.told.extend(&room[..count])),
            Err(error) if error.kind() == IoKind::Interrupted => {}
            Err(_) => return,
        }
        if hangs_up {
            let _ = client.shutdown(Shutdown::Both);
            return;
        }
    }
}

/// Calls of one client for so long.
fn call(port: u16, pairs: &[(&str, &str)], ms: i64) -> sentinel::Error {
    let sentinel = FakeSentinel::start(SERVICE, port);
    let deployment = Deployment::open(&with(options(&[sentinel.port()]), pairs)).unwrap();
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    let until = Instant::now() + Duration::from_millis(u64::try_from(ms).unwrap());
    loop {
        let error = run_within(&client, "SET k v", ms).unwrap_err();
        if Instant::now() >= until {
            return error;
        }
    }
}

#[test]
fn who_hangs_up_on_plain_words_is_asked_once_in_ten_seconds_by_a_hello_alone() {
    let (port, seen) = server(true);
    let error = call(
        port,
        &[("retry.backoff_min_ms", "20"), ("retry.backoff_max_ms", "100")],
        2500,
    );
    assert!(matches!(error.kind(), ErrorKind::PrimaryNotFound { .. }), "{error:?}");
    let seen = seen.lock().unwrap().clone();
    let first = |byte: u8| seen.iter().filter(|seen| seen.told.first() == Some(&byte)).count();
    assert_eq!(first(HANDSHAKE), 1, "{seen:?}");
    assert!(first(b'*') > 3, "{seen:?}");
}

#[test]
fn who_leaves_a_hello_unanswered_is_asked_once_in_ten_seconds_by_a_hello_alone() {
    // One that is asked is told the end at once; the others when nobody waits for them any more.
    const SOON: Duration = Duration::from_millis(50);
    let (port, seen) = server(false);
    let pairs = [
        ("tls", "1"),
        ("tls.verify", "none"),
        ("connect_timeout_ms", "400"),
        ("retry.backoff_min_ms", "20"),
        ("retry.backoff_max_ms", "100"),
    ];
    let error = call(port, &pairs, 2500);
    assert!(matches!(error.kind(), ErrorKind::Tls { .. }), "{error:?}");
    assert!(error.to_string().contains("the server does not speak TLS"), "{error}");
    let seen = seen.lock().unwrap().clone();
    let is_hello = |seen: &Seen| seen.told.first() == Some(&HANDSHAKE);
    assert!(seen.iter().all(is_hello), "{seen:?}");
    let ended: Vec<Option<Duration>> = seen.iter().map(|seen| seen.ended_after).collect();
    let at_once = |ended: &&Option<Duration>| ended.is_some_and(|after| after < SOON);
    let asked = ended.iter().filter(at_once).count();
    // A busy machine may see one or the other late. Were each try to ask, it would be every other connection.
    assert!(asked >= 1 && asked * 4 <= ended.len(), "{asked} of {ended:?}");
}

//! The proxy's faults are the ones it claims to make.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use sentinel_lab::{Bottleneck, Control, Cut, FakeNode, Proxy, count_fds, count_threads, cpu_time, wait_until};

const SOON: Duration = Duration::from_secs(5);

fn connect(proxy: &Proxy) -> Control {
    Control::connect(proxy.address()).expect("the proxy accepts")
}

#[test]
fn it_passes_counts_slices_and_delays() {
    let node = FakeNode::start();
    let proxy = Proxy::to(node.port());
    let mut control = connect(&proxy);
    assert_eq!(control.ask(&["PING"]).as_text(), "PONG");
    assert_eq!(
        (
            proxy.bytes_from_client(),
            proxy.connections().len(),
            proxy.open_connections()
        ),
        (14, 1, 1)
    );
    wait_until("the reply to be counted", SOON, || proxy.bytes_from_server() == 7);
    proxy.slice(1);
    assert_eq!(control.ask(&["ECHO", "abc"]).as_text(), "abc");
    proxy.delay(Duration::from_millis(20));
    let asked = Instant::now();
    control
        .send_raw(b"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n")
        .expect("send");
    assert_eq!(
        (
            control.read().expect("a reply").as_text().as_str(),
            asked.elapsed().as_millis() >= 40
        ),
        ("PONG", true)
    );
    assert_eq!(control.read().expect("a reply").as_text(), "PONG");
    proxy.pass();
    assert_eq!(control.ask(&["PING"]).as_text(), "PONG");
    drop(control);
    wait_until("the connection to be gone on both sides", SOON, || {
        proxy.open_connections() == 0 && node.open_connections() == 0
    });
}

#[test]
fn a_black_hole_holds_what_was_sent() {
    let node = FakeNode::start();
    let proxy = Proxy::to(node.port());
    let mut early = connect(&proxy);
    assert_eq!(early.ask(&["PING"]).as_text(), "PONG");
    proxy.black_hole();
    let mut late = connect(&proxy);
    for control in [&mut early, &mut late] {
        control.set_timeout(Duration::from_millis(50));
        assert_eq!(control.try_ask(&["PING"]).unwrap_err().kind(), ErrorKind::WouldBlock);
    }
    assert_eq!(node.connections().len(), 1);
    proxy.pass();
    for control in [&mut early, &mut late] {
        control.set_timeout(SOON);
        assert_eq!(control.read().expect("the reply that was held").as_text(), "PONG");
    }
}

#[test]
fn one_connection_is_silent_and_the_others_are_not() {
    let node = FakeNode::start();
    let proxy = Proxy::to(node.port());
    assert!(!proxy.silence_one(0), "none is open");
    let mut pair = [connect(&proxy), connect(&proxy)];
    pair.iter_mut().for_each(|control| _ = control.ask(&["PING"]));
    assert!(proxy.silence_one(3));
    let mut answered = pair.each_mut().map(|control| {
        control.set_timeout(Duration::from_millis(50));
        control.try_ask(&["PING"]).is_ok()
    });
    answered.sort_unstable();
    assert_eq!(answered, [false, true]);
    proxy.pass();
    let held = pair.iter_mut().filter_map(|control| control.read().ok()).count();
    assert_eq!(held, 1, "the reply that was held");
}

#[test]
fn it_cuts_at_the_byte_and_all_at_once() {
    let node = FakeNode::start();
    let proxy = Proxy::to(node.port());
    let mut control = connect(&proxy);
    control.ask(&["SET", "k", "value"]);
    proxy.cut_after_from_server(7, Cut::Close);
    assert_eq!(
        control.try_ask(&["GET", "k"]).unwrap_err().kind(),
        ErrorKind::UnexpectedEof
    );
    let mut control = connect(&proxy);
    proxy.cut_after_from_client(3, Cut::Reset);
    assert_eq!(
        control.try_ask(&["GET", "k"]).unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
    assert_eq!(node.count("GET"), 1);
    proxy.pass();
    let mut control = connect(&proxy);
    assert_eq!(control.ask(&["PING"]).as_text(), "PONG");
    proxy.cut_all(Cut::Reset);
    assert_eq!(control.read().unwrap_err().kind(), ErrorKind::ConnectionReset);
    let mut control = connect(&proxy);
    assert_eq!(control.ask(&["PING"]).as_text(), "PONG");
    node.cut_all(Cut::Close);
    assert_eq!(control.read().unwrap_err().kind(), ErrorKind::UnexpectedEof);
    proxy.refuse();
    let refused = Control::connect(proxy.address()).err().expect("nobody listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    proxy.pass();
    assert_eq!(connect(&proxy).ask(&["PING"]).as_text(), "PONG");
}

#[test]
fn the_counts_of_the_own_process_are_plausible() {
    let own = std::process::id();
    let (threads, before) = (count_threads(own), count_fds(own));
    let files: Vec<_> = (0..50)
        .map(|_| std::fs::File::open("/dev/null").expect("open /dev/null"))
        .collect();
    assert!(threads >= 1 && count_fds(own) + 30 > before + files.len());
    let started = Instant::now();
    let used = cpu_time(own);
    wait_until("processor time to be counted", SOON, || {
        cpu_time(own) > used || started.elapsed() > SOON / 2
    });
    assert!(cpu_time(own) > used);
}

#[test]
fn a_bottleneck_does_one_thing_at_a_time_and_all_that_was_sent() {
    const GREETING: Duration = Duration::from_millis(40);
    const COMMAND: Duration = Duration::from_millis(20);
    let node = FakeNode::start();
    let slow = Bottleneck::to(node.port(), GREETING, COMMAND);
    let connect = || Control::connect(("127.0.0.1", slow.port()));
    let (mut one, mut other) = (connect().expect("accepted"), connect().expect("accepted"));
    let asked = Instant::now();
    one.send(&["HELLO", "2"]).expect("send");
    other.send(&["PING"]).expect("send");
    one.read().expect("a reply");
    other.read().expect("a reply");
    assert!(asked.elapsed() >= GREETING + COMMAND, "{:?}", asked.elapsed());
    // What a client has sent is paid for by the others, though it has gone.
    one.send_raw(&b"*1\r\n$4\r\nPING\r\n".repeat(5)).expect("send");
    wait_until("the first of five", SOON, || node.count("PING") == 2);
    drop(one);
    let asked = Instant::now();
    other.ask(&["ECHO", "abc"]);
    assert!(asked.elapsed() >= 4 * COMMAND, "{:?}", asked.elapsed());
    assert_eq!((node.count("PING"), slow.accepted()), (6, 2));
    slow.die();
    assert!(other.try_ask(&["PING"]).is_err());
    assert!(connect().is_err());
    slow.listen();
    assert_eq!(connect().expect("accepted").ask(&["PING"]).as_text(), "PONG");
}

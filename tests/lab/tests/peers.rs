//! Scripted peers and black holes behave as the tests of the library rely on.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use sentinel_lab::{BlackHole, Control, Cut, FakeNode, FakeReplica, FakeSentinel, Mode, Peer, Role, Value, wait_until};

const SOON: Duration = Duration::from_secs(5);

fn connect(peer: &Peer) -> Control {
    Control::connect(peer.address()).expect("the peer accepts")
}

#[test]
fn a_peer_answers_as_scripted_and_remembers_what_it_heard() {
    let peer = Peer::start(|session, args| match args[0].as_slice() {
        b"BYTES" => session.send_bytewise("$5\r\nhello\r\n"),
        b"SLOW" => session.send_slowly("+OK\r\n", Duration::from_millis(5)),
        b"CLOSE" => session.close(),
        b"RESET" => session.reset(),
        _ => {}
    });
    let mut control = connect(&peer);
    assert_eq!(control.ask(&["BYTES"]).as_text(), "hello");
    let asked = Instant::now();
    assert_eq!(control.ask(&["SLOW"]), Value::Status("OK".into()));
    assert!(asked.elapsed() >= Duration::from_millis(20));
    assert_eq!(
        control.try_ask(&["CLOSE"]).unwrap_err().kind(),
        ErrorKind::UnexpectedEof
    );
    assert_eq!(
        connect(&peer).try_ask(&["RESET", "now"]).unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
    assert_eq!(
        (peer.connections().len(), peer.commands().len(), peer.count("reset NOW")),
        (2, 4, 1)
    );
    assert_eq!(peer.commands()[3].text(), "RESET now");
    wait_until("closed connections to be counted as closed", SOON, || {
        peer.open_connections() == 0
    });
}

#[test]
fn a_peer_can_be_silent_refuse_and_come_back() {
    let peer = Peer::start(|session, _| session.ok());
    let mut control = connect(&peer);
    peer.set_silent(true);
    control.set_timeout(Duration::from_millis(50));
    assert_eq!(control.try_ask(&["A"]).unwrap_err().kind(), ErrorKind::WouldBlock);
    peer.set_silent(false);
    control.set_timeout(SOON);
    assert_eq!(control.read().expect("what waited is answered").as_text(), "OK");
    peer.refuse();
    let refused = Control::connect(peer.address()).err().expect("nobody listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(control.ask(&["B"]).as_text(), "OK");
    peer.set_silent(true);
    control.send(&["C"]).expect("send");
    peer.wait_for_command("C", SOON);
    peer.cut_all(Cut::Reset);
    assert_eq!(control.read().unwrap_err().kind(), ErrorKind::ConnectionReset);
    peer.set_silent(false);
    peer.listen();
    assert_eq!(connect(&peer).ask(&["D"]).as_text(), "OK");
}

#[test]
fn a_black_hole_answers_no_connection() {
    let hole = BlackHole::start();
    let asked = Instant::now();
    let address = ("127.0.0.1", hole.port());
    let failure = Control::connect_within(address, Duration::from_millis(200))
        .err()
        .expect("no connection");
    assert_eq!(failure.kind(), ErrorKind::TimedOut);
    assert!(asked.elapsed() >= Duration::from_millis(200));
}

#[test]
fn a_fake_sentinel_answers_and_publishes_in_both_protocols() {
    let sentinel = FakeSentinel::builder("mymaster", 7000).password("pw").view(|view| {
        view.replicas.push(FakeReplica::new("127.0.0.1", 7001));
        view.sentinels.push(("127.0.0.1".into(), 7100));
    });
    let sentinel = sentinel.start();
    let (mut two, mut three) = (connect(&sentinel), connect(&sentinel));
    assert!(two.ask(&["PING"]).as_text().starts_with("NOAUTH"));
    assert!(two.ask(&["AUTH", "no"]).as_text().starts_with("WRONGPASS"));
    assert_eq!(two.ask(&["AUTH", "pw"]).as_text(), "OK");
    let hello = three.ask(&["HELLO", "3", "AUTH", "default", "pw"]);
    assert_eq!(
        (hello.field("mode").as_str(), hello.field("role").as_str()),
        ("sentinel", "")
    );
    for control in [&mut two, &mut three] {
        assert!(control.ask(&["SELECT", "0"]).is_error());
        let address = control.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster"]);
        assert_eq!(address.as_items()[1].as_text(), "7000");
        assert!(control.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "other"]).is_nil());
        assert_eq!(
            control.ask(&["SENTINEL", "MASTER", "mymaster"]).field("config-epoch"),
            "1"
        );
        assert_eq!(
            control.ask(&["SENTINEL", "REPLICAS", "mymaster"]).as_items()[0]
                .as_pairs()
                .len(),
            21
        );
        assert_eq!(
            control.ask(&["SENTINEL", "SENTINELS", "mymaster"]).as_items()[0].field("port"),
            "7100"
        );
        assert_eq!(
            control.ask(&["SUBSCRIBE", "+switch-master"]).as_items()[0].as_text(),
            "subscribe"
        );
    }
    assert_eq!(sentinel.switch_master("127.0.0.1", 7001), 2);
    let payload = "mymaster 127.0.0.1 7000 127.0.0.1 7001";
    assert!(matches!(two.read(), Ok(Value::Array(Some(items))) if items[2].as_text() == payload));
    assert!(matches!(three.read(), Ok(Value::Push(items)) if items[2].as_text() == payload));
    assert_eq!(two.ask(&["PING"]).as_items()[0].as_text(), "pong");
    assert_eq!(three.ask(&["PING"]).as_text(), "PONG");
    assert_eq!(
        three.ask(&["SENTINEL", "MASTER", "mymaster"]).field("config-epoch"),
        "2"
    );
}

#[test]
fn a_fake_sentinel_can_be_wrong() {
    let sentinel = FakeSentinel::builder("mymaster", 7000).resp2_only().start();
    let mut control = connect(&sentinel);
    let question = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster"];
    assert!(control.ask(&["HELLO", "3"]).is_error());
    sentinel.set_mode(Mode::UnknownService);
    assert_eq!(control.ask(&question), Value::Array(None));
    sentinel.set_mode(Mode::Raw(b":1\r\n".to_vec()));
    assert_eq!(control.ask(&question), Value::Int(1));
    sentinel.set_mode(Mode::ErrorToAll("NOAUTH no".into()));
    assert_eq!(control.ask(&["PING"]).as_text(), "NOAUTH no");
    sentinel.set_mode(Mode::SilentToQueries);
    assert_eq!(control.ask(&["PING"]).as_text(), "PONG");
    control.set_timeout(Duration::from_millis(50));
    assert!(control.try_ask(&question).is_err());
}

#[test]
fn a_fake_node_keeps_keys_and_changes_roles() {
    let node = FakeNode::builder()
        .on(|session, args| {
            let mine = args[0] == b"MINE";
            if mine {
                session.status("YES");
            }
            mine
        })
        .start();
    let mut control = connect(&node);
    assert_eq!(control.ask(&["HELLO", "3"]).field("role"), "master");
    assert_eq!(control.ask(&["SELECT", "2"]).as_text(), "OK");
    assert_eq!(control.ask(&["SET", "a", "1"]).as_text(), "OK");
    assert_eq!(control.ask(&["INCR", "a"]), Value::Int(2));
    assert_eq!(control.ask(&["GET", "b"]), Value::Bulk(None));
    assert_eq!(control.ask(&["MINE"]).as_text(), "YES");
    node.set_role(Role::Replica("127.0.0.1".into(), 7000, "connected".into()));
    assert!(control.ask(&["SET", "a", "1"]).as_text().starts_with("READONLY"));
    assert_eq!(control.ask(&["ROLE"]).as_items()[3].as_text(), "connected");
    assert_eq!(node.value("a"), Some(b"2".to_vec()));
    node.edit(|view| view.loading = true);
    assert!(control.ask(&["PING"]).as_text().starts_with("LOADING"));
}

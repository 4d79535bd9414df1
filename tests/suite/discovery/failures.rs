//! Sentinels that cannot be asked, or have nothing to say.

use std::time::Duration;

use sentinel::base::error::Stage;
use sentinel::{Deployment, Reason};
use sentinel_lab::{BlackHole, FakeNode, FakeSentinel, Mode, Peer, free_port};

use crate::support::{
    DISCOVERIES, PATIENCE, SERVICE, SLACK, assert_not_found, fail_each, open, options, ports, run, run_within, text,
    timed, with,
};

#[test]
fn a_service_that_no_sentinel_knows_is_told_as_unknown() {
    let sentinels = [0, 1].map(|_| FakeSentinel::start("another", 1));
    let deployment = open(&[sentinels[0].port(), sentinels[1].port()]);
    let failures = fail_each(&deployment, 400, &[]);
    let attempts = [0, 1].map(|at: usize| (sentinels[at].port(), Stage::Query, "no such service"));
    assert_not_found(&failures, Reason::UnknownService, &attempts);
    for failure in failures.iter().filter(|failure| DISCOVERIES.contains(&failure.call)) {
        assert!(
            failure.took < Duration::from_millis(300),
            "{}: nothing is worth waiting for",
            failure.call
        );
    }
}

#[test]
fn a_service_that_is_unknown_at_first_is_served_once_it_is_monitored() {
    let node = FakeNode::start();
    let sentinel = FakeSentinel::builder(SERVICE, node.port())
        .view(|view| view.mode = Mode::UnknownService)
        .start();
    let deployment = open(&[sentinel.port()]);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    std::thread::scope(|scope| {
        let call = scope.spawn(|| run_within(&client, "SET k v", 10_000));
        sentinel.wait_for_command("SENTINEL GET-MASTER-ADDR-BY-NAME", PATIENCE);
        sentinel.set_mode(Mode::Normal);
        assert_eq!(call.join().unwrap().unwrap().text(), "OK");
    });
}

#[test]
fn without_any_sentinel_up_every_call_ends_at_its_deadline_and_names_each() {
    let down = [free_port(), free_port(), free_port()];
    let down: Vec<u16> = down.iter().map(|port| port.number()).collect();
    let deployment = open(&down);
    let failures = fail_each(&deployment, 400, &[]);
    let attempts: Vec<_> = down
        .iter()
        .map(|port| (*port, Stage::Connect, "Connection refused"))
        .collect();
    assert_not_found(&failures, Reason::NoSentinelReachable, &attempts);
}

#[test]
fn a_sentinel_that_accepts_and_is_silent_is_given_up_after_its_own_timeout() {
    for mode in [Mode::Silent, Mode::SilentToQueries] {
        let sentinel = FakeSentinel::builder(SERVICE, 1)
            .view(|view| view.mode = mode.clone())
            .start();
        let deployment = open(&[sentinel.port()]);
        let failures = fail_each(&deployment, 800, &[]);
        let attempts = [(sentinel.port(), Stage::Query, "no answer in 300 ms")];
        assert_not_found(&failures, Reason::NoSentinelReachable, &attempts);
    }
}

#[test]
fn a_deadline_shorter_than_a_silent_sentinels_timeout_is_kept() {
    let sentinel = FakeSentinel::builder(SERVICE, 1)
        .view(|view| view.mode = Mode::Silent)
        .start();
    let failures = fail_each(&open(&[sentinel.port()]), 100, &[]);
    let attempts = [(sentinel.port(), Stage::Query, "no answer yet")];
    assert_not_found(&failures, Reason::NoSentinelReachable, &attempts);
}

#[test]
fn a_sentinel_behind_a_black_hole_is_given_up_after_its_connect_timeout() {
    let hole = BlackHole::start();
    let failures = fail_each(&open(&[hole.port()]), 600, &[]);
    let attempts = [(hole.port(), Stage::Connect, "no answer in")];
    assert_not_found(&failures, Reason::NoSentinelReachable, &attempts);
}

#[test]
fn black_holes_and_silent_sentinels_do_not_delay_a_live_one() {
    let node = FakeNode::start();
    let live = FakeSentinel::start(SERVICE, node.port());
    let silent = FakeSentinel::builder(SERVICE, 1)
        .view(|view| view.mode = Mode::Silent)
        .start();
    let holes = [BlackHole::start(), BlackHole::start()];
    let slow = [
        ("sentinel.connect_timeout_ms", "3000"),
        ("sentinel.timeout_ms", "3000"),
        ("sentinel.learn", "0"),
    ];
    let options = with(
        options(&[holes[0].port(), silent.port(), holes[1].port(), live.port()]),
        &slow,
    );
    let deployment = Deployment::open(&options).unwrap();
    let (found, took) = timed(|| deployment.discover_primary(Some(SERVICE), 2000).unwrap());
    assert_eq!(ports(&found), [node.port()]);
    assert!(took < Duration::from_millis(500), "discovery took {took:?}");
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    let (_, took) = timed(|| text(&client, "SET k v"));
    assert!(took < Duration::from_millis(500), "the first command took {took:?}");
}

#[test]
fn a_sentinel_that_refuses_the_login_is_told_as_such() {
    // Who may not say HELLO may still ask: then the questions are refused.
    let refusals = [
        ("NOAUTH Authentication required.", Stage::Auth),
        (
            "WRONGPASS invalid username-password pair or user is disabled.",
            Stage::Auth,
        ),
        (
            "NOPERM this user has no permissions to run the 'hello' command",
            Stage::Query,
        ),
    ];
    for (refusal, stage) in refusals {
        let sentinel = FakeSentinel::builder(SERVICE, 1)
            .view(|view| view.mode = Mode::ErrorToAll(refusal.into()))
            .start();
        let failures = fail_each(&open(&[sentinel.port()]), 400, &[]);
        assert_not_found(&failures, Reason::SentinelAuth, &[(sentinel.port(), stage, refusal)]);
        for failure in &failures {
            let (call, took) = (failure.call, failure.took);
            assert!(
                took < Duration::from_millis(300),
                "{call} took {took:?}, though no time cures it"
            );
        }
    }
}

#[test]
fn a_sentinel_that_lets_in_but_refuses_the_questions_is_a_refusal_too() {
    let refusal = "NOPERM this user has no permissions to run the 'sentinel|get-master-addr-by-name' command";
    let sentinel = FakeSentinel::builder(SERVICE, 1)
        .view(|view| view.mode = Mode::ErrorToQueries(refusal.into()))
        .start();
    let failures = fail_each(&open(&[sentinel.port()]), 400, &[]);
    assert_not_found(
        &failures,
        Reason::SentinelAuth,
        &[(sentinel.port(), Stage::Query, refusal)],
    );
}

#[test]
fn other_errors_of_a_sentinel_are_told_in_its_words() {
    let rows = [
        ("ERR something is wrong", Stage::Query),
        (
            "DENIED Redis is running in protected mode because protected mode is enabled",
            Stage::Connect,
        ),
        ("ERR max number of clients reached", Stage::Connect),
    ];
    for (error, stage) in rows {
        let sentinel = FakeSentinel::builder(SERVICE, 1)
            .view(|view| view.mode = Mode::ErrorToAll(error.into()))
            .start();
        let failures = fail_each(&open(&[sentinel.port()]), 400, &[]);
        assert_not_found(
            &failures,
            Reason::NoSentinelReachable,
            &[(sentinel.port(), stage, error)],
        );
    }
}

#[test]
fn what_is_no_sentinel_is_told_as_such() {
    let web = Peer::start(|session, _| session.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"));
    let node = FakeNode::start();
    let closing = Peer::start(|session, _| session.close());
    let rows = [
        (web.port(), Stage::Connect, "protocol error"),
        (node.port(), Stage::Query, "ERR unknown command 'SENTINEL'"),
        (closing.port(), Stage::Connect, "closed"),
    ];
    for row in rows {
        let failures = fail_each(&open(&[row.0]), 400, &[]);
        assert_not_found(&failures, Reason::NoSentinelReachable, &[row]);
    }
    let answers: [&[u8]; 4] = [
        b"+OK\r\n",
        b":1\r\n",
        b"*1\r\n$1\r\nx\r\n",
        b"*2\r\n$1\r\nh\r\n$5\r\n70000\r\n",
    ];
    for answer in answers {
        let sentinel = FakeSentinel::builder(SERVICE, 1)
            .view(|view| view.mode = Mode::Raw(answer.to_vec()))
            .start();
        let failures = fail_each(&open(&[sentinel.port()]), 400, &DISCOVERIES[1..]);
        let attempts = [(sentinel.port(), Stage::Query, "the answer")];
        assert_not_found(&failures, Reason::NoSentinelReachable, &attempts);
    }
}

#[test]
fn sentinels_in_trouble_do_not_hide_one_that_answers() {
    let node = FakeNode::start();
    let live = FakeSentinel::start(SERVICE, node.port());
    let stranger = FakeNode::start();
    let down = free_port();
    let modes = [
        Mode::ErrorToAll("NOAUTH Authentication required.".into()),
        Mode::ErrorToAll("ERR max number of clients reached".into()),
        Mode::ErrorToQueries("ERR no".into()),
        Mode::UnknownService,
        Mode::Raw(b"*2\r\n$0\r\n\r\n$1\r\n0\r\n".to_vec()),
    ];
    let troubled = modes.map(|mode| FakeSentinel::builder(SERVICE, 1).view(|view| view.mode = mode).start());
    let mut seeds: Vec<u16> = troubled.iter().map(|sentinel| sentinel.port()).collect();
    seeds.extend([stranger.port(), down.number(), live.port()]);
    let deployment = open(&seeds);
    let found = deployment.discover_primary(Some(SERVICE), 2000).unwrap();
    assert_eq!(ports(&found), [node.port()]);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    assert_eq!(run_within(&client, "SET k v", 2000).unwrap().text(), "OK");
}

#[test]
fn an_answer_without_host_or_port_is_no_answer() {
    let views: [(&str, u16); 3] = [("", 7000), ("127.0.0.1", 0), ("", 0)];
    for (host, port) in views {
        let nowhere = FakeSentinel::builder(SERVICE, 1)
            .view(|view| view.primary = (host.into(), port))
            .start();
        let failures = fail_each(&open(&[nowhere.port()]), 400, &[]);
        let attempts = [(nowhere.port(), Stage::Query, "no address")];
        assert_not_found(&failures, Reason::NodeUnreachable, &attempts);

        let node = FakeNode::start();
        let live = FakeSentinel::start(SERVICE, node.port());
        let found = open(&[nowhere.port(), live.port()]).discover_primary(Some(SERVICE), 2000);
        assert_eq!(ports(&found.unwrap()), [node.port()]);
    }
}

#[test]
fn a_sentinel_that_knows_too_few_peers_has_no_say() {
    let (old, new) = (FakeNode::start(), FakeNode::start());
    let lonely = FakeSentinel::builder(SERVICE, old.port())
        .view(|view| view.epoch = 9)
        .start();
    let picky = |seeds: &[u16]| {
        let keys = [("sentinel.min_other_sentinels", "1"), ("sentinel.learn", "0")];
        Deployment::open(&with(options(seeds), &keys)).unwrap()
    };
    let failures = fail_each(&picky(&[lonely.port()]), 400, &[]);
    let attempts = [(lonely.port(), Stage::Query, "0 other Sentinels")];
    assert_not_found(&failures, Reason::TooFewSentinels, &attempts);

    let social = FakeSentinel::builder(SERVICE, new.port())
        .view(|view| view.sentinels = vec![("127.0.0.1".into(), lonely.port())])
        .start();
    let deployment = picky(&[lonely.port(), social.port()]);
    let found = deployment.discover_primary(Some(SERVICE), 2000).unwrap();
    assert_eq!(ports(&found), [new.port()]);
}

#[test]
fn sentinels_of_redis_5_are_asked_and_listened_to_in_resp2() {
    let (old, new) = (FakeNode::start(), FakeNode::start());
    let sentinel = FakeSentinel::builder(SERVICE, old.port())
        .resp2_only()
        .password("sentinel-secret")
        .start();
    let keys = [("sentinel.password", "sentinel-secret"), ("discovery.refresh_ms", "0")];
    let deployment = Deployment::open(&with(options(&[sentinel.port()]), &keys)).unwrap();
    let found = deployment.discover_primary(Some(SERVICE), 2000).unwrap();
    assert_eq!(ports(&found), [old.port()]);
    assert_eq!(found[0].field("config-epoch"), Some("1"));
    assert_eq!(deployment.discover_sentinels(Some(SERVICE), 2000).unwrap().len(), 1);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    text(&client, "SET k old");
    sentinel.wait_for_subscribers(1, PATIENCE);
    sentinel.switch_master("127.0.0.1", new.port());
    sentinel_lab::wait_until("a write at the new primary", PATIENCE, || {
        // The one in flight at the switch may fail.
        run(&client, "SET k new").is_ok() && new.value("k").is_some()
    });
}

#[test]
fn a_sentinel_of_redis_6_0_without_myid_is_asked_all_the_same() {
    let node = FakeNode::start();
    let sentinel = FakeSentinel::builder(SERVICE, node.port())
        .on(|session, args| {
            let asks = args.get(1).is_some_and(|verb| verb.eq_ignore_ascii_case(b"MYID"));
            if asks {
                session.error("ERR Unknown sentinel subcommand 'MYID'");
            }
            asks
        })
        .start();
    let found = open(&[sentinel.port()]).discover_primary(Some(SERVICE), 2000).unwrap();
    assert_eq!(ports(&found), [node.port()]);
}

#[test]
fn a_call_without_any_time_left_over_still_ends_in_time() {
    let down = free_port();
    for timeout_ms in [1, 5, 20] {
        for failure in fail_each(&open(&[down.number()]), timeout_ms, &[]) {
            assert!(failure.took <= Duration::from_millis(timeout_ms.unsigned_abs()) + SLACK);
            assert_eq!(
                failure.error.reason(),
                Some(Reason::NoSentinelReachable),
                "{}",
                failure.error
            );
        }
    }
}

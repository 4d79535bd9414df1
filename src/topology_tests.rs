use super::*;

fn failed(cause: &str) -> Attempt {
    Attempt {
        endpoint: "a:1".into(),
        stage: Stage::Query,
        cause: cause.into(),
    }
}

#[test]
fn the_reason_is_what_an_operator_can_act_on() {
    let at = || Endpoint::new("a", 1);
    let reason = |words: Vec<Word>| why_unknown(&words.into_iter().map(|word| (at(), word)).collect()).0;
    assert_eq!(reason(vec![]), Reason::NoSentinelReachable);
    assert_eq!(
        reason(vec![Word::Asked, Word::Failed(failed("x"))]),
        Reason::NoSentinelReachable
    );
    assert_eq!(
        reason(vec![Word::Failed(failed("x")), Word::Unknown]),
        Reason::UnknownService
    );
    assert_eq!(
        reason(vec![Word::Refused(failed("x")), Word::Failed(failed("x"))]),
        Reason::SentinelAuth
    );
    assert_eq!(
        reason(vec![Word::Refused(failed("x")), Word::Unknown]),
        Reason::UnknownService
    );
    assert_eq!(
        reason(vec![Word::TooFewPeers(0), Word::Failed(failed("x"))]),
        Reason::TooFewSentinels
    );
}

#[test]
fn every_sentinel_is_among_the_attempts() {
    let words = vec![
        (Endpoint::new("a", 1), Word::Asked),
        (Endpoint::new("b", 2), Word::Unknown),
    ];
    let attempts: Vec<String> = why_unknown(&words).1.iter().map(ToString::to_string).collect();
    assert_eq!(
        attempts,
        ["a:1: query: no answer yet", "b:2: query: it knows no such service"]
    );
}

#[test]
fn tls_is_to_blame_only_when_no_sentinel_can_be_asked_for_it() {
    let at = || Endpoint::new("a", 1);
    let tls = || Attempt {
        stage: Stage::Tls,
        ..failed("the certificate has expired")
    };
    let both = vec![(at(), Word::Failed(tls())), (at(), Word::Failed(tls()))];
    assert_eq!(tls_failure(&both).as_deref(), Some("the certificate has expired"));
    assert!(is_final(&both));
    let one = vec![(at(), Word::Failed(tls())), (at(), Word::Failed(failed("x")))];
    assert_eq!(tls_failure(&one), None);
    assert!(!is_final(&one));
    assert_eq!(tls_failure(&vec![]), None);
    assert!(!is_final(&vec![]));
}

#[test]
fn writes_are_held_from_the_moment_that_it_is_published() {
    let (publisher, snapshots) = snapshots();
    let (requests, _) = mpsc::unbounded_channel();
    let service = Service::new("s".into(), snapshots, Arc::default(), requests, Arc::default());
    let mut changes = service.changes();
    let mut publish = |writes| {
        publisher.hold(writes);
        let told = changes.has_changed().unwrap();
        changes.mark_unchanged();
        (service.holds_writes(), service.turns(), told)
    };
    assert_eq!(publish(Writes::Flow), (false, 0, false));
    assert_eq!(publish(Writes::Held(Reason::NoMajority)), (true, 1, true));
    assert_eq!(publish(Writes::Held(Reason::NoMajority)), (true, 1, false));
    assert_eq!(
        publish(Writes::Held(Reason::Unconfirmed)),
        (true, 1, true),
        "for another reason"
    );
    assert_eq!(publish(Writes::Flow), (false, 2, true));
    // Whatever else is published.
    publisher.send_if_modified(|current| {
        Arc::make_mut(current).writes = Writes::Held(Reason::NoMajority);
        false
    });
    assert!(service.holds_writes() && changes.has_changed().unwrap());
    assert_eq!(service.snapshot().writes.reason(), Some(Reason::NoMajority));
}

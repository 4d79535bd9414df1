//! What a call that fails before anything was sent costs its connection.

use std::time::Duration;

use crate::Deployment;
use crate::base::deadline::Deadline;
use crate::base::error::{ErrorKind, Outcome};
use crate::options::Options;
use crate::pool::Want;
use crate::resp::Request;
use sentinel_lab::{FakeNode, FakeSentinel};

#[test]
fn a_call_whose_deadline_has_passed_costs_its_connection_nothing() {
    let node = FakeNode::start();
    let sentinel = FakeSentinel::start("mymaster", node.port());
    let mut options = Options::new();
    options.add_sentinel("127.0.0.1", sentinel.port()).unwrap();
    let deployment = Deployment::open(&options).unwrap();
    let client = deployment.primary_for(Some("mymaster"), None).unwrap();
    client.connect(5000).unwrap();
    let (pool, later) = (client.pool(), Deadline::after(Some(Duration::from_secs(5))));
    let passed = Deadline::after(Some(Duration::ZERO));
    let echo: [&[u8]; 2] = [b"ECHO", b"x"];
    let mut used = Vec::new();
    for turn in 0..4 {
        let mut lent = pool.lend(Want::Shared, later).unwrap();
        used.push(lent.direct().unwrap().id());
        let request = Request::Command(&echo);
        let error = match turn % 2 {
            0 => lent.exchange(&request, 1, passed, drop).unwrap_err(),
            _ => lent.exchange_all(&request, 1, passed).1.unwrap_err(),
        };
        assert!(matches!(error.kind(), ErrorKind::Timeout { .. }), "{error}");
        assert_eq!((error.outcome(), lent.unsent()), (Outcome::NotSent, request.size()));
        drop(lent);
    }
    let mut lent = pool.lend(Want::Shared, later).unwrap();
    let (all, done) = lent.exchange_all(&Request::Command(&echo), 1, later);
    done.unwrap();
    assert_eq!(all.unwrap().len(), 1);
    used.push(lent.direct().unwrap().id());
    used.dedup();
    assert_eq!((used.len(), node.count("ECHO")), (1, 1), "{used:?}");
    assert_eq!(deployment.metric("connections_lost_total"), Ok(0));
}

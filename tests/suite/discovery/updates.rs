//! Other Sentinels take the place of those that were given, again and again.

use std::time::Duration;

use serde_json::Value as Json;

use sentinel::{Deployment, Options};
use sentinel_lab::{FakeNode, FakeSentinel, wait_until};

use crate::support::{SERVICE, open, run_within};

const UPDATES: u16 = 300;

/// Nothing listens there.
const NOBODY: u16 = 20_000;

fn shown(deployment: &Deployment) -> usize {
    let described: Json = serde_json::from_str(&deployment.describe().unwrap()).unwrap();
    described["sentinels"].as_array().unwrap().len()
}

#[test]
fn whoever_is_given_no_more_is_gone_at_once_though_it_was_never_reached() {
    let node = FakeNode::start();
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let deployment = open(&[sentinel.port()]);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    run_within(&client, "SET k v", 5000).unwrap();
    let give = |addresses: &[(&str, u16)]| {
        let mut options = Options::new();
        for (host, port) in addresses {
            options.add_sentinel(host, *port).unwrap();
        }
        deployment.update_sentinels(&options).unwrap();
    };
    for number in 0..UPDATES {
        let dead = format!("127.0.1.{}", number % 250 + 1);
        give(&[("127.0.0.1", sentinel.port()), (&dead, NOBODY + number)]);
    }
    give(&[("127.0.0.1", sentinel.port())]);
    wait_until("the others to be gone", Duration::from_secs(2), || {
        shown(&deployment) == 1
    });
    run_within(&client, "SET k v", 1000).unwrap();
}

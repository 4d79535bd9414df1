//! How many calls may be under way: each counts until its program has what came of it.

use std::sync::{Arc, mpsc};

use sentinel::completion::{Entry, Queue, Target};
use sentinel::{CallOptions, Client, Deployment, ErrorKind};
use sentinel_lab::{FakeNode, FakeSentinel, wait_until};

use crate::support::{PATIENCE, SERVICE, completions, open, overrides, run, words};

/// A scripted node behind one scripted Sentinel.
struct World {
    node: FakeNode,
    _sentinel: FakeSentinel,
    deployment: Deployment,
}

impl World {
    fn new() -> World {
        let node = FakeNode::start();
        let sentinel = FakeSentinel::start(SERVICE, node.port());
        let deployment = open(&[sentinel.port()]);
        World {
            node,
            _sentinel: sentinel,
            deployment,
        }
    }

    fn client(&self, max_pending: &str) -> Client {
        let overrides = overrides(&[("max_pending", max_pending)]);
        self.deployment.primary_for(Some(SERVICE), Some(&overrides)).unwrap()
    }

    fn wait_for_writes(&self, count: usize) {
        wait_until("the calls to be answered", PATIENCE, || {
            self.node.count("SET k x") == count
        });
    }
}

type Done = Box<dyn FnOnce(Entry) + Send>;

fn submit_to(client: &Client, done: Done) -> sentinel::Result<()> {
    let target = Target::Done(done);
    client
        .submit(&words("SET k x"), &CallOptions::default(), target)
        .map(drop)
}

fn submit(client: &Client, queue: &Arc<Queue>, tag: u64) -> sentinel::Result<()> {
    let target = Target::Queue(queue, tag);
    client
        .submit(&words("SET k x"), &CallOptions::default(), target)
        .map(drop)
}

#[test]
fn a_call_counts_until_its_callback_has_returned() {
    let world = World::new();
    let client = world.client("100");
    let (release, released) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    let heard = || told.recv_timeout(PATIENCE).unwrap();
    let telling = || -> Done {
        let tell = tell.clone();
        Box::new(move |_| tell.send(()).unwrap())
    };
    let first = telling();
    let blocking = move |entry: Entry| {
        first(entry);
        released.recv().unwrap();
    };
    submit_to(&client, Box::new(blocking)).unwrap();
    heard();
    for _ in 1..100 {
        submit_to(&client, telling()).unwrap();
    }
    world.wait_for_writes(100);
    let full = ErrorKind::QueueFull { limit: 100 };
    for _ in 0..1000 {
        assert_eq!(submit_to(&client, telling()).unwrap_err().kind(), &full);
        assert_eq!(run(&client, "GET k").unwrap_err().kind(), &full);
    }
    release.send(()).unwrap();
    (1..100).for_each(|_| heard());
    wait_until("room", PATIENCE, || submit_to(&client, telling()).is_ok());
    heard();
    world.wait_for_writes(101);
}

#[test]
fn a_call_counts_until_its_completion_is_taken() {
    let world = World::new();
    let clients = [(); 2].map(|()| world.client("2"));
    let queue = world.deployment.queue(100).unwrap();
    for (client, tag) in clients.iter().zip(0..).chain(clients.iter().zip(2..)) {
        submit(client, &queue, tag).unwrap();
    }
    world.wait_for_writes(4);
    for client in clients.iter().cycle().take(2000) {
        let error = submit(client, &queue, 9).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::QueueFull { limit: 2 });
    }
    completions(&queue, 4);
    for client in &clients {
        submit(client, &queue, 5).unwrap();
        submit(client, &queue, 6).unwrap();
        submit(client, &queue, 7).unwrap_err();
    }
    // What nobody will ever take counts no more.
    queue.free();
    for client in &clients {
        wait_until("room", PATIENCE, || run(client, "GET k").is_ok());
    }
}

#[test]
fn a_closed_client_takes_no_submission_whether_it_had_one_before_or_not() {
    let world = World::new();
    let queue = world.deployment.queue(2).unwrap();
    for before in [0, 1] {
        let client = world.client("2");
        for _ in 0..before {
            submit(&client, &queue, 0).unwrap();
            assert_eq!(completions(&queue, 1).len(), 1);
        }
        client.close();
        let refused = submit(&client, &queue, 1).unwrap_err();
        assert_eq!(*refused.kind(), ErrorKind::Closed, "{before} before");
        // The handle stays valid.
        assert!(run(&client, "SET k x").is_ok());
    }
    assert!(
        queue.take_place().is_ok() && queue.take_place().is_ok(),
        "no place is lost"
    );
}

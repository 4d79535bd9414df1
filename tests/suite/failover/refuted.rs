//! A node that says that it is not what it was taken for: nothing new goes there, and what it was sent before is answered.

use std::collections::HashSet;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use sentinel::completion::Queue;
use sentinel::resp::Reply;
use sentinel::{BatchKind, Client, Deployment, ErrorKind, Outcome, Result};
use sentinel_lab::{FakeNode, FakeSentinel, Role, wait_until};

use crate::support::{
    PATIENCE, SERVICE, SLACK, WAYS, batch, options, run_within, submitted_batch, text, timed, with, within,
};

/// Something that happens once.
#[derive(Clone, Default)]
struct Once(Arc<(Mutex<bool>, Condvar)>);

impl Once {
    fn happens(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    fn has_happened(&self) -> bool {
        *self.0.0.lock().unwrap()
    }

    fn wait(&self) {
        let held = self.0.0.lock().unwrap();
        let (_held, late) = self.0.1.wait_timeout_while(held, PATIENCE, |done| !*done).unwrap();
        assert!(!late.timed_out(), "it does not happen");
    }
}

/// `pool.lanes`, beside one connection for a thread that has no company.
const LANES: usize = 8;

struct Scene {
    node: FakeNode,
    /// Kept for what they serve.
    _sentinel: FakeSentinel,
    _deployment: Deployment,
    client: Client,
    /// A call has come to the node that is not answered yet.
    came: Once,
    /// The node is another one than it was.
    demotion: Once,
}

impl Scene {
    /// A primary that answers INCR and EVAL with `last_words` a moment after it has refused a write as a replica.
    fn start(last_words: Option<&'static str>) -> Scene {
        let (came, said, demotion) = (Once::default(), Once::default(), Once::default());
        let (asked, told, demoted) = (came.clone(), said, demotion.clone());
        let used = Arc::new(Mutex::new(HashSet::new()));
        let in_use = Arc::clone(&used);
        let node = FakeNode::builder()
            .on(move |session, args| match args[0].to_ascii_uppercase().as_slice() {
                b"INCR" | b"EVAL" => {
                    asked.happens();
                    told.wait();
                    // The library has read its word by then.
                    std::thread::sleep(Duration::from_millis(10));
                    if let Some(word) = last_words {
                        session.send(word);
                    }
                    true
                }
                b"ECHO" => {
                    in_use.lock().unwrap().insert(session.id());
                    false
                }
                b"SET" if demoted.has_happened() => {
                    told.happens();
                    false
                }
                _ => false,
            })
            .start();
        let sentinel = FakeSentinel::start(SERVICE, node.port());
        let options = with(
            options(&[sentinel.port()]),
            &[
                ("discovery.refresh_ms", "0"),
                ("pool.direct", "1"),
                ("pool.lanes", &LANES.to_string()),
            ],
        );
        let deployment = Deployment::open(&options).unwrap();
        let client = deployment.primary_for(Some(SERVICE), None).unwrap();
        text(&client, "SET k v");
        // Each has carried one: one that is dialled is not used by the pool yet, and a call goes where another is under way.
        wait_until("all connections are used", PATIENCE, || {
            std::thread::scope(|scope| (0..4).for_each(|_| _ = scope.spawn(|| text(&client, "ECHO x"))));
            text(&client, "ECHO alone");
            used.lock().unwrap().len() == 1 + LANES
        });
        Scene {
            node,
            _sentinel: sentinel,
            _deployment: deployment,
            client,
            came,
            demotion,
        }
    }

    /// Has a call under way when the node refuses another one for what it has become.
    fn demoted_under(&self) -> Result<Reply> {
        self.demoted_while(|| run_within(&self.client, "INCR n", 20_000))
    }

    /// The same with this call.
    fn demoted_while(&self, call: impl Fn() -> Result<Reply> + Sync) -> Result<Reply> {
        std::thread::scope(|scope| {
            let call = scope.spawn(&call);
            self.came.wait();
            // Over another connection.
            text(&self.client, "SET k v");
            self.node
                .set_role(Role::Replica("127.0.0.1".into(), 1, "connected".into()));
            self.demotion.happens();
            let refused = run_within(&self.client, "SET k w", 200).expect_err("it took a write");
            assert_ne!(refused.outcome(), Outcome::Unknown, "{refused}");
            call.join().unwrap()
        })
    }
}

#[test]
fn what_it_had_done_before_is_answered() {
    let scene = Scene::start(Some(":1\r\n"));
    assert_eq!(scene.demoted_under().unwrap().integer(), 1);
}

#[test]
fn what_it_leaves_unanswered_ends_soon() {
    let scene = Scene::start(None);
    let (ended, took) = timed(|| scene.demoted_under());
    let error = ended.expect_err("nothing answered it");
    assert!(matches!(error.kind(), ErrorKind::ConnectionLost { .. }), "{error}");
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert!(took < Duration::from_millis(250 + 50) + SLACK, "it took {took:?}");
}

type Call<'a> = dyn Fn(&Client) -> Result<Reply> + Sync + 'a;

/// What a script says of its node is asked for on the same connection, also where that is left already.
#[test]
fn what_it_refuses_then_is_repeated_elsewhere() {
    let batch = batch(BatchKind::Pipeline, &["EVAL return 0", "EVAL return 0"]);
    let queue = Arc::new(Queue::new(64));
    let call = within(1_000);
    let batches: [(&str, &Call<'_>); 2] = [
        ("a waiting batch", &|client| client.batch(&batch, &call)),
        ("a submitted batch", &|client| {
            submitted_batch(client, &queue, &batch, &call)
        }),
    ];
    for (name, way) in WAYS {
        refused_elsewhere(name, &|client| way(client, &queue, "EVAL return 0", &call));
    }
    for (name, way) in batches {
        refused_elsewhere(name, way);
    }
}

/// A thread that shares a lane asks there too.
#[test]
fn so_is_what_a_thread_sent_over_a_shared_connection() {
    refused_elsewhere("beside another", &|client| {
        std::thread::scope(|scope| {
            let other = scope.spawn(|| run_within(client, "EVAL return 1", 1_000));
            let own = run_within(client, "EVAL return 0", 1_000);
            match other.join().unwrap() {
                Err(other) if other.outcome() == Outcome::Unknown => Err(other),
                _ => own,
            }
        })
    });
}

/// The node has 50 ms for its last words: on a machine that is busy an answer may come too late once.
fn refused_elsewhere(name: &str, way: &Call<'_>) {
    let told = |_| {
        let scene = Scene::start(Some("-READONLY You can't write against a read only replica.\r\n"));
        let error = scene.demoted_while(|| way(&scene.client)).expect_err(name);
        let asked = scene.node.count("EVAL return 0");
        assert!((1..=2).contains(&asked), "{name}: sent {asked} times to a replica");
        Some(error).filter(|error| error.outcome() == Outcome::Unknown)
    };
    let unknown: Vec<_> = (0..5).map_while(told).collect();
    assert!(unknown.len() < 5, "{name}: {unknown:?}");
}

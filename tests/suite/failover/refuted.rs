//! A node that says that it is not what it was taken for: nothing new goes there, and what it was sent before is answered.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use sentinel::resp::Reply;
use sentinel::{Client, Deployment, ErrorKind, Outcome, Result};
use sentinel_lab::{FakeNode, FakeSentinel, Role};

use crate::support::{PATIENCE, SERVICE, SLACK, options, run_within, text, timed, with};

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
    /// A primary that answers INCR with `last_words` a moment after it has refused a write as a replica.
    fn start(last_words: Option<&'static str>) -> Scene {
        let (came, said, demotion) = (Once::default(), Once::default(), Once::default());
        let (asked, told, demoted) = (came.clone(), said, demotion.clone());
        let node = FakeNode::builder()
            .on(move |session, args| match args[0].to_ascii_uppercase().as_slice() {
                b"INCR" => {
                    asked.happens();
                    told.wait();
                    // The library has read its word by then.
                    std::thread::sleep(Duration::from_millis(10));
                    if let Some(word) = last_words {
                        session.send(word);
                    }
                    true
                }
                b"SET" if demoted.has_happened() => {
                    told.happens();
                    false
                }
                _ => false,
            })
            .start();
        let sentinel = FakeSentinel::start(SERVICE, node.port());
        let options = with(options(&[sentinel.port()]), &[("discovery.refresh_ms", "0")]);
        let deployment = Deployment::open(&options).unwrap();
        let client = deployment.primary_for(Some(SERVICE), None).unwrap();
        text(&client, "SET k v");
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
        std::thread::scope(|scope| {
            let call = scope.spawn(|| run_within(&self.client, "INCR n", 20_000));
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

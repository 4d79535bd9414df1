//! A call that its thread waits for only so long: it ends there, or goes on as a submission, and is executed once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sentinel::completion::queue::Polled;
use sentinel::completion::{CallId, Queue};
use sentinel::resp::Reply;
use sentinel::{CallOptions, Client, Deadline, Deployment, ErrorKind, Outcome, Result, Tried};
use sentinel_lab::{Config, SetOnDrop, Topology, wait_until};

use crate::support::{
    PATIENCE, SERVICE, SLACK, completions, open_on, overrides, run, shared, tell, text, timed, words,
};

const WAIT: Duration = Duration::from_millis(50);

fn try_within(client: &Client, queue: &Arc<Queue>, tag: u64, command: &str, call: &CallOptions) -> Result<Tried> {
    client.try_command(&words(command), call, WAIT, queue, tag)
}

fn try_now(client: &Client, queue: &Arc<Queue>, tag: u64, command: &str) -> Tried {
    try_within(client, queue, tag, command, &CallOptions::default()).unwrap()
}

#[track_caller]
fn done(tried: Tried) -> Reply {
    match tried {
        Tried::Done(reply) => reply,
        Tried::GoesOn(_) => panic!("it went on"),
    }
}

#[track_caller]
fn goes_on(tried: Tried) -> CallId {
    match tried {
        Tried::GoesOn(id) => id,
        Tried::Done(reply) => panic!("it was done: {reply:?}"),
    }
}

/// Calls that are only tried get connections of their own soon.
fn warm(client: &Client, queue: &Arc<Queue>) {
    wait_until("a connection for the thread itself", PATIENCE, || {
        match try_now(client, queue, 0, "PING") {
            Tried::Done(_) => true,
            Tried::GoesOn(_) => {
                assert_eq!(completions(queue, 1).remove(&0).unwrap().unwrap().text(), "PONG");
                false
            }
        }
    });
}

fn assert_nothing_in(queue: &Queue) {
    let polled = queue.poll(1, Deadline::after(Some(Duration::ZERO)), |entry| panic!("{entry:?}"));
    assert_eq!(polled, Ok(Polled::Empty));
}

/// Sentinels that do not take a pause for the end of its node, however busy the machine is besides.
fn patient() -> Config {
    Config::default().down_after_ms(5000)
}

/// A deployment of its own, whose primary can be paused.
struct World {
    topology: Topology,
    deployment: Deployment,
    client: Client,
    queue: Arc<Queue>,
}

impl World {
    fn new(config: Config) -> World {
        let topology = Topology::start(config);
        let deployment = open_on(&topology);
        let client = deployment.primary_for(Some(SERVICE), None).unwrap();
        let queue = deployment.queue(64).unwrap();
        warm(&client, &queue);
        World {
            topology,
            deployment,
            client,
            queue,
        }
    }

    fn pause(&self, ms: u64) {
        let primary = self.topology.node(self.topology.primary());
        tell(primary, &format!("CLIENT PAUSE {ms}"));
    }
}

#[test]
fn a_call_that_ends_in_time_ends_where_it_was_made_and_takes_no_place_in_the_queue() {
    let topology = shared();
    let deployment = open_on(&topology);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    let queue = deployment.queue(1).unwrap();
    warm(&client, &queue);
    for number in 0..1000 {
        let reply = done(try_now(&client, &queue, 9, &format!("ECHO {number}")));
        assert_eq!(reply.text(), number.to_string());
    }
    text(&client, "SET trying:text x");
    let error = try_within(&client, &queue, 9, "LPUSH trying:text y", &CallOptions::default()).unwrap_err();
    assert_eq!(
        (error.server_code(), error.outcome()),
        (Some("WRONGTYPE"), Outcome::Refused)
    );
    for refused in ["SUBSCRIBE x", "SELECT 1"] {
        let error = try_within(&client, &queue, 9, refused, &CallOptions::default()).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::UnsupportedCommand { .. }), "{error}");
    }
    assert_nothing_in(&queue);
}

#[test]
fn a_call_that_takes_longer_goes_on_and_is_executed_once() {
    let world = World::new(patient());
    let (client, queue) = (&world.client, &world.queue);
    for round in 1..=5u64 {
        world.pause(300);
        let (tried, took) = timed(|| try_now(client, queue, round, "INCR trying:count"));
        goes_on(tried);
        assert!(took >= WAIT && took <= WAIT + SLACK, "{took:?}");
        let reply = completions(queue, 1).remove(&round).unwrap().unwrap();
        assert_eq!(reply.integer(), i64::try_from(round).unwrap(), "once each");
        warm(client, queue);
    }
    assert_nothing_in(queue);
}

/// Where a node is slow each call that is begun costs a connection: few are, and the others are submitted at once.
#[test]
fn a_slow_node_costs_no_more_connections_than_threads_may_have() {
    let world = World::new(patient());
    let (client, queue) = (&world.client, &world.queue);
    world.pause(800);
    let (start, mut tag, mut waited) = (Instant::now(), 0, 0);
    wait_until("half a second and more", PATIENCE, || {
        tag += 1;
        let (tried, took) = timed(|| try_now(client, queue, tag, &format!("ECHO {tag}")));
        goes_on(tried);
        waited += usize::from(took >= WAIT);
        tag == 60 || start.elapsed() > Duration::from_millis(700)
    });
    assert!((1..=2).contains(&waited), "{waited} of {tag}");
    for (tag, end) in completions(queue, usize::try_from(tag).unwrap()) {
        assert_eq!(end.unwrap().text(), tag.to_string());
    }
    warm(client, queue);
}

#[test]
fn what_goes_on_has_the_deadline_and_the_cancel_of_one_call() {
    let world = World::new(patient());
    let (client, queue) = (&world.client, &world.queue);
    world.pause(700);
    let call = CallOptions {
        timeout_ms: 200,
        ..CallOptions::default()
    };
    let start = Instant::now();
    goes_on(try_within(client, queue, 1, "INCR trying:late", &call).unwrap());
    let error = completions(queue, 1).remove(&1).unwrap().unwrap_err();
    let took = start.elapsed();
    assert!(matches!(error.kind(), ErrorKind::Timeout { .. }), "{error}");
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert!(
        took >= Duration::from_millis(199) && took <= Duration::from_millis(200) + SLACK,
        "{took:?}"
    );
    let id = goes_on(try_now(client, queue, 2, "INCR trying:late"));
    client.cancel(id).unwrap();
    let error = completions(queue, 1).remove(&2).unwrap().unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Cancelled);
    client.cancel(id).unwrap();
    // Both were executed, as far as they were sent; their replies reach nobody.
    let reply = run(client, "INCR trying:late").unwrap();
    assert!((1..=3).contains(&reply.integer()), "{reply:?}");
    assert_nothing_in(queue);
}

#[test]
fn what_goes_on_when_its_client_or_deployment_is_closed_ends_closed() {
    for whole in [false, true] {
        let World {
            topology,
            deployment,
            client,
            queue,
        } = World::new(patient());
        tell(topology.node(topology.primary()), "CLIENT PAUSE 700");
        goes_on(try_now(&client, &queue, 1, "INCR trying:closed"));
        match whole {
            true => deployment.close(1000).unwrap(),
            false => drop(client),
        }
        let error = completions(&queue, 1).remove(&1).unwrap().unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (&ErrorKind::Closed, Outcome::Unknown));
    }
}

#[test]
fn what_waits_in_the_server_or_is_confirmed_or_has_no_connection_is_submitted_at_once() {
    let topology = shared();
    let deployment = open_on(&topology);
    let client = deployment
        .primary_for(Some(SERVICE), Some(&overrides(&[("pool.direct", "1")])))
        .unwrap();
    let queue = deployment.queue(8).unwrap();
    let confirmed = CallOptions {
        replicas: 2,
        ..CallOptions::default()
    };
    // Replicas that have just joined confirm nothing for a second.
    client.command(&words("SET trying:r 0"), &confirmed).unwrap();
    warm(&client, &queue);
    let (tried, took) = timed(|| try_now(&client, &queue, 1, "BLPOP trying:list 10"));
    goes_on(tried);
    assert!(took < WAIT, "{took:?}");
    goes_on(try_within(&client, &queue, 2, "SET trying:r 1", &confirmed).unwrap());
    goes_on(
        client
            .try_command(&words("ECHO x"), &CallOptions::default(), Duration::ZERO, &queue, 3)
            .unwrap(),
    );
    let mut ends = completions(&queue, 2);
    assert_eq!(ends.remove(&2).unwrap().unwrap().text(), "OK");
    assert_eq!(ends.remove(&3).unwrap().unwrap().text(), "x");
    text(&client, "RPUSH trying:list item");
    assert_eq!(
        completions(&queue, 1)
            .remove(&1)
            .unwrap()
            .unwrap()
            .at(1)
            .unwrap()
            .text(),
        "item"
    );
    // The only connection of that kind is in use.
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _guard = SetOnDrop(&over);
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                run(&client, "GET trying:r").unwrap();
            }
        });
        wait_until("a call beside another", PATIENCE, || {
            match try_now(&client, &queue, 4, "ECHO y") {
                Tried::Done(_) => false,
                Tried::GoesOn(_) => completions(&queue, 1).remove(&4).unwrap().unwrap().text() == "y",
            }
        });
    });
    let queue = deployment.queue(1).unwrap();
    goes_on(try_now(&client, &queue, 5, "BLPOP trying:none 1"));
    let error = try_within(&client, &queue, 6, "INCR trying:full", &CallOptions::default()).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::QueueFull { limit: 1 });
    assert!(completions(&queue, 1).remove(&5).unwrap().unwrap().is_nil());
    assert!(run(&client, "GET trying:full").unwrap().is_nil(), "it was not sent");
}

/// Each increment is executed at most once, and once where its reply came; reads are repeated.
#[test]
fn through_kills_each_call_ends_once_and_is_executed_at_most_once() {
    let world = World::new(Config::default());
    let (client, queue) = (&world.client, &world.queue);
    let (mut acknowledged, mut unknown, mut tag) = (0i64, 0i64, 0);
    for _ in 0..2 {
        let old = world.topology.primary();
        let until = Instant::now() + Duration::from_secs(5);
        let mut killed = false;
        while Instant::now() < until {
            tag += 1;
            let end = match try_within(client, queue, tag, "INCR trying:kills", &CallOptions::default()) {
                Ok(Tried::Done(reply)) => Ok(reply),
                Ok(Tried::GoesOn(_)) => completions(queue, 1).remove(&tag).unwrap(),
                Err(error) => Err(error),
            };
            match end {
                Ok(_) => acknowledged += 1,
                Err(error) if error.outcome() == Outcome::Unknown => unknown += 1,
                Err(error) => assert_eq!(error.outcome(), Outcome::NotSent, "{error}"),
            }
            if !killed && tag % 200 == 50 {
                killed = true;
                world.topology.kill(old);
            }
        }
        assert!(killed);
        world.topology.restart(old);
        world.topology.wait_for_settled();
    }
    let reply = run(client, "GET trying:kills").unwrap();
    let counted: i64 = reply.text().parse().unwrap();
    assert!(
        counted <= acknowledged + unknown,
        "{counted}: {acknowledged} and {unknown}"
    );
    assert_nothing_in(queue);
}

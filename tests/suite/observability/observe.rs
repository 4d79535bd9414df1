//! What an operator sees: numbers, events, the log and the description, through failovers and faults; and no secret in
//! any of them.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sentinel::completion::queue::Polled;
use sentinel::completion::{EntryKind, Queue};
use sentinel::resp::{Reply, Value};
use sentinel::{Client, Deadline, Deployment, Error, Options};
use sentinel_lab::{Config, FakeNode, FakeSentinel, Role, SetOnDrop, Topology, wait_until};
use serde_json::Value as Json;

use crate::support::{
    PATIENCE, SERVICE, open, options, overrides, run, run_within, sentinel_ports, shared, text, with,
};

const ALL_EVENTS: u32 = 0x1f;
const PRIMARY: u32 = 0x01;

/// Lines with their levels, as an operator has them.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<(i32, String)>>>);

impl Lines {
    fn hook(&self, mut options: Options, level: i32) -> Options {
        let lines = Arc::clone(&self.0);
        let hook = move |level: i32, line: &str| lines.lock().unwrap().push((level, line.to_owned()));
        options.set_log(level, Some(Arc::new(hook))).unwrap();
        options
    }

    fn all(&self) -> Vec<(i32, String)> {
        self.0.lock().unwrap().clone()
    }

    fn has(&self, level: i32, part: &str) -> bool {
        self.all().iter().any(|(at, line)| *at == level && line.contains(part))
    }

    #[track_caller]
    fn wait_for(&self, level: i32, part: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.has(level, part) {
            assert!(
                Instant::now() < until,
                "no line \"{part}\" of level {level} in {:#?}",
                self.all()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// An event as its fields.
fn fields(event: &Reply) -> Vec<(String, String)> {
    let shown = |value: Value<'_>| match value.len() {
        0 if value.is_nil() => "nil".to_owned(),
        _ if value.kind() == sentinel::resp::Kind::Array => {
            let items: Vec<String> = value.elements().map(|item| item.text().into_owned()).collect();
            items.join(",")
        }
        _ if matches!(value.kind(), sentinel::resp::Kind::Integer | sentinel::resp::Kind::Bool) => {
            value.integer().to_string()
        }
        _ => value.text().into_owned(),
    };
    (0..event.len())
        .map(|i| {
            let (key, value) = (event.root().key_at(i).unwrap(), event.root().value_at(i).unwrap());
            (key.text().into_owned(), shown(value))
        })
        .collect()
}

fn of<'a>(event: &'a [(String, String)], name: &str) -> &'a str {
    let found = event.iter().find(|(field, _)| field == name);
    found.map_or_else(|| panic!("no {name} in {event:?}"), |(_, value)| value.as_str())
}

/// Waits for the first event that is the one; gives all until then.
#[track_caller]
fn wait_for_event(queue: &Queue, is_it: impl Fn(&[(String, String)]) -> bool) -> Vec<Vec<(String, String)>> {
    let (mut seen, deadline) = (Vec::new(), Deadline::after(Some(PATIENCE)));
    loop {
        let mut taken = None;
        let polled = queue.poll(1, deadline, |entry| taken = Some(entry)).unwrap();
        assert_ne!(polled, Polled::Empty, "the event has not come, only {seen:#?}");
        let entry = taken.unwrap();
        assert_eq!((entry.kind, entry.tag), (EntryKind::Event, 7));
        seen.push(fields(&entry.result.unwrap()));
        if is_it(seen.last().unwrap()) {
            return seen;
        }
    }
}

fn watch(deployment: &Deployment, mask: u32) -> Arc<Queue> {
    let queue = deployment.queue(1000).unwrap();
    deployment.watch_events(&queue, mask, 7).unwrap();
    queue
}

#[track_caller]
pub(crate) fn metric(deployment: &Deployment, name: &str) -> i64 {
    deployment.metric(name).unwrap()
}

#[track_caller]
fn description(deployment: &Deployment) -> Json {
    let text = deployment.describe().unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A client that writes until it is told to stop.
fn keep_writing<T>(client: &Client, scene: impl FnOnce() -> T) -> T {
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _guard = SetOnDrop(&done);
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let _ = run(client, "SET observe:key value");
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        scene()
    })
}

#[test]
fn a_failover_is_seen_in_events_numbers_log_and_description() {
    let topology = Topology::start(Config::default());
    let lines = Lines::default();
    let deployment = Deployment::open(&lines.hook(options(&sentinel_ports(&topology)), 4)).unwrap();
    let queue = watch(&deployment, ALL_EVENTS);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    text(&client, "PING");
    let old = topology.primary();
    let from = topology.node(old).address();
    lines.wait_for(3, &format!("{SERVICE}: the primary is {from}, epoch"));
    let epoch = metric(&deployment, "epoch");
    assert_eq!(metric(&deployment, "failovers_total"), 0);

    let began = Instant::now();
    let (events, outage) = keep_writing(&client, || {
        topology.kill(old);
        let is_it = |event: &[(String, String)]| of(event, "event") == "primary_changed";
        let events = wait_for_event(&queue, is_it);
        let outage = began.elapsed();
        let to = of(events.last().unwrap(), "to").to_owned();
        wait_for_event(&queue, |event| {
            of(event, "event") == "connection" && of(event, "node") == to && of(event, "change") == "made"
        });
        (events, outage)
    });
    let event = events.last().unwrap();
    let new = topology.wait_for_primary_change(old, PATIENCE);
    let to = topology.node(new).address();
    assert_eq!((of(event, "from"), of(event, "to")), (from.as_str(), to.as_str()));
    assert_eq!((of(event, "service"), of(event, "reboot")), (SERVICE, "0"));
    assert!(of(event, "epoch").parse::<i64>().unwrap() > epoch);
    let last_good: u128 = of(event, "last_good_ms").parse().unwrap();
    assert!(
        (100..=outage.as_millis() + 100).contains(&last_good),
        "{last_good} of {outage:?}"
    );
    let lost = |event: &Vec<(String, String)>| {
        of(event, "event") == "connection" && of(event, "change") == "lost" && of(event, "node") == from
    };
    assert!(events.iter().any(lost), "{events:#?}");

    assert_eq!(metric(&deployment, "failovers_total"), 1);
    assert!(metric(&deployment, "epoch") > epoch);
    let detection = metric(&deployment, "failover_detection_milliseconds");
    assert!(
        (100..=i64::try_from(outage.as_millis()).unwrap() + 100).contains(&detection),
        "{detection}"
    );
    let switch = metric(&deployment, "failover_switch_milliseconds");
    assert!((0..2000).contains(&switch), "{switch}");
    assert!(metric(&deployment, "connections_lost_total") >= 1);
    assert!(metric(&deployment, "connect_errors_total") >= 1);
    assert!(metric(&deployment, "events_total{event=\"primary_changed\"}") >= 1);

    assert!(lines.has(2, &format!("{SERVICE}: a connection to the primary {from} is lost: ")));
    assert!(lines.has(2, &format!("{SERVICE}: {from} is not to be had: connect: ")));
    assert!(lines.has(4, "published +switch-master") || lines.has(4, "published +promoted-slave"));
    assert!(lines.has(3, &format!("{SERVICE}: the primary is {to}, epoch ")));
    assert!(lines.has(3, &format!("and no longer {from}, epoch ")));
    lines.wait_for(
        3,
        &format!("{SERVICE}: the switch to {to} is done: first verified connection "),
    );
    for (level, line) in lines.all() {
        println!("{level} {line}");
    }

    let seen = description(&deployment);
    let service = &seen["services"][0];
    assert_eq!(service["name"], SERVICE);
    assert_eq!(service["primary"]["address"], to);
    assert_eq!(service["failovers"], 1);
    assert_eq!(seen["clients"][0]["routes"][0]["address"], to);
    assert_eq!(seen["sentinels"].as_array().unwrap().len(), 3);
    // The killed node is a replica now, and one that cannot be read from.
    wait_until("the old primary to be left out", PATIENCE, || {
        let seen = description(&deployment);
        let left_out = seen["services"][0]["left_out"].as_array().unwrap().clone();
        left_out
            .iter()
            .any(|node| node["address"] == from && node["cause"].as_str().is_some_and(|cause| !cause.is_empty()))
    });
}

#[test]
fn a_restarted_primary_is_told_as_a_reboot_once() {
    let (sentinel, node) = {
        let node = FakeNode::start();
        (FakeSentinel::start(SERVICE, node.port()), node)
    };
    let lines = Lines::default();
    let refresh = with(options(&[sentinel.port()]), &[("discovery.refresh_ms", "50")]);
    let deployment = Deployment::open(&lines.hook(refresh, 3)).unwrap();
    let queue = watch(&deployment, PRIMARY);
    deployment.discover_primary(Some(SERVICE), 0).unwrap();
    sentinel.edit(|view| view.fields.push(("runid".into(), "b".repeat(40))));
    let at = format!("127.0.0.1:{}", node.port());
    let events = wait_for_event(&queue, |_| true);
    assert_eq!(of(&events[0], "reboot"), "1");
    assert_eq!(
        (of(&events[0], "from"), of(&events[0], "to")),
        (at.as_str(), at.as_str())
    );
    assert_eq!(metric(&deployment, "reboots_total"), 1);
    assert_eq!(metric(&deployment, "failovers_total"), 0);
    lines.wait_for(2, &format!("the primary {at} was restarted"));
}

#[test]
fn a_sentinel_that_goes_and_comes_is_told() {
    let topology = Topology::start(Config::default());
    let lines = Lines::default();
    let deployment = Deployment::open(&lines.hook(options(&sentinel_ports(&topology)), 3)).unwrap();
    let queue = watch(&deployment, 0x04);
    deployment.discover_primary(Some(SERVICE), 0).unwrap();
    wait_until("all Sentinels to be up", PATIENCE, || {
        metric(&deployment, "sentinel_up") == 3
    });
    let at = topology.sentinel(2).address();
    topology.kill_sentinel(2);
    let lost = wait_for_event(&queue, |event| of(event, "change") == "lost");
    let lost = lost.last().unwrap();
    assert_eq!(
        (of(lost, "event"), of(lost, "sentinel")),
        ("sentinels_changed", at.as_str())
    );
    assert_ne!(of(lost, "cause"), "nil");
    lines.wait_for(2, &format!("Sentinel {at} is lost: "));
    let of_it = |name: &str| metric(&deployment, &format!("{name}{{sentinel=\"{at}\"}}"));
    assert_eq!(of_it("sentinel_up"), 0);
    assert!(of_it("sentinel_errors_total") >= 1);
    let seen = description(&deployment);
    let known = seen["sentinels"]
        .as_array()
        .unwrap()
        .iter()
        .find(|each| each["address"] == at);
    assert_eq!(known.unwrap()["state"], "down");
    topology.restart_sentinel(2);
    let back = wait_for_event(&queue, |event| of(event, "change") == "back");
    assert_eq!(of(back.last().unwrap(), "sentinel"), at);
    lines.wait_for(3, &format!("Sentinel {at} is back"));
}

#[test]
fn a_sentinel_that_disagrees_is_counted() {
    let (old, new) = (FakeNode::start(), FakeNode::start());
    let sentinels: Vec<_> = (0..3).map(|_| FakeSentinel::start(SERVICE, old.port())).collect();
    for (index, sentinel) in sentinels.iter().enumerate() {
        sentinel.edit(|view| view.my_id = format!("{index:040x}"));
    }
    let ports: Vec<u16> = sentinels.iter().map(|sentinel| sentinel.port()).collect();
    let deployment = open(&ports);
    deployment.discover_primary(Some(SERVICE), 0).unwrap();
    sentinels[0].switch_master("127.0.0.1", new.port());
    wait_until("two to disagree", PATIENCE, || {
        metric(&deployment, "disagreeing_sentinels") == 2
    });
    assert_eq!(metric(&deployment, "failovers_total"), 1);
    sentinels[1].switch_master("127.0.0.1", new.port());
    sentinels[2].switch_master("127.0.0.1", new.port());
    wait_until("all to agree", PATIENCE, || {
        metric(&deployment, "disagreeing_sentinels") == 0
    });
    assert_eq!(metric(&deployment, "failovers_total"), 1);
}

#[test]
fn what_makes_a_call_be_repeated_and_reads_fall_back_is_told() {
    let topology = Topology::start(Config::default().nodes(2));
    let lines = Lines::default();
    let deployment = Deployment::open(&lines.hook(options(&sentinel_ports(&topology)), 4)).unwrap();
    let replica = deployment.replica_for(Some(SERVICE), None).unwrap();
    text(&replica, "PING");
    let primary = topology.node(topology.primary()).address();
    topology.kill(topology.replicas()[0]);
    wait_until("reads from the primary", PATIENCE, || {
        let _ = run(&replica, "PING");
        lines.has(
            2,
            &format!("{SERVICE}: no replica can be read from: reads go to the primary {primary}"),
        )
    });
    assert_eq!(metric(&deployment, "fallbacks_total{role=\"replica\"}"), 1);
    topology.restart(topology.replicas().first().copied().unwrap_or(1));
    wait_until("reads from the replica", PATIENCE, || {
        let _ = run(&replica, "PING");
        lines.has(
            3,
            &format!("{SERVICE}: reads go to replicas again, not to the primary {primary}"),
        )
    });
}

#[test]
fn a_repeated_call_is_counted_and_its_cause_told_without_the_servers_words() {
    let node = FakeNode::start();
    let sentinel = FakeSentinel::start(SERVICE, node.port());
    let lines = Lines::default();
    let deployment = Deployment::open(&lines.hook(options(&[sentinel.port()]), 5)).unwrap();
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    text(&client, "PING");
    node.edit(|view| view.role = Role::Replica("127.0.0.1".into(), 1, "connected".into()));
    let error: Error = run_within(&client, "SET k hunter2", 400).unwrap_err();
    assert!(metric(&deployment, "retries_total") >= 1, "{error}");
    let at = format!("127.0.0.1:{}", node.port());
    lines.wait_for(
        4,
        &format!("{SERVICE}: a call is repeated: readonly at {at}, outcome refused"),
    );
    assert!(lines.has(2, &format!("{SERVICE}: {at} refused a command for what it is or does")));
    assert!(!lines.all().iter().any(|(_, line)| line.contains("hunter2")));
}

#[test]
fn no_secret_is_in_anything_an_operator_sees() {
    const NODE: &str = "node-secret-4711";
    const SENTINEL: &str = "sentinel-secret-4712";
    const WRONG: &str = "wrong-secret-4713";
    const VALUE: &str = "value-secret-4714";
    let config = Config::default().nodes(2).password(NODE).sentinel_password(SENTINEL);
    let topology = Topology::start(config);
    let lines = Lines::default();
    let mut options = options(&sentinel_ports(&topology));
    options.set("password", NODE).unwrap();
    options.set("sentinel.password", SENTINEL).unwrap();
    let deployment = Deployment::open(&lines.hook(options, 5)).unwrap();
    let queue = watch(&deployment, ALL_EVENTS);
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    let wrong = deployment
        .primary_for(Some(SERVICE), Some(&overrides(&[("password", WRONG)])))
        .unwrap();
    text(&client, &format!("SET observe:key {VALUE}"));
    run(&client, &format!("NO.SUCH {VALUE}")).unwrap_err();
    run(&client, &format!("LPUSH observe:key {VALUE}")).unwrap_err();
    run(&wrong, &format!("SET observe:key {VALUE}")).unwrap_err();
    let seen = description(&deployment);
    assert_eq!(seen["options"]["password"], "***");
    assert_eq!(seen["options"]["sentinel.password"], "***");
    assert_eq!(seen["options"]["tls"], 0);
    let overridden = seen["clients"].as_array().unwrap().iter();
    let overridden: Vec<&Json> = overridden.map(|each| &each["overrides"]).collect();
    assert!(
        overridden.iter().any(|each| each["password"] == "***"),
        "{overridden:?}"
    );

    let old = topology.primary();
    let from = topology.node(old).address();
    keep_writing(&client, || {
        topology.kill(old);
        wait_for_event(&queue, |event| {
            of(event, "event") == "primary_changed" && of(event, "from") == from
        })
    });
    let (mut texts, now) = (Vec::new(), Deadline::after(Some(Duration::ZERO)));
    while queue.poll(99, now, |entry| {
        texts.push(format!("{:?}", fields(&entry.result.unwrap())))
    }) != Ok(Polled::Empty)
    {}
    texts.extend(lines.all().into_iter().map(|(_, line)| line));
    texts.push(deployment.describe().unwrap());
    texts.push(deployment.metrics_text().unwrap());
    texts.push(format!("{deployment:?}"));
    assert!(lines.has(1, "auth"), "the refused login is told: {:#?}", lines.all());
    for secret in [NODE, SENTINEL, WRONG, VALUE] {
        let found = texts.iter().find(|text| text.contains(secret));
        assert_eq!(found, None, "{secret}");
    }
}

#[test]
fn nothing_is_told_after_the_last_handle_is_gone() {
    let topology = shared();
    let lines = Lines::default();
    let deployment = Deployment::open(&lines.hook(options(&sentinel_ports(&topology)), 5)).unwrap();
    let client = deployment.primary_for(Some(topology.service()), None).unwrap();
    text(&client, "PING");
    drop(deployment);
    drop(client);
    let count = lines.all().len();
    assert!(lines.has(3, "closed"));
    std::thread::sleep(Duration::from_millis(200)); // for a line that must not come
    assert_eq!(lines.all().len(), count, "{:#?}", lines.all());
}

#[test]
fn a_log_function_that_does_not_return_delays_nothing_and_may_not_wait() {
    let topology = Topology::start(Config::default().nodes(2));
    let (told, heard) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel::<Arc<Client>>();
    let released = Mutex::new(released);
    let mut options = options(&sentinel_ports(&topology));
    let hook = move |_: i32, _: &str| {
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        told.send((thread, None)).unwrap();
        // Until the test has made all its calls.
        if let Ok(client) = released.lock().unwrap().recv_timeout(PATIENCE) {
            let waits = run(&client, "PING").map(drop).map_err(|error| error.to_string());
            told.send((String::new(), Some(waits))).unwrap();
        }
    };
    options.set_log(5, Some(Arc::new(hook))).unwrap();
    let deployment = Deployment::open(&options).unwrap();
    let (thread, _) = heard.recv_timeout(PATIENCE).unwrap();
    assert_eq!(thread, "sentinel-cb");
    let client = Arc::new(deployment.primary_for(Some(SERVICE), None).unwrap());
    for number in 0..100 {
        run_within(&client, &format!("SET key {number}"), 2_000).unwrap();
    }
    release.send(Arc::clone(&client)).unwrap();
    let (_, waits) = heard.recv_timeout(PATIENCE).unwrap();
    let error = waits.expect("the word of the call in it").unwrap_err();
    assert!(error.contains("callback"), "{error}");
    drop(release);
    deployment.close(5_000).unwrap();
}

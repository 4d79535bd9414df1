//! What an operator sees: numbers, events, the log and the description, through failovers and faults; and no secret in
//! any of them.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sentinel::client::BatchKind;
use sentinel::completion::queue::Polled;
use sentinel::completion::{EntryKind, Queue, Target};
use sentinel::deadline::Deadline;
use sentinel::resp::{Reply, Value};
use sentinel::{CallOptions, Client, Deployment, Error, Options};
use sentinel_lab::{Config, FakeNode, FakeSentinel, Role, Topology, wait_until};
use serde_json::Value as Json;

use crate::support::{
    PATIENCE, SERVICE, batch, open, open_on, options, overrides, run, run_within, sentinel_ports, shared, text, with,
    words,
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
fn metric(deployment: &Deployment, name: &str) -> i64 {
    deployment.metric(name).unwrap()
}

#[track_caller]
fn description(deployment: &Deployment) -> Json {
    let text = deployment.describe().unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Reads the text format strictly: each sample belongs to the TYPE above it, and is a name, labels and an integer.
#[track_caller]
fn parse_exposition(text: &str) -> Vec<(String, i64)> {
    assert!(text.ends_with('\n'));
    let (mut samples, mut family, mut seen) = (Vec::new(), (String::new(), String::new()), Vec::new());
    let mut help = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, words) = rest.split_once(' ').unwrap();
            assert!(!words.is_empty() && !seen.contains(&name.to_owned()), "{line}");
            name.clone_into(&mut help);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(help, name, "HELP and TYPE of one metric");
            seen.push(name.to_owned());
            family = (name.to_owned(), kind.to_owned());
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap();
            let rest = name
                .strip_prefix(family.0.as_str())
                .unwrap_or_else(|| panic!("{line} below {family:?}"));
            let suffixes: &[&str] = match family.1.as_str() {
                "histogram" => &["_bucket", "_sum", "_count"],
                _ => &[""],
            };
            assert!(suffixes.contains(&rest), "{line}");
            assert!(
                name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'),
                "{line}"
            );
            check_labels(&series[name.len()..]);
            samples.push((series.to_owned(), value.parse().unwrap()));
        }
    }
    let mut unique: Vec<&String> = samples.iter().map(|(series, _)| series).collect();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), samples.len(), "a series comes twice in {text}");
    samples
}

#[track_caller]
fn check_labels(labels: &str) {
    let Some(inner) = labels.strip_prefix('{') else {
        assert!(labels.is_empty(), "{labels}");
        return;
    };
    let mut rest = inner.strip_suffix('}').unwrap();
    while !rest.is_empty() {
        let (name, value) = rest.split_once("=\"").unwrap();
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase()), "{labels}");
        let mut escaped = false;
        let end = value.find(|character| {
            let ends = character == '"' && !escaped;
            escaped = character == '\\' && !escaped;
            ends
        });
        let behind = &value[end.unwrap() + 1..];
        rest = behind.strip_prefix(',').unwrap_or(behind);
        assert!(behind.is_empty() || behind.starts_with(','), "{labels}");
    }
}

#[test]
fn calls_are_counted_by_how_they_end() {
    let topology = shared();
    let deployment = open_on(&topology);
    let client = deployment.primary_for(Some(topology.service()), None).unwrap();
    text(&client, "SET observe:counted 1");
    text(&client, "GET observe:counted");
    run(&client, "LPUSH observe:counted x").unwrap_err();
    client
        .batch(
            &batch(BatchKind::Pipeline, &["PING", "PING", "PING"]),
            &CallOptions::default(),
        )
        .unwrap();
    let unlimited = CallOptions {
        timeout_ms: -1,
        ..CallOptions::default()
    };
    client.command(&words("PING"), &unlimited).unwrap();
    let mut own = client.acquire(0).unwrap();
    own.command(&words("PING"), &CallOptions::default()).unwrap();
    drop(own);
    assert_eq!(metric(&deployment, "calls_total{result=\"ok\"}"), 5);
    assert_eq!(metric(&deployment, "calls_total{result=\"refused\"}"), 1);
    assert_eq!(metric(&deployment, "call_errors_total{status=\"server\"}"), 1);
    assert_eq!(metric(&deployment, "commands_total"), 8);
    assert_eq!(
        metric(&deployment, "call_duration_microseconds_count"),
        5,
        "a lone caller's are all timed"
    );
    assert!(metric(&deployment, "call_duration_microseconds_sum") > 0);
    assert_eq!(metric(&deployment, "pending_calls"), 0);
    assert_eq!(metric(&deployment, "retries_total"), 0);
    assert_eq!(metric(&deployment, "clients"), 1);
    let (open, opened) = (
        metric(&deployment, "connections"),
        metric(&deployment, "connections_opened_total"),
    );
    assert!(open >= 2 && opened >= open, "{open} open of {opened}");
    assert_eq!(metric(&deployment, "sentinel_up"), 3);
    assert!(metric(&deployment, "sentinel_answers_total") >= 3);
    assert!(metric(&deployment, "sentinel_rtt_microseconds") > 0);
    assert_eq!(metric(&deployment, "usable_replicas"), 2);
    drop(client);
    wait_until("the connections to be closed", PATIENCE, || {
        metric(&deployment, "connections") == 0
    });
    assert_eq!(
        metric(&deployment, "calls_total{result=\"ok\"}"),
        5,
        "counters outlive clients"
    );
    assert_eq!(metric(&deployment, "clients"), 0);
}

#[test]
fn calls_on_lanes_and_submitted_calls_are_counted_too() {
    let topology = shared();
    let deployment = open_on(&topology);
    let client = deployment.primary_for(Some(topology.service()), None).unwrap();
    text(&client, "PING");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..50).for_each(|_| drop(text(&client, "PING"))));
        }
    });
    assert_eq!(metric(&deployment, "calls_total{result=\"ok\"}"), 401);
    // Some calls of a crowd stand for the others, and none took as long as its deadline, however clocks are put together.
    let timed = metric(&deployment, "call_duration_microseconds_count");
    assert!((401 - 64..=401 + 64).contains(&timed), "{timed}");
    let within = metric(&deployment, "call_duration_microseconds_bucket{le=\"5000000\"}");
    assert_eq!(within, timed);
    let queue = deployment.queue(2000).unwrap();
    for tag in 0..1600 {
        client
            .submit(&words("PING"), &CallOptions::default(), Target::Queue(&queue, tag))
            .unwrap();
    }
    let (mut completed, deadline) = (0, Deadline::after(Some(PATIENCE)));
    while completed < 1600 {
        queue.poll(100, deadline, |_| completed += 1).unwrap();
    }
    assert_eq!(metric(&deployment, "calls_total{result=\"ok\"}"), 2001);
    let more = metric(&deployment, "call_duration_microseconds_count") - timed;
    assert!((16..=4800).contains(&more), "{more} of 1600");
    assert_eq!(metric(&deployment, "pending_calls"), 0);
}

#[test]
fn the_text_is_what_prometheus_reads() {
    let topology = shared();
    let deployment = open_on(&topology);
    let client = deployment.primary_for(Some(topology.service()), None).unwrap();
    let _other = deployment.replica_for(Some("no \"such\"\\\nservice"), None).unwrap();
    text(&client, "PING");
    let samples = parse_exposition(&deployment.metrics_text().unwrap());
    let value = |series: &str| samples.iter().find(|(name, _)| name == series).map(|(_, value)| *value);
    let service = topology.service();
    let ok = format!("libsentinel_calls_total{{service=\"{service}\",role=\"primary\",result=\"ok\"}}");
    assert_eq!(value(&ok), Some(1));
    assert!(
        samples
            .iter()
            .any(|(name, _)| name.contains("service=\"no \\\"such\\\"\\\\\\nservice\""))
    );
    // Every series is found by its own text, and the numbers are the same.
    for (series, value) in samples.iter().filter(|(name, _)| name.contains("calls_total")) {
        assert_eq!(metric(&deployment, series), *value, "{series}");
    }
    let error = deployment.metric("no_such_metric").unwrap_err().to_string();
    assert!(error.contains("no_such_metric"), "{error}");
}

/// A client that writes until it is told to stop.
fn keep_writing<T>(client: &Client, scene: impl FnOnce() -> T) -> T {
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let _ = run(client, "SET observe:key value");
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(scene));
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
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
    assert!(lines.has(2, &format!("the primary {at} was restarted")));
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

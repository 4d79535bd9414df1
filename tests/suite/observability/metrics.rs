//! What is counted of calls, and the text that Prometheus reads.

use sentinel::completion::Target;
use sentinel::{BatchKind, CallOptions, Deadline};
use sentinel_lab::wait_until;

use crate::observability::observe::metric;
use crate::support::{PATIENCE, batch, open_on, run, shared, text, words};

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
    let own = client.acquire(0).unwrap();
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
    // One that is put to use at this moment is counted a moment later.
    wait_until("those that are open to be counted as opened", PATIENCE, || {
        let open = metric(&deployment, "connections");
        open >= 2 && metric(&deployment, "connections_opened_total") >= open
    });
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

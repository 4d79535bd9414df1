use super::*;
use crate::base::clock::Moment;
use crate::base::error::{ErrorKind, Outcome};
use crate::observe::Timing;
use crate::topology::Role;

fn seen() -> Observer {
    let observer = Observer::new(crate::observe::Log::silent());
    let now = Moment::now();
    let odd = observer.calls("a \"b\"\\\nc", Role::Primary);
    let timed = |micros| Timing {
        took: Some(micros),
        weight: 1,
        ended: now,
    };
    odd.call_ended(&Ok(()), timed(80));
    odd.call_ended(&Ok(()), timed(3000));
    odd.more_commands.add(9);
    let lost = Error::new(ErrorKind::ConnectionLost { cause: "x".into() });
    let plain = observer.calls("plain", Role::Replica);
    plain.call_ended::<()>(&Err(lost.with_outcome(Outcome::Unknown)), timed(1));
    observer
}

fn sources(observer: &Observer) -> Sources<'_> {
    Sources {
        observer,
        services: Vec::new(),
        pools: Vec::new(),
    }
}

#[test]
fn a_number_is_found_by_its_name_and_labels() {
    let observer = seen();
    let ask = |name: &str| value(&sources(&observer), name).unwrap();
    assert_eq!(ask("calls_total"), 3);
    assert_eq!(ask("libsentinel_calls_total"), 3);
    assert_eq!(ask("calls_total{result=\"ok\"}"), 2);
    assert_eq!(ask("calls_total{service=\"plain\",result=\"unknown\"}"), 1);
    assert_eq!(ask("calls_total{service=\"a \\\"b\\\"\\\\\\nc\"}"), 2);
    assert_eq!(ask("calls_total{service=\"another\"}"), 0);
    assert_eq!(ask("commands_total"), 12);
    assert_eq!(ask("call_errors_total{status=\"connection_lost\"}"), 1);
    assert_eq!(ask("call_duration_microseconds_count"), 2);
    assert_eq!(ask("call_duration_microseconds_sum"), 3080);
    assert_eq!(ask("call_duration_microseconds_bucket{le=\"100\"}"), 1);
    assert_eq!(ask("epoch"), -1, "no service, so nothing is known");
}

#[test]
fn every_metric_is_in_the_guide_and_in_the_header() {
    let texts = [
        include_str!("../../docs/watching.md"),
        include_str!("../ffi/observe.rs"),
    ];
    for metric in METRICS {
        let name = format!("`{}`", metric.name);
        assert!(texts.iter().all(|text| text.contains(&name)), "{name}");
    }
}

#[test]
fn what_is_no_metric_is_named() {
    let observer = seen();
    for name in [
        "",
        "no_such",
        "calls_total{",
        "calls_total{result=\"ok\"",
        "calls_total{result}",
        "calls_totals",
    ] {
        let error = value(&sources(&observer), name).unwrap_err().to_string();
        assert!(error.contains(&format!("\"{name}\"")), "{error}");
    }
    let error = value(&sources(&observer), "epoch{role=\"x\"}").unwrap_err().to_string();
    assert!(error.contains("no label \"role\""), "{error}");
    assert!(value(&sources(&observer), "call_duration_microseconds").is_err());
}

#[test]
fn the_text_escapes_what_the_format_asks_for() {
    let text = text(&sources(&seen()));
    let line = "libsentinel_calls_total{service=\"a \\\"b\\\"\\\\\\nc\",role=\"primary\",result=\"ok\"} 2";
    assert!(text.lines().any(|each| each == line), "{text}");
    assert!(text.ends_with('\n'));
}

#[test]
fn buckets_only_grow_and_end_with_all() {
    let text = text(&sources(&seen()));
    let counts: Vec<u64> = text
        .lines()
        .filter(|line| line.starts_with("libsentinel_call_duration_microseconds_bucket{service=\"a "))
        .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(counts.len(), BOUNDS.len() + 1);
    assert!(counts.is_sorted());
    assert_eq!(counts.last(), Some(&2));
}

#[test]
fn every_sample_is_of_a_metric_in_the_table_with_its_labels() {
    for sample in collect(&sources(&seen())).0 {
        let metric = METRICS.iter().find(|metric| metric.name == sample.metric);
        let metric = metric.unwrap_or_else(|| panic!("{}", sample.metric));
        assert!(
            sample.labels.iter().all(|(name, _)| metric.labels.contains(name)),
            "{sample:?}"
        );
        assert_eq!(
            metric.kind == Kind::Counter,
            metric.name.ends_with("_total"),
            "{}",
            metric.name
        );
    }
}

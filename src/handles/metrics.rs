//! The numbers by name, and as text that Prometheus reads.

mod table;

use std::fmt::Write;
use std::sync::Arc;

use table::{Kind, METRICS, Metric, Whole};

use crate::base::error::{Error, Result};
use crate::observe::Observer;
use crate::observe::calls::{BOUNDS, CallStats};
use crate::observe::events::role_word;
use crate::observe::millis;
use crate::observe::nodes::LinkState;
use crate::pool::Pool;
use crate::topology::{Service, Word};

/// What stands before every name in the text, and may be left out where one is asked for.
const PREFIX: &str = "libsentinel_";

/// What the numbers are read from.
#[derive(Debug)]
pub struct Sources<'a> {
    /// What is counted.
    pub observer: &'a Observer,
    /// The services in use.
    pub services: Vec<Arc<Service>>,
    /// The clients open.
    pub pools: Vec<Arc<Pool>>,
}

/// A number with its labels.
#[derive(Debug)]
struct Sample {
    metric: &'static str,
    suffix: &'static str,
    labels: Vec<(&'static str, String)>,
    value: i64,
}

/// The numbers of one moment.
#[derive(Debug, Default)]
struct Samples(Vec<Sample>);

impl Samples {
    fn add(&mut self, metric: &'static str, labels: &[(&'static str, &str)], value: impl TryInto<i64>) {
        self.add_part(metric, "", labels, value);
    }

    fn add_part(
        &mut self,
        metric: &'static str,
        suffix: &'static str,
        labels: &[(&'static str, &str)],
        value: impl TryInto<i64>,
    ) {
        let labels = labels
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        let value = value.try_into().unwrap_or(i64::MAX);
        self.0.push(Sample {
            metric,
            suffix,
            labels,
            value,
        });
    }

    fn of<'a>(&'a self, metric: &'a Metric) -> impl Iterator<Item = &'a Sample> {
        self.0.iter().filter(|sample| sample.metric == metric.name)
    }
}

fn collect(sources: &Sources<'_>) -> Samples {
    let mut samples = Samples::default();
    let observer = sources.observer;
    for calls in observer.all_calls() {
        add_calls(&mut samples, &calls);
        add_clients(&mut samples, &calls, &sources.pools);
    }
    for service in &sources.services {
        add_service(&mut samples, observer, service);
    }
    for sentinel in observer.sentinels() {
        let address = sentinel.endpoint.to_string();
        let labels = [("sentinel", address.as_str())];
        let up = sentinel.now().state == LinkState::Up;
        samples.add("sentinel_up", &labels, i64::from(up));
        samples.add("sentinel_answers_total", &labels, sentinel.answers.get());
        samples.add("sentinel_errors_total", &labels, sentinel.errors.get());
        samples.add("sentinel_events_total", &labels, sentinel.events.get());
        if let Some(rtt) = sentinel.rtt_micros() {
            samples.add("sentinel_rtt_microseconds", &labels, rtt);
        }
    }
    samples.add("sentinels_learnt_total", &[], observer.members.learnt.get());
    samples.add("sentinels_forgotten_total", &[], observer.members.forgotten.get());
    samples.add("sentinels_moved_total", &[], observer.members.moved.get());
    samples.add("sentinel_strangers_total", &[], observer.members.strangers.get());
    for (word, count) in observer.bus.happened() {
        samples.add("events_total", &[("event", word)], count);
    }
    samples.add("events_dropped_total", &[], observer.bus.dropped.get());
    samples
}

fn add_calls(samples: &mut Samples, calls: &CallStats) {
    let labels = [("service", calls.service.as_str()), ("role", role_word(calls.role))];
    let with = |name, value| [labels.as_slice(), &[(name, value)]].concat();
    let (buckets, micros) = calls.latency();
    let successes = calls.successes();
    samples.add("calls_total", &with("result", "ok"), successes);
    let mut ended = successes;
    for (outcome, count) in calls.failed_outcomes() {
        samples.add("calls_total", &with("result", outcome), count);
        ended += count;
    }
    for (status, count) in calls.failures().filter(|(_, count)| *count > 0) {
        samples.add("call_errors_total", &with("status", status), count);
    }
    samples.add("commands_total", &labels, ended + calls.more_commands.get());
    samples.add("retries_total", &labels, calls.retries.get());
    let bounds = BOUNDS.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
    let mut so_far = 0;
    for (bound, count) in bounds.zip(buckets) {
        so_far += count;
        let labels = [labels.as_slice(), &[("le", bound.as_str())]].concat();
        samples.add_part("call_duration_microseconds", "_bucket", &labels, so_far);
    }
    samples.add_part("call_duration_microseconds", "_sum", &labels, micros);
    samples.add_part("call_duration_microseconds", "_count", &labels, so_far);
    samples.add("connections_opened_total", &labels, calls.opened.get());
    samples.add("connections_lost_total", &labels, calls.lost.get());
    samples.add("connect_errors_total", &labels, calls.refused.get());
    samples.add("fallbacks_total", &labels, calls.fallbacks.get());
}

fn add_clients(samples: &mut Samples, calls: &Arc<CallStats>, pools: &[Arc<Pool>]) {
    let labels = [("service", calls.service.as_str()), ("role", role_word(calls.role))];
    let of = |pool: &&Arc<Pool>| Arc::ptr_eq(&pool.calls, calls) && !pool.is_closed();
    let views: Vec<_> = pools.iter().filter(of).map(|pool| pool.view()).collect();
    let connections = views.iter().map(|view| view.connections).sum::<usize>();
    samples.add(
        "pending_calls",
        &labels,
        views.iter().map(|view| view.pending).sum::<usize>(),
    );
    samples.add(
        "held_writes",
        &labels,
        views.iter().map(|view| view.held).sum::<usize>(),
    );
    samples.add("clients", &labels, views.len());
    samples.add("connections", &labels, connections);
}

fn add_service(samples: &mut Samples, observer: &Observer, service: &Service) {
    let labels = [("service", service.name())];
    let (stats, snapshot) = (observer.service(service.name()), service.snapshot());
    samples.add("failovers_total", &labels, stats.failovers.get());
    samples.add("reboots_total", &labels, stats.reboots.get());
    let (detection, switch) = stats.last_failover();
    if let Some(time) = detection {
        samples.add("failover_detection_milliseconds", &labels, millis(time));
    }
    if let Some(time) = switch {
        samples.add("failover_switch_milliseconds", &labels, millis(time));
    }
    if let Some(time) = stats.last_foreseen() {
        samples.add("failover_foreseen_milliseconds", &labels, millis(time));
    }
    samples.add("failover_armed", &labels, usize::from(snapshot.awaited.is_some()));
    samples.add("primary_foreseen", &labels, usize::from(snapshot.foreseen));
    let in_force = snapshot.primary.as_ref().map(|node| &node.endpoint);
    let epoch = in_force.map_or(-1, |_| i64::try_from(snapshot.epoch).unwrap_or(i64::MAX));
    samples.add("epoch", &labels, epoch);
    samples.add("usable_replicas", &labels, snapshot.replicas.len());
    let disagrees = |word: &Word| matches!(word, Word::Names { primary, .. } if Some(primary) != in_force);
    let words = service.words();
    let count = words.iter().filter(|(_, word)| disagrees(word)).count();
    samples.add("disagreeing_sentinels", &labels, count);
    samples.add("writes_held", &labels, i64::from(service.holds_writes()));
    let silent = stats.no_majority().map_or(0, |since| millis(since.elapsed()));
    samples.add("no_majority_milliseconds", &labels, silent);
}

/// All of them in the text exposition format 0.0.4.
pub fn text(sources: &Sources<'_>) -> String {
    let samples = collect(sources);
    let mut text = String::with_capacity(8 << 10);
    for metric in METRICS {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let (name, help) = (metric.name, metric.help);
        let _ = writeln!(text, "# HELP {PREFIX}{name} {help}.");
        let _ = writeln!(text, "# TYPE {PREFIX}{name} {kind}");
        for sample in samples.of(metric) {
            let _ = write!(text, "{PREFIX}{name}{}", sample.suffix);
            write_labels(&mut text, &sample.labels);
            let _ = writeln!(text, " {}", sample.value);
        }
    }
    text
}

fn write_labels(text: &mut String, labels: &[(&'static str, String)]) {
    for (place, (name, value)) in labels.iter().enumerate() {
        text.push(if place == 0 { '{' } else { ',' });
        let _ = write!(text, "{name}=\"");
        for character in value.chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                other => text.push(other),
            }
        }
        text.push('"');
    }
    if !labels.is_empty() {
        text.push('}');
    }
}

/// One number: `name`, or `name{label="value",...}` for those with these labels alone.
pub fn value(sources: &Sources<'_>, asked: &str) -> Result<i64> {
    let unknown = || Error::invalid("name", format!("there is no metric \"{asked}\""));
    let (name, labels) = parse(asked).ok_or_else(unknown)?;
    let name = name.strip_prefix(PREFIX).unwrap_or(name);
    let (metric, suffix) = METRICS
        .iter()
        .find_map(|metric| Some((metric, part(metric, name)?)))
        .ok_or_else(unknown)?;
    if let Some((label, _)) = labels.iter().find(|(label, _)| !metric.labels.contains(label)) {
        let problem = format!("the metric \"{name}\" has no label \"{label}\"");
        return Err(Error::invalid("name", problem));
    }
    let samples = collect(sources);
    let has = |sample: &Sample, (label, value): &(&str, String)| {
        sample.labels.iter().any(|(name, own)| name == label && own == value)
    };
    let chosen = samples
        .of(metric)
        .filter(|sample| sample.suffix == suffix && labels.iter().all(|label| has(sample, label)))
        .map(|sample| sample.value);
    Ok(match metric.whole {
        Whole::Sum => chosen.fold(0, i64::saturating_add),
        Whole::Largest => chosen.max().unwrap_or(-1),
    })
}

/// Which part of `metric` bears `name`: of a histogram `_bucket`, `_sum` or `_count`.
fn part(metric: &Metric, name: &str) -> Option<&'static str> {
    let rest = name.strip_prefix(metric.name)?;
    match (metric.kind, rest) {
        (Kind::Histogram, "_bucket") => Some("_bucket"),
        (Kind::Histogram, "_sum") => Some("_sum"),
        (Kind::Histogram, "_count") => Some("_count"),
        (Kind::Counter | Kind::Gauge, "") => Some(""),
        _ => None,
    }
}

/// Takes a name and its labels apart; `None` when it is not written as the text format has it.
fn parse(asked: &str) -> Option<(&str, Vec<(&str, String)>)> {
    let Some((name, rest)) = asked.split_once('{') else {
        return Some((asked, Vec::new()));
    };
    let mut rest = rest;
    let mut labels = Vec::new();
    loop {
        if let Some(end) = rest.strip_prefix('}') {
            return end.is_empty().then_some((name, labels));
        }
        let (label, value) = rest.split_once("=\"")?;
        let (value, behind) = parse_value(value)?;
        labels.push((label, value));
        rest = behind.strip_prefix(',').unwrap_or(behind);
    }
}

/// A quoted value up to its closing quote, and what stands behind that.
fn parse_value(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((place, character)) = characters.next() {
        match character {
            '"' => return Some((value, text.get(place + 1..)?)),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;

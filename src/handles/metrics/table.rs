//! The numbers that there are: what each is called, stands for and counts.

/// What kind of number it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// What a name without labels stands for when there are several numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whole {
    Sum,
    Largest,
}

/// A metric.
#[derive(Debug)]
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) whole: Whole,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
}

const fn metric(name: &'static str, kind: Kind, labels: &'static [&'static str], help: &'static str) -> Metric {
    let whole = Whole::Sum;
    Metric {
        name,
        kind,
        whole,
        labels,
        help,
    }
}

const fn largest(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    let (kind, whole) = (Kind::Gauge, Whole::Largest);
    Metric {
        name,
        kind,
        whole,
        labels,
        help,
    }
}

use Kind::{Counter, Gauge, Histogram};

const CLIENTS: &[&str] = &["service", "role"];
const OF_SERVICE: &[&str] = &["service"];
const OF_SENTINEL: &[&str] = &["sentinel"];

/// Every metric, in the order of the text.
#[rustfmt::skip] // a table: one line a metric
pub(super) static METRICS: &[Metric] = &[
    metric("calls_total", Counter, &["service", "role", "result"], "Calls ended, a command or a batch each, by result: ok or the outcome of the failure"),
    metric("call_errors_total", Counter, &["service", "role", "status"], "Calls failed, by status"),
    metric("commands_total", Counter, CLIENTS, "Commands of the calls ended; a batch has several"),
    metric("retries_total", Counter, CLIENTS, "Attempts after the first"),
    metric("call_duration_microseconds", Histogram, &["service", "role", "le"], "Time of the successful calls; of many at once some are timed and stand for all"),
    metric("pending_calls", Gauge, CLIENTS, "Calls under way or waiting for a connection"),
    metric("held_writes", Gauge, CLIENTS, "Writes that wait because none is sent for now"),
    metric("clients", Gauge, CLIENTS, "Clients open"),
    metric("connections", Gauge, CLIENTS, "Connections open to data nodes"),
    metric("connections_opened_total", Counter, CLIENTS, "Connections verified and put to use"),
    metric("connections_lost_total", Counter, CLIENTS, "Connections that ended without the library's wish"),
    metric("connect_errors_total", Counter, CLIENTS, "Attempts to connect to a data node that failed"),
    metric("fallbacks_total", Counter, CLIENTS, "Times that a replica client turned to the primary"),
    metric("failovers_total", Counter, OF_SERVICE, "Switches to another primary or epoch"),
    metric("reboots_total", Counter, OF_SERVICE, "Restarts of a primary in its place"),
    largest("failover_detection_milliseconds", OF_SERVICE, "Last failover: from the last good reply to the first sign of the new primary"),
    largest("failover_switch_milliseconds", OF_SERVICE, "Last failover: from that sign to the first verified connection to the new primary"),
    largest("failover_foreseen_milliseconds", OF_SERVICE, "Last failover that was foreseen: how long before the first Sentinel named the primary"),
    metric("failover_armed", Gauge, OF_SERVICE, "1 while a replica that is about to be promoted is asked what it is"),
    metric("primary_foreseen", Gauge, OF_SERVICE, "1 while no Sentinel names the primary in force yet"),
    largest("epoch", OF_SERVICE, "Config epoch of the primary in force; -1: none is known"),
    metric("usable_replicas", Gauge, OF_SERVICE, "Replicas that may be read from"),
    metric("disagreeing_sentinels", Gauge, OF_SERVICE, "Sentinels that name another primary than the one in force"),
    metric("writes_held", Gauge, OF_SERVICE, "1 while no writes are sent: nobody is sure of the primary"),
    largest("no_majority_milliseconds", OF_SERVICE, "Since a majority of the Sentinels was heard last, while no writes are sent for that; else 0"),
    metric("sentinel_up", Gauge, OF_SENTINEL, "1 while the Sentinel is connected"),
    metric("sentinel_answers_total", Counter, OF_SENTINEL, "Questions that the Sentinel answered"),
    metric("sentinel_errors_total", Counter, OF_SENTINEL, "Attempts and connections to the Sentinel that failed"),
    metric("sentinel_events_total", Counter, OF_SENTINEL, "Events that the Sentinel published"),
    largest("sentinel_rtt_microseconds", OF_SENTINEL, "Last round trip to the Sentinel"),
    metric("sentinels_learnt_total", Counter, &[], "Sentinels that others told of"),
    metric("sentinels_forgotten_total", Counter, &[], "Sentinels that were down and that nobody reports any more"),
    metric("sentinels_moved_total", Counter, &[], "Times that a Sentinel was found at another address"),
    metric("sentinel_strangers_total", Counter, &[], "Times that somebody answered whom no Sentinel of the deployment knows"),
    metric("events_total", Counter, &["event"], "Events that happened, whether anybody waits for them or not"),
    metric("events_dropped_total", Counter, &[], "Events that found their queue full"),
];

//! The deployment as the library sees it, and why, as JSON.

use std::time::Instant;

use super::json::Json;
use super::metrics::Sources;
use crate::base::error::Attempt;
use crate::observe::calls::micros;
use crate::observe::events::{hold_word, role_word};
use crate::observe::millis;
use crate::observe::nodes::SentinelStats;
use crate::options::Shown;
use crate::pool::Pool;
use crate::pool::view::RouteView;
use crate::topology::{Node, Service, Word};

/// The text. `options`: what the deployment was opened with.
pub fn text(sources: &Sources<'_>, options: &[(&'static str, Shown)]) -> String {
    let mut json = Json::default();
    json.object(|json| {
        json.key("version").string(env!("CARGO_PKG_VERSION"));
        ago(json, "opened_ms", Some(sources.observer.opened()));
        write_options(json.key("options"), options);
        json.key("sentinels")
            .array(sources.observer.sentinels(), |json, sentinel| {
                write_sentinel(json, &sentinel);
            });
        json.key("services").array(&sources.services, |json, service| {
            write_service(json, sources, service);
        });
        let pools = sources.pools.iter().filter(|pool| !pool.is_closed());
        json.key("clients").array(pools, |json, pool| write_client(json, pool));
    });
    json.finish()
}

/// A moment as the milliseconds since then.
fn ago(json: &mut Json, name: &str, at: Option<Instant>) {
    json.key(name).some_number(at.map(|at| millis(at.elapsed())));
}

fn write_options(json: &mut Json, options: &[(&'static str, Shown)]) {
    json.object(|json| {
        for (name, value) in options {
            let json = json.key(name);
            match value {
                Shown::None => json.text(None),
                Shown::Int(number) => json.number(*number),
                Shown::Text(text) => json.string(text),
                Shown::Secret => json.string("***"),
            }
        }
    });
}

fn write_attempt(json: &mut Json, attempt: &Attempt) {
    json.object(|json| {
        json.key("address").string(&attempt.endpoint);
        json.key("stage").string(&attempt.stage.to_string());
        json.key("cause").string(&attempt.cause);
    });
}

fn write_sentinel(json: &mut Json, sentinel: &SentinelStats) {
    let now = sentinel.now();
    json.object(|json| {
        json.key("address").string(&sentinel.endpoint.to_string());
        json.key("state").string(now.state.word());
        ago(json, "since_ms", Some(now.since));
        json.key("rtt_us").some_number(sentinel.rtt_micros());
        json.key("run_id").text(now.run_id.as_deref());
        json.key("protocol")
            .some_number(Some(now.protocol).filter(|protocol| *protocol > 0));
        json.key("answers").number(sentinel.answers.get());
        json.key("errors").number(sentinel.errors.get());
        json.key("events").number(sentinel.events.get());
        match &now.failure {
            Some(attempt) => write_attempt(json.key("last_failure"), attempt),
            None => json.key("last_failure").text(None),
        }
    });
}

fn write_service(json: &mut Json, sources: &Sources<'_>, service: &Service) {
    let snapshot = service.snapshot();
    let stats = sources.observer.service(service.name());
    let (detection, switch) = stats.last_failover();
    json.object(|json| {
        json.key("name").string(service.name());
        let epoch = snapshot.primary.as_ref().map(|_| snapshot.epoch);
        json.key("epoch").some_number(epoch);
        json.key("generation").number(snapshot.generation);
        match &snapshot.primary {
            Some(node) => write_node(json.key("primary"), node, None),
            None => json.key("primary").text(None),
        }
        let awaited = snapshot.awaited.as_ref().map(|awaited| awaited.replica.to_string());
        json.key("awaited").text(awaited.as_deref());
        json.key("foreseen").flag(snapshot.foreseen);
        json.key("replicas")
            .array(&snapshot.replicas, |json, node| write_node(json, node, None));
        json.key("left_out").array(&snapshot.left_out, |json, (node, cause)| {
            write_node(json, node, Some(cause));
        });
        json.key("words").array(service.words(), |json, (sentinel, word)| {
            json.object(|json| {
                json.key("sentinel").string(&sentinel.to_string());
                write_word(json, &word);
            });
        });
        let held = snapshot.writes.reason().map(hold_word);
        json.key("writes").string(held.unwrap_or("sent"));
        ago(json, "no_majority_ms", stats.no_majority());
        json.key("failovers").number(stats.failovers.get());
        json.key("reboots").number(stats.reboots.get());
        json.key("last_detection_ms").some_number(detection.map(millis));
        json.key("last_foreseen_ms")
            .some_number(stats.last_foreseen().map(millis));
        json.key("last_switch_us").some_number(switch.map(micros));
    });
}

fn write_node(json: &mut Json, node: &Node, cause: Option<&str>) {
    json.object(|json| {
        json.key("address").string(&node.endpoint.to_string());
        if cause.is_some() {
            json.key("cause").text(cause);
        }
        json.key("fields").object(|json| {
            for (place, (name, value)) in node.fields.iter().enumerate() {
                // A name that comes twice would make members that parsers keep only one of.
                if node.fields.iter().position(|(first, _)| first == name) == Some(place) {
                    json.key(name).string(value);
                }
            }
        });
    });
}

fn write_word(json: &mut Json, word: &Word) {
    let said = |json: &mut Json, text: &str| json.key("word").string(text);
    match word {
        Word::Asked => said(json, "asked"),
        Word::Unknown => said(json, "unknown_service"),
        Word::NoAddress => said(json, "no_address"),
        Word::Failed(attempt) => {
            said(json, "failed");
            write_attempt(json.key("failure"), attempt);
        }
        Word::Refused(attempt) => {
            said(json, "refused");
            write_attempt(json.key("failure"), attempt);
        }
        Word::TooFewPeers(peers) => {
            said(json, "too_few_peers");
            json.key("peers").number(*peers);
        }
        Word::Stranger(names) => {
            said(json, "stranger");
            let names = names.as_ref();
            json.key("primary").text(names.map(|(at, _)| at.to_string()).as_deref());
            json.key("epoch").some_number(names.map(|(_, epoch)| *epoch));
        }
        Word::Names {
            primary,
            epoch,
            since,
            heard,
        } => {
            said(json, "names");
            json.key("primary").string(&primary.to_string());
            json.key("epoch").number(*epoch);
            ago(json, "since_ms", Some(*since));
            ago(json, "heard_ms", Some(*heard));
        }
    }
}

fn write_client(json: &mut Json, pool: &Pool) {
    let view = pool.view();
    json.object(|json| {
        json.key("service").string(pool.service.name());
        json.key("role").string(role_word(view.role));
        json.key("pending").number(view.pending as u64);
        json.key("waiting").number(view.waiting as u64);
        json.key("held").number(view.held as u64);
        json.key("connections").number(view.connections as u64);
        json.key("leases").number(view.leases as u64);
        ago(json, "last_good_ms", pool.calls.last_good());
        write_options(json.key("overrides"), &pool.overrides);
        json.key("routes").array(&view.routes, write_route);
        json.key("failures").array(&view.failures, write_attempt);
    });
}

fn write_route(json: &mut Json, route: &RouteView) {
    json.object(|json| {
        json.key("address").string(&route.node.to_string());
        json.key("role").string(role_word(route.role));
        json.key("epoch").number(route.epoch);
        json.key("ready").flag(route.ready);
        json.key("connections").number(route.connections as u64);
        json.key("lanes").number(route.lanes as u64);
        json.key("dialling").number(route.dialling as u64);
        json.key("call_us")
            .some_number(Some(route.micros).filter(|micros| *micros > 0));
    });
}

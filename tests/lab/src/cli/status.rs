//! How everything is: for people, and as JSON for programs.

use std::time::Duration;

use sentinel_lab::Server;
use serde_json::{Value, json};

use super::orders::Lab;

const ASK_WITHIN: Duration = Duration::from_millis(500);

fn state(server: &Server) -> &'static str {
    match (server.pid(), server.is_stopped()) {
        (None, _) => "down",
        (Some(_), true) => "frozen",
        (Some(_), false) => "running",
    }
}

/// What a node says of itself.
fn role(node: &Server) -> Option<String> {
    let role = node
        .is_responsive()
        .then(|| node.try_ask(ASK_WITHIN, &["ROLE"]))?
        .ok()?;
    match role.as_items().first()?.as_text().as_str() {
        "master" => Some("primary".into()),
        "slave" => Some("replica".into()),
        other => Some(other.into()),
    }
}

fn server(server: &Server) -> Value {
    json!({
        "name": server.name(),
        "address": server.address(),
        "pid": server.pid(),
        "state": state(server),
        "fault": server.front().map(|front| front.faults()).filter(|faults| !faults.is_empty()),
    })
}

fn with(mut object: Value, name: &str, value: impl Into<Value>) -> Value {
    object[name] = value.into();
    object
}

fn all(lab: &Lab) -> Value {
    let topology = &lab.topology;
    let nodes: Vec<Value> = lab
        .all_nodes()
        .map(|node| with(server(node), "role", role(node)))
        .collect();
    let opinion = |sentinel: &Server| {
        let opinion = sentinel
            .is_responsive()
            .then(|| topology.opinion_of(sentinel))
            .flatten();
        let named = opinion.and_then(|(_, port)| topology.node_of_port(port));
        let entry = with(
            server(sentinel),
            "names",
            named.map(|index| topology.node(index).address()),
        );
        with(entry, "epoch", opinion.map(|(epoch, _)| epoch))
    };
    let sentinels: Vec<Value> = lab.all_sentinels().map(opinion).collect();
    let fakes: Vec<Value> = lab
        .fakes
        .list()
        .into_iter()
        .map(|(name, address, lie)| json!({ "name": name, "address": address, "lie": lie }))
        .collect();
    let unsettled = topology.unsettled();
    json!({
        "service": topology.service(),
        "primary": topology.try_primary().map(|index| topology.node(index).address()),
        "settled": unsettled.is_none(),
        "unsettled": unsettled,
        "nodes": nodes,
        "sentinels": sentinels,
        "fakes": fakes,
        "all_sentinels": lab.addresses.sentinels,
        "folder": topology.dir().to_string_lossy(),
    })
}

pub(crate) fn json(lab: &Lab) -> String {
    format!("{}\n", all(lab))
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or("-").to_owned()
}

/// One line a server.
pub(crate) fn text(lab: &Lab) -> String {
    let all = all(lab);
    let settled = match all["unsettled"].as_str() {
        None => "settled".to_owned(),
        // What a Sentinel says at length is in the JSON.
        Some(reason) => {
            let first = reason.lines().next().unwrap_or_default();
            format!("not settled: {}", first.split(": [").next().unwrap_or_default())
        }
    };
    let mut text = format!(
        "service {}, primary {}, {settled}\n",
        word(&all["service"]),
        word(&all["primary"])
    );
    let entries = |name: &str| all[name].as_array().cloned().unwrap_or_default();
    let common = |entry: &Value| {
        let pid = entry["pid"].as_u64().map_or("-".into(), |pid| pid.to_string());
        let name = word(&entry["name"]);
        format!(
            "{name:<12} {:<22} {pid:<8} {:<8}",
            word(&entry["address"]),
            word(&entry["state"])
        )
    };
    let fault = |entry: &Value| match entry["fault"].as_str() {
        Some(fault) => format!("  ({fault})"),
        None => String::new(),
    };
    for entry in entries("nodes") {
        text.push_str(&format!(
            "{} {}{}\n",
            common(&entry),
            word(&entry["role"]),
            fault(&entry)
        ));
    }
    for entry in entries("sentinels") {
        let opinion = match entry["epoch"].as_u64() {
            Some(epoch) => format!("names {} at epoch {epoch}", word(&entry["names"])),
            None => "-".into(),
        };
        text.push_str(&format!("{} {opinion}{}\n", common(&entry), fault(&entry)));
    }
    for entry in entries("fakes") {
        let (name, address) = (word(&entry["name"]), word(&entry["address"]));
        text.push_str(&format!("{name:<12} {address:<22} {}\n", word(&entry["lie"])));
    }
    text
}

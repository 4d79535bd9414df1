//! A service as its Sentinels' answers show it. Pure.

use std::cell::Ref;
use std::rc::Rc;

use super::answer::{Address, Answer, Fields, entry_endpoint};
use super::link::{Identity, Link};
use super::verdict::Adopted;
use crate::net::{AddressMap, Endpoint};
use crate::topology::{Node, Role, field};

/// The primary in force with the fields of a Sentinel that names it: rather one whose MASTER shows the same address,
/// which the leader's does not until its own `+switch-master`.
pub(super) fn primary<'a>(
    answers: impl Iterator<Item = &'a Answer> + Clone,
    adopted: &Adopted,
    map: &AddressMap,
) -> Node {
    let named = |answer: &&Answer| match &answer.address {
        Some(Address::At(host, port)) => map.map(Endpoint::new(host, *port)) == adopted.primary,
        _ => false,
    };
    let same = |answer: &&Answer| entry_endpoint(&answer.primary, map).as_ref() == Some(&adopted.primary);
    let answer = answers
        .clone()
        .find(|answer| named(answer) && same(answer))
        .or_else(|| answers.clone().find(named));
    let mut fields = answer.map(|answer| answer.primary.clone()).unwrap_or_default();
    let Endpoint { host, port } = &adopted.primary;
    if answer.is_none_or(|answer| !same(&answer)) {
        set(&mut fields, "ip", host);
        set(&mut fields, "port", &port.to_string());
    }
    set(&mut fields, "config-epoch", &adopted.epoch.to_string());
    Node {
        endpoint: adopted.primary.clone(),
        role: Role::Primary,
        fields,
    }
}

fn set(fields: &mut Fields, name: &str, value: &str) {
    match fields.iter_mut().find(|(key, _)| key == name) {
        Some((_, old)) => value.clone_into(old),
        None => fields.push((name.to_owned(), value.to_owned())),
    }
}

/// The Sentinels of a service: those that answered, with the fields that the others report of them, and those that
/// only the others know.
pub(super) fn sentinels<'a>(
    answered: impl Iterator<Item = (&'a Rc<Link>, &'a Answer)> + Clone,
    map: &AddressMap,
) -> Vec<Node> {
    let entries = answered.clone().flat_map(|(_, answer)| answer.peers.iter().flatten());
    let mut nodes = Vec::new();
    let mut seen: Vec<(Endpoint, Ref<'_, Identity>)> = Vec::new();
    for (link, _) in answered.clone() {
        let identity = link.identity.borrow();
        let reported = entries
            .clone()
            .find(|fields| is_same(link.endpoint(), &identity, fields, map));
        let fields = reported
            .cloned()
            .unwrap_or_else(|| own_fields(link.endpoint(), &identity));
        nodes.push(Node {
            endpoint: link.endpoint().clone(),
            role: Role::Sentinel,
            fields,
        });
        seen.push((link.endpoint().clone(), identity));
    }
    for fields in entries {
        let Some(endpoint) = entry_endpoint(fields, map) else {
            continue;
        };
        let known = seen.iter().any(|(at, identity)| is_same(at, identity, fields, map))
            || nodes.iter().any(|node| node.endpoint == endpoint);
        if !known {
            nodes.push(Node {
                endpoint,
                role: Role::Sentinel,
                fields: fields.clone(),
            });
        }
    }
    nodes
}

/// Whether an entry of SENTINELS is the Sentinel at `endpoint`: by its run id, or by the address it was reached at.
pub(super) fn is_same(endpoint: &Endpoint, identity: &Identity, entry: &Fields, map: &AddressMap) -> bool {
    if identity.run_id.is_some() && identity.run_id.as_deref() == field(entry, "runid") {
        return true;
    }
    let at = entry_endpoint(entry, map);
    at.as_ref() == Some(endpoint) || (at.is_some() && at == identity.peer)
}

fn own_fields(endpoint: &Endpoint, identity: &Identity) -> Fields {
    let at = identity.peer.as_ref().unwrap_or(endpoint);
    let mut fields = vec![
        ("ip".to_owned(), at.host.clone()),
        ("port".to_owned(), at.port.to_string()),
    ];
    fields.extend(
        identity
            .run_id
            .iter()
            .map(|run_id| ("runid".to_owned(), run_id.clone())),
    );
    fields.push(("flags".to_owned(), "sentinel".to_owned()));
    fields
}

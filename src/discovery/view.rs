//! A service as its Sentinels' answers show it. Pure.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::answer::{Answer, Fields, entry_endpoint};
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
    let named = |answer: &&Answer| answer.primary_at(map).as_ref() == Some(&adopted.primary);
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
    let entries: Vec<(Option<Endpoint>, &Fields)> =
        entries.map(|fields| (entry_endpoint(fields, map), fields)).collect();
    let (mut by_run_id, mut by_address) = (HashMap::new(), HashMap::new());
    for (place, (at, fields)) in entries.iter().enumerate() {
        if let Some(run_id) = field(fields, "runid") {
            by_run_id.entry(run_id).or_insert(place);
        }
        if let Some(at) = at {
            by_address.entry(at).or_insert(place);
        }
    }
    let mut nodes = Vec::new();
    let (mut seen, mut run_ids) = (HashSet::new(), HashSet::new());
    for (link, _) in answered {
        let identity = link.identity.borrow();
        let addresses = [Some(link.endpoint()), identity.peer.as_ref()];
        let by_address = addresses.into_iter().flatten().filter_map(|at| by_address.get(at));
        let of_it = identity.run_id.as_deref().and_then(|run_id| by_run_id.get(run_id));
        // The first that is it: by its run id, or by the address that it was reached at.
        let reported = of_it
            .into_iter()
            .chain(by_address)
            .min()
            .and_then(|place| entries.get(*place));
        let fields = reported.map_or_else(
            || own_fields(link.endpoint(), &identity),
            |(_, fields)| Fields::clone(fields),
        );
        nodes.push(Node {
            endpoint: link.endpoint().clone(),
            role: Role::Sentinel,
            fields,
        });
        seen.extend(addresses.into_iter().flatten().cloned());
        run_ids.extend(identity.run_id.clone());
    }
    for (at, fields) in &entries {
        let Some(endpoint) = at else { continue };
        let is_known = field(fields, "runid").is_some_and(|run_id| run_ids.contains(run_id));
        if !is_known && seen.insert(endpoint.clone()) {
            nodes.push(Node {
                endpoint: endpoint.clone(),
                role: Role::Sentinel,
                fields: Fields::clone(fields),
            });
        }
    }
    nodes
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

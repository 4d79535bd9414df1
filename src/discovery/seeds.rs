//! The addresses and names that were given, and the links that each of them has.

use std::rc::Rc;

use super::answer::LinkId;
use super::names::Name;
use super::who::Standing;
use crate::net::Endpoint;

/// One of them.
#[derive(Debug)]
struct Seed {
    endpoint: Endpoint,
    /// None: it is an address.
    name: Option<Rc<Name>>,
    /// The lookups whose outcome the links follow already.
    followed: u64,
    /// One for each address of a name, and one where there is none.
    links: Vec<LinkId>,
    /// The one of them that goes under the name itself: the others go under their addresses.
    lead: Option<LinkId>,
    /// Those of the links that lead to one of ours at an address which the name has no more.
    outdated: Vec<LinkId>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Seeds(Vec<Seed>);

/// What follows from what a name stands for now.
#[derive(Debug)]
pub(super) enum Step {
    /// This link dials another address from now on.
    Redirect(LinkId, Endpoint),
    /// One more link for this address of the name.
    Open(Rc<Name>, Endpoint),
    /// This link leads nowhere any more.
    Close(LinkId),
    /// Whether this link leads to an address that the name has no more: it is kept for whoever is there.
    Outdated(LinkId, bool),
    /// The link under the name itself leads to somebody else's: there is one to this address of the name in its place.
    Replace(LinkId, Rc<Name>, Endpoint),
}

impl Seeds {
    pub(super) fn has(&self, endpoint: &Endpoint) -> bool {
        self.0.iter().any(|seed| seed.endpoint == *endpoint)
    }

    pub(super) fn add(&mut self, endpoint: Endpoint, name: Option<Rc<Name>>, link: LinkId) {
        self.0.push(Seed {
            endpoint,
            name,
            followed: 0,
            links: vec![link],
            lead: Some(link),
            outdated: Vec::new(),
        });
    }

    /// One more link for an address of a name.
    pub(super) fn extend(&mut self, endpoint: &Endpoint, link: LinkId) {
        if let Some(seed) = self.0.iter_mut().find(|seed| seed.endpoint == *endpoint) {
            seed.links.push(link);
        }
    }

    /// The link that goes under the name itself.
    pub(super) fn lead(&mut self, endpoint: &Endpoint, link: LinkId) {
        if let Some(seed) = self.0.iter_mut().find(|seed| seed.endpoint == *endpoint) {
            seed.links.push(link);
            seed.lead = Some(link);
        }
    }

    /// Drops all that are not among these. The links that they had.
    pub(super) fn keep_only(&mut self, endpoints: &[Endpoint]) -> Vec<LinkId> {
        let (kept, gone): (Vec<Seed>, Vec<Seed>) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|seed| endpoints.contains(&seed.endpoint));
        self.0 = kept;
        gone.into_iter().flat_map(|seed| seed.links).collect()
    }

    /// What is to be done for the links to lead to the addresses of their names. `look`: where a link leads, and who answers
    /// there: it is left alone while that is one of ours.
    pub(super) fn follow_names(&mut self, look: impl Fn(LinkId) -> (Option<Endpoint>, Standing)) -> Vec<Step> {
        let mut steps = Vec::new();
        for seed in &mut self.0 {
            let Some(name) = seed.name.clone() else { continue };
            let Ok(found) = name.found() else { continue };
            let is_new = name.lookups() != seed.followed;
            seed.followed = name.lookups();
            if found.is_empty() || (!is_new && seed.links.len() == found.len()) {
                continue;
            }
            let mut addresses: Vec<Endpoint> = Vec::new();
            for at in found {
                let at = Endpoint::new(at.ip().to_string(), at.port());
                if !addresses.contains(&at) {
                    addresses.push(at);
                }
            }
            seed.follow(&name, addresses, &look, &mut steps);
        }
        steps
    }
}

impl Seed {
    fn follow(
        &mut self,
        name: &Rc<Name>,
        addresses: Vec<Endpoint>,
        look: impl Fn(LinkId) -> (Option<Endpoint>, Standing),
        steps: &mut Vec<Step>,
    ) {
        let leads_to = |link: &LinkId| look(*link).0;
        let mut without: Vec<Endpoint> = addresses.clone();
        for link in &self.links {
            without.retain(|at| leads_to(link).as_ref() != Some(at));
        }
        let mut without = without.into_iter();
        let mut closed = Vec::new();
        for link in &self.links {
            let (at, standing) = look(*link);
            let is_there = at.is_some_and(|at| addresses.contains(&at));
            let is_kept = !is_there && standing.has_a_say();
            if is_kept != self.outdated.contains(link) {
                self.outdated.retain(|other| other != link);
                self.outdated.extend(is_kept.then_some(*link));
                steps.push(Step::Outdated(*link, is_kept));
            }
            if is_there || is_kept {
                continue;
            }
            let is_lead = self.lead == Some(*link);
            let at = if is_lead { without.next() } else { None };
            let step = match at {
                Some(at) if standing == Standing::Silent => Step::Redirect(*link, at),
                Some(at) => Step::Replace(*link, Rc::clone(name), at),
                // All addresses of the name have their links.
                None => Step::Close(*link),
            };
            if !matches!(step, Step::Redirect(..)) {
                closed.push(*link);
            }
            steps.push(step);
        }
        self.links.retain(|link| !closed.contains(link));
        self.outdated.retain(|link| self.links.contains(link));
        self.lead.take_if(|lead| closed.contains(lead));
        steps.extend(without.map(|at| Step::Open(Rc::clone(name), at)));
    }
}

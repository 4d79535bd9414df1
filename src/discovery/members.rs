//! What all links of a deployment share: who is who, and how often may be dialled.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Instant;

use tokio::sync::watch;

use super::answer::LinkId;
use super::redial::{Budget, Others};
use super::who::{Standing, Who};
use crate::base::clock;
use crate::net::Endpoint;

/// Who is who among the Sentinels, told and asked by links and watchers.
#[derive(Debug)]
pub struct Members {
    who: RefCell<Who>,
    budget: RefCell<Budget>,
    /// When anything was heard last on each link.
    heard: RefCell<BTreeMap<LinkId, Instant>>,
    changed: watch::Sender<u64>,
}

impl Members {
    /// Nobody yet.
    pub fn new(learns: bool) -> Members {
        Members {
            who: RefCell::new(Who::new(learns)),
            budget: RefCell::default(),
            heard: RefCell::default(),
            changed: watch::Sender::new(0),
        }
    }

    /// Tells whenever somebody came, went, was learnt, or turned out to be somebody else.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Something has changed.
    pub fn tell(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// Looks at, or changes, what is known.
    pub fn with<T>(&self, look: impl FnOnce(&mut Who) -> T) -> T {
        look(&mut self.who.borrow_mut())
    }

    /// Whoever answers on the link is known now.
    pub fn answers(&self, link: LinkId, peer: Option<Endpoint>, run_id: Option<&str>) {
        self.with(|who| who.answers(link, peer, run_id, clock::now()));
        self.tell();
    }

    /// The connection is lost, or was not to be had.
    pub fn fails(&self, link: LinkId) {
        self.with(|who| who.fails(link, clock::now()));
        self.tell();
    }

    /// Whoever is at the end of the link has said something: an answer, an event, a pong.
    pub fn hears(&self, link: LinkId) {
        self.heard.borrow_mut().insert(link, clock::now());
    }

    /// When it did last. None of a link that is no more.
    pub fn heard(&self, link: LinkId) -> Option<Instant> {
        self.heard.borrow().get(&link).copied()
    }

    /// The link is no more.
    pub fn close(&self, link: LinkId) {
        self.heard.borrow_mut().remove(&link);
        self.with(|who| who.close(link));
    }

    /// What the words of whoever is at the end of the link are worth.
    pub fn standing(&self, link: LinkId) -> Standing {
        self.who.borrow().standing(link)
    }

    /// Whether the link's address was given to the program.
    pub fn is_given(&self, link: LinkId) -> bool {
        self.who.borrow().is_given(link)
    }

    /// What the others say of the link's Sentinel.
    pub fn others(&self, link: LinkId) -> Others {
        let who = self.who.borrow();
        match (who.others_answer(link), who.is_held_up(link)) {
            (false, _) => Others::Silent,
            (true, true) => Others::HoldItUp,
            (true, false) => Others::HoldItDown,
        }
    }

    /// Counts the signs that the link's Sentinel can be reached again.
    pub fn revived(&self, link: LinkId) -> u64 {
        self.who.borrow().revived(link)
    }

    /// Whether one of ours answers on another link.
    pub fn others_answer(&self, link: LinkId) -> bool {
        self.who.borrow().others_answer(link)
    }

    /// Lets the link dial, or tells when it may ask again.
    pub fn take_dial(&self, link: LinkId) -> Result<(), Instant> {
        let others_answer = self.others_answer(link);
        let given = u32::try_from(self.who.borrow().given()).unwrap_or(u32::MAX);
        self.budget.borrow_mut().take(others_answer, given, clock::now())
    }
}

//! Calls end at once when there has been no usable node for long enough, where that is asked for. The nodes are tried all
//! the same, and the first verified connection ends it, for all.

use std::time::Instant;

use super::Pool;
use super::keeper::Keeper;
use super::state::{Demand, Route, State};
use crate::base::clock;
use crate::base::error::Error;
use crate::topology::Word;

impl Pool {
    /// Whether a node serves: a connection there was verified, and no dial has failed since, whoever's it was.
    fn is_served(&self, state: &State) -> bool {
        let fails = |route: &Route| self.troubles.since(&route.generation.endpoint).is_some();
        let serves = |route: &Route| route.ready && (route.has_connection() || !fails(route));
        state.routes.iter().any(serves)
    }

    /// Why a call is not to wait for a node.
    #[cold]
    pub(super) fn turned_away(&self, state: &mut State) -> Option<Error> {
        if !state.outage.matters() || self.is_served(state) {
            return None;
        }
        let now = clock::now();
        let absent = state.outage.turns_away(now)?;
        state.outage.is_met(now);
        Some(self.not_found(state).absent_for(absent))
    }
}

impl Keeper {
    /// Those who wait for a node while none serves. Where they have done so for long enough, none does any more. Who waits
    /// then, and whether nodes are to be tried.
    pub(super) fn meet_outage(&mut self, state: &mut State, demand: Demand, now: Instant) -> (Demand, bool) {
        let waits = demand.any() || !state.held.is_empty();
        if !state.outage.matters() || self.pool.is_served(state) {
            return (demand, demand.any());
        }
        if waits {
            state.outage.is_met(now);
        }
        if state.routes.is_empty() && self.none_is_named() {
            state.outage.is_known();
        }
        // What another client of the deployment has found out counts for all.
        let failing = |route: &Route| self.pool.troubles.since(&route.generation.endpoint);
        let failing = state.routes.iter().map(failing).collect::<Option<Vec<_>>>();
        if let Some(since) = failing.and_then(|all| all.into_iter().max()) {
            state.outage.is_known_since(since);
        }
        let wanted = demand.any() || state.outage.is_wanted(now);
        match state.outage.turns_away(now).filter(|_| waits) {
            Some(absent) => {
                let error = self.pool.not_found(state).absent_for(absent);
                state.refuse(&error);
                (state.demand(), wanted)
            }
            None => (demand, wanted),
        }
    }

    /// Whether all Sentinels were asked, and none has named a node.
    fn none_is_named(&self) -> bool {
        let words = self.pool.service.words();
        let asked = |word: &Word| matches!(word, Word::Asked);
        !words.is_empty() && !words.iter().any(|(_, word)| asked(word))
    }
}

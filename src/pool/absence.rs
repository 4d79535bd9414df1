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
    /// Why a call is not to wait for a node.
    #[cold]
    pub(super) fn turned_away(&self, state: &mut State) -> Option<Error> {
        if !state.outage.matters() || state.routes.iter().any(is_served) {
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
        if !state.outage.matters() || state.routes.iter().any(is_served) {
            return (demand, demand.any());
        }
        if waits {
            state.outage.is_met(now);
        }
        if state.routes.is_empty() && self.none_is_named() {
            state.outage.is_known();
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

/// A connection there was verified, and none has failed since.
fn is_served(route: &Route) -> bool {
    route.ready
}

//! The Sentinels that are ours, heard or not.

use std::collections::BTreeMap;

use super::{LinkId, RunId, Standing, Way, Who};

impl Who {
    /// Each Sentinel of ours that is connected to, or would be if it answered: the links that lead to it. Whoever was met
    /// under its run id counts once, however many ways lead there; an address at which nobody has ever been met, and that none
    /// of ours lists, is nobody's.
    pub fn ours(&self) -> Vec<Vec<LinkId>> {
        let mut named: BTreeMap<&RunId, Vec<LinkId>> = BTreeMap::new();
        let mut others = Vec::new();
        for (link, way) in &self.ways {
            let run_id = match way.standing {
                Standing::Stranger => continue,
                Standing::Voice | Standing::Double => way.run_id.as_ref(),
                Standing::Silent => self.expected_at(way),
            };
            match run_id {
                Some(run_id) => named.entry(run_id).or_default().push(*link),
                None if way.standing.has_a_say() || way.was_ours => others.push(vec![*link]),
                None => {}
            }
        }
        others.extend(named.into_values());
        others
    }

    /// Who should answer there.
    pub(super) fn expected_at<'a>(&'a self, way: &'a Way) -> Option<&'a RunId> {
        let of_way = [&way.was, &way.learnt_as].into_iter().flatten();
        let mut known = of_way.filter(|run_id| self.peers.contains_key(*run_id));
        known.next().or_else(|| {
            let mut listed = self.peers.iter();
            let is_there = |at| way.leads_to(at);
            listed
                .find(|(_, peer)| peer.at.as_ref().is_some_and(is_there))
                .map(|(run_id, _)| run_id)
        })
    }
}

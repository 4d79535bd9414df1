//! Who is believed changes: what counts of what was said, and which nodes were those of the first deployment.

use std::time::Instant;

use super::{Act, Council};
use crate::discovery::answer::LinkId;
use crate::net::Endpoint;
use crate::topology::Word;

impl Council {
    /// Whether it was one of the deployment that was believed first.
    pub fn knew_first(&self, node: &Endpoint) -> bool {
        self.first.contains(node)
    }

    /// Others are believed now: the nodes of the first deployment are remembered until it is.
    pub fn remember_the_first(&mut self, remember: bool) {
        if !remember {
            self.first.clear();
        } else if self.first.is_empty() {
            self.first = self.known.iter().chain(&self.past).cloned().collect();
        }
    }

    /// Others are believed than before: nothing that those told counts, nor that they told of it.
    pub fn begin_anew(
        &mut self,
        is_ours: impl Fn(LinkId) -> bool,
        callers: bool,
        now: Instant,
        jitter: f64,
    ) -> Vec<Act> {
        for (_, seat) in self.seats.iter_mut().filter(|(link, _)| !is_ours(**link)) {
            seat.named = None;
            if matches!(seat.word, Word::Names { .. }) {
                seat.word = stranger(&seat.word);
            }
        }
        self.adopted = None;
        self.known.clear();
        self.past.clear();
        self.conclude(callers, now, jitter)
    }
}

/// What somebody says who has no say.
pub fn stranger(word: &Word) -> Word {
    match word {
        Word::Names { primary, epoch, .. } => Word::Stranger(Some((primary.clone(), *epoch))),
        _ => Word::Stranger(None),
    }
}

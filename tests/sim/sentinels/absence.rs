//! All of ours are away, and others are there.

use super::{MS, court};
use crate::kernel::kernel;
use crate::node::{Life, live};

/// A name that leads to ours again is looked up so much later, and its addresses are connected to; a lookup may hang.
const LOOKED_UP: u64 = 14_000 * MS;

/// Nobody of ours is there for a while, and others are.
pub(super) fn eclipse() {
    let living = court(|court| court.living(false));
    let back = kernel().between(1_000 * MS, 15_000 * MS);
    let taken = 1 + kernel().index(living.len());
    for (place, victim) in living.into_iter().enumerate() {
        let slot = court(|court| court.sentinels[victim].slot).unwrap();
        court(|court| court.kill(victim));
        if place < taken {
            kernel().after(kernel().between(0, back / 2), move || {
                court(|court| court.begin(slot, true));
            });
        }
        kernel().after(back, move || {
            court(|court| {
                if let Some(stranger) = court.at(slot) {
                    court.kill(stranger);
                }
                kernel().after(10 * MS, move || super::court(|court| court.start(victim, slot)));
            });
        });
    }
}

/// Ours are out of reach, and their name leads elsewhere: the client may go there, and must come back.
pub(super) fn detour() {
    let back = kernel().between(1_000 * MS, 20_000 * MS);
    let living = court(|court| court.living(false));
    let slots: Vec<usize> = court(|court| living.iter().filter_map(|&who| court.sentinels[who].slot).collect());
    slots.iter().for_each(|&slot| live(slot, Life::Away));
    court(|court| {
        court.diverted = true;
        court.publish_names();
        court.elsewhere_until = kernel().now() + back + LOOKED_UP;
    });
    kernel().after(back, move || {
        slots.iter().for_each(|&slot| live(slot, Life::Up));
        court(|court| {
            court.diverted = false;
            court.publish_names();
        });
    });
}

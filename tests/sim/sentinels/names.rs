//! Names that the program may be given in place of addresses.

use std::net::SocketAddr;
use std::time::Duration;

use super::court::Court;
use super::{address, court, is_running};
use crate::kernel::kernel;
use crate::kernel::trace::tell;

/// Stands for all of ours that run, as the name of a headless service does.
pub(super) const OURS: &str = "ours.lab";

/// Nobody knows it.
pub(super) const NOWHERE: &str = "nowhere.lab";

/// What a resolver does.
pub(crate) enum Found {
    After(Duration, Result<Vec<SocketAddr>, String>),
    /// It hangs.
    Never,
}

pub(crate) fn look_up(name: &str) -> Found {
    let (kernel, unknown) = (kernel(), || Err("Name or service not known".to_owned()));
    let soon = Duration::from_nanos(kernel.between(100_000, 30_000_000));
    if !is_running() || name != OURS {
        return match kernel.one_in(4) {
            true => Found::Never,
            false => Found::After(soon, unknown()),
        };
    }
    // What is told is of before, as where answers are kept.
    let mut addresses: Vec<SocketAddr> = court(|court| court.published.iter().map(|&slot| address(slot)).collect());
    let turn = kernel.index(addresses.len().max(1));
    addresses.rotate_left(turn);
    tell(|| format!("{name} is {addresses:?}"));
    // A name that tells nothing at the start is not heard before the first verdict, and that is another story.
    let begun = kernel.now() > 1_000_000_000;
    match kernel.between(0, 9) {
        0 if begun => Found::Never,
        1 if begun => Found::After(soon, Err("Temporary failure in name resolution".to_owned())),
        _ if addresses.is_empty() => Found::After(soon, unknown()),
        _ => {
            court(Court::has_told);
            Found::After(soon, Ok(addresses))
        }
    }
}

//! The Sentinel that leads a failover loses sight of the replica that it has just promoted, and nobody else does.

use std::time::{Duration, Instant};

use sentinel_lab::{skipped_before, wait_for, wait_until};

use super::network::{Lab, NODES, SENTINELS, first};
use super::{begin, connected, start};
use crate::support::{PATIENCE, SERVICE, SLACK, alone, ms};
use crate::writer::lost;

const CONFIRM: Duration = Duration::from_millis(1000);

fn is_primary(lab: &Lab, host: usize) -> bool {
    let role = lab.ask(host, "ROLE");
    role.is_some_and(|role| role.as_items().first().is_some_and(|word| word.as_text() == "master"))
}

#[test]
fn writes_stop_at_a_replica_whose_promotion_its_leader_cannot_see() {
    if skipped_before((7, 0), "SENTINEL DEBUG, which sets the timers,") {
        return;
    }
    // Two such networks would have the same names.
    let _machine = alone();
    let confirm = CONFIRM.as_millis().to_string();
    let Some((lab, deployment)) = start(&[("failover.confirm_ms", &confirm)]) else {
        return;
    };
    let client = connected(&deployment);
    let (old, noise, writer) = begin(&lab, &client);
    let (leader, heard) = (SENTINELS.start, lab.listen());
    lab.ask(leader, &format!("SENTINEL FAILOVER {SERVICE}"))
        .expect("a failover");
    let promoted = wait_for("a promotion", PATIENCE, || {
        NODES.into_iter().find(|host| *host != old && is_primary(&lab, *host))
    });
    lab.part(leader, promoted, true);
    let cut = Instant::now();
    wait_until("the promotion to be foreseen", PATIENCE, || {
        lab.serving(&client) == Some(promoted)
    });
    wait_until("the Sentinels' word on who the primary is", PATIENCE, || {
        lab.serving(&client) != Some(promoted)
    });
    let left = Instant::now();
    let resumed = writer.wait_for_success(left, PATIENCE);
    // Healed before that, it would lead it to its end.
    wait_until("the failover to be given up", PATIENCE, || {
        first(&heard, &["-failover-abort-slave-timeout"], cut).is_some()
    });
    lab.part(leader, promoted, false);
    let writes = writer.stop();
    let primary = lab.settle();
    assert_eq!(primary, old, "a failover that nobody led to its end");
    let kept = lab.keys_on_primary(primary).expect("the primary's answer");
    let lost = lost(&writes, &kept);
    let last = lost.iter().map(|write| write.done).max();
    println!(
        "netns, the leader cut off from the replica that it promotes: {} acknowledged there, the last {} ms after the cut; \
         served again after {} ms",
        lost.len(),
        ms(last.map_or(Duration::ZERO, |last| last.saturating_duration_since(cut))),
        ms(resumed.done - cut),
    );
    assert!(!lost.is_empty(), "it was not foreseen");
    let late = noise.between(cut, left) + SLACK;
    assert!(last.is_none_or(|last| last <= cut + CONFIRM + late), "{lost:?}");
    assert!(resumed.done <= cut + CONFIRM * 2 + late, "{:?}", resumed.done - cut);
    // What failed was on its way when the primary was left.
    let ended = writes.iter().filter(|write| !write.is_acknowledged());
    assert!(ended.clone().count() <= 2, "{:?}", ended.collect::<Vec<_>>());
}

//! Real partitions: every server in a network namespace of its own, and a switch between them that drops what it likes
//! without a word. The client, this process, stays outside and has one leg in.

mod leader;
mod network;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sentinel::{Client, Deployment, Outcome};
use sentinel_lab::{skipped_before, wait_for, wait_until};

use crate::events::{FLOOR, SWITCH};
use crate::noise::Noise;
use crate::support::{
    P1_FIRST_WRITE, P2_OLD_PRIMARY, P3_DEADLINE, P3_IN_FLIGHT, P5_HALF_OPEN, PATIENCE, SERVICE, SLACK, alone, ms,
    ms_between, options, run, together, write,
};
use crate::writer::{Write, Writer, assert_failed_in_flight, failed, lost};
use network::{FAR, HOSTS, Lab, NEAR, SENTINELS, SWITCHES_WITHIN, first, port};

/// The default of `tcp.user_timeout_ms`: the kernel gives up a silent peer, if no Sentinel named another by then.
const USER_TIMEOUT: Duration = Duration::from_secs(5);
/// No call of the writer ends by its deadline.
const DEADLINE_MS: i64 = 20_000;
/// So long before its first word of it a promotion is foreseen: the INFO period of Sentinel, and what it takes to tell.
const FORESEEN: Duration = Duration::from_millis(1_200);
/// Long enough for TCP to double its pauses beyond what is promised.
const PARTITION: Duration = Duration::from_secs(7);
/// A client that hears no majority for so long sends no more writes, and nothing that began later than this is lost.
const FENCE_MS: &str = "1000";
const FENCED_WITHIN: Duration = Duration::from_millis(1100);
const LONG_PARTITION: Duration = Duration::from_secs(15);
const BACK_WITHIN: Duration = Duration::from_secs(1);

/// The servers, each in a network of its own, and the options that name the Sentinels; none where that cannot be had.
fn start(pairs: &[(&str, &str)]) -> Option<(Lab, Deployment)> {
    let mut lab = Lab::new();
    if let Err(problem) = lab.lay_cables() {
        println!("skipped: network namespaces cannot be made here ({problem})");
        return None;
    }
    lab.start_servers();
    let mut options = options(&[], pairs);
    SENTINELS.for_each(|host| options.add_sentinel(&lab.address(host), port(host)).unwrap());
    let deployment = Deployment::open(&options).unwrap();
    Some((lab, deployment))
}

fn connected(deployment: &Deployment) -> Arc<Client> {
    let client = deployment.primary_for(Some(SERVICE), None).unwrap();
    client.connect(5000).unwrap();
    Arc::new(client)
}

#[test]
fn partitions_of_a_real_network() {
    if skipped_before((7, 0), "SENTINEL DEBUG, which sets the timers,") {
        return;
    }
    let _machine = together();
    let started = Instant::now();
    let Some((lab, deployment)) = start(&[]) else { return };
    let client = connected(&deployment);
    primary_cut_off_from_everyone(&lab, &client);
    client_and_primary_cut_off_from_the_rest(&lab, &client);
    client_cut_off_from_the_primary_alone(&lab, &client);
    println!("netns: {:.1} s in all", started.elapsed().as_secs_f64());
}

#[test]
fn behind_a_fence_what_began_a_second_after_the_cut_is_not_lost() {
    if skipped_before((7, 0), "SENTINEL DEBUG, which sets the timers,") {
        return;
    }
    // Two such networks would have the same names.
    let _machine = alone();
    let Some((lab, deployment)) = start(&[("primary.fence_ms", FENCE_MS)]) else {
        return;
    };
    fenced_client_and_primary_cut_off_from_the_rest(&lab, &connected(&deployment));
}

/// A settled topology without keys, and who writes to it; the primary.
fn begin(lab: &Lab, client: &Arc<Client>) -> (usize, Noise, Writer) {
    let primary = lab.settle();
    write(client, "FLUSHALL");
    let writer = Writer::start(Arc::clone(client), 20, DEADLINE_MS);
    writer.wait_for_success(Instant::now(), PATIENCE);
    (primary, Noise::measure(), writer)
}

fn primary_cut_off_from_everyone(lab: &Lab, client: &Arc<Client>) {
    let (old, noise, writer) = begin(lab, client);
    let heard = lab.listen();
    let cut = Instant::now();
    lab.plug([old], FAR);
    let silent = Instant::now();
    let [event, switch] =
        [FLOOR, SWITCH].map(|channels| wait_for("a switch", SWITCHES_WITHIN, || first(&heard, channels, cut)));
    let good = writer.wait_for_success(silent, PATIENCE);
    lab.plug([old], NEAR);
    // As long as it says that it is the primary, what it holds is what it was sent.
    let look = |_| {
        std::thread::sleep(Duration::from_millis(100));
        lab.keys_on_primary(old)
    };
    let at_old: HashSet<String> = (0..25).filter_map(look).flatten().collect();
    let writes = writer.stop();
    let late = noise.between(event - Duration::from_millis(20), good.done);
    let new = lab.settle();
    let kept = lab.keys_on_primary(new).expect("the new primary's answer");
    let (failures, lost) = (failed(&writes), lost(&writes, &kept));
    let after_event = |at: Instant| format!("{:+.1}", ms_between(event, at));
    let ended = failures.iter().map(|write| write.done);
    let ended = ended.clone().min().zip(ended.max()).expect("calls in flight");
    let (soonest, latest) = (after_event(ended.0), after_event(ended.1));
    let (first_write, switch, noise) = (after_event(good.done), after_event(switch), ms(late));
    let arrived = failures.iter().filter(|write| at_old.contains(&write.key)).count();
    let (event_after, all, failed, lost_ones) = (ms(event - cut), writes.len(), failures.len(), lost.len());
    println!(
        "netns, primary cut off from everyone: first event {event_after} ms after the cut; then, in ms: +switch-master \
         {switch}, calls in flight ended {soonest} to {latest}, first write on the new primary {first_write}; {failed} \
         of {all} calls failed, {arrived} of them arrived after the heal, {lost_ones} acknowledged ones lost; noise {noise} ms"
    );
    let late = late + SLACK;
    assert_ne!(new, old, "no switch");
    assert_failed_in_flight(&writes, event, late);
    for write in failures {
        assert!(write.done <= event + P3_IN_FLIGHT + late, "P3: {write:?}");
        let soonest = (event - FORESEEN).min(write.sent + USER_TIMEOUT);
        assert!(write.done + SLACK >= soonest, "too soon: {write:?}");
    }
    assert!(!at_old.is_empty(), "no look before the demotion");
    assert!(good.done <= event + 2 * P1_FIRST_WRITE + late, "P1: {good:?}");
    let is_stale = |write: &&Write| write.sent > event + P2_OLD_PRIMARY + late && at_old.contains(&write.key);
    assert_eq!(writes.iter().filter(is_stale).count(), 0, "P2");
    assert!(lost.iter().all(|write| write.sent < silent), "lost: {lost:?}");
}

fn client_and_primary_cut_off_from_the_rest(lab: &Lab, client: &Arc<Client>) {
    let (old, noise, writer) = begin(lab, client);
    let rest = || HOSTS.filter(|host| *host != old);
    let switched = lab.switches_in_logs();
    let cut = Instant::now();
    lab.plug(rest(), FAR);
    wait_until("a switch on the other side", SWITCHES_WITHIN, || {
        let now = lab.switches_in_logs();
        now.iter().zip(&switched).all(|(now, then)| now > then)
    });
    let switch = Instant::now();
    std::thread::sleep(PARTITION.saturating_sub(cut.elapsed()));
    writer.wait_for_success(Instant::now(), PATIENCE);
    assert_eq!(lab.serving(client), Some(old));
    let before_heal = writer.writes();
    let healed = Instant::now();
    lab.plug(rest(), NEAR);
    let is_another = || lab.serving(client).is_some_and(|host| host != old);
    wait_until("another primary", PATIENCE, is_another);
    writer.wait_for_success(Instant::now(), PATIENCE);
    let writes = writer.stop();
    let new = lab.settle();
    let kept = lab.keys_on_primary(new).expect("the new primary's answer");
    let lost = lost(&writes, &kept);
    let is_first = |write: &&Write| write.sent > switch && kept.contains(&write.key);
    let moved = writes.iter().find(is_first).expect("writes on the new primary").done;
    let late = noise.between(healed, moved);
    let (took, switch_after, moved_after) = (ms(healed - cut), ms(switch - cut), ms_between(healed, moved));
    let (calls, failed_before, failed_all) = (before_heal.len(), failed(&before_heal), failed(&writes).len());
    let (failed_then, lost_ones, noise) = (failed_all - failed_before.len(), lost.len(), ms(late));
    println!(
        "netns, client and primary cut off: {} of {calls} calls failed in {took} ms, switch on the other side within \
         {switch_after} ms, on the new primary {moved_after:.1} ms after the heal, {failed_then} calls failed then; \
         {lost_ones} acknowledged ones lost to the partition; noise {noise} ms",
        failed_before.len(),
    );
    assert_ne!(new, old, "no switch");
    assert!(failed_before.is_empty(), "P6: {failed_before:?}");
    assert!(moved <= healed + P5_HALF_OPEN + late + SLACK, "P5");
    assert_failed_in_flight(&writes, moved, late + SLACK);
    assert!(lost.iter().all(|write| write.sent < moved), "lost: {lost:?}");
}

/// The same with a fence: what the old primary acknowledges and loses is what it was sent before that closed.
fn fenced_client_and_primary_cut_off_from_the_rest(lab: &Lab, client: &Arc<Client>) {
    let (old, noise, writer) = begin(lab, client);
    let rest = || HOSTS.filter(|host| *host != old);
    let cut = Instant::now();
    lab.plug(rest(), FAR);
    let silent = Instant::now();
    std::thread::sleep(LONG_PARTITION);
    let before_heal = writer.writes();
    let healed = Instant::now();
    lab.plug(rest(), NEAR);
    let near = Instant::now();
    let good = writer.wait_for_success(healed, PATIENCE);
    let writes = writer.stop();
    let new = lab.settle();
    let kept = lab.keys_on_primary(new).expect("the new primary's answer");
    let lost = lost(&writes, &kept);
    let is_first = |write: &&Write| write.is_acknowledged() && write.done >= healed;
    let first = writes
        .iter()
        .filter(is_first)
        .map(|write| write.done)
        .min()
        .expect("writes after the heal");
    let latest = lost.iter().map(|write| write.sent).max();
    let latest = latest.map_or(0.0, |at| ms_between(cut, at));
    let late = noise.between(cut, good.done) + SLACK;
    let (failures, first_after) = (failed(&writes).len(), ms_between(near, first));
    println!(
        "netns, a fenced client and the primary cut off for {LONG_PARTITION:?}: {} acknowledged ones lost, the last of which \
         began {latest:.1} ms after the cut; first write {first_after:.1} ms after the heal; {failures} of {} calls failed; \
         noise {} ms",
        lost.len(),
        writes.len(),
        ms(late),
    );
    assert_ne!(new, old, "no switch");
    assert!(
        lost.iter().all(|write| write.sent <= silent + FENCED_WITHIN + late),
        "lost: {lost:?}"
    );
    let closed = silent + FENCED_WITHIN + late;
    let sent_then = before_heal
        .iter()
        .filter(|write| write.is_acknowledged() && write.sent > closed);
    assert_eq!(sent_then.count(), 0, "written to a primary behind which nobody stands");
    assert!(first <= near + BACK_WITHIN + late, "{first_after} ms");
}

/// What follows a partition may still end connections, and a call that finds none is not in flight.
fn wait_for_a_lasting_connection(client: &Client) {
    let (mut last, mut since) = (None, Instant::now());
    wait_until("the same connection for a second", PATIENCE, || {
        let id = run(client, "CLIENT ID", 0).ok().map(|reply| reply.integer());
        if id.is_none() || id != last {
            (last, since) = (id, Instant::now());
        }
        since.elapsed() >= Duration::from_secs(1)
    });
}

fn client_cut_off_from_the_primary_alone(lab: &Lab, client: &Arc<Client>) {
    const CALL: Duration = Duration::from_millis(1500);
    let (primary, heard) = (lab.settle(), lab.listen());
    wait_for_a_lasting_connection(client);
    write(client, "SET 3:before v");
    let cut = Instant::now();
    lab.part_client_from(primary, true);
    let (sent, noise) = (Instant::now(), Noise::measure());
    let error = run(client, "SET 3:held v", CALL.as_millis() as i64).expect_err("nothing can answer");
    let took = sent.elapsed();
    let late = noise.between(sent, sent + took);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| (run(client, "SET 3:waits v", DEADLINE_MS), Instant::now()));
        std::thread::sleep(PARTITION.saturating_sub(cut.elapsed()));
        let healed = Instant::now();
        lab.part_client_from(primary, false);
        let (result, served) = waiting.join().unwrap();
        let (served_after, noise_then) = (ms_between(healed, served), ms(late));
        println!(
            "netns, client cut off from the primary alone: a call of {CALL:?} in flight took {took:.3?} ({error}), served \
             again {served_after:.1} ms after the heal, noise {noise_then} ms"
        );
        result.unwrap();
        let late = noise.between(healed, served) + SLACK;
        assert!(served <= healed + P5_HALF_OPEN + late, "P5, noise {late:.3?}");
    });
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    assert!(took <= CALL + P3_DEADLINE + late + SLACK, "{took:?}");
    assert!(first(&heard, &["+sdown", "+odown", FLOOR[0], FLOOR[1]], cut).is_none());
    assert_eq!(lab.serving(client), Some(primary));
    assert_eq!(lab.settle(), primary);
}

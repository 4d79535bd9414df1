//! Real partitions: every server in a network namespace of its own, and a switch between them that drops what it likes
//! without a word. The client, this process, stays outside and has one leg in.
//!
//! The switch is two bridges in a namespace without addresses: the kernel answers ARP for each of its addresses on all
//! interfaces of a namespace, so bridges beside the client would let the cut off side find it.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sentinel::{Client, Deployment, Outcome};
use sentinel_lab::{Control, Value, spawn_bound, wait_for, wait_until};

use crate::events::{FLOOR, SWITCH};
use crate::noise::Noise;
use crate::support::{
    P1_FIRST_WRITE, P2_OLD_PRIMARY, P3_DEADLINE, P3_IN_FLIGHT, P5_HALF_OPEN, PATIENCE, SERVICE, SLACK, alone, ms,
    ms_between, options, run, together, write,
};
use crate::writer::{Write, Writer, assert_failed_in_flight, failed, lost};

/// The first three hosts have a data node each, the others a Sentinel.
const NODES: std::ops::Range<usize> = 0..3;
const SENTINELS: std::ops::Range<usize> = 3..6;
const HOSTS: std::ops::Range<usize> = 0..6;
/// Two lengths of an election that failed, and its pauses, above what a switch takes.
const SWITCHES_WITHIN: Duration = Duration::from_secs(30);
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
/// The bridges: where the client is, and where it is not.
const NEAR: &str = "near";
const FAR: &str = "far";
const SENTINELS_OWN: &str = "SENTINEL DEBUG PING-PERIOD 1000 INFO-PERIOD 10000 ASK-PERIOD 1000 PUBLISH-PERIOD 2000 \
                             MIN-LINK-RECONNECT-PERIOD 15000 ELECTION-TIMEOUT 10000";
const SETTLING: &str = "SENTINEL DEBUG PING-PERIOD 240 INFO-PERIOD 300 ASK-PERIOD 100 PUBLISH-PERIOD 400 \
                        MIN-LINK-RECONNECT-PERIOD 300 ELECTION-TIMEOUT 1000 TILT-PERIOD 1000";

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

fn client_cut_off_from_the_primary_alone(lab: &Lab, client: &Arc<Client>) {
    const CALL: Duration = Duration::from_millis(1500);
    let (primary, heard) = (lab.settle(), lab.listen());
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
        assert!(served <= healed + P5_HALF_OPEN + late, "P5");
    });
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    assert!(took <= CALL + P3_DEADLINE + late + SLACK, "{took:?}");
    assert!(first(&heard, &["+sdown", "+odown", FLOOR[0], FLOOR[1]], cut).is_none());
    assert_eq!(lab.serving(client), Some(primary));
    assert_eq!(lab.settle(), primary);
}

/// What the Sentinels publish: the channels, and when.
type Heard = Arc<Mutex<Vec<(Instant, String)>>>;

fn first(heard: &Heard, channels: &[&str], since: Instant) -> Option<Instant> {
    let heard = heard.lock().unwrap();
    let is_wanted = |(at, channel): &&(Instant, String)| *at >= since && channels.contains(&channel.as_str());
    heard.iter().filter(is_wanted).map(|(at, _)| *at).min()
}

/// The namespaces, what connects them, and the servers in them; all is gone when it is dropped.
struct Lab {
    name: String,
    net: String,
    dir: PathBuf,
    servers: Vec<Child>,
}

impl Lab {
    fn new() -> Lab {
        let pid = std::process::id();
        let is_free = |net: &String| ip(&format!("route show {net}.0/24")).is_ok_and(|routes| routes.is_empty());
        let mut nets = (0..250).map(|add| format!("10.213.{}", (pid + add) % 250 + 1));
        let (name, net) = (format!("sn{pid}"), nets.find(is_free).unwrap_or_default());
        let (dir, servers) = (std::env::temp_dir().join(format!("sentinel-netns-{pid}")), Vec::new());
        Lab {
            name,
            net,
            dir,
            servers,
        }
    }

    fn address(&self, host: usize) -> String {
        format!("{}.{}", self.net, 10 + host)
    }

    /// Namespaces `snPID-0` to `snPID-5` and `snPID-s`, the switch; the only interface outside them is `snPID`.
    fn lay_cables(&self) -> Result<(), String> {
        let (name, net) = (&self.name, &self.net);
        let mut orders = vec![format!("netns add {name}-s")];
        orders.extend([NEAR, FAR].map(|bridge| format!("-n {name}-s link add {bridge} up type bridge")));
        orders.push(format!("link add {name} up type veth peer name client netns {name}-s"));
        orders.push(format!("addr add {net}.1/24 dev {name}"));
        orders.push(format!("-n {name}-s link set client master near up"));
        for host in HOSTS {
            let (own, peer) = (format!("{name}-{host}"), format!("host{host} netns {name}-s"));
            orders.push(format!("netns add {own}"));
            orders.push(format!("link add eth0 netns {own} type veth peer name {peer}"));
            orders.push(format!("-n {own} addr add {}/24 dev eth0", self.address(host)));
            orders.push(format!("-n {own} link set eth0 up"));
            orders.push(format!("-n {name}-s link set host{host} master near up"));
        }
        orders.iter().try_for_each(|order| ip(order).map(drop))
    }

    fn plug(&self, hosts: impl IntoIterator<Item = usize>, bridge: &str) {
        for host in hosts {
            ip(&format!("-n {}-s link set host{host} master {bridge}", self.name)).unwrap();
        }
    }

    /// Packets between the client and a host go to an address that nobody has, both ways, or are let through again.
    fn part_client_from(&self, host: usize, apart: bool) {
        let (name, client, server) = (&self.name, format!("{}.1", self.net), self.address(host));
        let (replace, del) = (("replace", "lladdr 02:00:00:00:00:99 nud permanent"), ("del", ""));
        let (verb, address) = if apart { replace } else { del };
        ip(&format!("neigh {verb} {server} dev {name} {address}")).unwrap();
        ip(&format!("-n {name}-{host} neigh {verb} {client} dev eth0 {address}")).unwrap();
    }

    fn start_servers(&mut self) {
        let primary = format!("{} {}", self.address(0), port(0));
        let node = "save \"\"\nrepl-diskless-sync-delay 0";
        self.start(0, node);
        self.start(1, &format!("{node}\nreplicaof {primary}"));
        self.start(2, &format!("{node}\nreplicaof {primary}"));
        wait_until("replicas in sync", PATIENCE, || self.has_replicas(0));
        for host in SENTINELS {
            let timers = format!("down-after-milliseconds {SERVICE} 1000\nsentinel failover-timeout {SERVICE} 3000");
            let lines = format!("sentinel monitor {SERVICE} {primary} 2\nsentinel {timers}");
            self.start(host, &lines);
        }
    }

    fn start(&mut self, host: usize, lines: &str) {
        let (name, port, dir) = (&self.name, port(host), self.dir.join(host.to_string()));
        let common = format!("port {port}\nprotected-mode no\ndir {}\nlogfile log\n", dir.display());
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("conf"), common + lines + "\n").unwrap();
        let server = std::env::var("LAB_SERVER").unwrap_or_else(|_| "redis-server".into());
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &format!("{name}-{host}"), &server]);
        command.arg(dir.join("conf")).stdin(Stdio::null());
        command.args(SENTINELS.contains(&host).then_some("--sentinel"));
        // `ip netns exec` becomes the program: the same process, bound to this one.
        self.servers.push(spawn_bound(command).unwrap());
        wait_for("the answer of a server", PATIENCE, || self.ask(host, "PING"));
    }

    fn ask(&self, host: usize, command: &str) -> Option<Value> {
        let mut control = Control::connect_within((self.address(host).as_str(), port(host)), SLACK * 4).ok()?;
        let args: Vec<&str> = command.split_whitespace().collect();
        control.try_ask(&args).ok().filter(|answer| !answer.is_error())
    }

    fn has_replicas(&self, host: usize) -> bool {
        let info = self.ask(host, "INFO replication").map(|info| info.as_text());
        info.is_some_and(|info| info.contains("role:master") && info.matches("state=online").count() == 2)
    }

    /// What a node holds, if it says afterwards that it is a primary.
    fn keys_on_primary(&self, host: usize) -> Option<HashSet<String>> {
        let keys = self.ask(host, "KEYS *")?;
        let role = self.ask(host, "ROLE")?.as_items().first()?.as_text();
        (role == "master").then(|| keys.as_items().iter().map(Value::as_text).collect())
    }

    /// The host that serves the client.
    fn serving(&self, client: &Client) -> Option<usize> {
        let node = client.node().unwrap()?;
        NODES.into_iter().find(|host| self.address(*host) == node.endpoint.host)
    }

    fn listen(&self) -> Heard {
        let heard = Heard::default();
        for host in SENTINELS {
            let mut control = Control::connect((self.address(host).as_str(), port(host))).unwrap();
            control.ask(&["PSUBSCRIBE", "*"]);
            control.set_timeout(Duration::from_secs(600));
            let heard = Arc::clone(&heard);
            let next = move || Some((control.read().ok()?, Instant::now()));
            let tell = move |(event, at): (Value, _)| heard.lock().unwrap().push((at, event.as_items()[2].as_text()));
            std::thread::spawn(|| std::iter::from_fn(next).for_each(tell));
        }
        heard
    }

    /// How often each Sentinel wrote that it switched: heard even where the client is not.
    fn switches_in_logs(&self) -> Vec<usize> {
        let log = |host: usize| fs::read_to_string(self.dir.join(host.to_string()).join("log")).unwrap_or_default();
        SENTINELS.map(|host| log(host).matches(SWITCH[0]).count()).collect()
    }

    /// Waits with short timers until all agree and nothing moves, and returns the primary. Then the timers are Sentinel's
    /// own again.
    fn settle(&self) -> usize {
        let all = |timers: &str| SENTINELS.into_iter().all(|host| self.ask(host, timers).is_some());
        wait_until("Sentinels that answer", PATIENCE, || all(SETTLING));
        let primary = wait_for("a settled topology", SWITCHES_WITHIN, || {
            let view = self.settled_view(SENTINELS.start)?;
            let all_agree = SENTINELS.into_iter().all(|host| self.settled_view(host) == Some(view));
            (all_agree && self.has_replicas(view)).then_some(view)
        });
        assert!(all(SENTINELS_OWN));
        primary
    }

    /// The primary as a Sentinel sees it, if it sees everything in order.
    fn settled_view(&self, host: usize) -> Option<usize> {
        let ask = |what: &str| self.ask(host, &format!("SENTINEL {what} {SERVICE}"));
        let (primary, replicas, quorum) = (ask("MASTER")?, ask("REPLICAS")?, ask("CKQUORUM")?);
        let (address, replicas) = (primary.field("ip"), replicas.as_items());
        let is = |entry: &Value, name: &str, text: &str| entry.field(name) == text;
        let follows = |replica: &&Value| is(replica, "flags", "slave") && is(replica, "master-host", &address);
        let settled = is(&primary, "flags", "master") && is(&primary, "role-reported", "master");
        let settled = settled && replicas.iter().filter(follows).count() == 2;
        let settled = settled && quorum.as_text().contains("OK 3 usable");
        NODES.into_iter().find(|host| settled && self.address(*host) == address)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for server in &mut self.servers {
            let _ = server.kill().and_then(|()| server.wait());
        }
        // Namespaces go when the kernel finds the time, interfaces at once.
        let name = &self.name;
        let _ = ip(&format!("link del {name}"));
        for host in HOSTS {
            let _ = ip(&format!("-n {name}-s link del host{host}"));
            let _ = ip(&format!("netns del {name}-{host}"));
        }
        let _ = ip(&format!("netns del {name}-s"));
        // After a failure the logs are of use.
        let _ = std::thread::panicking() || fs::remove_dir_all(&self.dir).is_ok();
    }
}

fn port(host: usize) -> u16 {
    if NODES.contains(&host) { 6379 } else { 26379 }
}

fn ip(args: &str) -> Result<String, String> {
    let output = Command::new("ip").args(args.split_whitespace()).output();
    let output = output.map_err(|error| format!("ip: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("ip {args}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

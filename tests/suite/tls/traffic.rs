//! What goes over a TLS connection once it is made: whole values, in the right hands, in time, however the line fares.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use sentinel::{BatchKind, CallOptions, Outcome};
use sentinel_lab::{Cut, Proxy, SetOnDrop, wait_until};

use crate::support::{PATIENCE, SERVICE, SLACK, batch, overrides, run, run_within, text, timed, within};
use crate::tls::world::World;

#[test]
fn large_values_and_batches_arrive_whole_both_ways() {
    let world = World::small();
    let client = world.client(&[("timeout_ms", "60000")]);
    for (megabytes, turns) in [(1usize, 5u8), (64, 1)] {
        for turn in 0..turns {
            let value: Vec<u8> = (0..megabytes << 20)
                .map(|at| (at * 31 + usize::from(turn)).to_le_bytes()[1])
                .collect();
            let set = client
                .command(&[b"SET", b"large", &value], &CallOptions::default())
                .unwrap();
            assert_eq!(set.text(), "OK");
            let got = client.command(&[b"GET", b"large"], &CallOptions::default()).unwrap();
            assert!(got.data() == value, "{megabytes} MiB differ");
        }
    }
    let commands: Vec<String> = (0..20_000).map(|n| format!("SET key:{n} {n}")).collect();
    let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
    let set = client
        .batch(&batch(BatchKind::Pipeline, &commands), &within(60_000))
        .unwrap();
    assert!(set.len() == 20_000 && (0..20_000).all(|n| set.at(n).unwrap().text() == "OK"));
    let gets: Vec<String> = (0..20_000).map(|n| format!("GET key:{n}")).collect();
    let gets: Vec<&str> = gets.iter().map(String::as_str).collect();
    let got = client
        .batch(&batch(BatchKind::Transaction, &gets), &within(60_000))
        .unwrap();
    let own = (0..20_000).all(|n| got.at(n).unwrap().text() == n.to_string());
    assert!(got.len() == 20_000 && own);
}

#[test]
fn a_stalled_line_costs_each_call_its_deadline_and_no_more() {
    let world = World::small();
    let proxy = Proxy::to(world.topology.node(0).port());
    let client = world.client_through(&proxy, &[("pool.direct", "1")]);
    assert_eq!(text(&client, "SET k v"), "OK");
    proxy.black_hole();
    let large = vec![b'x'; 16 << 20];
    for (name, args) in [
        ("small", vec![b"SET".as_slice(), b"k", b"w"]),
        ("large", vec![b"SET", b"k", &large]),
    ] {
        for timeout_ms in [50, 700] {
            let (result, took) = timed(|| client.command(&args, &within(timeout_ms)));
            let error = result.unwrap_err();
            let limit = Duration::from_millis(timeout_ms.unsigned_abs());
            assert!(
                took >= limit && took < limit + SLACK,
                "{name}: {took:?} of {limit:?}: {error}"
            );
        }
    }
    // On lanes too.
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let client = &client;
            scope.spawn(move || {
                let (result, took) = timed(|| run_within(client, "SET k w", 300));
                assert!(result.is_err() && took < Duration::from_millis(300) + SLACK, "{took:?}");
            });
        }
    });
    proxy.pass();
    wait_until("the line to carry calls again", PATIENCE, || {
        run(&client, "SET k v").is_ok()
    });
}

/// Callers count up while the line is cut at any byte: what was counted lies between the calls that were answered and
/// those whose outcome is at least unknown.
fn counts_through_cuts(callers: usize, seed: u64) {
    let world = World::small();
    let proxy = Proxy::to(world.topology.node(0).port());
    let client = world.client_through(&proxy, &[("pool.direct", "1"), ("retry.backoff_max_ms", "20")]);
    assert_eq!(text(&client, "SET n 0"), "OK");
    let (answered, unknown) = (AtomicU64::new(0), AtomicU64::new(0));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _guard = SetOnDrop(&done);
        for _ in 0..callers {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    match run_within(&client, "INCR n", 5000) {
                        Ok(_) => answered.fetch_add(1, Ordering::Relaxed),
                        Err(error) if error.outcome() == Outcome::Unknown => unknown.fetch_add(1, Ordering::Relaxed),
                        Err(_) => 0,
                    };
                }
            });
        }
        let mut random = fastrand_like(seed);
        for turn in 0..60 {
            let (bytes, how) = (random() % 3000, if turn % 2 == 0 { Cut::Close } else { Cut::Reset });
            let before = proxy.connections().len();
            match random() % 2 {
                0 => proxy.cut_after_from_client(bytes, how),
                _ => proxy.cut_after_from_server(bytes, how),
            }
            wait_until("a cut", PATIENCE, || proxy.connections().len() > before);
            proxy.pass();
        }
    });
    let (answered, unknown) = (answered.into_inner(), unknown.into_inner());
    let counted: u64 = text(&client, "GET n").parse().unwrap();
    let told = format!("seed {seed}: {answered} answered, {unknown} unknown, {counted} counted");
    assert!(
        answered > 0 && (answered..=answered + unknown).contains(&counted),
        "{told}"
    );
}

/// Numbers that follow from a seed.
fn fastrand_like(mut state: u64) -> impl FnMut() -> usize {
    move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 40).unwrap()
    }
}

#[test]
fn cut_at_random_bytes_a_lone_callers_writes_are_never_counted_wrong() {
    counts_through_cuts(1, 7);
}

#[test]
fn cut_at_random_bytes_a_crowds_writes_are_never_counted_wrong() {
    counts_through_cuts(8, 11);
}

#[test]
fn a_crowd_gets_its_own_replies_over_lanes() {
    let world = World::small();
    let client = world.open(&[]);
    let client = client.primary_for(
        Some(SERVICE),
        Some(&overrides(&[("pool.direct", "1"), ("pool.lanes", "2")])),
    );
    let client = client.unwrap();
    std::thread::scope(|scope| {
        for caller in 0..16usize {
            let client = &client;
            scope.spawn(move || {
                for turn in 0..60usize {
                    let own = "x".repeat((caller * 977 + turn * 7919) % 40_000) + &format!("{caller}:{turn}");
                    assert_eq!(text(client, &format!("ECHO {own}")), own);
                }
            });
        }
    });
}

#[test]
fn an_idle_connection_outlives_what_the_protocol_sends_unasked_and_notices_a_close() {
    let world = World::small();
    let client = world.client(&[("pool.direct", "1")]);
    assert_eq!(text(&client, "SET k v"), "OK");
    let id = || run(&client, "CLIENT ID").unwrap().integer();
    let first = id();
    // The tickets of the handshake have come by now; the connection must not be taken for one with a stray reply.
    assert_eq!(text(&client, "GET k"), "v");
    assert_eq!(id(), first);
    world.topology.node(0).ask(&["CLIENT", "KILL", "TYPE", "normal"]);
    let counted = run(&client, "INCR n").unwrap();
    assert_eq!(counted.integer(), 1, "a close is known before anything is written");
    assert_ne!(id(), first);
}

//! The library through its Rust API, against real servers and scripted peers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr
)]

/// One call or batch: how long it may take, what it is told, and what was done meanwhile.
mod calls {
    mod batches;
    pub mod bulk;
    mod cuts;
    mod deadlines;
    mod durable;
    mod faults;
    mod learnt;
    mod modules;
    mod own_words;
    mod patience;
    mod refusals;
    mod scans;
    mod scripts;
}
/// Logins: the first words on a connection, other credentials while it is in use, and where secrets may be.
mod credentials {
    mod greeting;
    mod renewals;
    mod rotation;
    mod secrets;
}
/// What is learnt of the Sentinels, which of them are believed, and what is done when they are silent or wrong.
mod discovery {
    mod balanced;
    mod crowded;
    mod eclipsed;
    mod events;
    mod failures;
    mod nodes;
    mod real;
    mod updates;
}
/// What calls see while the primary changes, and what is left of it afterwards.
mod failover {
    mod counting;
    mod double_faults;
    mod fenced;
    mod foreseen;
    mod leaks;
    mod paused;
    mod real;
    mod refuted;
    mod shutdown;
    mod untold;
}
/// Deployments, clients and connections: opening, closing, dropping, in any order and by any thread.
mod handles {
    mod cancelled;
    mod clients;
    mod disorder;
    pub mod lifecycle;
}
/// What an operator sees: numbers, events, log lines, descriptions.
mod observability {
    mod metrics;
    pub mod observe;
}
/// Connections to the nodes: who shares which, who waits for one, and when one is made, watched and given back.
mod pool {
    mod absent;
    mod dials;
    mod isolation;
    mod lanes;
    mod slots;
    mod turns;
}
/// The process around the library: signals, forks, limits, and the files of the system.
mod process {
    mod elsewhere;
    pub mod forks;
    mod signals;
}
/// Subscriptions: what they hear, what they lose and are told of it, what they leave behind.
mod pubsub {
    mod ends;
    mod gaps;
    pub mod hearing;
    mod subscriptions;
}
/// Clients of the replicas: which node serves, how old its data may be, and what happens when none can.
mod reads {
    mod replicas;
    mod stale;
}
/// Sockets that speak RESP for programs with a client library of their own.
mod serve {
    mod channels;
    mod crowded;
    mod differential;
    mod failovers;
    mod hostile;
    mod memory;
    mod order;
    pub mod peer;
    mod programs;
    mod shapes;
    mod transactions;
}
/// Calls that no thread waits for, and what their queues and callbacks get.
mod submitted {
    mod completions;
    mod pending;
    mod storm;
    mod trying;
}
/// TLS to Sentinels and nodes.
mod tls {
    mod handshakes;
    mod probes;
    pub mod records;
    mod slow;
    mod storm;
    mod traffic;
    mod trust;
    pub mod world;
}
/// What a peer may send and how it arrives: replies of every kind, in pieces, in the wrong order, or no protocol at all.
mod wire {
    mod hostile;
    mod pairing;
    pub mod rendered;
    mod replies;
}

mod rows;
mod support;

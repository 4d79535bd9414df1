//! How connections of TLS begin.

use std::time::Duration;

use sentinel_lab::Proxy;

use crate::tls::World;

#[test]
fn a_slow_handshake_is_one_connection() {
    let world = World::small();
    let proxy = Proxy::to(world.topology.node(0).port());
    // Two ways there and back: half a second.
    proxy.delay(Duration::from_millis(125));
    let client = world.client_through(&proxy, &[("connect_timeout_ms", "5000")]);
    client.connect(10_000).unwrap();
    assert_eq!(proxy.connections().len(), 1);
}

//! How connections of TLS begin: one hello each, sessions that are taken up again, and certificates out of the ordinary.

use std::time::Duration;

use sentinel_lab::{Config, Proxy, Tls, skipped_before, wait_until};

use crate::support::{PATIENCE, run, text};
use crate::tls::world::{NAMES, World, assert_tls};

/// Made by `openssl x509 -req` without extensions, as many were before there was a reason for any.
const OF_VERSION_1: [&str; 2] = [
    "\
-----BEGIN CERTIFICATE-----
MIIBGDCBvwIUdm6yNG7X228fnXiSNNjd6B+Rns8wCgYIKoZIzj0EAwIwDjEMMAoG
A1UEAwwDb2xkMCAXDTI2MTEyODE2MDUzN1oYDzIxMjYxMTA0MTYwNTM3WjAOMQww
CgYDVQQDDANvbGQwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATPLX1POip2w95Z
0hlOPZ0/A/3GMyjkOBFKSDv27wxXRhscX0bwAHK2lY08uNckTdpAbSbGchX6q52o
pray6h8YMAoGCCqGSM49BAMCA0gAMEUCIQDGwM8pg2fpC6wuPjYrDhuctwnNR1QL
OIKsORnFTgU+fQIgCuY9IKOrzq1vIpEN6AVqPxO0Nm/teUu3UFqtwf/B1mo=
-----END CERTIFICATE-----
",
    "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgdoxrf7LtUnnrzlGr
WbPTP/JcXXDtYJShBSTzjurfCo6hRANCAATPLX1POip2w95Z0hlOPZ0/A/3GMyjk
OBFKSDv27wxXRhscX0bwAHK2lY08uNckTdpAbSbGchX6q52opray6h8Y
-----END PRIVATE KEY-----
",
];

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

#[test]
fn a_server_that_breaks_off_where_it_is_shown_its_ticket_is_shown_none_any_more() {
    for versions in ["TLSv1.3", "TLSv1.2"] {
        let protocols = format!("tls-protocols {versions}");
        let config = Config::default().nodes(1).sentinels(1).node_line(&protocols);
        let config = config.node_line("tls-session-caching no").node_line("loglevel verbose");
        let world = World::new(config, |tls| Tls {
            clients_have_certificates: true,
            ..tls
        });
        let own = world.authority.issue("client", &["client.example"]);
        let client = world.client(&[
            ("sentinel.tls.cert_file", own.cert()),
            ("sentinel.tls.key_file", own.key()),
            ("tls.cert_file", own.cert()),
            ("tls.key_file", own.key()),
        ]);
        for _ in 0..5 {
            assert_eq!(text(&client, "SET k v"), "OK", "{versions}");
            world.topology.node(0).ask(&["CLIENT", "KILL", "TYPE", "normal"]);
        }
        let log = std::fs::read_to_string(world.topology.node(0).dir().join("log")).unwrap();
        let broken = log
            .lines()
            .filter(|line| line.contains("session id context uninitialized"));
        assert_eq!(broken.count(), 1, "{versions}");
    }
}

/// A primary whose certificate is this one; its Sentinel keeps its own.
fn with_certificate(cert: &str, key: &str) -> World {
    let config = Config::default().nodes(1).sentinels(1);
    let world = World::new(config, |tls| Tls {
        among_servers: false,
        ..tls
    });
    let pair = ["CONFIG", "SET", "tls-cert-file", cert, "tls-key-file", key];
    let reply = world.topology.node(0).ask(&pair);
    assert!(!reply.is_error(), "{reply:?}");
    world
}

/// Learns nothing, and finds the primary's port of TLS where Sentinels name the plain one.
fn to_tls(world: &World) -> String {
    let node = world.topology.node(0);
    format!("127.0.0.1:{}=127.0.0.1:{}", node.port(), node.other_port())
}

#[test]
fn a_certificate_of_version_1_serves_where_nobody_looks_at_it_and_is_called_so_otherwise() {
    if skipped_before((7, 0), "certificate and key in one CONFIG SET") {
        return;
    }
    let folder = World::small();
    let (cert, key) = (folder.authority.path("v1.pem"), folder.authority.path("v1.key"));
    std::fs::write(&cert, OF_VERSION_1[0]).unwrap();
    std::fs::write(&key, OF_VERSION_1[1]).unwrap();
    let world = with_certificate(&cert, &key);
    let map = to_tls(&world);
    let own = [("sentinel.learn", "0"), ("address.map", map.as_str())];
    assert_tls(&world.client(&own), "the certificate is not of X.509 version 3");
    for versions in ["TLSv1.3", "TLSv1.2"] {
        let reply = world
            .topology
            .node(0)
            .ask(&["CONFIG", "SET", "tls-protocols", versions]);
        assert!(!reply.is_error(), "{reply:?}");
        let client = world.client(&[own[0], own[1], ("tls.verify", "none")]);
        wait_until(versions, PATIENCE, || run(&client, "SET k v").is_ok());
    }
}

#[test]
fn a_certificate_without_any_name_is_called_so() {
    if skipped_before((7, 0), "certificate and key in one CONFIG SET") {
        return;
    }
    let folder = World::small();
    let nameless = folder.authority.issue("nameless", &[]);
    let world = with_certificate(nameless.cert(), nameless.key());
    let (map, ca) = (to_tls(&world), folder.authority.ca());
    let own = [
        ("sentinel.learn", "0"),
        ("address.map", map.as_str()),
        ("tls.ca_file", ca.as_str()),
    ];
    let cause = format!("is not that of {}: it has no subject alternative name", NAMES[0]);
    assert_tls(&world.client(&own), &cause);
}

//! The key table against the settings, every refusal, overrides and secrecy.

use std::time::Duration;

use super::*;
use crate::net::{AddressMap, Credentials, TcpSettings};

pub(super) fn with_sentinel() -> Options {
    let mut options = Options::new();
    options.add_sentinel("localhost", 26379).expect("a good address");
    options
}

/// The message of what must fail.
pub(super) fn refused<T: fmt::Debug>(result: Result<T>) -> String {
    result.expect_err("it must be refused").to_string()
}

#[test]
fn every_key_is_described_and_takes_its_default() {
    for (index, key) in keys().iter().enumerate() {
        assert!(!key.help.is_empty(), "{} has no meaning", key.name);
        assert!(!key.help.ends_with('.') && !key.help.contains('|'), "{}", key.help);
        assert!(
            !keys()[..index].iter().any(|other| other.name == key.name),
            "{}",
            key.name
        );
        assert!(key.value_of_text(key.default).is_ok(), "{}: its own default", key.name);
        let in_c = [key.in_c.name, key.in_c.default, key.in_c.help].map(|text| text.to_str());
        assert_eq!(in_c, [key.name, key.default, key.help].map(Ok));
    }
}

/// What its default and its least and most are, and what is beyond them.
#[test]
fn a_number_is_taken_in_its_range_and_nowhere_else() {
    for key in keys() {
        let (min, max) = key.range();
        let takes = |number: i64| Options::new().set_int(key.name, number).is_ok();
        match key.kind {
            Kind::Int { .. } | Kind::Limit | Kind::Flag => {
                assert!(takes(min) && takes(max), "{}", key.name);
                let below = key.kind == Kind::Limit && min - 1 == -1;
                assert_eq!(takes(min - 1), below, "{} below", key.name);
                assert!(max == i64::MAX || !takes(max + 1), "{} above", key.name);
                assert_eq!(takes(-1), key.kind == Kind::Limit || min == -1, "{} -1", key.name);
            }
            _ => assert_eq!((min, max), (0, 0), "{}", key.name),
        }
    }
}

/// Another value of the key than its default.
fn another(key: &Key) -> String {
    match key.kind {
        Kind::Int { min, max } => {
            let default: i64 = key.default.parse().expect(key.name);
            let other = if default < max { default + 1 } else { default - 1 };
            assert!((min..=max).contains(&other), "{}", key.name);
            other.to_string()
        }
        Kind::Limit => "77".into(),
        Kind::Flag => if key.default == "0" { "1" } else { "0" }.into(),
        Kind::AddressMap => "a:1=b:2".into(),
        Kind::Choice(_) => {
            let mut words = key.words().to_str().expect(key.name).split(' ');
            words.rfind(|word| *word != key.default).expect(key.name).into()
        }
        Kind::Text | Kind::User | Kind::ClientName | Kind::Secret => "else".into(),
    }
}

#[test]
fn every_key_is_read_where_its_scope_says() {
    let told = |options: &Options| {
        let (deployment, client) = (options.deployment(), options.client());
        (
            format!("{:?}", deployment.expect("good")),
            format!("{:?}", client.expect("good")),
        )
    };
    for key in keys() {
        let mut before = with_sentinel();
        // What belongs to TLS is read where it is spoken, and a certificate with its key.
        if let Some((prefix, name)) = key
            .name
            .rsplit_once("tls.")
            .map(|(front, name)| (format!("{front}tls"), name))
        {
            before.set(&prefix, "1").expect("a flag");
            for (given, wanted) in [("cert_file", "key_file"), ("key_file", "cert_file")] {
                if name == given {
                    before.set(key.name, "one").expect("a file");
                    before.set(&format!("{prefix}.{wanted}"), "two").expect("a file");
                }
            }
        }
        let mut after = before.clone();
        after.set(key.name, &another(key)).expect(key.name);
        let (before, after) = (told(&before), told(&after));
        let reads = (before.0 != after.0, before.1 != after.1);
        let scope = match key.scope {
            Scope::Deployment => (true, false),
            Scope::Client => (false, true),
            Scope::Both => (true, true),
        };
        assert_eq!(reads, scope, "{} is read by (the deployment, the clients)", key.name);
        // The default is in force where nothing is set.
        let mut same = with_sentinel();
        same.set(key.name, key.default).expect(key.name);
        assert_eq!(told(&same), told(&with_sentinel()), "{}", key.name);
    }
}

/// What stands for "off" and "none" in the table.
#[test]
fn what_is_off_by_default_is_off_in_the_settings() {
    let deployment = with_sentinel().deployment().expect("the defaults are good");
    assert_eq!(deployment.sentinels, [Endpoint::new("localhost", 26379)]);
    assert_eq!((deployment.service, deployment.client_name), (None, None));
    assert_eq!(deployment.credentials, Credentials::default());
    assert_eq!(deployment.address_map, AddressMap::default());
    assert_eq!(deployment.tls, None);
    let client = Options::new().client().expect("the defaults are good");
    assert_eq!(client.credentials, Credentials::default());
    assert_eq!((client.client_name, client.tls), (None, None));
    assert_eq!((client.max_link_down, client.max_lag_bytes), (None, None));
    assert_eq!(client.replica_select, Select::RoundRobin);
    assert_eq!(client.idle_timeout, Some(Duration::from_secs(60)));
}

#[test]
fn every_value_reaches_its_setting() {
    let mut options = with_sentinel();
    for (key, value) in [
        ("sentinel.username", "watcher"),
        ("sentinel.password", "s3cret"),
        ("sentinel.connect_timeout_ms", "11"),
        ("sentinel.timeout_ms", "12"),
        ("sentinel.min_other_sentinels", "2"),
        ("sentinel.learn", "0"),
        ("discovery.refresh_ms", "0"),
        ("username", "app"),
        ("database", "15"),
        ("client_name", "shop-7"),
        ("client_info", "0"),
        ("protocol", "2"),
        ("timeout_ms", "-1"),
        ("connect_timeout_ms", "13"),
        ("tcp.keepalive_s", "0"),
        ("tcp.user_timeout_ms", "0"),
        ("tcp.nodelay", "0"),
        ("tls", "1"),
        ("tls.ca_file", "/etc/ca.pem"),
        ("tls.server_name", "db.example"),
        ("sentinel.tls", "1"),
        ("sentinel.tls.cert_file", "c.pem"),
        ("sentinel.tls.key_file", "k.pem"),
        ("pool.direct", "4"),
        ("pool.lanes", "3"),
        ("pool.max_connections", "5"),
        ("pool.idle_timeout_ms", "0"),
        ("max_pending", "6"),
        ("retry.backoff_min_ms", "7"),
        ("retry.backoff_max_ms", "8"),
        ("replica.select", "latency"),
        ("replica.fallback_to_primary", "0"),
        ("replica.max_link_down_ms", "9"),
        ("replica.max_lag_bytes", "0"),
        ("max_reply_bytes", "1024"),
        ("max_reply_depth", "8"),
        ("address.map", "a:1=b:2"),
    ] {
        options.set(key, value).expect(key);
    }
    options
        .set_secret("password", b"\0\xff")
        .expect("any bytes are a password");

    let deployment = options.deployment().expect("all good");
    assert_eq!(deployment.credentials.username.as_deref(), Some("watcher"));
    assert_eq!(deployment.credentials.password, Some(Secret::new(b"s3cret")));
    assert_eq!(
        (
            deployment.connect_timeout.as_millis(),
            deployment.answer_timeout.as_millis()
        ),
        (11, 12)
    );
    assert_eq!(
        (deployment.min_other_sentinels, deployment.learn, deployment.refresh),
        (2, false, None)
    );
    assert_eq!(deployment.tls.and_then(|tls| tls.key_file).as_deref(), Some("k.pem"));
    assert_eq!(deployment.address_map.map(Endpoint::new("A", 1)), Endpoint::new("b", 2));
    assert_eq!(
        (deployment.backoff_min.as_millis(), deployment.backoff_max.as_millis()),
        (7, 8)
    );
    assert_eq!(deployment.timeout_ms, -1);

    let client = options.client().expect("all good");
    assert_eq!(
        client.credentials.password.as_ref().map(Secret::as_bytes),
        Some(&b"\0\xff"[..])
    );
    assert_eq!(client.credentials.username.as_deref(), Some("app"));
    assert_eq!(
        (client.database, client.client_name.as_deref(), client.protocol),
        (15, Some("shop-7"), 2)
    );
    assert_eq!(deployment.client_name.as_deref(), Some("shop-7"));
    assert!(!client.client_info && !deployment.client_info);
    assert_eq!((client.timeout_ms, client.connect_timeout.as_millis()), (-1, 13));
    assert_eq!(
        client.tcp,
        TcpSettings {
            keepalive: None,
            user_timeout: None,
            nodelay: false
        }
    );
    assert_eq!(
        client.tls.as_ref().and_then(|tls| tls.ca_file.as_deref()),
        Some("/etc/ca.pem")
    );
    assert_eq!(
        client.tls.as_ref().and_then(|tls| tls.server_name.as_deref()),
        Some("db.example")
    );
    assert_eq!(
        (client.direct, client.lanes, client.max_connections, client.max_pending),
        (4, 3, 5, 6)
    );
    assert_eq!((client.idle_timeout, client.replica_select), (None, Select::Latency));
    assert!(!client.fallback_to_primary);
    assert_eq!(
        (client.max_link_down, client.max_lag_bytes),
        (Some(Duration::from_millis(9)), Some(0))
    );
    assert_eq!((client.limits.max_bytes, client.limits.max_depth), (1024, 8));
}

#[test]
fn a_bad_value_names_the_key_and_what_it_takes() {
    let ms = "1 to 2147483647";
    for (key, value, message) in [
        (
            "pool.direct",
            "abc",
            "pool.direct: \"abc\" is not an integer from 1 to 1024".to_owned(),
        ),
        (
            "pool.direct",
            "0",
            "pool.direct: \"0\" is not an integer from 1 to 1024".to_owned(),
        ),
        (
            "pool.lanes",
            " 1",
            "pool.lanes: \" 1\" is not an integer from 1 to 64".to_owned(),
        ),
        (
            "pool.lanes",
            "1 ",
            "pool.lanes: \"1 \" is not an integer from 1 to 64".to_owned(),
        ),
        (
            "pool.lanes",
            "+1",
            "pool.lanes: \"+1\" is not an integer from 1 to 64".to_owned(),
        ),
        (
            "pool.lanes",
            "",
            "pool.lanes: \"\" is not an integer from 1 to 64".to_owned(),
        ),
        (
            "pool.lanes",
            "-",
            "pool.lanes: \"-\" is not an integer from 1 to 64".to_owned(),
        ),
        (
            "pool.lanes",
            "1e1",
            "pool.lanes: \"1e1\" is not an integer from 1 to 64".to_owned(),
        ),
        (
            "timeout_ms",
            "0",
            format!("timeout_ms: \"0\" is not an integer from {ms}, or -1 for no limit"),
        ),
        (
            "timeout_ms",
            "-2",
            format!("timeout_ms: \"-2\" is not an integer from {ms}, or -1 for no limit"),
        ),
        (
            "connect_timeout_ms",
            "0",
            format!("connect_timeout_ms: \"0\" is not an integer from {ms}"),
        ),
        (
            "sentinel.connect_timeout_ms",
            "-1",
            format!("sentinel.connect_timeout_ms: \"-1\" is not an integer from {ms}"),
        ),
        (
            "protocol",
            "1",
            "protocol: \"1\" is not an integer from 2 to 3".to_owned(),
        ),
        (
            "database",
            "2147483648",
            "database: \"2147483648\" is not an integer from 0 to 2147483647".to_owned(),
        ),
        ("tls", "yes", "tls: \"yes\" is not 0 or 1".to_owned()),
        ("tls", "2", "tls: \"2\" is not 0 or 1".to_owned()),
        (
            "tls.ca_file",
            "a\0b",
            "tls.ca_file: \"a\\0b\" is not text without control characters".to_owned(),
        ),
        (
            "client_name",
            "a b",
            "client_name: \"a b\" is not printable ASCII without spaces".to_owned(),
        ),
        (
            "client_name",
            "a\r\nb",
            "client_name: \"a\\r\\nb\" is not printable ASCII without spaces".to_owned(),
        ),
        (
            "client_name",
            "é",
            "client_name: \"é\" is not printable ASCII without spaces".to_owned(),
        ),
        (
            "username",
            "a\0b",
            "username: it takes text without control characters".to_owned(),
        ),
        (
            "replica.select",
            "Random",
            "replica.select: \"Random\" is not one of round_robin, random, latency".to_owned(),
        ),
        (
            "replica.select",
            "",
            "replica.select: \"\" is not one of round_robin, random, latency".to_owned(),
        ),
        (
            "replica.max_lag_bytes",
            "-2",
            format!(
                "replica.max_lag_bytes: \"-2\" is not an integer from -1 to {}",
                i64::MAX
            ),
        ),
        (
            "address.map",
            "a=b",
            "address.map: entry 1: on the left the port is missing; it takes from_host:port=to_host:port[#name],..."
                .to_owned(),
        ),
    ] {
        let mut options = Options::new();
        assert_eq!(refused(options.set(key, value)), message);
        assert!(options.values.is_empty(), "{key} was set all the same");
    }
    let long = refused(Options::new().set("pool.lanes", &"9".repeat(1000)));
    assert!(long.len() < 120 && long.contains("999..."), "{long}");
}

#[test]
fn each_door_takes_what_it_is_for() {
    let mut options = Options::new();
    for key in keys() {
        let text = options.set_int(key.name, 1);
        let secret = options.set_secret(key.name, b"1");
        let (is_int, is_secret) = match key.kind {
            Kind::Int { min, .. } => (min <= 1, false),
            Kind::Limit | Kind::Flag => (true, false),
            Kind::User | Kind::Secret => (false, true),
            Kind::Text | Kind::ClientName | Kind::AddressMap | Kind::Choice(_) => (false, false),
        };
        assert_eq!((text.is_ok(), secret.is_ok()), (is_int, is_secret), "{}", key.name);
    }
    assert_eq!(
        refused(options.set_int("client_name", 1)),
        "client_name: it takes text, not an integer"
    );
    assert_eq!(
        refused(options.set_int("password", 1)),
        "password: it takes text, not an integer"
    );
    let select = refused(options.set_int("replica.select", 1));
    assert_eq!(
        select,
        "replica.select: it takes text: one of round_robin, random, latency"
    );
    assert_eq!(
        refused(options.set_int("pool.direct", -7)),
        "pool.direct: -7 is not an integer from 1 to 1024"
    );
    assert_eq!(refused(options.set_int("tls", 2)), "tls: 2 is not 0 or 1");
    let not_secret = refused(options.set_secret("database", b"1"));
    assert!(
        not_secret.starts_with("database: it is not a secret: set it as text or integer"),
        "{not_secret}"
    );
    let utf8 = options.set_secret("sentinel.username", b"\xff").expect_err("not UTF-8");
    assert_eq!(
        utf8.kind(),
        &ErrorKind::InvalidUtf8 {
            argument: "sentinel.username".into()
        }
    );
}

#[test]
fn an_unknown_key_is_an_unknown_option_at_every_door() {
    let mut options = Options::new();
    let unknown = ErrorKind::UnknownOption {
        key: "pool.size".into(),
    };
    assert_eq!(
        options.set("pool.size", "1").map_err(|error| error.kind().clone()),
        Err(unknown.clone())
    );
    assert_eq!(
        options.set_int("pool.size", 1).map_err(|error| error.kind().clone()),
        Err(unknown.clone())
    );
    assert_eq!(
        options
            .set_secret("pool.size", b"1")
            .map_err(|error| error.kind().clone()),
        Err(unknown)
    );
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    assert_eq!(
        refused(Options::new().deployment()),
        "options: no Sentinel: call sentinel_options_add_sentinel"
    );
    let with = |values: &[(&str, &str)]| {
        let mut options = with_sentinel();
        values
            .iter()
            .for_each(|(key, value)| options.set(key, value).expect(key));
        options
    };
    let backoff = with(&[("retry.backoff_min_ms", "600")]);
    let message = "retry.backoff_min_ms: 600 is more than the 500 of retry.backoff_max_ms";
    assert_eq!(refused(backoff.client()), message);
    assert_eq!(refused(backoff.deployment()), message);
    let unverified = with(&[("tls", "1"), ("tls.verify", "none"), ("sentinel.tls", "1")]);
    let warning = unverified
        .client()
        .ok()
        .and_then(|client| client.tls)
        .and_then(|tls| tls.warning());
    assert_eq!(
        warning.as_deref(),
        Some("tls.verify is none: whoever answers is taken for the data nodes")
    );
    let no_key = with(&[("tls", "1"), ("tls.cert_file", "c.pem")]);
    assert_eq!(refused(no_key.client()), "tls.cert_file: it needs tls.key_file");
    let no_cert = with(&[("sentinel.tls", "1"), ("sentinel.tls.key_file", "k.pem")]);
    assert_eq!(
        refused(no_cert.deployment()),
        "sentinel.tls.key_file: it needs sentinel.tls.cert_file"
    );
    assert!(
        with(&[("tls.cert_file", "c.pem")])
            .client()
            .is_ok_and(|client| client.tls.is_none())
    );
}

//! Sentinels, overrides and the log hook; no secret is ever shown.

use super::tests::{refused, with_sentinel};
use super::*;
use crate::net::Credentials;

#[test]
fn sentinels_are_checked_and_kept_once() {
    let mut options = Options::new();
    for (host, port) in [
        ("Redis-1", 1),
        ("redis-1", 1),
        ("redis-1", 2),
        ("::1", 1),
        ("[0:0::1]", 1),
    ] {
        options.add_sentinel(host, port).expect(host);
    }
    let shown: Vec<String> = options.sentinels().iter().map(Endpoint::to_string).collect();
    assert_eq!(shown, ["Redis-1:1", "redis-1:2", "[::1]:1"]);
    for (host, port, message) in [
        ("", 1, "host: the host is empty"),
        ("a b", 1, "host: the host contains a space or control character"),
        ("a\n", 1, "host: the host contains a space or control character"),
        (
            "a:26379",
            1,
            "host: the host contains a colon but is not an IPv6 address",
        ),
        ("a@b", 1, "host: the host contains '@'"),
        ("a", 0, "port: 0 is not a port from 1 to 65535"),
    ] {
        assert_eq!(refused(options.add_sentinel(host, port)), message);
    }
    assert_eq!(options.sentinels().len(), 3);
}

#[test]
fn overrides_replace_what_they_set_and_inherit_the_rest() {
    let mut base = with_sentinel();
    base.set("database", "1").expect("database");
    base.set("client_name", "base").expect("client_name");
    base.set_secret("password", b"base").expect("password");
    let mut overrides = Options::new();
    overrides.set_int("database", 2).expect("database");
    overrides.set("password", "").expect("password");
    overrides.set("timeout_ms", "7").expect("timeout_ms");
    let client = base
        .overridden_by(&overrides)
        .and_then(|all| all.client())
        .expect("good overrides");
    assert_eq!(
        (client.database, client.client_name.as_deref(), client.timeout_ms),
        (2, Some("base"), 7)
    );
    assert_eq!(client.credentials.password, None);
    assert_eq!(base.client().map(|client| client.database), Ok(1));
}

#[test]
fn overrides_refuse_what_belongs_to_the_deployment() {
    let tail = "it belongs to sentinel_open, not to the overrides of a client";
    for key in keys() {
        let mut overrides = Options::new();
        overrides
            .values
            .insert(key.name, key.value_of_text(key.default).expect(key.name));
        let result = with_sentinel().overridden_by(&overrides);
        match key.scope {
            Scope::Deployment => assert_eq!(refused(result), format!("{}: {tail}", key.name)),
            Scope::Client | Scope::Both => assert!(result.is_ok(), "{}", key.name),
        }
    }
    assert_eq!(
        refused(Options::new().overridden_by(&with_sentinel())),
        format!("a Sentinel's address: {tail}")
    );
    let mut log = Options::new();
    log.set_log(3, Some(Arc::new(|_, _| {}))).expect("a level");
    assert_eq!(
        refused(Options::new().overridden_by(&log)),
        format!("the log hook: {tail}")
    );
}

#[test]
fn the_log_hook_is_kept_with_its_level() {
    let mut options = Options::new();
    assert_eq!(options.log().0, 0);
    options.set_log(5, Some(Arc::new(|_, _| {}))).expect("a level");
    assert!(matches!(options.log(), (5, Some(_))));
    options.set_log(4, None).expect("a level");
    assert!(matches!(options.log(), (0, None)));
    for level in [-1, 6] {
        assert_eq!(
            refused(options.set_log(level, None)),
            format!("max_level: {level} is not a level from 0 to 5")
        );
    }
}

#[test]
fn no_password_is_ever_shown() {
    let mut options = with_sentinel();
    options.set("password", "hunter2").expect("password");
    options.set_secret("sentinel.password", b"hunter2").expect("password");
    options.parse_url("redis+sentinel://u:hunter2@h/s").expect("a good URL");
    let shown = format!("{options:?} {:?} {:?}", options.deployment(), options.client());
    assert!(!shown.contains("hunter2") && shown.contains("***"), "{shown}");
    // As text, as bytes in decimal, and in each key that could repeat it.
    assert!(!shown.contains("104, 117, 110"), "{shown}");
    for message in [
        refused(options.set_secret("database", b"hunter2")),
        refused(options.set_secret("username", b"hunter2\0")),
        refused(options.set("hunter", "hunter2")),
    ] {
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[test]
fn what_is_shown_of_the_options_has_no_secret_in_it() {
    let mut options = Options::new();
    options.set("password", "hunter2").unwrap();
    options.set_int("database", 3).unwrap();
    let shown = options.shown().unwrap();
    assert_eq!(shown.len(), keys().len());
    let of = |name: &str| {
        shown
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.clone())
    };
    assert_eq!(of("password"), Some(Shown::Secret));
    assert_eq!(of("sentinel.password"), Some(Shown::None));
    assert_eq!(of("database"), Some(Shown::Int(3)));
    assert_eq!(of("replica.select"), Some(Shown::Text("round_robin".into())));
    assert_eq!(options.shown_if_set().len(), 2);
    assert!(!format!("{shown:?}").contains("hunter2"));
}

#[test]
fn an_empty_text_is_none() {
    let mut options = Options::new();
    for key in ["username", "password", "client_name", "address.map"] {
        options
            .set(key, if key == "address.map" { "a:1=b:1" } else { "x" })
            .expect(key);
        options.set(key, "").expect(key);
    }
    options.set_secret("sentinel.password", b"").expect("an empty secret");
    let client = options.client().expect("all none");
    assert_eq!((client.credentials, client.client_name), (Credentials::default(), None));
}

#[test]
fn a_login_is_shown_where_there_is_a_user_or_a_password() {
    let shown = |user, password: &[u8]| {
        let credentials = Credentials::new(user, password).expect("good credentials");
        let shown = credentials.shown();
        shown.map(|(user, password)| (user.to_owned(), password.to_vec()))
    };
    assert_eq!(shown(None, b""), None);
    assert_eq!(shown(None, b"p"), Some(("default".into(), b"p".to_vec())));
    assert_eq!(shown(Some("app"), b""), Some(("app".into(), Vec::new())));
    assert_eq!(shown(Some("app"), b"p"), Some(("app".into(), b"p".to_vec())));
}

//! The URL form: what it means, and that what it refuses is refused without a trace.

use super::*;

/// What a URL comes to, in one line.
fn shown(url: &str) -> Result<String> {
    let mut options = Options::new();
    options.parse_url(url)?;
    let client = options.client()?;
    let sentinels: Vec<String> = options.sentinels().iter().map(Endpoint::to_string).collect();
    let password = client
        .credentials
        .password
        .as_ref()
        .map(|secret| String::from_utf8_lossy(secret.as_bytes()));
    Ok(format!(
        "{} {} {} {}:{}",
        sentinels.join(","),
        options.service().unwrap_or("-"),
        client.database,
        client.credentials.username.as_deref().unwrap_or("-"),
        password.as_deref().unwrap_or("-"),
    ))
}

#[test]
fn good_urls() {
    for (url, meaning) in [
        ("redis+sentinel://a/svc", "a:26379 svc 0 -:-"),
        ("redis+sentinel://a", "a:26379 - 0 -:-"),
        ("redis+sentinel://a/", "a:26379 - 0 -:-"),
        ("redis+sentinel://a/svc/", "a:26379 svc 0 -:-"),
        ("REDIS+Sentinel://A:1/svc", "A:1 svc 0 -:-"),
        ("redis+sentinel://a:1,b,c:3/svc/4", "a:1,b:26379,c:3 svc 4 -:-"),
        ("redis+sentinel://a:1,A:1,a:2/svc", "a:1,a:2 svc 0 -:-"),
        (
            "redis+sentinel://[::1]:5,[2001:DB8::2]/svc",
            "[::1]:5,[2001:db8::2]:26379 svc 0 -:-",
        ),
        ("redis+sentinel://[fe80::1%25eth0]:5/svc", "[fe80::1%eth0]:5 svc 0 -:-"),
        (
            "redis+sentinel://[FE80::0:1%25en%2D1]/svc",
            "[fe80::1%en-1]:26379 svc 0 -:-",
        ),
        // Not as RFC 6874 has it, and there is no other meaning.
        ("redis+sentinel://[fe80::1%eth0]/svc", "[fe80::1%eth0]:26379 svc 0 -:-"),
        ("redis+sentinel://[fe80::1%10]/svc", "[fe80::1%10]:26379 svc 0 -:-"),
        (
            "redis+sentinel://redis%2D1:1,127%2e0.0.1,b%C3%BCcher/svc",
            "redis-1:1,127.0.0.1:26379,bücher:26379 svc 0 -:-",
        ),
        ("redis+sentinel://u@a/svc", "a:26379 svc 0 u:-"),
        ("redis+sentinel://u:p@a/svc", "a:26379 svc 0 u:p"),
        ("redis+sentinel://:p@a/svc", "a:26379 svc 0 -:p"),
        ("redis+sentinel://u:@a/svc", "a:26379 svc 0 u:-"),
        ("redis+sentinel://@a/svc", "a:26379 svc 0 -:-"),
        ("redis+sentinel://u:p:q@a/svc", "a:26379 svc 0 u:p:q"),
        (
            "redis+sentinel://u%40x:p%2F%3F%40%3a%25@a/svc",
            "a:26379 svc 0 u@x:p/?@:%",
        ),
        ("redis+sentinel://u:a+b@a/svc", "a:26379 svc 0 u:a+b"),
        ("redis+sentinel://a/my%20svc%2F1", "a:26379 my svc/1 0 -:-"),
        ("redis+sentinel://a/svc?", "a:26379 svc 0 -:-"),
        ("redis+sentinel://a?database=7", "a:26379 - 7 -:-"),
        (
            "redis+sentinel://a/svc?database=7&username=u&password=p%26q%3D",
            "a:26379 svc 7 u:p&q=",
        ),
        ("redis+sentinel://a/svc?password=p=q+r", "a:26379 svc 0 -:p=q+r"),
        ("redis+sentinel://a/s%C3%A9", "a:26379 sé 0 -:-"),
    ] {
        assert_eq!(shown(url).as_deref(), Ok(meaning), "{url}");
    }
}

#[test]
fn keys_in_the_query_reach_their_settings() {
    let mut options = Options::new();
    let url = "redis+sentinel://a/svc?client_name=a+b&timeout_ms=-1&sentinel.password=%00%FF\
               &address.map=x:1=y:2%23name&replica.select=random";
    options.parse_url(url).expect("a good URL");
    let (client, deployment) = (
        options.client().expect("client"),
        options.deployment().expect("deployment"),
    );
    assert_eq!((client.client_name.as_deref(), client.timeout_ms), (Some("a+b"), -1));
    assert_eq!(client.replica_select, Select::Random);
    assert_eq!(deployment.credentials.password, Some(Secret::new(b"\0\xff")));
    assert_eq!(deployment.address_map.tls_name(&Endpoint::new("y", 2)), Some("name"));
    assert_eq!(deployment.service.as_deref(), Some("svc"));
}

#[test]
fn the_tls_scheme_means_both_unless_the_query_says_otherwise() {
    let tls = |url: &str| {
        let mut options = Options::new();
        options.parse_url(url).expect(url);
        (
            options.client().expect(url).tls.is_some(),
            options.deployment().expect(url).tls.is_some(),
        )
    };
    assert_eq!(tls("redis+sentinel://a/svc"), (false, false));
    assert_eq!(tls("rediss+sentinel://a/svc"), (true, true));
    assert_eq!(tls("rediss+sentinel://a/svc?sentinel.tls=0"), (true, false));
    assert_eq!(tls("redis+sentinel://a/svc?tls=1"), (true, false));
}

#[test]
fn bad_urls_say_what_and_where() {
    for (url, problem) in [
        ("", "it does not start with redis+sentinel://"),
        ("a/svc", "it does not start with redis+sentinel://"),
        ("redis://a/svc", "it does not start with redis+sentinel://"),
        ("redis+sentinel:/a/svc", "it does not start with redis+sentinel://"),
        ("redis+sentinel://", "Sentinel 1: the host is empty"),
        ("redis+sentinel:///svc", "Sentinel 1: the host is empty"),
        ("redis+sentinel://u:p@/svc", "Sentinel 1: the host is empty"),
        ("redis+sentinel://a,,b/svc", "Sentinel 2: the host is empty"),
        ("redis+sentinel://a,b,/svc", "Sentinel 3: the host is empty"),
        ("redis+sentinel://:1/svc", "Sentinel 1: the host is empty"),
        (
            "redis+sentinel://a:/svc",
            "Sentinel 1: the port is not a number from 1 to 65535",
        ),
        (
            "redis+sentinel://a:0/svc",
            "Sentinel 1: the port is not a number from 1 to 65535",
        ),
        (
            "redis+sentinel://a,b:65536/svc",
            "Sentinel 2: the port is not a number from 1 to 65535",
        ),
        (
            "redis+sentinel://a:x/svc",
            "Sentinel 1: the port is not a number from 1 to 65535",
        ),
        ("redis+sentinel://::1/svc", "Sentinel 1: more than one colon"),
        (
            "redis+sentinel://2001:db8::1:6379/svc",
            "Sentinel 1: more than one colon",
        ),
        (
            "redis+sentinel://[::1/svc",
            "Sentinel 1: the bracket of the IPv6 address is not closed",
        ),
        (
            "redis+sentinel://[a]:1/svc",
            "Sentinel 1: what stands in brackets is not an IPv6 address",
        ),
        (
            "redis+sentinel://[fe80::1%25]:1/svc",
            "Sentinel 1: what stands in brackets is not an IPv6 address",
        ),
        (
            "redis+sentinel://[fe80::1%25a%]:1/svc",
            "Sentinel 1: two hexadecimal digits must follow %",
        ),
        (
            "redis+sentinel://[fe80::1%25a%0A]:1/svc",
            "Sentinel 1: the host contains a space or control character",
        ),
        (
            "redis+sentinel://a,b%2/svc",
            "Sentinel 2: two hexadecimal digits must follow %",
        ),
        ("redis+sentinel://a%3A1/svc", "Sentinel 1: the host contains a colon"),
        ("redis+sentinel://a%2Cb/svc", "Sentinel 1: the host contains ','"),
        ("redis+sentinel://a%40b/svc", "Sentinel 1: the host contains '@'"),
        ("redis+sentinel://%5B::1%5D/svc", "Sentinel 1: more than one colon"),
        ("redis+sentinel://a%20b/svc", "Sentinel 1: the host contains a space"),
        (
            "redis+sentinel://a:%32/svc",
            "Sentinel 1: the port is not a number from 1 to 65535",
        ),
        ("redis+sentinel://a/svc/x", "the database is not an integer from 0"),
        ("redis+sentinel://a/svc/-1", "the database is not an integer from 0"),
        (
            "redis+sentinel://a/svc/99999999999",
            "the database is not an integer from 0",
        ),
        ("redis+sentinel://a/svc/1/", "more than the service and the database"),
        ("redis+sentinel://a//1", "the service before the database is empty"),
        ("redis+sentinel://a/s%0Avc", "the service contains a control character"),
        ("redis+sentinel://a/s vc", "it contains a space or control character"),
        ("redis+sentinel://a/svc\r\n", "it contains a space or control character"),
        ("redis+sentinel://a/svc#top", "it contains '#', which is written %23"),
        (
            "redis+sentinel://a/svc%2",
            "the service: two hexadecimal digits must follow %",
        ),
        (
            "redis+sentinel://a/svc%zz",
            "the service: two hexadecimal digits must follow %",
        ),
        (
            "redis+sentinel://u:p%@a/svc",
            "the password: two hexadecimal digits must follow %",
        ),
        (
            "redis+sentinel://u:p%c3%a9%é@a/svc",
            "the password: two hexadecimal digits must follow %",
        ),
        (
            "redis+sentinel://u%00:p@a/svc",
            "the user: username: it takes text without control characters",
        ),
        (
            "redis+sentinel://a/svc?pool.direct",
            "entry 1 of the query is not of the form key=value",
        ),
        (
            "redis+sentinel://a/svc?&tls=1",
            "entry 1 of the query is not of the form key=value",
        ),
        (
            "redis+sentinel://a/svc?tls=1&pool.direct=abc",
            "entry 2 of the query: pool.direct: \"abc\" is not an integer",
        ),
        (
            "redis+sentinel://a/svc/1?database=2",
            "entry 1 of the query gives a key that is given before",
        ),
        (
            "redis+sentinel://u:p@a/svc?password=q",
            "entry 1 of the query gives a key that is given before",
        ),
        (
            "redis+sentinel://a/svc?tls=1&tls=1",
            "entry 2 of the query gives a key that is given before",
        ),
    ] {
        let mut options = Options::new();
        options.add_sentinel("before", 1).expect("a good address");
        let error = options.parse_url(url).expect_err(url);
        match error.kind() {
            ErrorKind::InvalidArgument {
                argument,
                problem: found,
            } => {
                assert_eq!(argument, "url", "{url}: {error}");
                assert!(found.starts_with(problem), "{url}: {error}");
            }
            other => panic!("{url}: {other:?}"),
        }
        assert_eq!(
            (options.sentinels().len(), options.service(), options.values.len()),
            (1, None, 0),
            "{url}"
        );
    }
}

#[test]
fn an_unknown_key_is_an_unknown_option() {
    let error = Options::new()
        .parse_url("redis+sentinel://a/svc?pool%2Esize=3")
        .expect_err("no such key");
    assert_eq!(
        error.kind(),
        &ErrorKind::UnknownOption {
            key: "pool.size".into()
        }
    );
}

#[test]
fn text_must_be_utf8_and_a_password_need_not() {
    for url in [
        "redis+sentinel://%FF:p@a/svc",
        "redis+sentinel://a/%FF",
        "redis+sentinel://a,%FF/svc",
        "redis+sentinel://a/svc?client_name=%FF",
    ] {
        let error = Options::new().parse_url(url).expect_err(url);
        assert!(
            matches!(error.kind(), ErrorKind::InvalidUtf8 { argument } if argument.starts_with("url")),
            "{error:?}"
        );
    }
    let mut options = Options::new();
    options
        .parse_url("redis+sentinel://u:%FF%00@a/svc")
        .expect("any bytes are a password");
    let password = options.client().expect("good").credentials.password;
    assert_eq!(password, Some(Secret::new(b"\xff\0")));
}

#[test]
fn no_error_repeats_a_password_however_badly_it_is_written() {
    for password in [
        "hunter2",
        "hunter2/x",
        "1/hunter2",
        "hunter2@x",
        "x@hunter2",
        "1?hunter2=x",
        "1?x=hunter2",
        "hunter2#x",
        "hunter2%",
        "hunter2 x",
        "[hunter2",
        "hunter2,x",
        "1,hunter2/0",
        "1/hunter2?x",
        "hunter2]:1",
    ] {
        for url in [
            format!("redis+sentinel://user:{password}@a:0/svc"),
            format!("redis+sentinel://user:{password}@a/svc/x"),
            format!("redis+sentinel://:{password}@a/svc?tls=x"),
            format!("redis://user:{password}@a/svc"),
        ] {
            let mut options = Options::new();
            let error = options.parse_url(&url).expect_err(&url);
            assert!(
                !format!("{error} {error:?} {options:?}").contains("hunter2"),
                "{url}: {error}"
            );
        }
    }
}

#[test]
fn a_raw_slash_in_a_password_never_becomes_a_service() {
    for url in [
        "redis+sentinel://user:1/pa@a",
        "redis+sentinel://user:1/pa@a/svc",
        "redis+sentinel://user:1?tls=1@a",
    ] {
        assert!(Options::new().parse_url(url).is_err(), "{url}");
    }
}

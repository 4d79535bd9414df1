//! Servers with certificates, and what the tests of TLS ask of calls to them.

use std::time::Duration;

use sentinel::base::error::Stage;
use sentinel::{Client, Deployment, Error, ErrorKind, Options, Outcome};
use sentinel_lab::{Authority, Config, Proxy, Tls, Topology};

use crate::support::{SERVICE, options, run_within, timed, with};

/// The names by which the laboratory's servers are reached.
pub(crate) const NAMES: [&str; 2] = ["127.0.0.1", "localhost"];

/// Servers with certificates, and the authority that signed them.
pub(crate) struct World {
    pub(crate) authority: Authority,
    pub(crate) topology: Topology,
    pub(crate) tls: Tls,
}

impl World {
    pub(crate) fn new(config: Config, change: impl FnOnce(Tls) -> Tls) -> World {
        let authority = Authority::new();
        let tls = Tls {
            ca: authority.ca(),
            identity: authority.issue("server", &NAMES),
            clients_have_certificates: false,
            among_servers: true,
        };
        let tls = change(tls);
        let topology = Topology::start(config.tls(tls.clone()));
        World {
            authority,
            topology,
            tls,
        }
    }

    /// A primary and its Sentinel, which is as much as most tests look at.
    pub(crate) fn small() -> World {
        World::new(Config::default().nodes(1).sentinels(1), |tls| tls)
    }

    /// The Sentinels' ports of TLS, or the plain ones.
    pub(crate) fn sentinels(&self, tls: bool) -> Vec<u16> {
        let count = self.topology.sentinels().len();
        let ports = (0..count).map(|index| {
            let sentinel = self.topology.sentinel(index);
            let announced = tls == self.tls.among_servers;
            if announced {
                sentinel.port()
            } else {
                sentinel.other_port()
            }
        });
        ports.collect()
    }

    /// Options for TLS to both, with the authority trusted.
    pub(crate) fn options(&self) -> Options {
        let ca = self.authority.ca();
        with(
            options(&self.sentinels(true)),
            &[
                ("tls", "1"),
                ("tls.ca_file", &ca),
                ("sentinel.tls", "1"),
                ("sentinel.tls.ca_file", &ca),
            ],
        )
    }

    pub(crate) fn open(&self, pairs: &[(&str, &str)]) -> Deployment {
        Deployment::open(&with(self.options(), pairs)).unwrap()
    }

    pub(crate) fn client(&self, pairs: &[(&str, &str)]) -> Client {
        self.open(pairs).primary_for(Some(SERVICE), None).unwrap()
    }

    /// A client whose connections to the primary lead through `proxy`.
    pub(crate) fn client_through(&self, proxy: &Proxy, pairs: &[(&str, &str)]) -> Client {
        let map = format!("127.0.0.1:{}=127.0.0.1:{}", self.topology.node(0).port(), proxy.port());
        let mut all = vec![("address.map", map.as_str())];
        all.extend(pairs);
        self.client(&all)
    }
}

/// Fails a call within the time that says that nobody waited for a deadline, and gives its error.
#[track_caller]
fn refused(client: &Client, limit: Duration) -> Error {
    let (result, took) = timed(|| run_within(client, "SET k v", 10_000));
    let error = result.expect_err("the call succeeded");
    assert!(took < limit, "{took:?}: {error}");
    assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
    error
}

/// Checks that a call is told at once that TLS failed, and why.
#[track_caller]
pub(crate) fn assert_tls(client: &Client, cause: &str) {
    assert_tls_within(client, cause, Duration::from_secs(1));
}

/// The same, where it takes a while to know.
#[track_caller]
pub(crate) fn assert_tls_within(client: &Client, cause: &str, limit: Duration) {
    let error = refused(client, limit);
    assert!(matches!(error.kind(), ErrorKind::Tls { .. }), "{error:?}");
    assert!(error.to_string().contains(cause), "{error}");
    let staged = error.attempts().iter().filter(|attempt| attempt.stage == Stage::Tls);
    assert!(staged.count() > 0, "{error:?}");
}

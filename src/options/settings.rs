//! What the options come to: checked, typed, with every default in place.

use std::time::Duration;

use super::Options;
use crate::base::error::{Error, ErrorKind, Result};
use crate::net::{AddressMap, Credentials, Endpoint, TcpSettings, TlsSettings};
use crate::resp::Limits;

/// Which replica a call goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Select {
    /// One after the other.
    RoundRobin,
    /// Any.
    Random,
    /// The one that answers soonest.
    Latency,
}

/// What is done when a Sentinel tells which replica it is about to promote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foresee {
    /// Writes wait, and go to the replica as soon as it says that it is the primary.
    Adopt,
    /// Writes wait until a Sentinel names the primary.
    Hold,
    /// Nothing.
    Off,
}

/// What a deployment needs: the Sentinels, and how to talk to them.
#[derive(Debug, Clone)]
pub struct DeploymentSettings {
    /// The Sentinels given, at least one, each once.
    pub sentinels: Vec<Endpoint>,
    /// The service that the URL named.
    pub service: Option<String>,
    /// Login at the Sentinels.
    pub credentials: Credentials,
    /// Name for `CLIENT SETNAME` at the Sentinels.
    pub client_name: Option<String>,
    /// Whether the Sentinels are told the library's name and version.
    pub client_info: bool,
    /// Limit of one connection attempt to a Sentinel.
    pub connect_timeout: Duration,
    /// Limit of one answer of a Sentinel.
    pub answer_timeout: Duration,
    /// Other Sentinels that a Sentinel must know for its answer to count.
    pub min_other_sentinels: u32,
    /// Whether Sentinels learnt from the others are added.
    pub learn: bool,
    /// How often the names of Sentinels are resolved again; none: when a connection fails.
    pub resolve_every: Option<Duration>,
    /// Interval of the re-check without events; none: never.
    pub refresh: Option<Duration>,
    /// What is done when a Sentinel tells which replica it is about to promote.
    pub foresee: Foresee,
    /// A Sentinel must name it within so long.
    pub confirm_within: Duration,
    /// How long no majority of the Sentinels may be silent before no write is sent any more; none: for ever.
    pub fence: Option<Duration>,
    /// From announced addresses to reachable ones.
    pub address_map: AddressMap,
    /// TLS to the Sentinels; none: plain TCP.
    pub tls: Option<TlsSettings>,
    /// Sockets to the Sentinels.
    pub tcp: TcpSettings,
    /// Default deadline of a call, ms; -1: no limit.
    pub timeout_ms: i64,
    /// Shortest backoff between attempts.
    pub backoff_min: Duration,
    /// Longest backoff between attempts.
    pub backoff_max: Duration,
}

/// What a client needs: how to talk to the data nodes, and how much of it.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// Login at the data nodes.
    pub credentials: Credentials,
    /// Number of the database.
    pub database: u32,
    /// Name for `CLIENT SETNAME`.
    pub client_name: Option<String>,
    /// Whether the nodes are told the library's name and version.
    pub client_info: bool,
    /// RESP version: 2 or 3.
    pub protocol: u8,
    /// Default deadline of a call, ms; -1: no limit.
    pub timeout_ms: i64,
    /// Limit of one connection attempt.
    pub connect_timeout: Duration,
    /// Sockets to the data nodes.
    pub tcp: TcpSettings,
    /// TLS to the data nodes; none: plain TCP.
    pub tls: Option<TlsSettings>,
    /// Direct connections.
    pub direct: usize,
    /// Lanes.
    pub lanes: usize,
    /// Acquired and blocking connections at most.
    pub max_connections: usize,
    /// Such a connection is closed after so long unused; none: never.
    pub idle_timeout: Option<Duration>,
    /// Commands in flight at most.
    pub max_pending: usize,
    /// Shortest backoff between attempts.
    pub backoff_min: Duration,
    /// Longest backoff between attempts.
    pub backoff_max: Duration,
    /// Which replica is next.
    pub replica_select: Select,
    /// Whether the primary serves while there is no usable replica.
    pub fallback_to_primary: bool,
    /// A replica whose link to the primary is down longer is left out; none: no bound.
    pub max_link_down: Option<Duration>,
    /// A replica further behind is left out, bytes; none: no bound.
    pub max_lag_bytes: Option<u64>,
    /// How long there may have been no usable node before calls end at once; none: for ever.
    pub fail_fast_after: Option<Duration>,
    /// Limits on replies.
    pub limits: Limits,
}

impl Options {
    /// What a deployment needs, checked as a whole; without a Sentinel an error.
    pub fn deployment(&self) -> Result<DeploymentSettings> {
        DeploymentSettings::from_options(self)
    }

    /// What a client needs, checked as a whole.
    pub fn client(&self) -> Result<ClientSettings> {
        ClientSettings::from_options(self)
    }
}

impl DeploymentSettings {
    fn from_options(options: &Options) -> Result<DeploymentSettings> {
        let sentinels = options.given_sentinels()?;
        let (backoff_min, backoff_max) = backoff(options)?;
        Ok(DeploymentSettings {
            sentinels: sentinels.to_vec(),
            service: options.service().map(str::to_owned),
            credentials: credentials(options, "sentinel.username", "sentinel.password")?,
            client_name: options.text("client_name")?,
            client_info: flag(options, "client_info")?,
            connect_timeout: millis(options, "sentinel.connect_timeout_ms")?,
            answer_timeout: millis(options, "sentinel.timeout_ms")?,
            min_other_sentinels: number(options, "sentinel.min_other_sentinels")?,
            learn: flag(options, "sentinel.learn")?,
            resolve_every: some_millis(options, "sentinel.resolve_ms")?,
            refresh: some_millis(options, "discovery.refresh_ms")?,
            foresee: foresee(options)?,
            confirm_within: millis(options, "failover.confirm_ms")?,
            fence: fence(options)?,
            address_map: address_map(options)?,
            tls: tls(options, "sentinel.tls")?,
            tcp: tcp(options)?,
            timeout_ms: options.int("timeout_ms")?,
            backoff_min,
            backoff_max,
        })
    }
}

impl ClientSettings {
    fn from_options(options: &Options) -> Result<ClientSettings> {
        let (backoff_min, backoff_max) = backoff(options)?;
        Ok(ClientSettings {
            credentials: credentials(options, "username", "password")?,
            database: number(options, "database")?,
            client_name: options.text("client_name")?,
            client_info: flag(options, "client_info")?,
            protocol: number(options, "protocol")?,
            timeout_ms: options.int("timeout_ms")?,
            connect_timeout: millis(options, "connect_timeout_ms")?,
            tcp: tcp(options)?,
            tls: tls(options, "tls")?,
            direct: number(options, "pool.direct")?,
            lanes: number(options, "pool.lanes")?,
            max_connections: number(options, "pool.max_connections")?,
            idle_timeout: some_millis(options, "pool.idle_timeout_ms")?,
            max_pending: number(options, "max_pending")?,
            backoff_min,
            backoff_max,
            replica_select: select(options)?,
            fallback_to_primary: flag(options, "replica.fallback_to_primary")?,
            max_link_down: bound(options, "replica.max_link_down_ms")?.map(Duration::from_millis),
            max_lag_bytes: bound(options, "replica.max_lag_bytes")?,
            fail_fast_after: bound(options, "fail_fast_after_ms")?.map(Duration::from_millis),
            limits: Limits {
                max_bytes: number(options, "max_reply_bytes")?,
                max_depth: number(options, "max_reply_depth")?,
            },
        })
    }
}

fn number<T: TryFrom<i64>>(options: &Options, key: &'static str) -> Result<T> {
    let value = options.int(key)?;
    T::try_from(value).map_err(|_| Error::invalid(key, format!("{value} is too large for this machine")))
}

fn flag(options: &Options, key: &'static str) -> Result<bool> {
    Ok(options.int(key)? == 1)
}

fn millis(options: &Options, key: &'static str) -> Result<Duration> {
    number(options, key).map(Duration::from_millis)
}

/// A time of which 0 means "off".
fn some_millis(options: &Options, key: &'static str) -> Result<Option<Duration>> {
    Ok(Some(millis(options, key)?).filter(|time| !time.is_zero()))
}

/// A bound of which -1 means "none".
fn bound(options: &Options, key: &'static str) -> Result<Option<u64>> {
    Ok(u64::try_from(options.int(key)?).ok())
}

/// Below that a Sentinel would have to say something more often than a busy machine lets it.
const SHORTEST_FENCE: Duration = Duration::from_millis(50);

fn fence(options: &Options) -> Result<Option<Duration>> {
    let key = "primary.fence_ms";
    let limit = bound(options, key)?.map(Duration::from_millis);
    match limit.filter(|limit| *limit < SHORTEST_FENCE) {
        Some(short) => {
            let (short, least) = (short.as_millis(), SHORTEST_FENCE.as_millis());
            Err(Error::invalid(
                key,
                format!("{short} is too short: it takes {least} and more, or -1"),
            ))
        }
        None => Ok(limit),
    }
}

fn credentials(options: &Options, username: &'static str, password: &'static str) -> Result<Credentials> {
    Ok(Credentials {
        username: options.text(username)?,
        password: options.secret(password)?,
    })
}

fn tcp(options: &Options) -> Result<TcpSettings> {
    let keepalive = number(options, "tcp.keepalive_s").map(Duration::from_secs)?;
    Ok(TcpSettings {
        keepalive: Some(keepalive).filter(|time| !time.is_zero()),
        user_timeout: some_millis(options, "tcp.user_timeout_ms")?,
        nodelay: flag(options, "tcp.nodelay")?,
    })
}

/// The TLS of the nodes (`tls`) or of the Sentinels (`sentinel.tls`); none while that flag is 0.
fn tls(options: &Options, prefix: &'static str) -> Result<Option<TlsSettings>> {
    if !flag(options, prefix)? {
        return Ok(None);
    }
    let text = |name: &str| options.text(&format!("{prefix}.{name}"));
    let settings = TlsSettings {
        key: prefix,
        ca_file: text("ca_file")?,
        cert_file: text("cert_file")?,
        key_file: text("key_file")?,
        server_name: text("server_name")?,
        verify: text("verify")?.as_deref() != Some("none"),
    };
    match (&settings.cert_file, &settings.key_file) {
        (Some(_), None) => Err(Error::invalid(
            format!("{prefix}.cert_file"),
            format!("it needs {prefix}.key_file"),
        )),
        (None, Some(_)) => Err(Error::invalid(
            format!("{prefix}.key_file"),
            format!("it needs {prefix}.cert_file"),
        )),
        _ => Ok(Some(settings)),
    }
}

fn backoff(options: &Options) -> Result<(Duration, Duration)> {
    let (min, max) = (
        millis(options, "retry.backoff_min_ms")?,
        millis(options, "retry.backoff_max_ms")?,
    );
    if min > max {
        let problem = format!(
            "{} is more than the {} of retry.backoff_max_ms",
            min.as_millis(),
            max.as_millis()
        );
        return Err(Error::invalid("retry.backoff_min_ms", problem));
    }
    Ok((min, max))
}

fn address_map(options: &Options) -> Result<AddressMap> {
    let text = options.text("address.map")?.unwrap_or_default();
    AddressMap::parse(&text).map_err(|problem| Error::invalid("address.map", problem))
}

fn foresee(options: &Options) -> Result<Foresee> {
    Ok(match options.text("failover.foresee")?.as_deref() {
        Some("hold") => Foresee::Hold,
        Some("off") => Foresee::Off,
        _ => Foresee::Adopt,
    })
}

fn select(options: &Options) -> Result<Select> {
    match options.text("replica.select")?.as_deref() {
        Some("round_robin") => Ok(Select::RoundRobin),
        Some("random") => Ok(Select::Random),
        Some("latency") => Ok(Select::Latency),
        _ => Err(Error::new(ErrorKind::Internal {
            problem: "replica.select has a value it does not take".into(),
        })),
    }
}

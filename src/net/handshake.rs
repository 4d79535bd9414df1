//! The first words on a connection: protocol, login, database, and what the peer says it is.

use std::cell::Cell;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{timeout, timeout_at};

use super::dial::dial;
use super::endpoint::Endpoint;
use super::failure::{DialError, plain};
use super::following::{Following, Part, role_named};
use super::login::{Entered, Script, ended, enter, has_code, hello_field, receive, refused_login, without_secret};
use super::probe::{REVEALED, Speech};
use super::role::Role;
use super::secure::secure;
use super::settings::Credentials;
use super::transport::Transport;
use super::vault::Vault;
use super::wire::Wire;
use crate::base::clock;
use crate::base::error::Stage;
use crate::resp::{Kind, Limits, Reply};

pub use super::login::Login;

/// A connection that is ready for commands.
#[derive(Debug)]
pub struct Greeted {
    /// The connection.
    pub wire: Wire,
    /// What the node says it is. `None` for a Sentinel.
    pub role: Option<Role>,
    /// Of a replica: whom it follows. `None` also where it does not tell.
    pub following: Option<Following>,
    /// The node serves its data: it is neither loading nor a replica that may not serve what it has.
    pub serving: Result<(), String>,
    /// The protocol in force.
    pub protocol: u8,
    /// The number of the credentials that were taken.
    pub login: u64,
    /// It knows SENTINEL MYID: the version that HELLO told is 6.2 or newer.
    pub has_my_id: bool,
}

impl Greeted {
    /// What the node said of its part in the service.
    pub fn part(&self) -> Part {
        Part {
            role: self.role,
            following: self.following.clone(),
        }
    }
}

/// Connects to a data node and logs in, within `limit`.
pub async fn greet_node(
    endpoint: &Endpoint,
    login: &Login,
    transport: &Transport,
    limits: Limits,
    limit: Duration,
) -> Result<Greeted, DialError> {
    with_newest(&login.vault, async |credentials| {
        let until = clock::now() + limit;
        let wire = connect(endpoint, endpoint, transport, GREETING_LIMITS.or_more(limits), limit).await?;
        let peer = wire.peer();
        let talk = async {
            let mut greeted = node_words(shake(wire, endpoint, transport).await?, login, &credentials).await?;
            greeted.wire.limit(limits);
            Ok(greeted)
        };
        let talk = or_tls(talk, peer, endpoint, transport);
        let late = || DialError::new(Stage::Query, format!("no answer in {} ms", limit.as_millis()));
        timeout_at(until.into(), talk).await.unwrap_or_else(|_| Err(late()))
    })
    .await
}

/// Greets with the newest credentials; once more where they were replaced meanwhile by others than were refused.
async fn with_newest(
    vault: &Vault,
    greet: impl AsyncFn(Arc<Credentials>) -> Result<Greeted, DialError>,
) -> Result<Greeted, DialError> {
    let (number, credentials) = vault.newest();
    let greeted = greet(credentials).await;
    let (newest, credentials) = vault.newest();
    match greeted {
        Err(error) if error.stage == Stage::Auth && newest != number => {
            greet(credentials).await.map(|greeted| Greeted {
                login: newest,
                ..greeted
            })
        }
        greeted => greeted.map(|greeted| Greeted {
            login: number,
            ..greeted
        }),
    }
}

/// Connects to the Sentinel `endpoint` where it is, at `at`, within the first limit, and logs in: no longer than the second
/// one without a byte of it. RESP3 where the Sentinel speaks it.
pub async fn greet_sentinel(
    endpoint: &Endpoint,
    at: &Endpoint,
    login: &Login,
    transport: &Transport,
    (connect_limit, answer_limit): (Duration, Duration),
) -> Result<Greeted, DialError> {
    with_newest(&login.vault, async |credentials| {
        let wire = connect(endpoint, at, transport, SENTINEL_LIMITS, connect_limit).await?;
        let (pulse, peer) = (wire.pulse(), wire.peer());
        let talk = async { sentinel_words(shake(wire, endpoint, transport).await?, login, &credentials).await };
        while_heard(&pulse, answer_limit, or_tls(talk, peer, endpoint, transport)).await
    })
    .await
}

/// A greeting as a whole is given so many times what its peer may be silent.
const GREETING: u32 = 10;

/// What `talk` comes to while the peer of it says something within each `limit`: one that is slow answers one question after
/// the other.
async fn while_heard<T>(
    pulse: &Cell<Instant>,
    limit: Duration,
    talk: impl Future<Output = Result<T, DialError>>,
) -> Result<T, DialError> {
    let (began, mut talk) = (clock::now(), pin!(talk));
    let due = || (pulse.get().max(began) + limit).min(began + GREETING * limit);
    loop {
        let until = due();
        match timeout_at(until.into(), talk.as_mut()).await {
            Ok(end) => return end,
            Err(_) if due() > until => {}
            Err(_) => {
                let silent = format!("no answer in {} ms", limit.as_millis());
                return Err(DialError::new(Stage::Query, silent));
            }
        }
    }
}

/// An open connection. What TLS needs is looked at first: without it not even a connection is made.
async fn connect(
    endpoint: &Endpoint,
    at: &Endpoint,
    transport: &Transport,
    limits: Limits,
    limit: Duration,
) -> Result<Wire, DialError> {
    let until = clock::now() + limit;
    let late = || {
        DialError::new(
            Stage::Connect,
            format!("the files of TLS could not be read in {} ms", limit.as_millis()),
        )
    };
    let tls = match &transport.tls {
        Some(tls) => Some(
            timeout_at(until.into(), tls.prepare(endpoint))
                .await
                .map_err(|_| late())??,
        ),
        None => None,
    };
    let socket = dial(at, &transport.tcp, limit).await?;
    Wire::new(socket, tls, limits).map_err(|error| DialError::new(Stage::Connect, plain(&error)))
}

/// No byte of ours goes out before the peer has proven who it is.
async fn shake(wire: Wire, endpoint: &Endpoint, transport: &Transport) -> Result<Wire, DialError> {
    match &transport.tls {
        Some(tls) => secure(wire, endpoint, tls, &transport.probe).await,
        None => Ok(wire),
    }
}

/// A server that hangs up on plain words may be one that speaks TLS: then that is what its caller must hear.
async fn or_tls(
    talk: impl Future<Output = Result<Greeted, DialError>>,
    peer: Option<SocketAddr>,
    endpoint: &Endpoint,
    transport: &Transport,
) -> Result<Greeted, DialError> {
    let greeted = talk.await;
    let hung_up = greeted.as_ref().is_err_and(|error| error.stage == Stage::Connect);
    let Some(peer) = peer.filter(|_| hung_up && transport.tls.is_none()) else {
        return greeted;
    };
    match timeout(REVEALED, transport.probe.speech(peer, endpoint, None)).await {
        Ok(Some(Speech::Tls)) => Err(Speech::Tls.unexpected()),
        _ => greeted,
    }
}

/// What a program sets is for its own replies. HELLO lists the modules with their arguments, of which redis 8.0 has one by
/// itself.
const GREETING_LIMITS: Limits = Limits {
    max_bytes: 64 << 10,
    max_depth: 16,
};

/// A Sentinel's longest answer lists its replicas, 21 pairs each: 3.5 KiB as they are charged.
pub const SENTINEL_LIMITS: Limits = Limits {
    max_bytes: 64 << 20,
    max_depth: 16,
};

/// The greeting of a data node. No message repeats the password, whatever the node sends back of what it was told.
pub(crate) async fn node_words(wire: Wire, login: &Login, credentials: &Credentials) -> Result<Greeted, DialError> {
    let masked = |text: String| without_secret(&text, credentials);
    match greet_in_words(wire, login, credentials).await {
        Ok(greeted) => Ok(Greeted {
            serving: greeted.serving.map_err(masked),
            ..greeted
        }),
        Err(error) => Err(DialError::new(error.stage, masked(error.cause))),
    }
}

async fn greet_in_words(mut wire: Wire, login: &Login, credentials: &Credentials) -> Result<Greeted, DialError> {
    let database = login.database.to_string();
    let select: &[&[u8]] = &[b"SELECT", database.as_bytes()];
    let all: [&[&[u8]]; 3] = [select, &[b"ROLE"], &[b"PING"]];
    let rest = if login.database == 0 { &all[1..] } else { &all[..] };
    let Entered { hello, protocol } = enter(&mut wire, login, credentials, rest).await?;
    if login.database != 0 {
        hear_select(&mut wire, credentials, login.database).await?;
    }
    let (part, serving) = hear_part(&mut wire, credentials).await?;
    let role = match part.role.or_else(|| hello.as_ref().and_then(hello_role)) {
        Some(role) => Some(role),
        None => info_role(&mut wire, login, credentials).await?,
    };
    Ok(Greeted {
        wire,
        role,
        following: part.following,
        serving,
        protocol,
        login: 0,
        has_my_id: false,
    })
}

async fn hear_select(wire: &mut Wire, credentials: &Credentials, database: u32) -> Result<(), DialError> {
    let select = receive(wire, credentials, Stage::Connect).await?;
    if select.kind() != Kind::Error {
        return Ok(());
    }
    refused_login(&select)?;
    // "ERR DB index is out of range": no retry cures it. BUSY or LOADING: a later one does.
    let final_word = has_code(&select.text(), &["ERR"]);
    let stage = if final_word { Stage::Auth } else { Stage::Query };
    Err(DialError::new(stage, format!("{} (SELECT {database})", select.text())))
}

/// What ROLE and PING tell: the node's part, where this user may ask for it, and whether it serves.
async fn hear_part(wire: &mut Wire, credentials: &Credentials) -> Result<(Part, Result<(), String>), DialError> {
    let role = receive(wire, credentials, Stage::Role).await?;
    let ping = receive(wire, credentials, Stage::Role).await?;
    // A user without the right to ROLE is served all the same; one that is not logged in is not.
    if role.kind() == Kind::Error && !has_code(&role.text(), &["NOPERM"]) {
        refused_login(&role)?;
    }
    // LOADING shows in PING alone (ROLE already says master), MASTERDOWN is a replica that serves nothing.
    let not_serving = ping.kind() == Kind::Error && has_code(&ping.text(), &["LOADING", "MASTERDOWN"]);
    let serving = match not_serving {
        true => Err(ping.text().into_owned()),
        false => Ok(()),
    };
    let part = Part::told(wire, &role)
        .await
        .map_err(|error| ended(error, Stage::Role))?;
    Ok((part, serving))
}

/// The role as HELLO tells it.
fn hello_role(hello: &Reply) -> Option<Role> {
    role_named(hello_field(hello, b"role")?.data())
}

/// For users that may neither HELLO nor ROLE: `INFO replication`, as redis-server 5 has it.
async fn info_role(wire: &mut Wire, login: &Login, credentials: &Credentials) -> Result<Option<Role>, DialError> {
    let mut script = Script::new(login, credentials);
    script.say(&[b"INFO", b"replication"]).send(wire).await?;
    let info = receive(wire, credentials, Stage::Role).await?;
    let text = info.text();
    if info.kind() == Kind::Error {
        return Err(DialError::new(Stage::Role, text.into_owned()));
    }
    Ok(text
        .lines()
        .find_map(|line| line.strip_prefix("role:"))
        .and_then(|name| role_named(name.trim_end().as_bytes())))
}

pub(crate) async fn sentinel_words(
    mut wire: Wire,
    login: &Login,
    credentials: &Credentials,
) -> Result<Greeted, DialError> {
    let Entered { hello, protocol } = enter(&mut wire, login, credentials, &[]).await?;
    let version = hello.as_ref().and_then(hello_version);
    Ok(Greeted {
        wire,
        role: None,
        following: None,
        serving: Ok(()),
        protocol,
        login: 0,
        has_my_id: version.is_some_and(|version| version >= (6, 2)),
    })
}

/// Major and minor of the field `version` of HELLO's reply in RESP3.
fn hello_version(hello: &Reply) -> Option<(u32, u32)> {
    let version = hello.root().get(b"version")?.text();
    let mut numbers = version.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

//! The first words on a connection: protocol, login, database, and what the peer says it is.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout_at;

use super::Endpoint;
use super::dial::{DialError, Transport, dial};
use super::following::{Following, Part, role_named};
use super::login::{Script, has_code, refused_login, say_auth, without_secret};
use super::secure::secure;
use super::wire::{Wire, WireError};
use crate::error::Stage;
use crate::net::clock;
use crate::options::{Credentials, Vault};
use crate::resp::{DecodeError, Kind, Limits, Reply, Value};
use crate::topology::Role;

/// What a data node must be told before it serves a client.
#[derive(Debug, Clone)]
pub struct Login {
    /// `username` and `password`, as they are when the connection is made.
    pub vault: Arc<Vault>,
    /// The database to select; 0 needs no command.
    pub database: u32,
    /// A name for `CLIENT LIST`.
    pub client_name: Option<String>,
    /// The protocol to ask for: 3 falls back to 2.
    pub protocol: u8,
}

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
        let wire = connect(endpoint, endpoint, transport, limits, limit).await?;
        let talk = async { node_words(shake(wire, endpoint, transport).await?, login, &credentials).await };
        let talk = or_tls(talk, endpoint, transport);
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

/// Connects to the Sentinel `endpoint` where it is, at `at`, within the first limit, and logs in within the second one.
/// RESP3 where the Sentinel speaks it.
pub async fn greet_sentinel(
    endpoint: &Endpoint,
    at: &Endpoint,
    vault: &Vault,
    transport: &Transport,
    (connect_limit, answer_limit): (Duration, Duration),
) -> Result<Greeted, DialError> {
    with_newest(vault, async |credentials| {
        let wire = connect(endpoint, at, transport, SENTINEL_LIMITS, connect_limit).await?;
        let talk = async { sentinel_words(shake(wire, endpoint, transport).await?, &credentials).await };
        let talk = or_tls(talk, endpoint, transport);
        let late = || DialError::new(Stage::Query, format!("no answer in {} ms", answer_limit.as_millis()));
        let until = clock::now() + answer_limit;
        timeout_at(until.into(), talk).await.unwrap_or_else(|_| Err(late()))
    })
    .await
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
    Wire::new(socket, tls, limits).map_err(|error| DialError::new(Stage::Connect, super::dial::plain(&error)))
}

/// No byte of ours goes out before the peer has proven who it is.
async fn shake(wire: Wire, endpoint: &Endpoint, transport: &Transport) -> Result<Wire, DialError> {
    match &transport.tls {
        Some(tls) => secure(wire, endpoint, tls, transport).await,
        None => Ok(wire),
    }
}

/// A server that hangs up on plain words may be one that speaks TLS: then that is what its caller must hear.
async fn or_tls(
    talk: impl Future<Output = Result<Greeted, DialError>>,
    endpoint: &Endpoint,
    transport: &Transport,
) -> Result<Greeted, DialError> {
    let greeted = talk.await;
    let hung_up = greeted.as_ref().is_err_and(|error| error.stage == Stage::Connect);
    if hung_up && transport.is_of_tls(endpoint).await {
        return Err(DialError::new(Stage::Tls, UNAWARE));
    }
    greeted
}

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
    let mut script = Script::new(credentials, login.client_name.as_deref());
    script.hello(login.protocol, credentials, login.client_name.as_deref());
    say_node_rest(&mut script, login, &database);
    send(&mut wire, &script).await?;
    let hello = receive(&mut wire, Stage::Connect).await?;
    if hello.kind() != Kind::Error {
        let protocol = spoken_protocol(&hello, login.protocol)?;
        let rest = hear_node_rest(&mut wire, login, credentials).await?;
        let role = match rest.part.role {
            Some(role) => Some(role),
            None => match hello_role(&hello) {
                Some(role) => Some(role),
                None => info_role(&mut wire).await?,
            },
        };
        return Ok(Greeted {
            wire,
            role,
            following: rest.part.following,
            serving: rest.serving,
            protocol,
            login: 0,
            has_my_id: false,
        });
    }
    refused_login(&hello, credentials)?;
    // No HELLO here (Redis 5), or not this protocol: the answers to the rest of that write say nothing more.
    hear_raw(&mut wire, node_rest_len(login)).await?;
    node_words_resp2(wire, login, credentials, &database).await
}

async fn node_words_resp2(
    mut wire: Wire,
    login: &Login,
    credentials: &Credentials,
    database: &str,
) -> Result<Greeted, DialError> {
    let mut script = Script::new(credentials, login.client_name.as_deref());
    let logs_in = say_auth(&mut script, credentials);
    if let Some(name) = &login.client_name {
        script.say(&[b"CLIENT", b"SETNAME", name.as_bytes()]);
    }
    say_node_rest(&mut script, login, database);
    send(&mut wire, &script).await?;
    if logs_in {
        hear_auth(&mut wire, credentials).await?;
    }
    if login.client_name.is_some() {
        // A name is a convenience: a server that refuses it is still served from.
        receive(&mut wire, Stage::Connect).await?;
    }
    let rest = hear_node_rest(&mut wire, login, credentials).await?;
    let role = match rest.part.role {
        Some(role) => Some(role),
        None => info_role(&mut wire).await?,
    };
    Ok(Greeted {
        wire,
        role,
        following: rest.part.following,
        serving: rest.serving,
        protocol: 2,
        login: 0,
        has_my_id: false,
    })
}

struct NodeRest {
    part: Part,
    serving: Result<(), String>,
}

fn node_rest_len(login: &Login) -> usize {
    2 + usize::from(login.database != 0)
}

fn say_node_rest(script: &mut Script, login: &Login, database: &str) {
    if login.database != 0 {
        script.say(&[b"SELECT", database.as_bytes()]);
    }
    script.say(&[b"ROLE"]).say(&[b"PING"]);
}

async fn hear_node_rest(wire: &mut Wire, login: &Login, credentials: &Credentials) -> Result<NodeRest, DialError> {
    if login.database != 0 {
        let select = receive(wire, Stage::Connect).await?;
        if select.kind() == Kind::Error {
            refused_login(&select, credentials)?;
            // "ERR DB index is out of range": no retry cures it. BUSY or LOADING: a later one does.
            let final_word = has_code(&select.text(), &["ERR"]);
            let stage = if final_word { Stage::Auth } else { Stage::Query };
            return Err(DialError::new(
                stage,
                format!("{} (SELECT {})", select.text(), login.database),
            ));
        }
    }
    let role = receive(wire, Stage::Role).await?;
    let ping = receive(wire, Stage::Role).await?;
    // A user without the right to ROLE is served all the same; one that is not logged in is not.
    if role.kind() == Kind::Error && !has_code(&role.text(), &["NOPERM"]) {
        refused_login(&role, credentials)?;
    }
    // LOADING shows in PING alone (ROLE already says master), MASTERDOWN is a replica that serves nothing.
    let not_serving = ping.kind() == Kind::Error && has_code(&ping.text(), &["LOADING", "MASTERDOWN"]);
    let serving = match not_serving {
        true => Err(ping.text().into_owned()),
        false => Ok(()),
    };
    let part = Part::told(wire, &role).await;
    Ok(NodeRest {
        part: part.map_err(|error| ended(error, Stage::Role))?,
        serving,
    })
}

async fn hear_raw(wire: &mut Wire, count: usize) -> Result<(), DialError> {
    for _ in 0..count {
        receive(wire, Stage::Connect).await?;
    }
    Ok(())
}

/// The role as HELLO tells it.
fn hello_role(hello: &Reply) -> Option<Role> {
    role_named(hello_field(hello, b"role")?.data())
}

/// For users that may neither HELLO nor ROLE: `INFO replication`, as redis-server 5 has it.
async fn info_role(wire: &mut Wire) -> Result<Option<Role>, DialError> {
    let mut script = Script::new(&Credentials::default(), None);
    script.say(&[b"INFO", b"replication"]);
    send(wire, &script).await?;
    let info = receive(wire, Stage::Role).await?;
    let text = info.text();
    if info.kind() == Kind::Error {
        return Err(DialError::new(Stage::Role, text.into_owned()));
    }
    Ok(text
        .lines()
        .find_map(|line| line.strip_prefix("role:"))
        .and_then(|name| role_named(name.trim_end().as_bytes())))
}

pub(crate) async fn sentinel_words(mut wire: Wire, credentials: &Credentials) -> Result<Greeted, DialError> {
    let mut script = Script::new(credentials, None);
    send(&mut wire, script.hello(3, credentials, None)).await?;
    let hello = receive(&mut wire, Stage::Connect).await?;
    let protocol = if hello.kind() == Kind::Error {
        refused_login(&hello, credentials)?;
        // Redis 5 has no HELLO: the login of its day, then RESP2.
        let mut script = Script::new(credentials, None);
        if say_auth(&mut script, credentials) {
            send(&mut wire, &script).await?;
            hear_auth(&mut wire, credentials).await?;
        }
        2
    } else {
        spoken_protocol(&hello, 3)?
    };
    Ok(Greeted {
        wire,
        role: None,
        following: None,
        serving: Ok(()),
        protocol,
        login: 0,
        has_my_id: hello_version(&hello).is_some_and(|version| version >= (6, 2)),
    })
}

/// The protocol in which HELLO was answered: 3 with a map, 2 with its flat array. Never a newer one than was asked for,
/// nor another than the answer itself tells.
fn spoken_protocol(hello: &Reply, asked: u8) -> Result<u8, DialError> {
    let wrong = |problem: String| Err(DialError::new(Stage::Connect, format!("protocol error: {problem}")));
    let spoken = match hello.kind() {
        Kind::Map => 3,
        Kind::Array => 2,
        _ => return wrong("HELLO is not answered with a map".into()),
    };
    match hello_field(hello, b"proto").map_or(i64::from(spoken), |proto| proto.integer()) {
        told if told == i64::from(spoken) && spoken <= asked => Ok(spoken),
        told => wrong(format!(
            "HELLO {asked} is answered in protocol {spoken}, which says it is {told}"
        )),
    }
}

/// A field of HELLO's reply: a map in RESP3, a flat array in RESP2.
fn hello_field<'a>(hello: &'a Reply, name: &[u8]) -> Option<Value<'a>> {
    if let Some(value) = hello.root().get(name) {
        return Some(value);
    }
    let mut keys = (0..hello.len()).step_by(2);
    let index = keys.find(|&i| hello.at(i).is_some_and(|key| key.data() == name))?;
    hello.at(index + 1)
}

/// Major and minor of the field `version` of HELLO's reply in RESP3.
fn hello_version(hello: &Reply) -> Option<(u32, u32)> {
    let version = hello.root().get(b"version")?.text();
    let mut numbers = version.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

async fn hear_auth(wire: &mut Wire, credentials: &Credentials) -> Result<(), DialError> {
    let reply = receive(wire, Stage::Auth).await?;
    match reply.kind() {
        Kind::Error => Err(DialError::new(Stage::Auth, without_secret(&reply.text(), credentials))),
        _ => Ok(()),
    }
}

async fn send(wire: &mut Wire, script: &Script) -> Result<(), DialError> {
    wire.send(&script.bytes)
        .await
        .map_err(|error| ended(error, Stage::Connect))
}

/// The first byte of an alert: how some TLS servers answer what is not TLS. Others hang up.
const ALERT: u8 = 21;

const UNAWARE: &str = "the server speaks TLS there, and the options say that it does not";

/// What the end of a wire says of the attempt that was at `stage`.
fn ended(error: WireError, stage: Stage) -> DialError {
    match error {
        WireError::Tls(cause) => DialError::new(Stage::Tls, cause),
        WireError::Protocol(DecodeError::UnknownType { byte: ALERT }) => DialError::new(Stage::Tls, UNAWARE),
        error => DialError::new(stage, error.to_string()),
    }
}

/// The next reply that is not a push: none is asked for here.
async fn receive(wire: &mut Wire, stage: Stage) -> Result<Reply, DialError> {
    loop {
        match wire.receive().await {
            Ok(reply) if reply.kind() == Kind::Push => {}
            Ok(reply) => return Ok(reply),
            Err(error) => return Err(ended(error, stage)),
        }
    }
}

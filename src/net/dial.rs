//! From a name to an open TCP connection.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::timeout_at;

use super::endpoint::Endpoint;
use super::failure::{DialError, plain};
use super::lookup::lookup;
use super::settings::TcpSettings;
use super::socket::Socket;
use crate::base::clock;
use crate::base::error::Stage;

/// How long the first address of a name has the field to itself, and each next one after it (RFC 8305, section 5), where
/// there is time enough.
const HEAD_START: Duration = Duration::from_millis(150);

/// The head start of an address that so many others wait behind: what is left is shared among all of them, so that the
/// last one is tried in time as well.
fn head_start(left: Duration, behind: usize) -> Duration {
    let shares = u32::try_from(behind).unwrap_or(u32::MAX).saturating_add(1);
    HEAD_START.min(left / shares)
}

/// Connects to an address of `endpoint`, within `limit`. Names are resolved anew each time. All addresses are tried, each
/// a moment after the one before or as soon as that has failed, and the first that takes the connection is taken: one
/// black hole costs that moment.
pub async fn dial(endpoint: &Endpoint, tcp: &TcpSettings, limit: Duration) -> Result<Socket, DialError> {
    let until = clock::now() + limit;
    let addresses = interleaved(resolve(endpoint, until).await?);
    let silent = || format!("no answer in {} ms", limit.as_millis());
    let connected = match addresses.as_slice() {
        [] => Err(DialError::new(Stage::Resolve, "the name has no address")),
        [only] => match timeout_at(until.into(), Socket::connect(*only)).await {
            Ok(connected) => connected.map_err(|error| DialError::new(Stage::Connect, plain(&error))),
            Err(_) => Err(DialError::new(Stage::Connect, silent())),
        },
        several => race(several, until, silent).await,
    };
    let socket = connected?;
    socket.configure(tcp);
    Ok(socket)
}

/// All addresses of `endpoint`, each once, in the resolver's order; an address is its own.
pub async fn addresses(endpoint: &Endpoint, limit: Duration) -> Result<Vec<SocketAddr>, DialError> {
    resolve(endpoint, clock::now() + limit).await
}

/// The first of the addresses that takes a connection.
async fn race(addresses: &[SocketAddr], until: Instant, silent: impl Fn() -> String) -> Result<Socket, DialError> {
    let mut racing = JoinSet::new();
    let mut waiting = addresses.iter();
    let mut causes: Vec<(SocketAddr, String)> = Vec::new();
    let mut start = clock::now();
    loop {
        let now = clock::now();
        if start <= now {
            if let Some(&address) = waiting.next() {
                racing.spawn(async move { (address, Socket::connect(address).await) });
            }
            start = match waiting.len() {
                0 => until,
                behind => now + head_start(until.saturating_duration_since(now), behind),
            };
        }
        match timeout_at(start.min(until).into(), racing.join_next()).await {
            Ok(Some(Ok((_, Ok(socket))))) => return Ok(socket),
            Ok(Some(Ok((address, Err(error))))) => {
                causes.push((address, plain(&error)));
                start = clock::now();
            }
            Ok(Some(Err(_))) => {}
            Ok(None) => break,
            Err(_) if clock::now() >= until => break,
            Err(_) => {}
        }
    }
    let untried = waiting.as_slice();
    let cause = |address: &SocketAddr| {
        let known = causes.iter().find(|(failed, _)| failed == address);
        let cause = match known {
            Some((_, cause)) => cause.clone(),
            None if untried.contains(address) => "not tried".to_owned(),
            None => silent(),
        };
        format!("{}: {cause}", address.ip())
    };
    let causes: Vec<String> = addresses.iter().map(cause).collect();
    Err(DialError::new(Stage::Connect, causes.join(", ")))
}

/// The resolver's order, its first family first, the families in turn: where one of them leads nowhere, the other is
/// tried next (RFC 8305, section 4).
fn interleaved(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_ipv6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (one, other): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == first_is_ipv6);
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut mixed = Vec::new();
    while one.len() + other.len() > 0 {
        mixed.extend(one.next());
        mixed.extend(other.next());
    }
    mixed
}

async fn resolve(endpoint: &Endpoint, until: Instant) -> Result<Vec<SocketAddr>, DialError> {
    let with_port = |address: SocketAddr| {
        let mut address = address;
        address.set_port(endpoint.port);
        address
    };
    match timeout_at(until.into(), lookup(&endpoint.host)).await {
        Ok(Ok(addresses)) => Ok(addresses.into_iter().map(with_port).collect()),
        Ok(Err(cause)) => Err(DialError::new(Stage::Resolve, cause)),
        Err(_) => Err(DialError::new(Stage::Resolve, "the resolver did not answer in time")),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use sentinel_lab::{BlackHole, free_port};

    use super::*;

    #[test]
    fn the_families_take_turns_and_the_resolvers_first_comes_first() {
        let mixed = |addresses: &[&str]| {
            let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
            let mixed = interleaved(addresses).into_iter();
            mixed.map(|address| address.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(
            mixed(&["[::1]:7", "[::2]:7", "[::3]:7", "1.1.1.1:7", "1.1.1.2:7"]),
            ["[::1]:7", "1.1.1.1:7", "[::2]:7", "1.1.1.2:7", "[::3]:7"]
        );
        assert_eq!(mixed(&["1.1.1.1:7", "[::1]:7"]), ["1.1.1.1:7", "[::1]:7"]);
        assert!(mixed(&[]).is_empty());
    }

    fn race_within(addresses: &[SocketAddr], ms: u64) -> (Result<SocketAddr, DialError>, Duration) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async {
            let began = Instant::now();
            let raced = race(addresses, began + Duration::from_millis(ms), || "no answer".to_owned()).await;
            (raced.map(|socket| socket.peer().unwrap()), began.elapsed())
        })
    }

    #[test]
    fn head_starts_shrink_until_every_address_is_tried() {
        for (limit, addresses) in [(200, 2), (200, 3), (200, 40), (1000, 3), (1000, 12), (3000, 64)] {
            let (limit, mut at) = (Duration::from_millis(limit), Duration::ZERO);
            for behind in (1..addresses).rev() {
                let start = head_start(limit - at, behind);
                assert!(start <= HEAD_START && start > Duration::ZERO);
                at += start;
            }
            let left = limit - at;
            assert!(
                left >= limit / u32::try_from(addresses).unwrap(),
                "{left:?} for the last"
            );
        }
        assert_eq!(head_start(Duration::from_secs(1), 1), HEAD_START);
        assert_eq!(head_start(Duration::ZERO, usize::MAX), Duration::ZERO);
    }

    #[test]
    fn an_address_behind_two_black_holes_is_reached_within_a_sentinels_limit() {
        let holes = [BlackHole::start(), BlackHole::start()].map(|hole| {
            let at: SocketAddr = format!("127.0.0.1:{}", hole.port()).parse().unwrap();
            (hole, at)
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let open = listener.local_addr().unwrap();
        let (won, took) = race_within(&[holes[0].1, holes[1].1, open], 200);
        assert_eq!(won, Ok(open), "{took:?}");
    }

    #[test]
    fn an_address_that_was_not_tried_is_called_so() {
        let hole = BlackHole::start();
        let at = |ip: &str| format!("{ip}:{}", hole.port()).parse().unwrap();
        let (lost, _) = race_within(&[at("127.0.0.1"), at("127.0.0.2")], 0);
        let causes = "127.0.0.1: no answer, 127.0.0.2: not tried";
        assert_eq!(lost.unwrap_err(), DialError::new(Stage::Connect, causes));
    }

    #[test]
    fn a_black_hole_costs_a_moment_and_a_refusal_nothing() {
        let (black_hole, down) = (BlackHole::start(), free_port());
        let hole: SocketAddr = format!("127.0.0.1:{}", black_hole.port()).parse().unwrap();
        let refusing: SocketAddr = format!("127.0.0.1:{}", down.number()).parse().unwrap();
        let listener = TcpListener::bind("[::1]:0").unwrap();
        let open = listener.local_addr().unwrap();
        let (won, took) = race_within(&[hole, open], 5000);
        assert_eq!(won.unwrap(), open);
        assert!(took >= HEAD_START && took < HEAD_START * 4, "{took:?}");
        let (won, took) = race_within(&[refusing, open], 5000);
        assert_eq!(won.unwrap(), open);
        assert!(took < HEAD_START, "{took:?}");
        let (lost, took) = race_within(&[hole, refusing], 400);
        let both = format!("{}: no answer, {}: Connection refused", hole.ip(), refusing.ip());
        assert_eq!(lost.unwrap_err(), DialError::new(Stage::Connect, both));
        assert!(
            took >= Duration::from_millis(400),
            "{took:?}: the first may still have answered"
        );
        let (lost, took) = race_within(&[refusing, refusing], 5000);
        assert!(lost.is_err() && took < HEAD_START, "{took:?}");
    }
}

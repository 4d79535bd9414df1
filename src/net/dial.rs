//! From a name to an open TCP connection.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::timeout_at;

use super::Endpoint;
use crate::error::{Attempt, Stage};
use crate::options::TcpSettings;

/// Why an endpoint could not be reached, and how far the attempt came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialError {
    /// The step that failed.
    pub stage: Stage,
    /// The cause in one line.
    pub cause: String,
}

impl DialError {
    /// A failure at `stage`.
    pub fn new(stage: Stage, cause: impl Into<String>) -> DialError {
        DialError {
            stage,
            cause: cause.into(),
        }
    }

    /// The attempt as a caller reads it.
    pub fn at(&self, endpoint: &Endpoint) -> Attempt {
        Attempt {
            endpoint: endpoint.to_string(),
            stage: self.stage,
            cause: self.cause.clone(),
        }
    }
}

/// Connects to the first address of `endpoint` that takes the connection, all within `limit`. Names are resolved anew
/// each time; the addresses share the time that is left, so one black hole does not use up the others' share.
pub async fn dial(endpoint: &Endpoint, tcp: &TcpSettings, limit: Duration) -> Result<TcpStream, DialError> {
    let until = Instant::now() + limit;
    let addresses = resolve(endpoint, until).await?;
    let mut last = DialError::new(Stage::Resolve, "the name has no address");
    let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    for address in addresses {
        let share = until.saturating_duration_since(Instant::now()) / left.max(1);
        left = left.saturating_sub(1);
        match timeout_at((Instant::now() + share).into(), TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                configure(&stream, tcp);
                return Ok(stream);
            }
            Ok(Err(error)) => last = DialError::new(Stage::Connect, plain(&error)),
            Err(_) => {
                last = DialError::new(
                    Stage::Connect,
                    format!("no answer in {} ms", (share.as_micros() + 500) / 1000),
                )
            }
        }
    }
    Err(last)
}

async fn resolve(endpoint: &Endpoint, until: Instant) -> Result<Vec<SocketAddr>, DialError> {
    if let Ok(ip) = endpoint.host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, endpoint.port)]);
    }
    match timeout_at(
        until.into(),
        tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port)),
    )
    .await
    {
        Ok(Ok(addresses)) => Ok(addresses.collect()),
        Ok(Err(error)) => Err(DialError::new(Stage::Resolve, error.to_string())),
        Err(_) => Err(DialError::new(Stage::Resolve, "the resolver did not answer in time")),
    }
}

/// Sets the socket options. A kernel that refuses one costs its effect, not the connection.
fn configure(stream: &TcpStream, tcp: &TcpSettings) {
    let socket = SockRef::from(stream);
    let _ = socket.set_tcp_nodelay(tcp.nodelay);
    if let Some(after) = tcp.keepalive {
        let every = (after / 3).max(Duration::from_secs(1));
        let _ = socket.set_tcp_keepalive(
            &TcpKeepalive::new()
                .with_time(after)
                .with_interval(every)
                .with_retries(3),
        );
    }
    let _ = socket.set_tcp_user_timeout(tcp.user_timeout);
}

/// The system's message without Rust's `(os error 111)`.
pub fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

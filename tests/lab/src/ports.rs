//! Ports that parallel tests, in this and in other processes, do not take from each other.
//!
//! A port the kernel picks (`bind` to 0) lies in the range it also takes for outgoing connections: while a killed server
//! is down, its port can become some client's own, and a client that connects to it can even meet itself (TCP's
//! simultaneous open). So ports come from outside that range, and a name keeps each for its owner: that of a socket, which
//! all users of the machine's loopback share, whatever their TMPDIR, and which ends with its process and leaves nothing.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{self as unix, UnixDatagram};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const LOWEST: u16 = 10_000;
const LINUX_DEFAULT: (u16, u16) = (32_768, 60_999);

/// A TCP port on loopback that is this value's until it is dropped, listening or not.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _name: UnixDatagram,
}

impl Port {
    /// This port, unless it is another's, or something listens there.
    pub fn take(number: u16) -> Option<Port> {
        let name = name(number)?;
        can_bind(number).then_some(Port { number, _name: name })
    }

    /// The number.
    pub fn number(&self) -> u16 {
        self.number
    }
}

fn outgoing_range() -> (u16, u16) {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut numbers = text.split_whitespace().filter_map(|word| word.parse().ok());
    numbers.next().zip(numbers.next()).unwrap_or(LINUX_DEFAULT)
}

/// The name of a port, unless somebody has it.
fn name(number: u16) -> Option<UnixDatagram> {
    let address = unix::SocketAddr::from_abstract_name(format!("libsentinel-lab/port/{number}"));
    match address.and_then(|address| UnixDatagram::bind_addr(&address)) {
        Ok(socket) => Some(socket),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => None,
        // It would be the same with every other port.
        Err(error) => panic!("cannot name the port {number}: {error}"),
    }
}

fn can_bind(number: u16) -> bool {
    let v6_in_use = |error: std::io::Error| error.kind() == std::io::ErrorKind::AddrInUse;
    TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok()
        && !TcpListener::bind((Ipv6Addr::LOCALHOST, number)).is_err_and(v6_in_use)
}

fn starting_point() -> u32 {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.subsec_nanos());
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    now.wrapping_add(call.wrapping_mul(7_919))
        .wrapping_add(std::process::id().wrapping_mul(104_729))
}

/// Reserves a free port on loopback.
pub fn free_port() -> Port {
    let (low, high) = outgoing_range();
    let pool: Vec<u16> = (LOWEST..=u16::MAX).filter(|port| *port < low || *port > high).collect();
    assert!(
        !pool.is_empty(),
        "net.ipv4.ip_local_port_range leaves no port to listen on; make it smaller"
    );
    let start = starting_point() as usize % pool.len();
    for number in pool[start..].iter().chain(&pool[..start]).copied() {
        if let Some(port) = Port::take(number) {
            return port;
        }
    }
    panic!("no free port on loopback: stop what listens there, or remove stale processes of earlier tests");
}

/// An address whose connection attempts are never answered, as behind a firewall that drops: a listener with a full
/// accept queue. Connecting to it ends with the caller's own timeout.
pub struct BlackHole {
    port: Port,
    _listener: OwnedFd,
    _fillers: Vec<TcpStream>,
}

impl BlackHole {
    /// Opens one on a free port of 127.0.0.1.
    pub fn start() -> BlackHole {
        let port = free_port();
        let listener = listen_without_queue(port.number());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.number()));
        let started = Instant::now();
        let mut fillers = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(50)) {
            fillers.push(stream);
            assert!(
                started.elapsed() < Duration::from_secs(5),
                "the accept queue does not fill; is this Linux?"
            );
        }
        BlackHole {
            port,
            _listener: listener,
            _fillers: fillers,
        }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port.number()
    }
}

fn listen_without_queue(port: u16) -> OwnedFd {
    // SAFETY: plain socket calls; the descriptor is owned from its creation on, and `address` outlives the call.
    unsafe {
        let raw = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        assert!(raw >= 0, "no socket; raise the limit of open files");
        let socket = OwnedFd::from_raw_fd(raw);
        // As the check for a free port has it: connections that ended a moment ago do not hold the port.
        let on: libc::c_int = 1;
        let len = size_of::<libc::c_int>() as libc::socklen_t;
        libc::setsockopt(raw, libc::SOL_SOCKET, libc::SO_REUSEADDR, (&raw const on).cast(), len);
        let mut address: libc::sockaddr_in = std::mem::zeroed();
        address.sin_family = libc::AF_INET as libc::sa_family_t;
        address.sin_port = port.to_be();
        address.sin_addr.s_addr = u32::from(Ipv4Addr::LOCALHOST).to_be();
        let size = size_of::<libc::sockaddr_in>() as libc::socklen_t;
        assert_eq!(
            libc::bind(raw, (&raw const address).cast(), size),
            0,
            "bind port {port}, which was free before"
        );
        assert_eq!(libc::listen(raw, 0), 0, "listen on port {port}");
        socket
    }
}

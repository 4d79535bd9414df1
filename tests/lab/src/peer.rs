//! A scripted peer: a listener whose replies a test decides, command by command.

use std::io::BufReader;
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::time::{Duration, Instant};

use crate::acceptor::Acceptor;
use crate::link::{Cut, Link};
use crate::session::{Client, Session};
use crate::wait::{wait_for, wait_until};
use crate::wire::read_command;

/// One command a peer has received.
#[derive(Clone, Debug)]
pub struct Received {
    /// The number of the connection it came on.
    pub connection: usize,
    /// When it was read.
    pub at: Instant,
    /// The command's name and arguments.
    pub args: Vec<Vec<u8>>,
}

impl Received {
    /// Name and arguments with spaces between them.
    pub fn text(&self) -> String {
        self.args
            .iter()
            .map(|arg| String::from_utf8_lossy(arg))
            .collect::<Vec<_>>()
            .join(" ")
    }
}

type Handler = Box<dyn Fn(&mut Session, &[Vec<u8>]) + Send + Sync>;

#[derive(Default)]
struct State {
    received: Vec<Received>,
    arrivals: Vec<Instant>,
    clients: Vec<Weak<Client>>,
    silent: bool,
    delay: Duration,
}

struct Shared {
    handler: Handler,
    state: Mutex<State>,
    spoken: Condvar,
}

/// A listener on 127.0.0.1 that answers as its handler says. Dropping it closes all connections.
pub struct Peer {
    acceptor: Acceptor,
    shared: Arc<Shared>,
}

impl Peer {
    /// Listens on a free port; `handler` is called for each command, on the thread of its connection.
    pub fn start(handler: impl Fn(&mut Session, &[Vec<u8>]) + Send + Sync + 'static) -> Peer {
        let (state, spoken) = Default::default();
        let shared = Arc::new(Shared {
            handler: Box::new(handler),
            state,
            spoken,
        });
        let accepting = shared.clone();
        let acceptor = Acceptor::start(move |stream| {
            let client = accepting.register(stream);
            let serving = accepting.clone();
            std::thread::spawn(move || serving.serve(client));
        });
        Peer { acceptor, shared }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.acceptor.port()
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    /// Every command received so far, in the order of arrival.
    pub fn commands(&self) -> Vec<Received> {
        self.shared.with(|state| state.received.clone())
    }

    /// How many commands received so far begin with the words of `text`, in any case.
    pub fn count(&self, text: &str) -> usize {
        let wanted: Vec<String> = text.split_whitespace().map(str::to_uppercase).collect();
        let is_wanted = |received: &&Received| {
            let given = received
                .args
                .iter()
                .map(|arg| String::from_utf8_lossy(arg).to_uppercase());
            given.take(wanted.len()).eq(wanted.iter().cloned())
        };
        self.shared
            .with(|state| state.received.iter().filter(is_wanted).count())
    }

    /// Waits until a command that begins with the words of `text` has come.
    #[track_caller]
    pub fn wait_for_command(&self, text: &str, timeout: Duration) {
        wait_until(&format!("a command {text} on {}", self.address()), timeout, || {
            self.count(text) > 0
        });
    }

    /// Forgets the commands received so far.
    pub fn forget_commands(&self) {
        self.shared.with(|state| state.received.clear());
    }

    /// How many connections carried a command of a caller: something else than a greeting and PING.
    pub fn callers_connections(&self) -> usize {
        let own: [&[u8]; 7] = [b"HELLO", b"AUTH", b"SELECT", b"ROLE", b"PING", b"INFO", b"CLIENT"];
        let asked = self.commands().into_iter().filter(|received| {
            let name = received.args.first().map(Vec::as_slice).unwrap_or_default();
            !own.iter().any(|own| name.eq_ignore_ascii_case(own))
        });
        asked
            .map(|received| received.connection)
            .collect::<std::collections::BTreeSet<_>>()
            .len()
    }

    /// When each connection so far has arrived.
    pub fn connections(&self) -> Vec<Instant> {
        self.shared.with(|state| state.arrivals.clone())
    }

    /// How many connections are open now.
    pub fn open_connections(&self) -> usize {
        self.shared.clients().len()
    }

    /// Sends bytes to every open connection; how many got them.
    pub fn broadcast(&self, bytes: impl AsRef<[u8]>) -> usize {
        self.shared
            .clients()
            .iter()
            .filter(|client| client.link.send(bytes.as_ref()).is_ok())
            .count()
    }

    /// Publishes a message to every connection that is subscribed to `channel`; how many messages went out.
    pub fn emit(&self, channel: &str, payload: &str) -> usize {
        let clients = self.shared.clients();
        clients
            .iter()
            .map(|client| client.deliver(channel.as_bytes(), payload.as_bytes()))
            .sum()
    }

    /// Waits until `count` connections are subscribed to something.
    #[track_caller]
    pub fn wait_for_subscribers(&self, count: usize, timeout: Duration) {
        wait_for(&format!("{count} subscribers on {}", self.address()), timeout, || {
            let clients = self.shared.clients();
            (clients.iter().filter(|client| client.is_subscribed()).count() >= count).then_some(())
        });
    }

    /// Whether connections are accepted and commands read but nothing is answered, as by a stopped process. When this ends,
    /// the commands that waited are answered.
    pub fn set_silent(&self, silent: bool) {
        self.shared.with(|state| state.silent = silent);
        self.shared.wake();
    }

    /// How long every command waits for its reply from now on.
    pub fn set_delay(&self, delay: Duration) {
        self.shared.with(|state| state.delay = delay);
    }

    /// Ends all open connections and returns when they are gone.
    pub fn cut_all(&self, how: Cut) {
        let clients = self.shared.with(|state| std::mem::take(&mut state.clients));
        for client in clients.iter().filter_map(Weak::upgrade) {
            client.link.cut(how);
        }
        self.shared.wake();
        wait_until(
            "the cut connections to be gone; does a handler sleep?",
            Duration::from_secs(10),
            || clients.iter().all(|client| client.strong_count() == 0),
        );
    }

    /// Stops listening; new connections are refused, open ones stay.
    pub fn refuse(&self) {
        self.acceptor.refuse();
    }

    /// Listens again on the same port.
    pub fn listen(&self) {
        self.acceptor.listen();
    }

    /// As if the process were killed: refuses new connections and closes all open ones.
    pub fn die(&self) {
        self.refuse();
        self.cut_all(Cut::Close);
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.acceptor.refuse();
        for client in self.shared.clients() {
            client.link.cut(Cut::Close);
        }
        self.shared.wake();
    }
}

impl Shared {
    fn with<T>(&self, use_it: impl FnOnce(&mut State) -> T) -> T {
        use_it(&mut self.state.lock().expect("no panic happens under this lock"))
    }

    /// Lets the threads that wait for speech look again.
    fn wake(&self) {
        // Whoever has looked before a change is waiting once this lock is free.
        self.with(|_| ());
        self.spoken.notify_all();
    }

    fn clients(&self) -> Vec<Arc<Client>> {
        self.with(|state| {
            state.clients.retain(|client| client.strong_count() > 0);
            state.clients.iter().filter_map(Weak::upgrade).collect()
        })
    }

    fn register(&self, stream: TcpStream) -> Arc<Client> {
        self.with(|state| {
            let client = Arc::new(Client::new(Link::new(stream), state.arrivals.len()));
            state.arrivals.push(Instant::now());
            state.clients.retain(|client| client.strong_count() > 0);
            state.clients.push(Arc::downgrade(&client));
            client
        })
    }

    fn serve(&self, client: Arc<Client>) {
        let mut session = Session { client: client.clone() };
        let mut input = BufReader::new(&client.link);
        while let Ok(args) = read_command(&mut input) {
            let received = Received {
                connection: client.id,
                at: Instant::now(),
                args: args.clone(),
            };
            self.with(|state| state.received.push(received));
            self.wait_for_speech(&client);
            if client.link.has_ended() {
                break;
            }
            (self.handler)(&mut session, &args);
            if client.link.has_ended() {
                break;
            }
        }
    }

    /// The delay, and silence as long as it lasts.
    fn wait_for_speech(&self, client: &Client) {
        let delay = self.with(|state| state.delay);
        if !delay.is_zero() {
            std::thread::sleep(delay);
        }
        let state = self.state.lock().expect("no panic happens under this lock");
        let silent = |state: &mut State| state.silent && !client.link.has_ended();
        drop(
            self.spoken
                .wait_while(state, silent)
                .expect("no panic happens under this lock"),
        );
    }
}

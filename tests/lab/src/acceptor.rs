//! A listener on a port of its own that can stop listening and start again there.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::ports::{Port, free_port};
use crate::wait::wait_for;

type OnAccept = Arc<dyn Fn(TcpStream) + Send + Sync>;

struct Listening {
    listener: Arc<TcpListener>,
    ending: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

pub(crate) struct Acceptor {
    port: Port,
    on_accept: OnAccept,
    listening: Mutex<Option<Listening>>,
}

impl Acceptor {
    /// Listens on 127.0.0.1 and calls `on_accept`, which must not block, for each connection.
    pub(crate) fn start(on_accept: impl Fn(TcpStream) + Send + Sync + 'static) -> Acceptor {
        let acceptor = Acceptor {
            port: free_port(),
            on_accept: Arc::new(on_accept),
            listening: Mutex::new(None),
        };
        acceptor.listen();
        acceptor
    }

    pub(crate) fn port(&self) -> u16 {
        self.port.number()
    }

    /// Listens again after [`refuse`](Acceptor::refuse).
    pub(crate) fn listen(&self) {
        let mut listening = self.listening.lock().expect("no panic happens under this lock");
        if listening.is_some() {
            return;
        }
        let address = (Ipv4Addr::LOCALHOST, self.port());
        let listener = wait_for("the own port to be free", Duration::from_secs(5), || {
            TcpListener::bind(address).ok()
        });
        let listener = Arc::new(listener);
        let ending = Arc::new(AtomicBool::new(false));
        let (source, end, on_accept) = (listener.clone(), ending.clone(), self.on_accept.clone());
        let thread = std::thread::spawn(move || {
            while let Ok((stream, _)) = source.accept() {
                if end.load(Ordering::SeqCst) {
                    break;
                }
                on_accept(stream);
            }
        });
        *listening = Some(Listening {
            listener,
            ending,
            thread,
        });
    }

    /// Stops listening: when this returns, connections are refused.
    pub(crate) fn refuse(&self) {
        let Some(listening) = self.listening.lock().expect("no panic happens under this lock").take() else {
            return;
        };
        listening.ending.store(true, Ordering::SeqCst);
        // SAFETY: the descriptor is open; on Linux this ends a blocked accept.
        unsafe { libc::shutdown(listening.listener.as_raw_fd(), libc::SHUT_RDWR) };
        listening.thread.join().expect("the accepting thread does not panic");
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.refuse();
    }
}

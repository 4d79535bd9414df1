//! Names looked up by threads of their own: getaddrinfo(3) takes as long as the resolver likes, and cannot be called back.
//! A process has one lookup of a name at a time, whoever asks; who comes later joins it, also where all who asked before
//! have given up. So a resolver that hangs holds a few threads, and nothing else waits for them.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::sync::watch;

use crate::base::process::PerProcess;
use crate::base::sync::Mutex;
use crate::base::thread;

/// So many names are looked up at once; further ones wait for one of these to end, as long as somebody asks for them.
const AT_ONCE: usize = 16;

/// The addresses, each once, in the resolver's order and without a port; or the resolver's word.
type Found = Result<Vec<SocketAddr>, String>;

#[derive(Default)]
struct Table {
    /// The names that are looked up or wait for it, and who is told.
    open: HashMap<String, watch::Sender<Option<Found>>>,
    waiting: VecDeque<String>,
    threads: usize,
}

impl Table {
    /// Those that nobody asks for any more need not be begun.
    fn forget_unasked(&mut self) {
        let open = &mut self.open;
        self.waiting.retain(|name| {
            let asked = open.get(name).is_some_and(|tell| !tell.is_closed());
            if !asked {
                open.remove(name);
            }
            asked
        });
    }
}

/// The lookups of a process, by what looks a name up.
struct Lookups {
    table: Mutex<Table>,
    look: fn(&str) -> io::Result<Vec<SocketAddr>>,
}

/// A forked child has its own: its parent's threads are not there to answer.
static LOOKUPS: PerProcess<Lookups> = PerProcess::new(|| Lookups::new(resolve));

/// The addresses of `name`; an address is its own, and waits for no name. Dropped half-way it leaves the lookup to whoever
/// asks next.
pub(super) async fn lookup(name: &str) -> Found {
    if let Ok(ip) = name.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, 0)]);
    }
    let zoned = name.split_once('%').map(|(address, _)| address.parse::<Ipv6Addr>());
    if let Some(Ok(_)) = zoned {
        // Only its zone is looked up, in this machine.
        return resolve(name).map_err(|error| error.to_string());
    }
    LOOKUPS.get().ask(name).await
}

fn resolve(name: &str) -> io::Result<Vec<SocketAddr>> {
    (name, 0).to_socket_addrs().map(Iterator::collect)
}

impl Lookups {
    fn new(look: fn(&str) -> io::Result<Vec<SocketAddr>>) -> Lookups {
        Lookups {
            table: Mutex::default(),
            look,
        }
    }

    async fn ask(&'static self, name: &str) -> Found {
        let mut told = self.join(name);
        let gone = || Err("the lookup was given up".to_owned());
        match told.wait_for(Option::is_some).await {
            Ok(found) => found.clone().unwrap_or_else(gone),
            Err(_) => gone(),
        }
    }

    /// Joins the lookup that is under way, or has one begun.
    fn join(&'static self, name: &str) -> watch::Receiver<Option<Found>> {
        let name = name.to_ascii_lowercase();
        let mut table = self.table.lock();
        if let Some(tell) = table.open.get(&name) {
            return tell.subscribe();
        }
        table.forget_unasked();
        let (tell, told) = watch::channel(None);
        table.open.insert(name.clone(), tell);
        table.waiting.push_back(name);
        if table.threads < AT_ONCE {
            table.threads += 1;
            drop(table);
            if let Err(error) = thread::beside("sentinel-dns", || self.work()) {
                self.without_thread(&error);
            }
        }
        told
    }

    /// The life of a thread: it ends when no name waits.
    fn work(&self) {
        while let Some(name) = self.next() {
            let found = catch_unwind(AssertUnwindSafe(|| (self.look)(&name)));
            let found = found.unwrap_or_else(|_| Err(io::Error::other("the lookup broke off")));
            self.tell(&name, &found.map(each_once).map_err(|error| error.to_string()));
        }
    }

    fn next(&self) -> Option<String> {
        let mut table = self.table.lock();
        table.forget_unasked();
        let next = table.waiting.pop_front();
        if next.is_none() {
            table.threads = table.threads.saturating_sub(1);
        }
        next
    }

    fn tell(&self, name: &str, found: &Found) {
        let tell = self.table.lock().open.remove(name);
        if let Some(tell) = tell {
            tell.send_replace(Some(found.clone()));
        }
    }

    /// Those that look names up already will see to it; without any there is nobody to wait for.
    fn without_thread(&self, error: &io::Error) {
        let mut table = self.table.lock();
        table.threads = table.threads.saturating_sub(1);
        let left = match table.threads {
            0 => std::mem::take(&mut table.waiting),
            _ => VecDeque::new(),
        };
        drop(table);
        let found = Err(format!("no thread to look it up: {error}"));
        left.iter().for_each(|name| self.tell(name, &found));
    }
}

fn each_once(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    for address in addresses {
        if !found.contains(&address) {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Barrier, LazyLock};
    use std::time::Duration;

    use sentinel_lab::wait_until;
    use tokio::time::timeout;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(15);

    fn of(look: fn(&str) -> io::Result<Vec<SocketAddr>>) -> &'static Lookups {
        Box::leak(Box::new(Lookups::new(look)))
    }

    fn tokio() -> tokio::runtime::Runtime {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    }

    fn address() -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }

    #[test]
    fn who_asks_again_while_it_hangs_joins_the_lookup_and_hears_its_answer() {
        static BEGUN: AtomicUsize = AtomicUsize::new(0);
        static GATE: LazyLock<Barrier> = LazyLock::new(|| Barrier::new(2));
        let lookups = of(|_| {
            BEGUN.fetch_add(1, Ordering::SeqCst);
            GATE.wait();
            Ok(vec![address(), address()])
        });
        tokio().block_on(async {
            for _ in 0..20 {
                let late = timeout(Duration::from_millis(5), lookups.ask("Slow.test")).await;
                assert!(late.is_err(), "{late:?}");
            }
            let (one, other) = (lookups.join("slow.test"), lookups.join("SLOW.test"));
            GATE.wait();
            for mut told in [one, other] {
                let found = timeout(PATIENCE, told.wait_for(Option::is_some)).await.unwrap();
                assert_eq!(found.unwrap().clone(), Some(Ok(vec![address()])));
            }
        });
        wait_until("the end of the thread", PATIENCE, || lookups.table.lock().threads == 0);
        assert!(lookups.table.lock().open.is_empty());
        assert_eq!(BEGUN.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn names_that_hang_are_few_and_those_nobody_waits_for_are_not_begun() {
        static BEGUN: AtomicUsize = AtomicUsize::new(0);
        static GATE: LazyLock<Barrier> = LazyLock::new(|| Barrier::new(AT_ONCE + 1));
        let lookups = of(|name| {
            BEGUN.fetch_add(1, Ordering::SeqCst);
            if name.starts_with("hangs") {
                GATE.wait();
            }
            Err(io::Error::other("no such name"))
        });
        let held: Vec<_> = (0..AT_ONCE).map(|n| lookups.join(&format!("hangs-{n}"))).collect();
        wait_until("all threads to hang", PATIENCE, || {
            BEGUN.load(Ordering::SeqCst) == AT_ONCE
        });
        (0..1000).for_each(|n| drop(lookups.join(&format!("late-{n}"))));
        let mut asked = lookups.join("asked");
        let table = lookups.table.lock();
        let (open, waiting, threads) = (table.open.len(), table.waiting.len(), table.threads);
        drop(table);
        assert_eq!((open, waiting, threads), (AT_ONCE + 1, 1, AT_ONCE));
        GATE.wait();
        let found = tokio().block_on(async { asked.wait_for(Option::is_some).await.unwrap().clone() });
        assert_eq!(found, Some(Err("no such name".to_owned())));
        wait_until("the end of the threads", PATIENCE, || lookups.table.lock().threads == 0);
        assert_eq!(BEGUN.load(Ordering::SeqCst), AT_ONCE + 1);
        drop(held);
    }

    #[test]
    fn an_address_is_its_own_with_its_zone() {
        let found = |name| tokio().block_on(lookup(name)).map(|found| found[0].to_string());
        assert_eq!(found("127.0.0.1"), Ok("127.0.0.1:0".to_owned()));
        assert_eq!(found("::1"), Ok("[::1]:0".to_owned()));
        assert_eq!(found("fe80::1%lo"), Ok("[fe80::1%1]:0".to_owned()));
        assert!(LOOKUPS.get().table.lock().open.keys().all(|name| !name.contains(':')));
    }

    #[test]
    fn a_lookup_that_panics_is_told_and_the_name_can_be_asked_for_again() {
        let lookups = of(|_| panic!("on purpose"));
        tokio().block_on(async {
            for _ in 0..2 {
                assert_eq!(lookups.ask("name").await, Err("the lookup broke off".to_owned()));
            }
        });
    }
}

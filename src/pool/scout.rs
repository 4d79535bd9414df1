//! Asks a replica that is about to be promoted what it is, until it says that it is the primary: one task for a service,
//! however many clients it has.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::holder::Holder;
use crate::base::error::Stage;
use crate::base::tasks;
use crate::net::{DialError, Login, Transport, handshake, look};
use crate::topology::{Awaited, Role, Service};

/// Between two questions.
const ASK_EVERY: Duration = Duration::from_millis(3);

/// Between two attempts to connect: one that is promoted closes all connections, and takes new ones at once.
const DIAL_EVERY: Duration = Duration::from_millis(10);

/// What an answer may take: where it takes longer, it is asked on another connection.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);

/// How a client's connections are made and logged in.
#[derive(Debug, Clone)]
struct Way {
    client: Weak<dyn Holder>,
    service: Arc<Service>,
    login: Rc<Login>,
    transport: Rc<Transport>,
}

/// The scouts of a deployment, by service: whom each asks, and by which clients' ways.
#[derive(Debug, Default)]
pub struct Scouts(RefCell<HashMap<String, Posted>>);

#[derive(Debug)]
struct Posted {
    awaited: Awaited,
    ways: Vec<Way>,
}

impl Scouts {
    /// The client's service awaits a promotion: unless that is asked for already, it is asked for now.
    pub(super) fn post(
        self: &Rc<Scouts>,
        awaited: &Awaited,
        client: &Arc<dyn Holder>,
        service: &Arc<Service>,
        (login, transport): (&Rc<Login>, &Rc<Transport>),
    ) {
        let way = Way {
            client: Arc::downgrade(client),
            service: Arc::clone(service),
            login: Rc::clone(login),
            transport: Rc::clone(transport),
        };
        let service = service.name();
        let mut posted = self.0.borrow_mut();
        if let Some(posted) = posted.get_mut(service).filter(|posted| posted.awaited == *awaited) {
            let is_it = |way: &Way| std::ptr::addr_eq(way.client.as_ptr(), Arc::as_ptr(client));
            let is_known = posted.ways.iter().any(is_it);
            if !is_known {
                posted.ways.push(way);
            }
            return;
        }
        let ways = vec![way];
        let awaited = awaited.clone();
        posted.insert(
            service.to_owned(),
            Posted {
                awaited: awaited.clone(),
                ways,
            },
        );
        drop(posted);
        tasks::start(scout(Rc::clone(self), service.to_owned(), awaited));
    }

    /// One of the clients' ways, while their service awaits that promotion.
    fn way(&self, service: &str, awaited: &Awaited, turn: usize) -> Option<Way> {
        let mut posted = self.0.borrow_mut();
        let ways = &mut posted
            .get_mut(service)
            .filter(|posted| posted.awaited == *awaited)?
            .ways;
        ways.retain(|way| way.client.strong_count() > 0);
        ways.get(turn.checked_rem(ways.len())?).cloned()
    }

    fn is_over(&self, service: &str, awaited: &Awaited) {
        let mut posted = self.0.borrow_mut();
        if posted.get(service).is_some_and(|posted| posted.awaited == *awaited) {
            posted.remove(service);
        }
    }
}

/// What has become of a connection to the replica.
enum Found {
    /// It says that it is the primary.
    Promoted,
    /// That is not awaited any more.
    NotAwaited,
    /// It has ended, or tells nothing.
    Lost,
}

/// Asks until it is promoted, or that is not awaited any more.
async fn scout(scouts: Rc<Scouts>, service: String, awaited: Awaited) {
    let mut turn = 0;
    while let Some(way) = scouts.way(&service, &awaited, turn) {
        if !is_awaited(&way.service, &awaited) {
            break;
        }
        match ask(&way, &awaited).await {
            Ok(Found::Promoted) => {
                way.service.promoted(awaited.clone());
                break;
            }
            Ok(Found::NotAwaited) => break,
            Ok(Found::Lost) => sleep(ASK_EVERY).await,
            Err(error) => {
                // Where one client is refused, another may be let in.
                turn += usize::from(matches!(error.stage, Stage::Auth | Stage::Tls));
                sleep(DIAL_EVERY).await;
            }
        }
    }
    scouts.is_over(&service, &awaited);
}

fn is_awaited(service: &Service, awaited: &Awaited) -> bool {
    service.snapshot().awaited.as_ref() == Some(awaited)
}

/// Asks on a connection of its own.
async fn ask(way: &Way, awaited: &Awaited) -> Result<Found, DialError> {
    let service = &way.service;
    let Some((limits, limit)) = way.client.upgrade().map(|client| client.terms()) else {
        return Ok(Found::Lost);
    };
    let greeted = handshake::greet_node(&awaited.replica, &way.login, &way.transport, limits, limit).await?;
    let (mut role, mut wire) = (greeted.role, greeted.wire);
    loop {
        match role {
            Some(Role::Primary) => return Ok(Found::Promoted),
            Some(Role::Replica) => {}
            // Only a greeting tells.
            Some(Role::Sentinel) | None => return Ok(Found::Lost),
        }
        if !is_awaited(service, awaited) {
            return Ok(Found::NotAwaited);
        }
        sleep(ASK_EVERY).await;
        role = match timeout(ANSWER_WITHIN, look(&mut wire)).await {
            Ok(Ok((part, _))) => part.role,
            Ok(Err(_)) | Err(_) => return Ok(Found::Lost),
        };
    }
}

//! How connections are made.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Instant;

use super::endpoint::Endpoint;
use super::secure::{Mutes, WONDER_EVERY, speaks_tls};
use super::settings::TcpSettings;
use super::tls::Tls;
use crate::base::clock;

/// How connections are made.
#[derive(Debug)]
pub struct Transport {
    /// Options of the sockets.
    pub tcp: TcpSettings,
    /// None: bytes go as they are.
    pub tls: Option<Tls>,
    /// Servers that hung up on plain words: when they were asked whether they speak TLS, and whether they do.
    wondered: RefCell<HashMap<Endpoint, (Instant, bool)>>,
    /// Servers that left a hello of TLS unanswered.
    pub(super) mutes: Mutes,
}

impl Transport {
    /// Plain connections, or TLS.
    pub fn new(tcp: TcpSettings, tls: Option<Tls>) -> Transport {
        Transport {
            tcp,
            tls,
            wondered: RefCell::default(),
            mutes: Mutes::default(),
        }
    }

    /// Whether a server that hung up on plain words speaks TLS. It is asked now and then, in between its last answer
    /// holds.
    pub(super) async fn is_of_tls(&self, endpoint: &Endpoint) -> bool {
        if self.tls.is_some() {
            return false;
        }
        if let Some((at, answer)) = self.wondered.borrow().get(endpoint) {
            if clock::now() < *at + WONDER_EVERY {
                return *answer;
            }
        }
        let answer = speaks_tls(endpoint, &self.tcp).await;
        let (mut wondered, now) = (self.wondered.borrow_mut(), clock::now());
        wondered.retain(|_, (at, _)| now < *at + WONDER_EVERY);
        wondered.insert(endpoint.clone(), (now, answer));
        answer
    }
}

//! A name server with one name, whose addresses follow what a test says: as the headless service of a cluster does.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::{Arc, Mutex};

/// The name; every other one does not exist.
pub(crate) const NAME_OF_ALL: &str = "sentinels.lab";

const HEADER: usize = 12;
const IS_RESPONSE: [u8; 2] = [0x84, 0x00];
const NO_SUCH_NAME: u8 = 3;
const A: [u8; 2] = [0, 1];
/// The question's name, and class IN.
const SAME_NAME: [u8; 2] = [0xc0, HEADER as u8];
const IN: [u8; 2] = [0, 1];
/// Nobody may keep it.
const TTL: [u8; 4] = [0; 4];

/// Answers until the process ends.
#[derive(Clone)]
pub(crate) struct Names {
    addresses: Arc<Mutex<Vec<Ipv4Addr>>>,
}

impl Names {
    /// Listens where `resolv.conf` says.
    pub(crate) fn listen() -> std::io::Result<Names> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 53))?;
        let names = Names {
            addresses: Arc::default(),
        };
        let answering = names.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((len, from)) = socket.recv_from(&mut buffer) {
                if let Some(answer) = answering.answer(&buffer[..len]) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Ok(names)
    }

    pub(crate) fn set(&self, addresses: impl IntoIterator<Item = Ipv4Addr>) {
        *self.addresses.lock().unwrap() = addresses.into_iter().collect();
    }

    fn answer(&self, query: &[u8]) -> Option<Vec<u8>> {
        let (name, end) = name_in(query)?;
        let question = query.get(HEADER..end + 4)?;
        let kind = [question[end - HEADER], question[end - HEADER + 1]];
        let known = name.eq_ignore_ascii_case(NAME_OF_ALL);
        let addresses = self.addresses.lock().unwrap();
        let addresses = addresses.iter().filter(|_| known && kind == A);
        let mut answer = query[..2].to_vec();
        answer.extend([IS_RESPONSE[0], if known { 0 } else { NO_SUCH_NAME }, 0, 1]);
        answer.extend((addresses.clone().count() as u16).to_be_bytes());
        answer.extend([0; 4]);
        answer.extend(question);
        for address in addresses {
            answer.extend([SAME_NAME, A, IN].concat());
            answer.extend(TTL);
            answer.extend([0, 4]);
            answer.extend(address.octets());
        }
        Some(answer)
    }
}

/// The name that a query asks for, and where it ends.
fn name_in(query: &[u8]) -> Option<(String, usize)> {
    let (mut labels, mut at) = (Vec::new(), HEADER);
    loop {
        let len = usize::from(*query.get(at)?);
        at += 1;
        if len == 0 {
            return Some((labels.join("."), at));
        }
        labels.push(String::from_utf8_lossy(query.get(at..at + len)?).into_owned());
        at += len;
    }
}

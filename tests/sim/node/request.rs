//! Commands out of a stream of bytes.

use crate::ledger::ledger;

/// What stands at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// A command, and its length.
    Whole(Vec<Vec<u8>>, usize),
    /// The beginning of one.
    Part,
    /// Nothing that a client may send.
    Garbage,
}

/// Reads the first command.
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    parse_into(bytes, &mut Vec::new())
}

/// The same; `args` gets those that are whole.
fn parse_into(bytes: &[u8], args: &mut Vec<Vec<u8>>) -> Parsed {
    let mut at = 0;
    let count = match line(bytes, &mut at, b'*') {
        Ok(Some(count)) => count,
        Ok(None) => return Parsed::Part,
        Err(()) => return Parsed::Garbage,
    };
    for _ in 0..count {
        let len = match line(bytes, &mut at, b'$') {
            Ok(Some(len)) => len,
            Ok(None) => return Parsed::Part,
            Err(()) => return Parsed::Garbage,
        };
        let Some(data) = bytes.get(at..at + len) else {
            return Parsed::Part;
        };
        match bytes.get(at + len..at + len + 2) {
            Some(b"\r\n") => {}
            Some(_) => return Parsed::Garbage,
            None => return Parsed::Part,
        }
        args.push(data.to_vec());
        at += len + 2;
    }
    Parsed::Whole(std::mem::take(args), at)
}

/// A type byte and a number.
fn line(bytes: &[u8], at: &mut usize, kind: u8) -> Result<Option<usize>, ()> {
    let rest = &bytes[*at..];
    let Some(first) = rest.first() else { return Ok(None) };
    if *first != kind {
        return Err(());
    }
    let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else {
        return if rest.len() > 24 { Err(()) } else { Ok(None) };
    };
    let digits = std::str::from_utf8(&rest[1..end]).map_err(|_| ())?;
    *at += end + 2;
    digits.parse().map(Some).map_err(|_| ())
}

/// The commands that have been handed over on a connection, as the network can read them.
#[derive(Default)]
pub(crate) struct Handed {
    part: Vec<u8>,
    /// The command that has begun in it, as far as that can be seen.
    begun: u64,
    garbled: bool,
    /// Those behind a MULTI whose EXEC is not handed over yet, and whether all of it is from the same moment: until then
    /// nothing of it can be executed.
    within: Option<(Vec<u64>, bool)>,
}

impl Handed {
    /// More bytes are on their way to `node`.
    pub(crate) fn take(&mut self, node: usize, bytes: &[u8]) {
        // Those that begin behind it begin now.
        let mut begun = self.part.len();
        self.part.extend_from_slice(bytes);
        if let Some((_, fresh)) = &mut self.within {
            *fresh = false;
        }
        while !self.garbled {
            let mut seen = Vec::new();
            match parse_into(&self.part, &mut seen) {
                Parsed::Whole(args, len) => {
                    self.begins(number(&args));
                    self.begun = 0;
                    self.part.drain(..len);
                    self.one(node, &args, begun == 0);
                    begun = begun.saturating_sub(len);
                }
                Parsed::Part => return self.begins(number(&seen)),
                Parsed::Garbage => self.garbled = true,
            }
        }
    }

    /// Something of a command is on its way.
    fn begins(&mut self, id: u64) {
        if id != 0 && self.begun != id {
            self.begun = id;
            ledger().begins(id);
        }
    }

    fn one(&mut self, node: usize, args: &[Vec<u8>], fresh: bool) {
        let name = args.first().map_or(&[][..], Vec::as_slice).to_ascii_uppercase();
        match (name.as_slice(), &mut self.within) {
            (b"MULTI", _) => self.within = Some((Vec::new(), fresh)),
            (b"DISCARD", _) => self.within = None,
            (b"EXEC", _) => {
                let (within, fresh) = self.within.take().unwrap_or_default();
                within.into_iter().for_each(|id| ledger().handed(id, node, fresh));
            }
            (_, Some((within, _))) => within.push(number(args)),
            (_, None) => ledger().handed(number(args), node, fresh),
        }
    }
}

/// The number that a caller's command carries: `GET` has the size of its reply behind it, `EVAL` has it as its key.
pub(super) fn number(args: &[Vec<u8>]) -> u64 {
    let name = args.first().map_or(&[][..], Vec::as_slice).to_ascii_uppercase();
    let place = match name.as_slice() {
        b"EVAL" => 3,
        b"GET" | b"APPEND" | b"BLPOP" | b"MOD.READ" | b"MOD.WRITE" | b"MOD.WAIT" => 1,
        _ => return 0,
    };
    let own = args.get(place).map_or(&[][..], Vec::as_slice);
    let digits = own.split(|byte| *byte == b':').next().unwrap_or_default();
    std::str::from_utf8(digits)
        .ok()
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

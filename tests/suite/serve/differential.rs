//! What a program may say, at random from a seed: to a server and through a socket it is answered byte for byte the same,
//! apart from the few differences that stand in [`same`] and in [`Words::next`].

use fastrand::Rng;
use sentinel_lab::{Config, FakeSentinel, Server, Topology, servers_since, skipped_where};

use crate::serve::peer::{Peer, encoded, served};
use crate::support::{SERVICE, open, tell};

/// What may be said at any time.
const ANY: &str = include_str!("differential.txt");

type Request = Vec<Vec<u8>>;

/// Makes one program's words.
struct Words {
    random: Rng,
    any: Vec<Request>,
    /// Between MULTI and its end. What a server refuses there at once is told with EXEC here.
    gathers: bool,
    /// SUBSCRIBE was said, and RESP2 is spoken, where hardly anything may be said.
    hears: bool,
    speaks_resp3: bool,
}

impl Words {
    fn new(seed: u64) -> Words {
        let lines = ANY.lines().filter(|line| !line.is_empty() && !line.starts_with("# "));
        Words {
            random: Rng::with_seed(seed),
            any: lines.map(crate::wire::rendered::arguments).collect(),
            gathers: false,
            hears: false,
            speaks_resp3: false,
        }
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.random.usize(..from.len())]
    }

    fn next(&mut self) -> Request {
        let words = |text: &str| crate::wire::rendered::arguments(text);
        match self.random.u32(..20) {
            0..3 => {
                let text = self.pick(&[
                    "MULTI",
                    "MULTI",
                    "EXEC",
                    "EXEC",
                    "DISCARD",
                    "WATCH s l",
                    "UNWATCH",
                    "MULTI x",
                ]);
                match text {
                    "MULTI" => self.gathers = true,
                    "EXEC" | "DISCARD" => self.gathers = false,
                    _ => {}
                }
                words(text)
            }
            3 => {
                let text = self.pick(&[
                    "HELLO 3",
                    "HELLO 3",
                    "HELLO 2",
                    "HELLO",
                    "HELLO 4",
                    "HELLO x",
                    "HELLO 3 SETNAME me",
                    "RESET",
                ]);
                // Inside of MULTI a server says it when it is executed.
                if self.gathers && text != "RESET" {
                    return words("PING");
                }
                match text {
                    "HELLO 3" | "HELLO 3 SETNAME me" => self.speaks_resp3 = true,
                    "HELLO 2" => self.speaks_resp3 = false,
                    "RESET" => (self.gathers, self.hears, self.speaks_resp3) = (false, false, false),
                    _ => {}
                }
                words(text)
            }
            4..6 if !self.gathers => {
                let text = self.pick(&[
                    "SUBSCRIBE a",
                    "SUBSCRIBE a b a",
                    "PSUBSCRIBE ?",
                    "SSUBSCRIBE a",
                    "UNSUBSCRIBE a",
                    "UNSUBSCRIBE",
                    "PUNSUBSCRIBE",
                    "SUNSUBSCRIBE a c",
                    "SUBSCRIBE",
                ]);
                self.hears |= text.contains("SUBSCRIBE ") && !text.contains("UNS");
                words(text)
            }
            // Within a transaction a server puts the message into the middle of its reply.
            6 if !self.hears || (self.speaks_resp3 && !self.gathers) => {
                let text = self.pick(&[
                    "PUBLISH a one",
                    "PUBLISH b two",
                    "SPUBLISH a three",
                    "PUBLISH nobody four",
                ]);
                words(text)
            }
            _ => loop {
                let any = self.any[self.random.usize(..self.any.len())].clone();
                let is_wrong = any[0].starts_with(b"!");
                if is_wrong && (self.gathers || self.hears) {
                    continue;
                }
                let mut any = any;
                if is_wrong {
                    any[0].remove(0);
                }
                return any;
            },
        }
    }

    /// As an array or on a line.
    fn written(&mut self, request: &Request) -> Vec<u8> {
        let args: Vec<&[u8]> = request.iter().map(Vec::as_slice).collect();
        match self.random.u32(..8) {
            0 => {
                let quoted = args.iter().map(|arg| {
                    format!(
                        "\"{}\"",
                        arg.iter().map(|byte| format!("\\x{byte:02x}")).collect::<String>()
                    )
                });
                format!("{}\r\n", quoted.collect::<Vec<_>>().join("  ")).into_bytes()
            }
            1 => [b"\r\n*0\r\n*-1\r\n  \n".to_vec(), encoded(&args)].concat(),
            _ => encoded(&args),
        }
    }

    /// All that is said, up to the end, with what it is for people.
    fn all(&mut self) -> (Vec<u8>, String) {
        let (mut all, mut shown) = (Vec::new(), Vec::new());
        for _ in 0..self.random.usize(1..25) {
            let request = self.next();
            shown.push(
                request
                    .iter()
                    .map(|arg| arg.escape_ascii().to_string())
                    .collect::<Vec<_>>()
                    .join(" "),
            );
            all.extend(self.written(&request));
        }
        all.extend(match self.random.u32(..8) {
            0 => b"*1\r\nPING\r\n".to_vec(),
            1 => b"GET \"a\r\n".to_vec(),
            _ => encoded(&[b"QUIT"]),
        });
        (all, shown.join("\n"))
    }
}

/// What is answered up to the end of the stream.
fn answers(mut peer: Peer, said: &[u8], random: &mut Rng) -> Vec<String> {
    let cut = random.usize(..=said.len());
    peer.raw(&said[..cut]);
    peer.raw(&said[cut..]);
    let mut all = Vec::new();
    while let Some(reply) = peer.try_reply() {
        all.push(same(&reply.escape_ascii().to_string()));
    }
    all
}

/// A reply without what differs: the version and the number of the connection in that of HELLO.
fn same(reply: &str) -> String {
    // Which of several comes first is chance.
    if reply.contains("unsubscribe\\r\\n") {
        return reply
            .split("\\r\\n")
            .filter(|line| !["a", "b", "?", "a*", "$1", "$2"].contains(line))
            .collect();
    }
    if !reply.contains("$6\\r\\nserver\\r\\n") {
        return reply.to_owned();
    }
    let mut left = 0;
    let lines = reply.split("\\r\\n").filter(|line| {
        let differs = left == 1;
        left = match *line {
            "version" => 2,
            "id" => 1,
            _ => i32::max(left - 1, 0),
        };
        !differs && !line.starts_with('$')
    });
    lines.collect::<Vec<_>>().join(" ")
}

fn node(topology: &Topology) -> &Server {
    topology.node(0)
}

#[test]
fn whatever_is_said_the_answer_is_that_of_a_server() {
    if skipped_where(
        !servers_since((7, 0)) || servers_since((7, 2)),
        "the words and the order compared are those of 7.0",
    ) {
        return;
    }
    let start = || Topology::start(Config::default().nodes(1).sentinels(0));
    let (behind, direct) = (start(), start());
    let sentinel = FakeSentinel::start(SERVICE, node(&behind).port());
    let client = open(&[sentinel.port()]).primary_for(Some(SERVICE), None).unwrap();
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("SEED").unwrap_or_else(|| fastrand::u64(..1 << 40));
    let count = number("SEEDS").unwrap_or(150);
    let (mut asked, mut differences) = (0, Vec::new());
    for seed in first..first + count {
        for side in [&behind, &direct] {
            tell(node(side), "FLUSHALL");
        }
        let mut words = Words::new(seed);
        let (said, shown) = words.all();
        let own = served(&client);
        let own = answers(Peer::on(&own), &said, &mut words.random);
        let wanted = answers(Peer::at(node(&direct)), &said, &mut words.random);
        asked += wanted.len();
        let differs = own.iter().zip(&wanted).position(|(own, direct)| own != direct);
        let place = differs.or((own.len() != wanted.len()).then_some(own.len().min(wanted.len())));
        if let Some(place) = place {
            let at = |all: &[String]| all.get(place).cloned().unwrap_or_default();
            differences.push(format!(
                "SEED={seed} SEEDS=1, reply {place}:\n  {}\nof a server:\n  {}\nsaid:\n{shown}\n",
                at(&own),
                at(&wanted)
            ));
        }
    }
    assert!(
        differences.is_empty(),
        "{} differ:\n{}",
        differences.len(),
        differences[..differences.len().min(5)].join("\n")
    );
    assert!(asked > 0);
    println!("{count} programs from seed {first}, {asked} replies");
}

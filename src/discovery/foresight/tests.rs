//! Failovers as the Sentinels tell of them, and what is foreseen.

use super::*;

fn at(name: &str) -> Endpoint {
    Endpoint::new(name, 1)
}

fn adopted(text: &str, since: Instant) -> Adopted {
    let (name, epoch) = text.split_once('@').unwrap();
    Adopted {
        primary: at(name),
        epoch: epoch.parse().unwrap(),
        given_up: 0,
        since,
    }
}

/// A service that is served by `a` under epoch 5, with the replicas `b` and `c`.
struct Play {
    foresight: Foresight,
    adopted: Adopted,
    agreed: bool,
    now: Instant,
    told: Vec<String>,
}

const CONFIRM: Duration = Duration::from_millis(3000);

impl Play {
    fn new(mode: Foresee) -> Play {
        let now = Instant::now();
        Play {
            foresight: Foresight::new(mode, CONFIRM),
            adopted: adopted("a@5", now),
            agreed: false,
            now,
            told: Vec::new(),
        }
    }

    /// One thing happens: `1>...` is what the first Sentinel publishes, `+100` lets so many milliseconds pass.
    fn happens(&mut self, word: &str) {
        if let Some(ms) = word.strip_prefix('+') {
            let until = self.now + Duration::from_millis(ms.parse().unwrap());
            while let Some(due) = self.foresight.next_tick().filter(|due| *due <= until) {
                assert!(due >= self.now, "it is never due in the past");
                self.now = due;
                self.foresight.tick(due);
                self.look();
            }
            self.now = until;
        } else if let Some((link, step)) = word.split_once('>') {
            self.publishes(link.parse().unwrap(), step);
        } else {
            match word.split_once('=').unwrap_or((word, "")) {
                ("master", who) => {
                    let Adopted { primary, epoch, .. } = adopted(who, self.now);
                    let who = Awaited {
                        replica: primary,
                        epoch,
                    };
                    self.foresight.is_primary(&who, self.now);
                }
                ("named", who) => self.adopted = adopted(who, self.now),
                ("agreed", "") => self.agreed = true,
                ("anew", "") => self.foresight.begin_anew(self.now),
                other => panic!("{other:?}"),
            }
        }
        self.look();
    }

    fn publishes(&mut self, link: LinkId, step: &str) {
        let step = match step.split_once('=').unwrap_or((step, "")) {
            ("epoch", epoch) => Step::NewEpoch(epoch.parse().unwrap()),
            ("tries", "") => Step::Tries,
            ("leads", "") => Step::Leads,
            ("selects", who) => Step::Selects(at(who)),
            ("gives up", "") | ("aborts", "") => Step::GivesUp,
            ("lost", "") => return self.foresight.lost(link, self.now),
            ("heard", "") => return self.foresight.heard(link),
            other => panic!("{other:?}"),
        };
        let is_replica = |node: &Endpoint| ["b", "c"].contains(&node.host.as_str());
        self.foresight
            .step(link, &step, Some(&self.adopted), is_replica, self.now);
    }

    fn look(&mut self) {
        let agreed = self.agreed;
        self.foresight.judged(Some(&self.adopted), |_| agreed, self.now);
        for turn in self.foresight.take_turns() {
            let node = turn.node().map_or(String::new(), |node| format!(" {}", node.host));
            self.told.push(format!("{}{node}", turn.word()));
        }
    }

    /// What is in force, and whether writes wait.
    fn state(&self) -> String {
        let in_force = self.foresight.in_force(Some(&self.adopted)).unwrap();
        let waits = self.foresight.is_armed() || self.foresight.unconfirmed().is_some();
        let waits = if waits { " writes wait" } else { "" };
        format!("{}@{}{waits}", in_force.primary.host, in_force.epoch)
    }
}

/// What happens; what is told of it; what is in force at the end, and whether writes wait.
const ROWS: &[(&str, &str, &str)] = &[
    // As it goes.
    ("1>epoch=6 1>tries 1>leads 1>selects=b", "armed b", "a@5 writes wait"),
    ("1>epoch=6 1>selects=b master=b@6", "armed b, foreseen b", "b@6"),
    (
        "1>epoch=6 1>selects=b master=b@6 +900 named=b@6",
        "armed b, foreseen b, confirmed b",
        "b@6",
    ),
    ("1>epoch=6 1>selects=b 1>selects=b", "armed b", "a@5 writes wait"),
    // Nobody whose word counts, or nothing that can be.
    ("1>selects=b", "", "a@5"),
    ("2>epoch=5 1>selects=b", "", "a@5"),
    ("1>epoch=5 1>selects=b", "", "a@5"),
    ("1>epoch=4 1>selects=b", "", "a@5"),
    ("1>epoch=6 1>selects=x", "", "a@5"),
    ("1>epoch=6 1>selects=a", "", "a@5"),
    ("1>epoch=6 1>lost 1>selects=b", "", "a@5"),
    // The leader's own word of the epoch was lost with its connection: those who voted for it have told theirs just now.
    (
        "2>epoch=6 1>epoch=6 1>tries 1>lost 1>selects=b master=b@6 named=b@6",
        "armed b, foreseen b, confirmed b",
        "b@6",
    ),
    (
        "2>epoch=9 1>lost 1>selects=b master=b@6 named=b@8",
        "armed b, foreseen b, confirmed b",
        "b@8",
    ),
    ("2>epoch=6 +5001 1>lost 1>selects=b", "", "a@5"),
    ("2>epoch=6 1>epoch=5 1>selects=b", "", "a@5"),
    // Another service's failover has a newer epoch: this one's is that of its own attempt.
    (
        "1>epoch=6 1>tries 1>epoch=9 1>selects=b master=b@6 named=b@6",
        "armed b, foreseen b, confirmed b",
        "b@6",
    ),
    ("1>epoch=5 1>tries 1>epoch=9 1>selects=b", "", "a@5"),
    // The replica is not promoted.
    ("1>epoch=6 1>selects=b +4999", "armed b", "a@5 writes wait"),
    ("1>epoch=6 1>selects=b +5000", "armed b, disarmed", "a@5"),
    ("1>epoch=6 1>selects=b +5000 1>selects=b", "armed b, disarmed", "a@5"),
    ("1>epoch=6 1>selects=b +5000 master=b@6", "armed b, disarmed", "a@5"),
    // Writes wait in vain for nobody again and again, under whatever epochs.
    (
        "1>epoch=6 1>selects=b +5001 1>epoch=7 1>selects=c +4999",
        "armed b, disarmed, armed c",
        "a@5 writes wait",
    ),
    (
        "1>epoch=6 1>selects=b +5001 1>epoch=7 1>selects=c +5000 +44000 1>epoch=8 1>selects=b",
        "armed b, disarmed, armed c, disarmed",
        "a@5",
    ),
    (
        "1>epoch=6 1>selects=b +5001 1>epoch=7 1>selects=c +5000 +46000 1>epoch=8 1>selects=b",
        "armed b, disarmed, armed c, disarmed, armed b",
        "a@5 writes wait",
    ),
    (
        "1>epoch=6 1>selects=b +4000 1>epoch=7 1>selects=c +1000",
        "armed b, armed c, disarmed",
        "a@5",
    ),
    (
        "1>epoch=6 1>selects=b +4000 1>epoch=7 1>selects=c +1000 1>epoch=8 1>selects=b",
        "armed b, armed c, disarmed",
        "a@5",
    ),
    (
        "1>epoch=6 1>selects=b +4000 1>aborts 1>epoch=7 1>selects=c",
        "armed b, disarmed, armed c",
        "a@5 writes wait",
    ),
    // What came as it was told is not held against who told it, though the promotion was not seen.
    (
        "1>epoch=6 1>selects=b +4900 1>aborts 1>epoch=7 1>selects=b +4900 named=b@7 1>epoch=8 1>selects=c",
        "armed b, disarmed, armed b, disarmed, armed c",
        "b@7 writes wait",
    ),
    (
        "1>epoch=7 1>selects=b +5000 2>epoch=6 2>selects=c",
        "armed b, disarmed, armed c",
        "a@5 writes wait",
    ),
    (
        "1>epoch=7 1>selects=b 2>epoch=6 2>selects=c",
        "armed b",
        "a@5 writes wait",
    ),
    ("1>epoch=6 1>selects=b 1>aborts", "armed b, disarmed", "a@5"),
    ("1>epoch=6 1>selects=b 2>aborts", "armed b", "a@5 writes wait"),
    // Somebody else is, or something else was asked for.
    ("1>epoch=6 1>selects=b master=c@6", "armed b", "a@5 writes wait"),
    ("1>epoch=6 1>selects=b master=b@7", "armed b", "a@5 writes wait"),
    ("master=b@6", "", "a@5"),
    // The leader is lost, for good or for a moment.
    ("1>epoch=6 1>selects=b 1>lost +1999", "armed b", "a@5 writes wait"),
    ("1>epoch=6 1>selects=b 1>lost +2000", "armed b, disarmed", "a@5"),
    (
        "1>epoch=6 1>selects=b 1>lost +1000 1>lost +1000",
        "armed b, disarmed",
        "a@5",
    ),
    (
        "1>epoch=6 1>selects=b 1>lost +1000 1>heard +2000",
        "armed b",
        "a@5 writes wait",
    ),
    ("1>epoch=6 1>selects=b 2>lost +3000", "armed b", "a@5 writes wait"),
    // It is named before it was seen to be promoted, or another one is.
    ("1>epoch=6 1>selects=b named=b@6", "armed b, disarmed", "b@6"),
    ("1>epoch=6 1>selects=b named=c@7", "armed b, disarmed", "c@7"),
    ("1>epoch=7 1>selects=b named=c@6", "armed b", "c@6 writes wait"),
    // Two want to lead.
    ("1>epoch=6 1>selects=b 2>epoch=7 2>tries", "armed b", "a@5 writes wait"),
    (
        "1>epoch=6 1>selects=b 2>epoch=7 2>tries 2>leads",
        "armed b, disarmed",
        "a@5",
    ),
    (
        "1>epoch=6 1>selects=b 2>epoch=6 2>tries 2>leads",
        "armed b",
        "a@5 writes wait",
    ),
    (
        "1>epoch=6 1>selects=b 2>epoch=7 2>selects=c master=b@6 master=c@7 named=c@7",
        "armed b, armed c, foreseen c, confirmed c",
        "c@7",
    ),
    (
        "1>epoch=6 1>selects=b master=b@6 2>epoch=7 2>selects=c",
        "armed b, foreseen b, armed c",
        "b@6 writes wait",
    ),
    (
        "1>epoch=6 1>selects=b master=b@6 2>epoch=7 2>selects=c master=c@7",
        "armed b, foreseen b, armed c, foreseen c",
        "c@7",
    ),
    // What was foreseen is not confirmed.
    ("1>epoch=6 1>selects=b master=b@6 +2999", "armed b, foreseen b", "b@6"),
    (
        "1>epoch=6 1>selects=b master=b@6 +3000",
        "armed b, foreseen b, unconfirmed b",
        "b@6 writes wait",
    ),
    (
        "1>epoch=6 1>selects=b master=b@6 1>aborts",
        "armed b, foreseen b, unconfirmed b",
        "b@6 writes wait",
    ),
    (
        "1>epoch=6 1>selects=b master=b@6 +3000 agreed",
        "armed b, foreseen b, unconfirmed b, resolved a",
        "a@5",
    ),
    (
        "1>epoch=6 1>selects=b agreed master=b@6 +2000",
        "armed b, foreseen b",
        "b@6",
    ),
    (
        "1>epoch=6 1>selects=b master=b@6 +9000 named=b@6",
        "armed b, foreseen b, unconfirmed b, confirmed b",
        "b@6",
    ),
    (
        "1>epoch=6 1>selects=b master=b@6 +9000 named=c@7",
        "armed b, foreseen b, unconfirmed b, resolved c",
        "c@7",
    ),
    // Another one is named under the same epoch or a newer one: that counts at once.
    (
        "1>epoch=6 1>selects=b master=b@6 named=c@6",
        "armed b, foreseen b, resolved c",
        "c@6",
    ),
    (
        "1>epoch=6 1>selects=b master=b@6 named=b@7",
        "armed b, foreseen b, confirmed b",
        "b@7",
    ),
    // An older word is no answer to what was foreseen.
    (
        "1>epoch=7 1>selects=b master=b@7 named=c@6",
        "armed b, foreseen b",
        "b@7",
    ),
    // Somebody repeats the leader's selection under a newer epoch of its own: what is named since is confirmed, and stays what
    // it was; the next failover is foreseen again.
    (
        "1>epoch=6 1>selects=b 2>epoch=9 2>selects=b master=b@9 +10 named=b@6 +9000",
        "armed b, armed b, foreseen b, confirmed b",
        "b@9",
    ),
    (
        "1>epoch=6 2>epoch=9 2>selects=b master=b@9 +10 named=b@6 1>epoch=7 1>selects=c master=c@7 named=c@7",
        "armed b, foreseen b, confirmed b, armed c, foreseen c, confirmed c",
        "c@7",
    ),
    (
        "1>epoch=6 2>epoch=9 2>selects=b master=b@9 +10 named=b@6 named=c@7",
        "armed b, foreseen b, confirmed b",
        "c@7",
    ),
    // But where most Sentinels say so since, another one's failover has come to its end.
    (
        "1>epoch=7 1>selects=b master=b@7 +10 named=c@6 agreed",
        "armed b, foreseen b, resolved c",
        "c@6",
    ),
    // Other Sentinels are believed.
    ("1>epoch=6 1>selects=b anew", "armed b, disarmed", "a@5"),
    ("1>epoch=6 1>selects=b master=b@6 anew", "armed b, foreseen b", "a@5"),
    ("1>epoch=6 anew 1>selects=b", "", "a@5"),
];

#[test]
fn what_is_foreseen_in_each_constellation() {
    for (happens, told, state) in ROWS {
        let mut play = Play::new(Foresee::Adopt);
        happens.split_whitespace().for_each(|word| play.happens(word));
        assert_eq!(
            (play.told.join(", ").as_str(), play.state().as_str()),
            (*told, *state),
            "{happens}"
        );
    }
}

/// Writes that only wait go on when a Sentinel names somebody, or nobody for long; nobody is asked.
#[test]
fn where_writes_only_wait_no_replica_is_asked() {
    let mut play = Play::new(Foresee::Hold);
    play.happens("1>epoch=6");
    play.happens("1>selects=b");
    assert_eq!(play.foresight.awaited(), None);
    play.happens("master=b@6");
    assert_eq!(play.state(), "a@5 writes wait");
    play.happens("named=b@6");
    assert_eq!(play.state(), "b@6");
}

#[test]
fn where_it_is_off_nothing_waits() {
    let mut play = Play::new(Foresee::Off);
    play.happens("1>epoch=6");
    play.happens("1>selects=b");
    assert_eq!((play.told.len(), play.state().as_str()), (0, "a@5"));
}

/// Sentinels that are trusted and lie as they like, for an hour: none of them holds up writes for more than a tenth of it and ten seconds.
#[test]
fn no_liar_holds_writes_up_for_long() {
    for seed in 0..60 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut play, liars) = (Play::new(Foresee::Hold), random.u32(1..=3));
        let (mut waited, mut passed, mut epoch) = (0, 0, 5);
        while passed < 3_600_000 {
            let link = random.u32(1..=liars);
            epoch += u64::from(random.bool());
            let own = ["tries", "leads", "aborts", "lost", "heard"];
            let words = match random.u8(..4) {
                0 => vec![format!("{link}>{}", own[random.usize(..own.len())])],
                _ => vec![
                    format!("{link}>epoch={epoch}"),
                    format!("{link}>selects={}", *random.choice(&["b", "c"]).unwrap()),
                ],
            };
            words.iter().for_each(|word| play.happens(word));
            let pause = *random.choice(&[0, 1, 100, 1_000, 4_999, 5_000, 20_000]).unwrap();
            for _ in 0..pause / 100 {
                waited += if play.foresight.is_armed() { 100 } else { 0 };
                play.happens("+100");
            }
            play.happens(&format!("+{}", pause % 100));
            passed += pause;
        }
        let most = u64::from(liars) * (passed / 10 + 10_000);
        assert!(
            waited <= most,
            "seed {seed}: {liars} liars held writes up for {waited} of {passed} ms"
        );
    }
}

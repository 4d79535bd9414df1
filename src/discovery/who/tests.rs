//! Constellations: who has shown what, and what follows.

use super::*;

/// Plays `steps` and tells what follows.
/// `+1@A`: link 1 to address A was given. `+1`: an address that link 1 leads to was given. `-1`: it is not given any more.
/// `1=a`: a answers there, `1=?`: somebody who does not tell. `1:b@B,!c@C`: it lists b at B, c at C as down; `1/t:` for service t;
/// `1/t!`: it does not know t. `1+`: it names a node of ours, `1++`: of those who were first. `1x`: the connection is lost. `1#`: its
/// name has its address no more, `1##`: again. `~9`: nine seconds pass. `plan`: links are opened (11...) and closed.
pub(super) struct Stage {
    pub(super) who: Who,
    now: Instant,
    next: LinkId,
    open: Vec<(LinkId, Endpoint)>,
    withdrew: bool,
}

fn at(host: &str) -> Endpoint {
    Endpoint::new(host, 26379)
}

impl Stage {
    pub(super) fn play(steps: &str) -> Stage {
        let mut stage = Stage {
            who: Who::new(true),
            now: Instant::now(),
            next: 11,
            open: Vec::new(),
            withdrew: false,
        };
        steps.split_whitespace().for_each(|step| stage.step(step));
        stage
    }

    pub(super) fn step(&mut self, step: &str) {
        let now = self.now;
        let number = |text: &str| text.parse::<LinkId>().unwrap();
        if let Some((link, host)) = step.strip_prefix('+').and_then(|rest| rest.split_once('@')) {
            self.who.give(number(link), at(host), Some(at(host)));
            if self.withdrew {
                self.who.decides_anew(number(link));
            }
            self.who.settle(now);
        } else if let Some(link) = step.strip_prefix('+') {
            self.who.give_known(number(link));
        } else if let Some(link) = step.strip_suffix("++") {
            self.who.is_of_the_first(number(link));
        } else if let Some(link) = step.strip_suffix('+') {
            self.who.is_kin(number(link));
            self.who.settle(now);
        } else if let Some((link, service)) = step.strip_suffix('!').and_then(|rest| rest.split_once('/')) {
            self.who.does_not_know(number(link), &service.into(), now);
        } else if let Some(link) = step.strip_suffix('#') {
            let outdated = !link.ends_with('#');
            self.who.is_outdated(number(link.trim_end_matches('#')), outdated);
            self.who.settle(now);
        } else if step == "again" {
            self.who.give_again();
            self.who.settle(now);
        } else if let Some(link) = step.strip_prefix('-') {
            self.who.withdraw(number(link));
            self.withdrew = true;
            self.who.settle(now);
        } else if let Some(seconds) = step.strip_prefix('~') {
            self.now += Duration::from_secs(seconds.parse().unwrap());
        } else if step == "plan" {
            self.plan();
        } else if let Some((link, run_id)) = step.split_once('=') {
            self.who
                .answers(number(link), None, Some(run_id).filter(|id| *id != "?"), now);
        } else if let Some((link, list)) = step.split_once(':') {
            let entries = list.split(',').filter(|text| !text.is_empty()).map(entry).collect();
            let (link, service) = link.split_once('/').unwrap_or((link, "s"));
            self.who.lists(number(link), &service.into(), entries, now);
        } else {
            self.who.fails(number(step.strip_suffix('x').unwrap()), now);
        }
    }

    fn plan(&mut self) {
        let plan = self.who.plan(self.now);
        self.open.retain(|(link, _)| !plan.close.contains(link));
        for (at, run_id) in plan.open {
            self.who.opened(self.next, at.clone(), run_id);
            self.open.push((self.next, at));
            self.next += 1;
        }
    }

    pub(super) fn standings(&self) -> String {
        let word = |way: &Way| match way.standing {
            Standing::Silent => "-",
            Standing::Voice => "voice",
            Standing::Double => "double",
            Standing::Stranger => "stranger",
        };
        let shown: Vec<String> = self
            .who
            .ways
            .iter()
            .map(|(link, way)| format!("{link}={}", word(way)))
            .collect();
        shown.join(" ")
    }

    fn opened(&self) -> String {
        let shown: Vec<String> = self
            .open
            .iter()
            .map(|(link, at)| format!("{link}@{}", at.host))
            .collect();
        shown.join(" ")
    }
}

fn entry(text: &str) -> Entry {
    let (run_id, host) = text.trim_start_matches('!').split_once('@').unwrap();
    Entry {
        run_id: run_id.into(),
        at: at(host),
        down: text.starts_with('!'),
    }
}

/// Three of ours that were given, know each other, and answer.
pub(super) const OURS: &str = "+1@A +2@B +3@C 1=a 1:b@B,c@C 2=b 2:a@A,c@C 3=c 3:a@A,b@B";

/// Three of them that do not tell who they are.
const UNNAMED: &str = "+1@A +2@B +3@C 1=? 1:b@B,c@C 2=? 2:a@A,c@C 3=? 3:a@A,b@B";

/// One that was given, and two that it told of.
pub(super) const LEARNT: &str = "+1@A 1=a 1:b@B,c@C plan 11=b 11:a@A,c@C 12=c 12:a@A,b@B";

#[test]
fn whose_words_count() {
    let rows: &[(&str, &str, &str)] = &[
        ("", "+1@A", "1=-"),
        ("", "+1@A 1=a", "1=voice"),
        ("", "+1@A 1=?", "1=-"),
        ("", "+1@A 1=? 1:", "1=voice"),
        ("", "+1@A +2@B 1=? 1: 2=? 2:", "1=voice 2=voice"),
        (OURS, "", "1=voice 2=voice 3=voice"),
        (OURS, "1x", "1=- 2=voice 3=voice"),
        (OURS, "1x 1=a", "1=voice 2=voice 3=voice"),
        // Friends of one that has fallen silent are friends, though one of them has not heard of the other yet.
        (OURS, "1x 2:c@C,d@D plan 11=d 11:b@B,c@C 2x", "1=- 2=- 3=voice 11=voice"),
        (OURS, "1x +4@D 4=d 2:c@C,d@D 4:b@B,c@C 2x", "1=- 2=- 3=voice 4=voice"),
        // Long after the beginning nobody who comes late is of more than those who speak.
        (
            "+1@A +2@B +3@C 1=a 1:b@B,c@C 2=b 2:a@A,c@C",
            "3=f 3:g@G,h@H",
            "1=voice 2=voice 3=stranger",
        ),
        (
            "+1@A +2@B +3@C 1=a 1:b@B,c@C 2=b 2:a@A,c@C",
            "~11 1x 2:a@A,c@C 3=f 3:g@G,h@H +4@H 4=h 4:f@C,g@G",
            "1=- 2=voice 3=stranger 4=stranger",
        ),
        // Most of the addresses have led to ours: those that fall silent are not the fewer.
        (
            "+1@F +2@A +3@B +4@C 1=f 1:g@G 2=a 2:b@B,c@C 3=b 3:a@A,c@C 4=c 4:a@A,b@B",
            "2x 3x 4:a@A,b@B 1:g@G",
            "1=stranger 2=- 3=- 4=voice",
        ),
        // One of ours is somebody else's now, under its run id: it lists others, and they are nobody's.
        (OURS, "3:g@G,h@H", "1=voice 2=voice 3=stranger"),
        (OURS, "3:g@G,h@H plan", "1=voice 2=voice 3=stranger"),
        (
            OURS,
            "3:a@A,b@B,g@G plan 11=g 11:h@H,c@C plan",
            "1=voice 2=voice 3=voice 11=stranger",
        ),
        (
            OURS,
            "3x 1:b@B,c@D 2:a@A,c@D plan 11=c 11:a@A,b@B 3=c plan 3:g@G,h@H plan 12=c 12:a@A,b@B",
            "1=voice 2=voice 3=stranger 12=voice",
        ),
        (
            OURS,
            "3x 1:b@B,c@D 2:a@A,c@D plan 11=c 11:a@A,b@B 3=c plan 3:g@G,h@H plan 12=c",
            "1=voice 2=voice 3=stranger 12=voice",
        ),
        (
            "+1@F +2@A +3@B +4@C +5@X +6@Y 1=? 1:f@F2,g@G 2=? 2:b@B,c@C 3=? 3:a@A,c@C 4=? 4:a@A,b@B",
            "2x 3x 4:a@A,b@B 1:f@F2,g@G",
            "1=stranger 2=- 3=- 4=voice 5=- 6=-",
        ),
        (
            "+1@F +2@A +3@B +4@C +5@X +6@Y +7@Z 1=f 1:g@G 2=a 2:b@B,c@C 3=b 3:a@A,c@C 4=c 4:a@A,b@B",
            "2x 2=n 2: 3:c@C,n@A 4:b@B,n@A 3x 4x 1:g@G",
            "1=stranger 2=voice 3=- 4=- 5=- 6=- 7=-",
        ),
        // Who lists nobody where ours list others is heard when ours list it.
        (OURS, "3x +4@D 4=f 4:", "1=voice 2=voice 3=- 4=stranger"),
        (OURS, "3x +4@D 4=d 4: 1:b@B,c@C,d@D", "1=voice 2=voice 3=- 4=voice"),
        (OURS, "3x +4@D 4=d 4/t:", "1=voice 2=voice 3=- 4=voice"),
        // The address of one of them goes to another deployment.
        (OURS, "3x 3=f 3:g@G,h@H", "1=voice 2=voice 3=stranger"),
        (
            OURS,
            "3x 1:b@B,!c@C 2:a@A,!c@C 3=f 3:g@G,h@H",
            "1=voice 2=voice 3=stranger",
        ),
        (OURS, "3x 3=f 1x 2x", "1=- 2=- 3=stranger"),
        (OURS, "3x 3=f 1x 2x ~9 3:g@G", "1=- 2=- 3=stranger"),
        (OURS, "3x 3=f ~60 1x 2x ~9 3:g@G", "1=- 2=- 3=stranger"),
        (OURS, "3x 3=f ~60 1:b@B,!c@C 3:g@G", "1=voice 2=voice 3=stranger"),
        (
            OURS,
            "3x 3=f 1:b@B 2:a@A ~61 1:b@B 2:a@A plan 3:g@G",
            "1=voice 2=voice 3=stranger",
        ),
        // It lists ours, for they greet whoever is there; they do not list it.
        (OURS, "3x 3=f 3:a@A,b@B,g@G", "1=voice 2=voice 3=stranger"),
        (
            OURS,
            "3x 1:b@B,!c@C 2:a@A,!c@C 3=f 3:!a@A,!b@B,g@G,h@H",
            "1=voice 2=voice 3=stranger",
        ),
        (UNNAMED, "3x 3=? 3:a@A,b@B,g@G,h@H", "1=voice 2=voice 3=stranger"),
        (
            "",
            "+1@A 1=a 1:b@B,c@C plan 11=b 11:a@A,c@C 12=f 12:a@A,b@B,g@G,h@H",
            "1=voice 11=voice 12=stranger",
        ),
        (
            "",
            "+1@A +2@B +3@C 3=f 3:a@A,b@B,g@G plan 11=g 11:f@C 1=a 1:b@B,d@D 2=b 2:a@A,d@D",
            "1=voice 2=voice 3=stranger 11=stranger",
        ),
        // Where all of ours are silent for long, whoever has most of what was given is believed, and nobody else.
        (OURS, "3x 3=f 1x 2x ~11 3:g@G", "1=- 2=- 3=stranger"),
        (OURS, "3x 3=f 1x 2x ~11 3:a@A,b@B", "1=- 2=- 3=stranger"),
        (OURS, "3x 3=f 1x 2x ~3600 3:g@G 1=a", "1=voice 2=- 3=stranger"),
        // The same one restarted without its configuration: until the others list it.
        (OURS, "3x 3=n 3:a@A,b@B", "1=voice 2=voice 3=stranger"),
        (OURS, "3x 3=n 3:a@A,b@B 1:b@B,n@C", "1=voice 2=voice 3=voice"),
        // All are told to forget the others, one after the other.
        (OURS, "1: 1:b@B 2: 2:a@A", "1=voice 2=voice 3=voice"),
        (OURS, "3x 3=n 3: 1:b@B,n@C", "1=voice 2=voice 3=voice"),
        // A new process is told of an address that is another's by now, or is given it.
        ("", "+1@A 1=a 1:b@B,!c@C plan 11=b 11:a@A,!c@C", "1=voice 11=voice"),
        (
            "",
            "+1@A 1=a 1:b@B,c@C plan 12=f 12:g@G,h@H",
            "1=voice 11=- 12=stranger",
        ),
        ("", "+1@A +3@C 3=f 3:g@G,h@H 1=a 1:b@B,!c@C", "1=voice 3=stranger"),
        (
            "",
            "+1@A +2@B +3@C 3=f 3:g@G 1=a 1:b@B,c@C 2=b 2:a@A,c@C",
            "1=voice 2=voice 3=stranger",
        ),
        // Of two deployments among those given the one that has more of them counts, whoever answers first.
        (
            "",
            "+1@A +2@B +3@C 3=f 3:g@G 1=a 1:b@B,d@D 2=b 2:a@A,d@D",
            "1=voice 2=voice 3=stranger",
        ),
        (
            "",
            "+1@A +2@B +3@C 3=f 3:g@G plan 11=g 11:f@C 1=a 1:b@B,d@D 2=b 2:a@A,d@D",
            "1=voice 2=voice 3=stranger 11=stranger",
        ),
        ("", "+1@A +3@C 3=f 3: 1=a 1:b@B ~60 3:g@G,h@H", "1=voice 3=stranger"),
        // It has none either when the others fall silent.
        (
            "",
            "+1@A +2@B +3@C 1=a 1:b@B,d@D 2=b 2:a@A,d@D 3=f 3:g@G 1x 2x",
            "1=- 2=- 3=stranger",
        ),
        (
            "",
            "+1@A +2@B +3@C 3=f 3:g@G 1=a 1:b@B,d@D 2=b 2:a@A,d@D 1x 2x ~3600 3x 3=f 3:g@G",
            "1=- 2=- 3=stranger",
        ),
        (
            "",
            "+1@A +2@B +3@C 1=a 1:b@B,d@D 2=b 2:a@A,d@D 3=f 3:g@G 2x 1: 3x 3=i 3:",
            "1=voice 2=- 3=stranger",
        ),
        ("", "+1@A +2@B 1=a 1:b@B 1x 2=f 2:g@G", "1=- 2=stranger"),
        ("", "+1@A +2@B 1=a 1:b@B 1x 2=b 2:a@A", "1=- 2=voice"),
        // So it is before 6.2.
        (
            "",
            "+1@A +2@B +3@C 3=? 3:g@G 1=? 1:b@B,d@D 2=? 2:a@A,d@D",
            "1=voice 2=voice 3=stranger",
        ),
        // Not so where they watch different services.
        ("", "+1@A +3@C 3=f 3/t:g@G 1=a 1:b@B", "1=voice 3=voice"),
        // One that lists nobody yet is not one of the others for that.
        // Whoever lists nobody at an address under which ours list another may be anybody's, until they list it.
        ("", "+1@A +3@C 3=n 3: 1=a 1:b@B,c@C", "1=voice 3=stranger"),
        ("", "+1@A +3@C 3=n 3: 1=a 1:b@B,n@C", "1=voice 3=voice"),
        // Those who do not tell who they are: before 6.2, or without the right to.
        ("", "+1@A 1=? 1:b@B plan 11=? 11:a@A", "1=voice 11=voice"),
        ("", "+1@A 1=? 1:b@B plan 11=? 11:g@G", "1=voice 11=stranger"),
        ("", "+1@A +2@B 1=? 1:b@B 2=? 2:a@A 2x 2=? 2:g@G", "1=voice 2=stranger"),
        ("", "+1@A +2@B 1=? 1:b@B 2=? 2:a@A 2x 2=? 2:", "1=voice 2=stranger"),
        ("", "+1@A +2@B 1=? 1:b@B 2=? 2:a@A 2x 2=? 2:a@A", "1=voice 2=voice"),
        (UNNAMED, "", "1=voice 2=voice 3=voice"),
        // All are lost, and one comes back that was learnt.
        (
            "",
            "+1@A 1=? 1:b@B,c@C plan 11=? 11:a@A,c@C 1x 11x 11=? 11:a@A,c@C",
            "1=- 11=voice 12=-",
        ),
        (UNNAMED, "-3", "1=voice 2=voice 3=voice"),
        (
            "",
            "+1@A +2@B 1=? 1:b@B,c@C 2=? 2:a@A,c@C 1x 1=? 1: 1:g@G",
            "1=stranger 2=voice",
        ),
        (UNNAMED, "-3 1x 1=? 1:", "1=stranger 2=voice 3=voice"),
        // All are new: who knows others has the say.
        (
            UNNAMED,
            "1x 2x 3x ~11 1=? 1: 2=? 2:a@A,c@C 1+ 2+",
            "1=stranger 2=voice 3=-",
        ),
        // Who speaks is who it is for as long as its connection holds.
        ("", "+1@A +2@B 1=? 1: 2=? 2:a@A,c@C", "1=voice 2=voice"),
        (
            UNNAMED,
            "1x 2x 3x ~11 1=? 1: 1+ 1x ~1 1=? 1: 1+ 2=? 2:a@A,c@C 2+",
            "1=stranger 2=voice 3=-",
        ),
        // By two ways there is one voice, that of the address which was given.
        ("", "+1@A +2@B 1=a 2=a", "1=voice 2=double"),
        (LEARNT, "+2@B 2=b", "1=voice 2=voice 11=double 12=voice"),
        (LEARNT, "", "1=voice 11=voice 12=voice"),
        // The one that was given is gone, those learnt from it are not.
        (LEARNT, "1x", "1=- 11=voice 12=voice"),
        (LEARNT, "1x 1=f 1:g@G", "1=stranger 11=voice 12=voice"),
        // Other addresses are given: of the old ones stays who is one of the new ones' own.
        (
            OURS,
            "-1 -2 -3 +4@D 4=d 4:e@E",
            "1=stranger 2=stranger 3=stranger 4=voice",
        ),
        (OURS, "-1 -2 -3 +4@D", "1=voice 2=voice 3=voice 4=-"),
        (OURS, "-1 +4@D 4=d 4:a@A,b@B,c@C", "1=voice 2=voice 3=voice 4=stranger"),
        (
            OURS,
            "-1 +4@D 4=d 4:a@A,b@B,c@C 2:a@A,c@C,d@D",
            "1=voice 2=voice 3=voice 4=voice",
        ),
        // Whoever is given for all of them vouches for nobody who does not know it.
        (
            OURS,
            "-1 -2 -3 +4@D 4=d 4:a@A,b@B,c@C",
            "1=stranger 2=stranger 3=stranger 4=voice",
        ),
        (
            OURS,
            "-1 -2 -3 +4@D 4=d 4:a@A,b@B,c@C 1:b@B,c@C,d@D 2:a@A,c@C,d@D 3:a@A,b@B,d@D",
            "1=voice 2=voice 3=voice 4=voice",
        ),
        (
            OURS,
            "-1 -2 -3 +4@D 4=d 4:a@A,b@B,c@C 4x",
            "1=voice 2=voice 3=voice 4=-",
        ),
    ];
    for (before, steps, expected) in rows {
        let stage = Stage::play(&format!("{before} {steps}"));
        assert_eq!(stage.standings(), *expected, "{before} {steps}");
    }
}

#[test]
fn whom_to_connect_to() {
    let rows: &[(&str, &str, &str)] = &[
        (LEARNT, "plan", "11@B 12@C"),
        (OURS, "plan", ""),
        // Learnt from any answer, not only the first.
        (LEARNT, "1:b@B,c@C,d@D plan", "11@B 12@C 13@D"),
        // One that is held to be down is not dialled, unless nobody is left to say so, or another holds it to be up.
        ("", "+1@A 1=a 1:b@B,!c@C plan", "11@B"),
        ("", "+1@A 1=a 1:b@B,!c@C plan 11=b 11:a@A,c@C plan", "11@B 12@C"),
        ("", "+1@A 1=a 1:b@B,!c@C plan 1x plan", "11@B 12@C"),
        (LEARNT, "12x 1:b@B,!c@C 11:a@A,!c@C plan", "11@B"),
        // Moved, with its run id: the newest address is dialled.
        (LEARNT, "12x 1:b@B,c@D plan", "11@B 13@D"),
        (LEARNT, "12x 1:b@B,c@D plan 11:a@A,c@C plan", "11@B 13@D"),
        (OURS, "3x 1:b@B,c@D plan", "11@D"),
        (OURS, "3x 1:b@B,c@D plan 11=c 11:a@A,b@B plan", "11@D"),
        // Whoever told of it falls silent, and the last has not heard of it: that is not a newer word. It is where it was once
        // the new address was tried in vain.
        (OURS, "1x 2:a@D,c@C plan 2x plan", "11@D"),
        (OURS, "1x 2:a@D,c@C plan 2x plan 11x 3:b@B,a@A plan", ""),
        (LEARNT, "12x 1:b@B,c@D plan 1x plan", "11@B 13@D"),
        (LEARNT, "12x 1:b@B,c@D plan 1x 13x 11:c@C,a@A plan", "11@B 14@C"),
        (LEARNT, "plan +12 12x 12=f 12: 1:b@B,c@D plan", "11@B 12@C 13@D"),
        // Where what was given leads to somebody else now, whom it led to before is looked for where it is listed.
        ("", "+1@L 1=a 1:b@B 1x 1=b 1:a@A plan", "11@A"),
        // Two are listed at one address: it is dialled once.
        ("", "+1@A 1=a 1:b@B,c@B plan", "11@B"),
        // A stranger's friends are nobody's.
        (OURS, "3x 3=f 3:g@G,h@H plan", ""),
        // The name of a way that is not resolved yet keeps nobody from being learnt.
        ("", "+1@A +2@X 1=a 1:b@B,c@C plan", "11@B 12@C"),
        // Forgotten when nobody has listed it for a minute and it is down, and not before.
        (LEARNT, "12x 1:b@B 11:a@A plan", "11@B 12@C"),
        (LEARNT, "12x 1:b@B 11:a@A ~61 1:b@B plan", "11@B"),
        (LEARNT, "1:b@B 11:a@A 12: ~61 1:b@B plan", "11@B 12@C"),
        // While nobody answers nobody is forgotten.
        (LEARNT, "1x 11x 12x ~3600 plan", "11@B 12@C"),
        (LEARNT, "1x 11x 12x ~3600 plan 1=a 1: plan", "11@B 12@C"),
    ];
    for (before, steps, expected) in rows {
        let stage = Stage::play(&format!("{before} {steps}"));
        assert_eq!(stage.opened(), *expected, "{before} {steps}");
    }
}

/// A list of so many, alive as it says.
fn crowd(count: usize) -> String {
    let listed: Vec<String> = (0..count).map(|n| format!("p{n}@P{n}")).collect();
    listed.join(",")
}

#[test]
fn a_crowd_is_neither_connected_to_nor_remembered_as_a_whole() {
    let mut stage = Stage::play(&format!("+1@A 1=a 1:{} plan", crowd(5000)));
    assert_eq!(stage.open.len(), 5);
    assert!(stage.who.peers.len() <= MOST_LEARNT + 2);
    // Each is tried in turn.
    let mut tried = HashSet::new();
    for _ in 0..200 {
        for (link, at) in stage.open.clone() {
            tried.insert(at);
            stage.who.fails(link, stage.now);
        }
        stage.step("plan");
        assert_eq!(stage.open.len(), 5);
    }
    assert!(tried.len() >= MOST_LEARNT - 2, "{} tried", tried.len());
}

#[test]
fn the_living_make_the_dead_be_forgotten() {
    let dead = crowd(5000).replace("p", "!p");
    let mut stage = Stage::play(&format!("+1@A 1=a 1:{dead} plan"));
    assert_eq!(stage.opened(), "");
    let few = crowd(300).replace('p', "!p");
    stage.step(&format!("1:{few},b@B"));
    stage.step("plan");
    assert_eq!(stage.opened(), "11@B");
    let mut stage = Stage::play(&format!("+1@A 1=a 1:{few},b@B plan"));
    assert_eq!(stage.opened(), "11@B");
    // So many entries are read, and no more.
    stage = Stage::play(&format!("+1@A 1=a 1:{dead},b@B plan"));
    assert_eq!(stage.opened(), "");
}

#[test]
fn who_does_not_learn_dials_nobody_else() {
    let mut stage = Stage::play("");
    stage.who = Who::new(false);
    for step in ["+1@A", "1=a", "1:b@B", "plan"] {
        stage.step(step);
    }
    assert_eq!(stage.opened(), "");
}

#[test]
fn changes_are_told_once() {
    let mut stage = Stage::play(LEARNT);
    let learnt = |host| Change::Learnt(at(host));
    assert_eq!(stage.who.take_changes(), [learnt("B"), learnt("C")]);
    for step in ["12x", "1:b@B,c@D", "1:b@B,c@D", "11:a@A,c@D"] {
        stage.step(step);
    }
    assert_eq!(stage.who.take_changes(), [Change::Moved(at("C"), at("D"))]);
    // One of the others has not heard of it yet, and for a moment nobody else speaks.
    for step in [
        "plan",
        "13=c",
        "13:",
        "1x",
        "11:a@A,c@C",
        "11:a@A,c@D",
        "1=a",
        "1:b@B,c@D",
    ] {
        stage.step(step);
    }
    assert_eq!(stage.who.take_changes(), []);
    for step in ["13x", "13=f", "13:g@G", "13:g@G"] {
        stage.step(step);
    }
    assert_eq!(stage.who.take_changes(), [Change::Stranger(at("D"))]);
    for step in ["1:b@B", "11:a@A", "~61", "1:b@B", "plan"] {
        stage.step(step);
    }
    assert_eq!(stage.who.take_changes(), [Change::Forgotten(at("D"))]);
}

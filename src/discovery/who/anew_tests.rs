//! All of ours are silent, and others answer where they were.

use super::tests::{LEARNT, OURS, Stage};

#[test]
fn whose_words_count_when_all_whom_we_knew_are_silent() {
    let rows: &[(&str, &str, &str)] = &[
        // Those who watch our nodes are a deployment made anew, when ours have been silent for long.
        (OURS, "1x 2x 3x ~6 1=x 1+ 2=y 2+", "1=voice 2=voice 3=-"),
        (OURS, "1x 2x 3x ~4 1=x 1+ 2=y 2+", "1=stranger 2=stranger 3=-"),
        (OURS, "1x 2x 3x ~6 1=x 1+", "1=stranger 2=- 3=-"),
        (OURS, "1x 2x 3x ~6 1=x 1+ 2=y", "1=stranger 2=stranger 3=-"),
        // Those who watch others are another deployment, however long ours are silent, and ours are ours when they are back.
        (OURS, "1x 2x 3x ~6 1=x 2=y", "1=stranger 2=stranger 3=-"),
        (OURS, "1x 2x 3x ~3600 1=x 1:y@B 2=y 2:x@A", "1=stranger 2=stranger 3=-"),
        (
            OURS,
            "1x 2x 3x 1=x 1:y@B,z@C 2=y 2:x@A,z@C 3=z 3:x@A,y@B ~60 3x 3=c",
            "1=stranger 2=stranger 3=voice",
        ),
        (
            OURS,
            "1x 2x 3x 1=x 1:y@B 2=y 2:x@A ~60 3=c 3:!a@A,!b@B",
            "1=stranger 2=stranger 3=voice",
        ),
        // Unless what was given is given once more, and most of it answers.
        (OURS, "1x 2x 3x 1=x 2=y ~6 again", "1=voice 2=voice 3=-"),
        (OURS, "1x 2x 3x ~6 again 1=x 2=y", "1=voice 2=voice 3=-"),
        (OURS, "1x 2x 3x ~6 again 1=x", "1=stranger 2=- 3=-"),
        (OURS, "1x 2x 3x 1=x 2=y again ~1 1x 1=x", "1=stranger 2=stranger 3=-"),
        (OURS, "1x 2x 3x again 3=c 3x ~6 1=x 2=y", "1=stranger 2=stranger 3=-"),
        (OURS, "again 1x 2x 3x ~6 1=x 2=y", "1=stranger 2=stranger 3=-"),
        // Where a name has other addresses by now nobody took the place of ours.
        (
            OURS,
            "1x 2x 3x -1 -2 -3 +4@D +5@E 4=x 4:y@E 5=y 5:x@D",
            "1=- 2=- 3=- 4=voice 5=voice",
        ),
        // Not so where one of ours was, by whichever link.
        (
            "",
            "+1@A 1=a 1:b@B,c@C plan 11=b 11:a@A,c@C 12=c 12:a@A,b@B 1x 11x 12x +4@B +5@C ~6 4=x 4:y@C 5=y 5:x@B",
            "1=- 4=stranger 5=stranger 11=- 12=-",
        ),
        // Where there never was but one, that is it, if it watches our nodes.
        ("", "+1@A 1=a 1: 1x 1=b 1+", "1=voice"),
        ("", "+1@A 1=a 1: 1x 1=b 1: ~3600 1x 1=b", "1=stranger"),
        ("", "+1@A +2@B 1=a 2=b 1: 2: 1x 1=x 1+", "1=stranger 2=voice"),
        // Given addresses where nobody answers are those of whoever alone lists them.
        (
            "",
            "+1@A +2@B +3@C +4@D +5@E 4=x 4:y@E 5=y 5:x@D 1=a 1:b@B,c@C",
            "1=voice 2=- 3=- 4=stranger 5=stranger",
        ),
        (
            "",
            "+1@A +2@B +3@C +4@D +5@E 1=a 1:!b@B,!c@C 4=x 4:y@E 5=y 5:x@D",
            "1=voice 2=- 3=- 4=stranger 5=stranger",
        ),
        // Of two with as many of the addresses whoever was believed for long is ours, else whoever was given first.
        (
            "",
            "+1@A +2@B +3@N +4@M 2=b 2:c@C ~6 1=x 1:y@Y",
            "1=stranger 2=voice 3=- 4=-",
        ),
        (
            "",
            "+1@A +2@B +3@N +4@M 2=b 2:c@C ~4 1=x 1:y@Y",
            "1=voice 2=stranger 3=- 4=-",
        ),
        // Where it is found out anew, whoever watches our nodes.
        (
            "",
            "+1@A +2@B +3@N +4@M 2=b 2:c@C 2x ~6 2=d 2:e@E 2+ 1=x 1:y@Y",
            "1=stranger 2=voice 3=- 4=-",
        ),
        // Who does not know a service is no stranger for that.
        ("", "+1@A +2@B 1=a 1/s:x@X 1/t! 2=b 2/s! 2/t:y@Y", "1=voice 2=voice"),
        ("", "+1@A +2@B 2=b 2/t:y@Y 2/s! 1=a 1/t! 1/s:x@X", "1=voice 2=voice"),
        ("", "+1@A +2@B 1=? 1/s:x@X 2=? 2/s! 2/t:y@Y 1/t!", "1=voice 2=voice"),
        ("", "+1@A +2@B 2=? 2/t:y@Y 1=? 1/t! 1/s:x@X 2/s!", "1=voice 2=voice"),
        ("", "+1@A +2@B 1=? 1/s:x@X 2=? 2/s!", "1=voice 2=stranger"),
        // Where fewer are given than before nothing is decided anew.
        (OURS, "1x 1=x 1:y@B 2x 2=y 2:x@A -3", "1=stranger 2=stranger 3=voice"),
        (OURS, "1x 1=x 1:y@B 2x 2=y 2:x@A 3x -3", "1=stranger 2=stranger 3=-"),
    ];
    for (before, steps, expected) in rows {
        let stage = Stage::play(&format!("{before} {steps}"));
        assert_eq!(stage.standings(), *expected, "{before} {steps}");
    }
}

/// A name that went to another deployment and comes back leads to whom it led to before.
#[test]
fn whoever_was_ours_is_ours_again_where_most_addresses_lead_to_such() {
    const GONE: &str = "1# 2# 3# 1x 2x 3x +4@X +5@Y +6@Z ~6 4=x 4:y@Y,z@Z 5=y 5:x@X,z@Z 6=z 6:x@X,y@Y ~99";
    const BACK: &str = "4# 5# 6# +7@A +8@B +9@C 7=a 7:b@B,c@C";
    let rows: &[(&str, &str, &str)] = &[
        ("", GONE, "1=- 2=- 3=- 4=voice 5=voice 6=voice"),
        // Also where they were there before ours fell silent, and seemed to be ours until they told whom they list.
        (
            "1# 2# 3# +4@X +5@Y 4=x 4:y@Y 5=y 5:x@X",
            "1x 2x 3x ~6 4:y@Y",
            "1=- 2=- 3=- 4=voice 5=voice",
        ),
        (
            GONE,
            "4# 5# 6# +7@A +8@B +9@C",
            "1=- 2=- 3=- 4=voice 5=voice 6=voice 7=- 8=- 9=-",
        ),
        (
            GONE,
            BACK,
            "1=- 2=- 3=- 4=stranger 5=stranger 6=stranger 7=voice 8=- 9=-",
        ),
        // Not so the other way round: while ours answer nobody else is believed.
        (
            GONE,
            &format!("{BACK} 8=b 8:a@A,c@C ~99 4## 5## 6## 7# 8# 9#"),
            "1=- 2=- 3=- 4=stranger 5=stranger 6=stranger 7=voice 8=voice 9=-",
        ),
        // One of them is not most.
        (
            GONE,
            "4# +7@A 7=a 7:b@B,c@C",
            "1=- 2=- 3=- 4=voice 5=voice 6=voice 7=stranger",
        ),
        // Wherever they are by now: nobody else has their run ids.
        (
            GONE,
            "4# 5# 6# +7@D +8@E +9@F 7=a 7:b@E,c@F 8=b 8:a@D,c@F 9=c 9:a@D,b@E",
            "1=- 2=- 3=- 4=stranger 5=stranger 6=stranger 7=voice 8=voice 9=voice",
        ),
        // And whoever they are by now, if they watch the nodes of those who were first.
        (
            GONE,
            "4# 5# 6# +7@A +8@B +9@C 7=g 7:h@B 8=h 8:g@A",
            "1=- 2=- 3=- 4=voice 5=voice 6=voice 7=stranger 8=stranger 9=-",
        ),
        (
            GONE,
            "4# 5# 6# +7@A +8@B +9@C 7=g 7++ 7:h@B 8=h 8++ 8:g@A",
            "1=- 2=- 3=- 4=stranger 5=stranger 6=stranger 7=voice 8=voice 9=-",
        ),
        // The same where the addresses were given again, and lead back.
        (
            "1x 2x 3x ~6 again 1=x 1:y@B 2=y 2:x@A ~9",
            "1x 1=a 1:b@B,c@C 2x 2=b 2:a@A,c@C",
            "1=voice 2=voice 3=-",
        ),
    ];
    for (before, steps, expected) in rows {
        let stage = Stage::play(&format!("{OURS} {before} {steps}"));
        assert_eq!(stage.standings(), *expected, "{before} {steps}");
        if !steps.contains("7@D") && !steps.contains("7=g") && !before.contains("again") {
            let nobody_tells = |steps: &str| -> Vec<String> {
                let tells = |step: &&str| step.contains('=');
                let unnamed = |step: &str| format!("{}=?", step.split('=').next().unwrap());
                let steps = steps.split_whitespace();
                steps
                    .map(|step| if tells(&step) { unnamed(step) } else { step.to_owned() })
                    .collect()
            };
            let stage = Stage::play(&nobody_tells(&format!("{OURS} {before} {steps}")).join(" "));
            assert_eq!(stage.standings(), *expected, "nobody tells who it is: {before} {steps}");
        }
    }
}

/// Two deployments over one list: one of them made anew while the other answers.
#[test]
fn whose_words_count_when_those_of_one_service_are_silent() {
    const BOTH: &str = "+1@A +2@B +3@C +4@X +5@Y 1=a 1/s:b@B,c@C 2=b 2/s:a@A,c@C 3=c 3/s:a@A,b@B \
        1/t! 2/t! 3/t! 4=x 4/t:y@Y 4/s! 5=y 5/t:x@X 5/s!";
    let rows: &[(&str, &str)] = &[
        ("", "1=voice 2=voice 3=voice 4=voice 5=voice"),
        (
            "1x 2x 3x 4/t:y@Y ~6 1=g 1+ 1/s:h@B 2=h 2+ 2/s:g@A",
            "1=voice 2=voice 3=- 4=voice 5=voice",
        ),
        (
            "1x 2x 3x ~4 1=g 1+ 1/s:h@B 2=h 2+ 2/s:g@A",
            "1=stranger 2=stranger 3=- 4=voice 5=voice",
        ),
        ("1x 2x 3x ~6 1=g 1+ 1/s:h@B", "1=stranger 2=- 3=- 4=voice 5=voice"),
        // Who watches other nodes is another one's, unless the addresses are given again.
        (
            "1x 2x 3x ~60 1=g 1/s:h@B 2=h 2/s:g@A",
            "1=stranger 2=stranger 3=- 4=voice 5=voice",
        ),
        (
            "1x 2x 3x ~60 1=g 1/s:h@B 2=h 2/s:g@A again",
            "1=voice 2=voice 3=- 4=voice 5=voice",
        ),
        // Nor is anybody believed while one of them answers.
        (
            "1x 2x ~60 3/s:a@A,b@B ~9 1=g 1+ 1/s:h@B 2=h 2+ 2/s:g@A again",
            "1=stranger 2=stranger 3=voice 4=voice 5=voice",
        ),
    ];
    for (steps, expected) in rows {
        let stage = Stage::play(&format!("{BOTH} {steps}"));
        assert_eq!(stage.standings(), *expected, "{steps}");
    }
}

/// A service that ours do not know is no reason to believe somebody who is foreign to them for another one.
#[test]
fn whoever_is_foreign_stays_so_for_every_service() {
    let mut stage = Stage::play(&format!("{OURS} 1/t! 2/t! 3/t! 3x 3=f 3:g@G,h@H"));
    for _ in 0..3 {
        stage.step("3/t:g@G");
        assert_eq!(stage.standings(), "1=voice 2=voice 3=stranger");
        assert_eq!(stage.who.belief("t"), 0, "others are believed of it");
    }
}

/// Of three that were given one is heard first while the others are silent.
#[test]
fn who_comes_late_is_heard_when_one_of_ours_can_tell() {
    let given = "+1@A +2@B +3@C";
    let rows = [
        // While ours are silent nothing speaks for it, whatever it names.
        ("1=a 1: 2=b 2: 1x 2x 3=c 3:", "stranger"),
        ("1=a 1: 2=b 2: 1x 2x 3=c 3: 3+", "stranger"),
        ("1=? 1: 2=? 2: 1x 2x 3=? 3: 3+", "stranger"),
        // One of them is back, and tells whom it lists.
        ("1=a 3=c 1x 3: 1=a", "stranger"),
        ("1=a 3=c 1x 3: 1=a 1:", "voice"),
        ("1=a 1: 1x 3=c 3: 1=a 1:", "voice"),
        ("1=a 3=c 1x 3: 1=a 1:b@B,c@C", "voice"),
        ("1=a 3=c 1x 3: 1=a 1:b@B", "stranger"),
        ("1=a 3=c 1x 3:g@G 1=a 1:b@B", "stranger"),
        // Where ours list each other a list that is empty says nothing yet.
        ("1=a 1:b@B 2=b 2:a@A 1x 2x 3=f 3: 1=a 1:", "stranger"),
        ("1=a 1:b@B 2=b 2:a@A 1x 2x 3=f 3:a@A,b@B 1=a 1: 1x", "stranger"),
        // It was a stranger beside ours, or another one was there before.
        ("1=a 1:b@B 2=b 2:a@A 3=c 3: 1x 2x 1=a 1:", "stranger"),
        ("1=a 1: 2=b 2: 3=c 3: 1x 2x 3x 3=f 3: 1=a 1:", "stranger"),
        ("1=a 1:b@B,c@C 2=b 2:a@A,c@C 1x 2x 3=f 3: 1=a 1:b@B,c@C", "stranger"),
    ];
    for (steps, expected) in rows {
        let standings = Stage::play(&format!("{given} {steps}")).standings();
        assert!(standings.ends_with(&format!("3={expected}")), "{steps}: {standings}");
    }
}

/// Who watches our nodes is a newcomer, and no news until it has joined.
#[test]
fn a_newcomer_is_not_told_of_as_a_stranger() {
    let told = |steps: &str| {
        let mut stage = Stage::play(&format!("{OURS} {steps}"));
        stage.who.take_changes().len()
    };
    assert_eq!(told("3x 3=n 3+ 3:a@A,b@B 1:b@B,n@C"), 0);
    assert_eq!(told("3x 3=n 3:x@X 3:x@X,y@Y"), 1);
    assert_eq!(told("3x 3=n 3:x@X 3x 3=n 3:x@X"), 2);
}

#[test]
fn who_may_be_back_is_told_of() {
    let mut stage = Stage::play(LEARNT);
    let revived = |stage: &Stage| stage.who.revived(12);
    stage.step("12x");
    let before = revived(&stage);
    for step in ["1:b@B,!c@C", "11:a@A,!c@C", "11:a@A,!c@C"] {
        stage.step(step);
    }
    assert_eq!(revived(&stage), before, "it is down");
    stage.step("11:a@A,c@C");
    assert_eq!(revived(&stage), before + 1, "one of the others holds it to be up again");
    for step in ["1x", "11x", "1=a"] {
        stage.step(step);
    }
    assert_eq!(revived(&stage), before + 2, "the first of all is back");
}

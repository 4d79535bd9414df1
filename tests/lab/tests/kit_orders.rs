//! The kit as a command: what `ctl` orders is done.

mod kit;

use std::fs;

use kit::{Place, status, text};

#[test]
fn orders_are_carried_out_and_answered() {
    let place = Place::new();
    let script = r#"
        set -e
        old=$("$LAB" ctl kill-primary)
        [ "$("$LAB" ctl wait-primary-change "$old")" != "$old" ]
        new=$("$LAB" ctl wait-settled)
        [ "$("$LAB" ctl primary)" = "$new" ]
        "$LAB" ctl status --json | grep -q '"name":"node-0","pid":null,"role":null,"state":"down"'
        [ "$("$LAB" ctl restart-killed)" = "$old" ]
        "$LAB" ctl wait-settled
        "$LAB" ctl freeze sentinel-1
        "$LAB" ctl freeze replica
        [ "$("$LAB" ctl status | grep -c frozen)" = 2 ]
        [ "$("$LAB" ctl thaw | wc -l)" = 2 ]
        [ "$("$LAB" ctl status | grep -c frozen)" = 0 ]
        "$LAB" ctl stop node-1
        "$LAB" ctl cont node-1
        [ "$("$LAB" ctl cont | wc -l)" = 0 ]
        "$LAB" ctl wait-settled
        "$LAB" ctl fail-over
        "$LAB" ctl wait-settled
        "$LAB" ctl status | head -n 1 | grep -q ' settled$'
        for order in nonsense "kill" "restart node-1 node-2" "primary now" "cut" "lie fake-0" "kill node-9" "kill nobody" "delay primary 5" "lie fake-0 silent" "thaw node-1"; do
            status=0
            "$LAB" ctl $order 2>>"$HERE/said" || status=$?
            echo "$order: $status"
        done
    "#;
    let output = place.script_with(&[], script).output().expect("run");
    let said = fs::read_to_string(place.file("said")).unwrap_or_default();
    assert_eq!(status(&output), 0, "{output:?} {said}");
    let answers = text(&output.stdout);
    for (order, expected) in [
        ("nonsense", 2),
        ("kill", 2),
        ("restart node-1 node-2", 2),
        ("primary now", 2),
        ("cut", 2),
        ("lie fake-0", 2),
        ("kill node-9", 2),
        ("kill nobody", 2),
        ("delay primary 5", 1),
        ("lie fake-0 silent", 1),
    ] {
        assert!(
            answers.contains(&format!("{order}: {expected}\n")),
            "{order}: {answers}"
        );
    }
    for words in [
        "no such order: \"nonsense\"",
        "behind kill comes a SERVER;",
        "behind restart comes a SERVER;",
        "behind primary comes nothing;",
        "behind cut comes a SERVER;",
        "behind lie comes fake-N, HOW,",
        "node-9",
        "--proxy",
        "--fake-sentinels",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn a_line_of_configuration_makes_the_servers_keep_what_all_of_them_lose() {
    let place = Place::new();
    let script = r#"
        ask() { timeout 2 bash -c 'exec 3<>"/dev/tcp/${1%:*}/${1#*:}" && echo "$2" >&3 && head -n "$3" <&3' - "$@"; }
        ask "$("$LAB" ctl primary)" "SET kept yes" 1
        "$LAB" ctl kill node-0
        "$LAB" ctl kill node-1
        "$LAB" ctl restart-killed
        "$LAB" ctl wait-settled
        ask "$("$LAB" ctl primary)" "GET kept" 2
    "#;
    let options = [
        "run",
        "--replicas",
        "1",
        "--node-config",
        "appendonly yes",
        "--node-config=appendfsync always",
    ];
    let output = place
        .kit(&[&options[..], &["--", "bash", "-c", script]].concat())
        .output()
        .expect("run");
    assert!(text(&output.stdout).ends_with("$3\r\nyes\r\n"), "{output:?}");
    let odd = place
        .kit(&["run", "--node-config", "no-such-word 1", "--", "true"])
        .output()
        .expect("run");
    assert_eq!(status(&odd), 125);
    assert!(text(&odd.stderr).contains("no-such-word"), "{odd:?}");
}

#[test]
fn faults_are_for_clients_and_by_all_for_servers_too() {
    let place = Place::new();
    // Bash, for /dev/tcp; `ask` prints the reply of PING, or nothing within a second.
    let script = r#"
        ask() { timeout 1 bash -c 'exec 3<>"/dev/tcp/${1%:*}/${1#*:}" && echo PING >&3 && head -n 1 <&3' - "$1" 2>/dev/null; }
        p=$("$LAB" ctl primary)
        ask "$p" | grep -q PONG || exit 1
        "$LAB" ctl black-hole primary; [ -z "$(ask "$p")" ] || exit 2
        "$LAB" ctl pass primary; ask "$p" | grep -q PONG || exit 3
        "$LAB" ctl refuse primary; [ -z "$(ask "$p")" ] || exit 4
        "$LAB" ctl pass; "$LAB" ctl delay primary 300
        begin=$(date +%s%N); ask "$p" | grep -q PONG || exit 5
        [ $(($(date +%s%N) - begin)) -ge 600000000 ] || exit 6
        [ "$("$LAB" ctl primary)" = "$p" ] || exit 7
        "$LAB" ctl pass
        exec 3<>"/dev/tcp/${p%:*}/${p#*:}"
        echo PING >&3; read -r -t 1 reply <&3; [ "$reply" = "$(printf '+PONG\r')" ] || exit 8
        "$LAB" ctl half-open primary; echo PING >&3; read -r -t 0.5 reply <&3 && exit 9
        ask "$p" | grep -q PONG || exit 10
        "$LAB" ctl cut primary; read -r -t 1 reply <&3; [ $? -le 128 ] || exit 11
        "$LAB" ctl wait-settled; [ "$("$LAB" ctl primary)" = "$p" ] || exit 12
        "$LAB" ctl black-hole primary --all
        [ "$("$LAB" ctl wait-primary-change "$p")" != "$p" ] || exit 13
        "$LAB" ctl pass; "$LAB" ctl wait-settled
    "#;
    let output = place
        .kit(&["run", "--proxy", "--", "bash", "-c", script])
        .output()
        .expect("run");
    assert_eq!(status(&output), 0, "{output:?}");
}

#[test]
fn scripted_sentinels_say_what_the_real_ones_say_and_lie_when_told() {
    let place = Place::new();
    let script = r#"
        first=${SENTINELS%%,*}
        ask='*2\r\n$4\r\nAUTH\r\n$2\r\ns3\r\n*3\r\n$8\r\nSENTINEL\r\n$23\r\nget-master-addr-by-name\r\n$8\r\nmymaster\r\n'
        # The port is the sixth line, behind the answer to AUTH.
        named() {
            timeout 1 bash -c 'exec 3<>"/dev/tcp/${1%:*}/${1#*:}" && printf "$2" >&3 && head -n 6 <&3' - "$first" "$ask" |
                tr -d '\r' | tail -n 1
        }
        until_named() { tries=0; until [ "$(named)" = "${1#*:}" ]; do tries=$((tries + 1)); [ $tries -lt 50 ] || exit 1; done; }
        old=$("$LAB" ctl primary)
        until_named "$old"
        "$LAB" ctl kill-primary; new=$("$LAB" ctl wait-settled)
        until_named "$new"
        "$LAB" ctl lie fake-0 wrong-primary "$old"; [ "$(named)" = "${old#*:}" ] || exit 2
        "$LAB" ctl lie fake-0 honest; until_named "$new"
        "$LAB" ctl lie fake-0 stale-epoch
        "$LAB" ctl restart-killed; "$LAB" ctl wait-settled; "$LAB" ctl fail-over; "$LAB" ctl wait-settled
        [ "$(named)" = "${new#*:}" ] || exit 3
        "$LAB" ctl lie fake-0 silent; [ -z "$(named)" ] || exit 4
        "$LAB" ctl lie fake-0 honest; until_named "$("$LAB" ctl primary)"
    "#;
    let options = [
        "run",
        "--fake-sentinels",
        "1",
        "--sentinel-password",
        "s3",
        "--",
        "bash",
        "-c",
        script,
    ];
    let output = place.kit(&options).output().expect("run");
    assert_eq!(status(&output), 0, "{output:?}");
}

#[test]
fn tls_passwords_and_odd_folders_work_together() {
    let place = Place::new();
    let odd = place
        .temporary()
        .join("a \"b\" ü")
        .join("long".repeat(40))
        .join("longer".repeat(20));
    fs::create_dir_all(&odd).expect("a folder");
    let script = r#"
        set -e
        case $SENTINEL_URL in "rediss+sentinel://app:p%22%20%5C@"*) ;; *) exit 1 ;; esac
        grep -q CERTIFICATE "$TLS_CA_FILE"
        "$LAB" ctl kill-primary
        "$LAB" ctl wait-settled
        "$LAB" ctl restart-killed
        "$LAB" ctl wait-settled
    "#;
    let options = [
        "--tls",
        "--proxy",
        "--user",
        "app:p\" \\",
        "--sentinel-password",
        "q\" \\",
        "--service",
        "it's",
    ];
    let output = place
        .script_with(&options, script)
        .env("TMPDIR", &odd)
        .output()
        .expect("run");
    assert_eq!(status(&output), 0, "{output:?}");
}

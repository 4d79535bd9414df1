//! The command table, and what is made of them.

use super::*;

/// The words of a line as arguments.
fn words(line: &str) -> Vec<&[u8]> {
    line.split(' ').map(str::as_bytes).collect()
}

fn class(line: &str) -> Class {
    look_up(&words(line)).unwrap_or(Class::Shared)
}

fn refused(line: &str) -> &'static str {
    match class(line) {
        Class::Stateful { instead } | Class::Never { instead } => instead,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn the_table_is_sorted_upper_case_and_fits() {
    assert!(TABLE.is_sorted_by(|one, next| one.name < next.name));
    assert!(TABLE.is_sorted_by_key(|entry| entry.start));
    for Entry { name, flags, .. } in TABLE {
        assert!(name.len() <= LONGEST && *name == name.to_ascii_uppercase(), "{name}");
        assert_ne!(flags & (READONLY | WRITE), READONLY | WRITE, "{name}");
    }
    assert!(TABLE.len() > 280);
}

#[test]
fn every_entry_is_found_by_its_words_in_any_case() {
    for Entry { name, flags, .. } in TABLE {
        let expected = Traits {
            read_only: flags & READONLY != 0,
            write: flags & WRITE != 0,
            blocking: flags & BLOCKING != 0,
        };
        assert_eq!(traits(&words(name)), Some(expected), "{name}");
        assert_eq!(traits(&words(&name.to_ascii_lowercase())), Some(expected), "{name}");
    }
}

#[test]
fn what_the_server_marks_blocking_is_recognised() {
    for Entry { name, flags, .. } in TABLE {
        if flags & BLOCKING != 0 {
            let line = format!("{name} BLOCK 0 STREAMS s 0");
            match *name {
                "WAIT" | "WAITAOF" => assert!(matches!(class(&line), Class::Confirming { .. })),
                _ => assert_eq!(class(&line), Class::Blocking, "{name}"),
            }
        }
    }
    assert!(matches!(class("wait 1 0"), Class::Confirming { .. }));
}

#[test]
fn reads_are_what_the_server_marks_and_a_few_more() {
    for line in [
        "GET k",
        "get k",
        "gEt k",
        "MGET a b",
        "HGETALL h",
        "SCAN 0",
        "KEYS *",
        "DBSIZE",
        "SORT_RO l",
        "EVAL_RO s 0",
        "EVALSHA_RO x 0",
        "FCALL_RO f 0",
        "XINFO STREAM s",
        "xinfo groups s",
        "OBJECT ENCODING k",
        "MEMORY USAGE k",
        "XREAD BLOCK 0 STREAMS s 0",
        "GEORADIUSBYMEMBER_RO k m 1 m",
        "HTTL h FIELDS 1 f",
        "VSIM v ELE e",
        "vrandmember v",
        "PING",
        "echo x",
        "TIME",
        "LASTSAVE",
        "COMMAND DOCS get",
        "INFO",
        "ROLE",
        "ACL whoami",
        "ACL GETUSER u",
        "CONFIG GET *",
        "config get *",
        "PUBSUB CHANNELS",
        "SCRIPT EXISTS x",
    ] {
        assert!(is_read_only(&words(line)), "{line}");
    }
    for line in [
        "SET k v",
        "INCR k",
        "EVAL s 0",
        "EVALSHA x 0",
        "FCALL f 0",
        "SORT l",
        "GEORADIUS k 0 0 1 m",
        "GETEX k",
        "BITFIELD k",
        "XREADGROUP GROUP g c STREAMS s >",
        "XINFO",
        "XINFO HELP",
        "XINFO NOSUCH",
        "OBJECT",
        "ACL SETUSER u",
        "ACL LOG RESET",
        "CONFIG SET a b",
        "CONFIG",
        "CONFIG RESETSTAT",
        "PUBLISH c m",
        "SPUBLISH c m",
        "FUNCTION FLUSH",
        "SCRIPT FLUSH",
        "MEMORY PURGE",
        "HEXPIRE h 1 FIELDS 1 f",
        "FLUSHALL",
        "JSON.GET k",
        "GE",
        "GETS",
        "",
        "THISNAMEISLONGERTHANANYCOMMANDNAMEKNOWN",
    ] {
        assert!(!is_read_only(&words(line)), "{line}");
    }
    assert!(!is_read_only(&[]));
}

#[test]
fn traits_are_the_servers_flags() {
    let flags = |line: &str| traits(&words(line)).map(|traits| (traits.read_only, traits.write, traits.blocking));
    assert_eq!(flags("GET k"), Some((true, false, false)));
    assert_eq!(flags("SET k v"), Some((false, true, false)));
    assert_eq!(flags("BLPOP k 0"), Some((false, true, true)));
    assert_eq!(flags("XREAD STREAMS s 0"), Some((true, false, true)));
    assert_eq!(flags("XGROUP CREATE s g 0"), Some((false, true, false)));
    assert_eq!(flags("XGROUP HELP"), Some((false, false, false)));
    assert_eq!(flags("PING"), Some((false, false, false)));
    assert_eq!(flags("waitaof 1 0 0"), Some((false, false, true)));
    // Those of servers newer than the first of the table.
    assert_eq!(flags("HGETEX h FIELDS 1 f"), Some((false, true, false)));
    assert_eq!(flags("HSETEX h FIELDS 1 f v"), Some((false, true, false)));
    assert_eq!(flags("VADD v VALUES 1 0 e"), Some((false, true, false)));
    assert_eq!(flags("VCARD v"), Some((true, false, false)));
    assert_eq!(flags("COMMANDLOG GET 1 slow"), Some((false, false, false)));
    assert_eq!(flags("NOSUCH"), None);
    assert_eq!(traits(&[]), None);
}

#[test]
fn ordinary_commands_share_a_connection() {
    for line in [
        "GET k",
        "EVAL s 0",
        "PUBLISH c m",
        "CLIENT ID",
        "CLIENT LIST",
        "CLIENT GETNAME",
        "CLIENT KILL ID 3",
        "CLIENT",
        "SCRIPT LOAD s",
        "SCRIPT",
        "CONFIG SET a b",
        "SHUTDOWN",
        "FAILOVER",
        "DEBUG SLEEP 0",
        "LMPOP 1 k LEFT",
        "JSON.SET k . 1",
        "SELECTED",
        "",
        "PUBSUB CHANNELS",
        "XREAD STREAMS s 0",
        "CLUSTER INFO",
    ] {
        assert_eq!(class(line), Class::Shared, "{line}");
    }
    assert_eq!(look_up(&[]), None);
    assert_eq!(look_up(&[&[b'A'; 4096]]), None);
}

#[test]
fn commands_that_change_a_connection_say_what_to_use_instead() {
    for (line, instead) in [
        ("SELECT 1", "set the option database, or use sentinel_client_acquire"),
        (
            "multi",
            "use sentinel_batch_run with SENTINEL_BATCH_TRANSACTION, or sentinel_client_acquire",
        ),
        (
            "EXEC",
            "use sentinel_batch_run with SENTINEL_BATCH_TRANSACTION, or sentinel_client_acquire",
        ),
        (
            "DISCARD",
            "use sentinel_batch_run with SENTINEL_BATCH_TRANSACTION, or sentinel_client_acquire",
        ),
        ("WATCH k", "use sentinel_client_acquire"),
        ("UNWATCH", "use sentinel_client_acquire"),
        ("AUTH p", "set the options username and password"),
        (
            "HELLO 3",
            "set the options protocol, username, password and client_name",
        ),
        ("RESET", "use sentinel_client_acquire: release resets the connection"),
        ("QUIT", "use sentinel_client_free"),
        ("ASKING", "it is for clusters, not for Sentinel"),
        ("READONLY", "it is for clusters, not for Sentinel"),
        ("READWRITE", "it is for clusters, not for Sentinel"),
        ("CLIENT setname x", "set the option client_name"),
        ("client TRACKING ON", "use sentinel_client_acquire"),
        ("CLIENT CACHING YES", "use sentinel_client_acquire"),
        ("CLIENT NO-EVICT ON", "use sentinel_client_acquire"),
        ("CLIENT NO-TOUCH ON", "use sentinel_client_acquire"),
        ("CLIENT SETINFO LIB-NAME x", "use sentinel_client_acquire"),
        ("client maint_notifications ON", "use sentinel_client_acquire"),
        ("SCRIPT debug YES", "use redis-cli --ldb"),
    ] {
        assert!(matches!(class(line), Class::Stateful { .. }), "{line}");
        assert_eq!(refused(line), instead, "{line}");
    }
}

#[test]
fn commands_that_unpair_replies_run_nowhere() {
    for (line, instead) in [
        ("SUBSCRIBE c", "use sentinel_subscription_new"),
        ("psubscribe c", "use sentinel_subscription_new"),
        ("SSUBSCRIBE c", "use sentinel_subscription_new"),
        ("UNSUBSCRIBE", "use sentinel_subscription_new"),
        ("PUNSUBSCRIBE", "use sentinel_subscription_new"),
        ("SUNSUBSCRIBE", "use sentinel_subscription_new"),
        ("MONITOR", "use redis-cli"),
        (
            "CLIENT REPLY OFF",
            "every call takes its reply; use sentinel_submit_queued not to wait for it",
        ),
        (
            "client reply off",
            "every call takes its reply; use sentinel_submit_queued not to wait for it",
        ),
        ("SYNC", "it is for replicas, not for clients"),
        ("PSYNC ? -1", "it is for replicas, not for clients"),
        ("REPLCONF ACK 0", "it is for replicas, not for clients"),
    ] {
        assert!(matches!(class(line), Class::Never { .. }), "{line}");
        assert_eq!(refused(line), instead, "{line}");
    }
}

#[test]
fn streams_block_only_with_the_option() {
    for (line, blocks) in [
        ("XREAD BLOCK 0 STREAMS s $", true),
        ("xread block 5 streams s $", true),
        ("XREAD COUNT 2 BLOCK 5 STREAMS s $", true),
        ("XREAD COUNT 2 STREAMS s 0", false),
        ("XREAD STREAMS BLOCK 0", false),
        ("XREAD STREAMS s BLOCK 0 0", false),
        ("XREAD COUNT BLOCK STREAMS s 0", false),
        ("XREAD BLOCK", false),
        ("XREAD", false),
        ("XREADGROUP GROUP g c BLOCK 0 STREAMS s >", true),
        ("XREADGROUP GROUP g c COUNT 1 NOACK BLOCK 9 STREAMS s >", true),
        ("XREADGROUP BLOCK 9 GROUP g c STREAMS s >", true),
        ("XREADGROUP GROUP BLOCK BLOCK STREAMS s >", false),
        ("XREADGROUP GROUP g BLOCK STREAMS s >", false),
        ("XREADGROUP GROUP STREAMS c BLOCK 1 STREAMS s >", true),
        ("XREADGROUP GROUP g c NOACK STREAMS s >", false),
        ("XREADGROUP GROUP g", false),
    ] {
        assert_eq!(class(line) == Class::Blocking, blocks, "{line}");
    }
}

#[test]
fn a_commands_own_timeout_is_read() {
    let ms = |millis| Some(Some(Duration::from_millis(millis)));
    for (line, timeout) in [
        ("BLPOP a b 5", ms(5000)),
        ("brpop a 0.1", ms(100)),
        ("BLPOP a 0.0001", ms(1)),
        ("BLPOP a 0", Some(None)),
        ("BLPOP a 0.0", Some(None)),
        ("BLPOP a -1", None),
        ("BLPOP a x", None),
        ("BLPOP a inf", None),
        ("BLPOP a nan", None),
        ("BLPOP a 1e300", None),
        ("BLPOP", None),
        ("BLMOVE a b LEFT RIGHT 2", ms(2000)),
        ("BRPOPLPUSH a b 3", ms(3000)),
        ("BZPOPMIN z 4", ms(4000)),
        ("BZPOPMAX z 1.5", ms(1500)),
        ("BLMPOP 6 1 l LEFT", ms(6000)),
        ("BZMPOP 0 1 z MIN", Some(None)),
        ("WAIT 1 250", ms(250)),
        ("WAIT 1 0", Some(None)),
        ("WAIT 1", None),
        ("WAITAOF 1 1 70", ms(70)),
        ("XREAD COUNT 1 BLOCK 80 STREAMS s $", ms(80)),
        ("XREAD BLOCK 0 STREAMS s $", Some(None)),
        ("XREAD BLOCK x STREAMS s $", None),
        ("XREAD STREAMS s $", None),
        ("XREADGROUP GROUP g c BLOCK 90 STREAMS s >", ms(90)),
        ("GET 5", None),
    ] {
        assert_eq!(blocking_timeout(&words(line)), timeout, "{line}");
    }
    assert_eq!(blocking_timeout(&[]), None);
}

#[test]
fn a_name_is_shown_in_upper_case_with_the_subcommand_that_decides() {
    assert_eq!(shown_name(&words("select 1")), "SELECT");
    assert_eq!(shown_name(&words("client reply off")), "CLIENT REPLY");
    assert_eq!(shown_name(&words("set secret value")), "SET");
    assert_eq!(shown_name(&[b"a\r\n\xff"]), "A\\R\\N\\XFF");
    assert_eq!(shown_name(&[&[b'a'; 4096]]).len(), LONGEST);
    assert_eq!(shown_name(&[]), "");
}

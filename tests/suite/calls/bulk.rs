//! A batch of very many commands.

use sentinel::{Batch, BatchKind};

use crate::handles::lifecycle::alone;
use crate::support::{SERVICE, open_on, run, shared, text, within};

const COMMANDS: usize = 100_000;

/// A figure of this process in bytes: `VmRSS`, or `VmHWM`, the most it ever was.
pub(crate) fn memory(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim_matches([':', '\t', ' ']).strip_suffix(" kB"));
    kib.and_then(|kib| kib.trim().parse::<usize>().ok())
        .expect("/proc has it")
        * 1024
}

/// The argument of one command of the batch.
fn own(n: usize) -> String {
    format!("{n}:{}", "x".repeat(n % 200))
}

#[test]
fn a_hundred_thousand_commands_go_in_one_batch_and_cost_little_more_than_their_bytes() {
    alone(
        "calls::bulk::a_hundred_thousand_commands_go_in_one_batch_and_cost_little_more_than_their_bytes",
        || {
            let topology = shared();
            let client = open_on(&topology).primary_for(Some(SERVICE), None).unwrap();
            text(&client, "ECHO warm");
            let before = memory("VmRSS");
            let mut commands = Batch::new(BatchKind::Pipeline);
            let (mut request, mut replies) = (0, 0);
            for n in 0..COMMANDS {
                let own = own(n);
                commands.add(&[b"ECHO", own.as_bytes()]).unwrap();
                replies += own.len() + 7;
                request += own.len() + 21;
            }
            // Twice: what one leaves behind must not add up.
            for _ in 0..2 {
                let reply = client.batch(&commands, &within(30_000)).unwrap();
                assert_eq!(reply.len(), COMMANDS);
                for (n, element) in reply.elements().enumerate() {
                    assert_eq!(element.data(), own(n).as_bytes(), "element {n}");
                }
            }
            let grown = memory("VmHWM").saturating_sub(before);
            println!("request {request}, replies {replies}, memory grew by {grown} bytes");
            // A value in a reply costs a node of 48 bytes beside its own.
            let most = 2 * (request + replies + 48 * COMMANDS);
            assert!(
                grown <= most,
                "{grown} bytes for a request of {request} and replies of {replies}"
            );
            assert_eq!(text(&client, "ECHO after"), "after");
        },
    );
}

#[test]
fn a_large_value_is_sent_from_where_it_lies() {
    alone("calls::bulk::a_large_value_is_sent_from_where_it_lies", || {
        let topology = shared();
        let client = open_on(&topology).primary_for(Some(SERVICE), None).unwrap();
        let value = vec![b'x'; 64 << 20];
        text(&client, "ECHO warm");
        let before = memory("VmRSS");
        let set: [&[u8]; 3] = [b"SET", b"large", &value];
        client.command(&set, &within(30_000)).unwrap();
        let grown = memory("VmHWM").saturating_sub(before);
        assert!(grown < 4 << 20, "{grown} bytes more for a value of {}", value.len());
        let len = run(&client, "STRLEN large").unwrap().integer();
        assert_eq!(usize::try_from(len), Ok(value.len()));
        run(&client, "DEL large").unwrap();
    });
}

//! The README's table of failures, row by row: which test shows that it is so.

use std::collections::BTreeMap;
use std::path::Path;

/// A row by its first column, or by its second where it has a reason; what it says of the execution; and the tests that
/// assert both, by file and function. A program of `tests/c` names the status itself.
type Row = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const ROWS: &[Row] = &[
    (
        "NO_SENTINEL_REACHABLE",
        "no",
        &[(
            "tests/suite/discovery/failures.rs",
            "without_any_sentinel_up_every_call_ends_at_its_deadline_and_names_each",
        )],
    ),
    (
        "UNKNOWN_SERVICE",
        "no",
        &[(
            "tests/suite/discovery/failures.rs",
            "a_service_that_no_sentinel_knows_is_told_as_unknown",
        )],
    ),
    (
        "SENTINEL_AUTH",
        "no",
        &[(
            "tests/suite/discovery/failures.rs",
            "a_sentinel_that_refuses_the_login_is_told_as_such",
        )],
    ),
    (
        "WRONG_ROLE",
        "no",
        &[(
            "tests/suite/discovery/nodes.rs",
            "a_primary_that_says_it_is_a_replica_is_never_written_to",
        )],
    ),
    (
        "NODE_UNREACHABLE",
        "no",
        &[
            (
                "tests/suite/discovery/nodes.rs",
                "a_primary_that_refuses_connections_is_unreachable",
            ),
            (
                "tests/suite/reads/replicas.rs",
                "without_fallback_no_replica_is_an_error_that_tells_why",
            ),
        ],
    ),
    (
        "NO_USABLE_REPLICA",
        "no",
        &[(
            "tests/suite/reads/replicas.rs",
            "without_fallback_and_without_replicas_there_is_no_usable_one",
        )],
    ),
    (
        "TOO_FEW_SENTINELS",
        "no",
        &[(
            "tests/suite/discovery/failures.rs",
            "a_sentinel_that_knows_too_few_peers_has_no_say",
        )],
    ),
    (
        "NO_MAJORITY",
        "no",
        &[(
            "tests/suite/failover/fenced.rs",
            "no_way_sends_a_write_while_no_majority_is_heard",
        )],
    ),
    ("UNCONFIRMED", "no", &[]),
    (
        "CONNECTION_LOST",
        "maybe: see the outcome",
        &[
            (
                "tests/suite/calls/cuts.rs",
                "a_write_cut_at_any_byte_of_its_request_is_unknown_and_not_sent_again",
            ),
            (
                "tests/suite/failover/real.rs",
                "calls_in_flight_at_a_hung_primary_end_at_the_switch_and_nothing_goes_back_to_it",
            ),
            (
                "tests/suite/calls/learnt.rs",
                "a_question_whose_connection_is_lost_is_repeated_unless_the_call_says_never",
            ),
        ],
    ),
    (
        "TIMEOUT",
        "maybe: see the outcome",
        &[
            (
                "tests/suite/calls/deadlines.rs",
                "a_reply_that_never_ends_is_left_at_the_deadline_whether_it_drips_or_pours",
            ),
            (
                "tests/suite/calls/learnt.rs",
                "a_question_that_fails_leaves_the_command_unsent",
            ),
        ],
    ),
    (
        "TLS",
        "no",
        &[(
            "tests/suite/tls/trust.rs",
            "a_certificate_that_is_expired_of_another_name_or_of_another_authority_lets_nobody_in",
        )],
    ),
    (
        "AUTH",
        "no",
        &[(
            "tests/suite/discovery/nodes.rs",
            "a_node_that_refuses_the_login_fails_the_call_at_once",
        )],
    ),
    (
        "PROTOCOL",
        "maybe: see the outcome",
        &[
            (
                "tests/suite/wire/hostile.rs",
                "what_is_no_reply_is_a_protocol_error_and_ends_the_connection",
            ),
            (
                "tests/suite/wire/hostile.rs",
                "a_reply_over_the_limit_is_refused_at_its_header",
            ),
        ],
    ),
    (
        "SERVER",
        "see the outcome",
        &[(
            "tests/suite/calls/refusals.rs",
            "what_no_other_moment_cures_is_passed_on_at_once",
        )],
    ),
    (
        "READONLY, LOADING",
        "no, but a script's own words: see the outcome",
        &[
            (
                "tests/suite/calls/refusals.rs",
                "without_repetition_the_callers_own_answer_is_passed_on_at_once",
            ),
            (
                "tests/suite/calls/refusals.rs",
                "what_is_never_cured_is_repeated_until_the_deadline",
            ),
            (
                "tests/suite/calls/refusals.rs",
                "what_no_other_moment_cures_is_passed_on_at_once",
            ),
            (
                "tests/suite/reads/replicas.rs",
                "a_write_through_a_client_of_replicas_is_refused_at_once",
            ),
        ],
    ),
    (
        "TRANSACTION_ABORTED",
        "no",
        &[
            (
                "tests/suite/pool/isolation.rs",
                "a_transaction_by_hand_works_and_is_aborted_by_a_conflict",
            ),
            (
                "tests/suite/calls/batches.rs",
                "a_transaction_that_the_server_refuses_changes_nothing",
            ),
        ],
    ),
    (
        "NOT_REPLICATED",
        "yes (outcome UNKNOWN)",
        &[
            ("tests/suite/calls/batches.rs", "a_write_can_wait_for_its_replicas"),
            (
                "tests/suite/calls/durable.rs",
                "durability_that_was_not_confirmed_is_never_claimed",
            ),
        ],
    ),
    (
        "POOL_EXHAUSTED",
        "no",
        &[(
            "tests/suite/calls/deadlines.rs",
            "calls_that_wait_for_a_slot_of_the_pool_end_at_their_deadlines",
        )],
    ),
    (
        "QUEUE_FULL",
        "no",
        &[
            ("tests/suite/pool/lanes.rs", "no_more_than_max_pending_calls_are_taken"),
            (
                "tests/suite/submitted/completions.rs",
                "what_cannot_be_submitted_is_refused_at_once_and_leaves_the_queue_as_it_was",
            ),
        ],
    ),
    (
        "CANCELLED, CLOSED",
        "maybe: see the outcome",
        &[
            (
                "tests/suite/submitted/completions.rs",
                "a_cancelled_call_completes_as_cancelled_once_and_a_late_reply_reaches_nobody",
            ),
            (
                "tests/suite/calls/learnt.rs",
                "the_end_of_a_call_with_a_question_lets_those_behind_it_go_on",
            ),
            (
                "tests/suite/handles/lifecycle.rs",
                "close_ends_every_call_and_leaves_nothing",
            ),
        ],
    ),
    (
        "UNSUPPORTED_COMMAND",
        "no",
        &[(
            "tests/suite/handles/clients.rs",
            "commands_that_would_change_a_shared_connection_are_refused_before_they_are_sent",
        )],
    ),
    (
        "NULL_ARGUMENT, INVALID_ARGUMENT, INVALID_UTF8, UNKNOWN_OPTION",
        "no",
        &[
            ("tests/c/misuse.c", "SENTINEL_ERR_NULL_ARGUMENT"),
            ("tests/c/misuse.c", "SENTINEL_ERR_INVALID_ARGUMENT"),
            ("tests/c/misuse.c", "SENTINEL_ERR_INVALID_UTF8"),
            ("tests/c/misuse.c", "SENTINEL_ERR_UNKNOWN_OPTION"),
        ],
    ),
    (
        "WRONG_STATE, WOULD_DEADLOCK, FORKED, BUFFER_TOO_SMALL",
        "no",
        &[
            (
                "tests/suite/calls/scans.rs",
                "a_scan_outlives_its_connection_but_not_its_node",
            ),
            (
                "tests/suite/submitted/completions.rs",
                "callbacks_run_one_at_a_time_in_order_may_submit_and_free_and_may_not_wait",
            ),
            (
                "tests/suite/process/forks.rs",
                "a_child_is_told_that_it_was_forked_and_disturbs_nothing",
            ),
            ("tests/c/misuse.c", "SENTINEL_ERR_BUFFER_TOO_SMALL"),
        ],
    ),
    // Nothing returns them: every construction of an error goes through `status_of`, and `Failure::Unavailable` has none.
    ("CONNECT, UNAVAILABLE", "no", &[]),
    (
        "INTERNAL, PANIC",
        "maybe: see the outcome",
        &[("src/ffi/guard.rs", "a_panic_becomes_a_status_and_closes_the_handle")],
    ),
];

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rows of the README, by the same key.
fn rows_of_the_readme() -> BTreeMap<String, String> {
    let readme = read("README.md");
    let table = readme.split_once("| status | reason | meaning | executed |").unwrap().1;
    let lines = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let cells = lines.map(|line| {
        line.replace('`', "")
            .split('|')
            .map(|cell| cell.trim().to_owned())
            .collect()
    });
    let row = |cells: Vec<String>| {
        let key = if cells[2].is_empty() { &cells[1] } else { &cells[2] };
        (key.clone(), cells[4].clone())
    };
    cells.map(row).collect()
}

#[test]
fn each_row_of_the_table_of_failures_has_the_tests_that_show_it() {
    let rows: BTreeMap<String, String> = ROWS.iter().map(|row| (row.0.into(), row.1.into())).collect();
    assert_eq!(rows_of_the_readme(), rows);
    for (row, _, tests) in ROWS {
        for (path, test) in *tests {
            let wanted = match test.starts_with("SENTINEL_") {
                true => (*test).to_owned(),
                false => format!("fn {test}()"),
            };
            assert!(read(path).contains(&wanted), "{row}: {path} has no {test}");
        }
    }
}

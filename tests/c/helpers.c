/*
 * needs: topology. Called with SERVICE HOST:PORT... Scripts by name, scans, and writes that disks confirm.
 */
#include "live.h"

static void scripts_run_by_name(sentinel_t *sentinel, const char *service, sentinel_client_t *client)
{
    static const char source[] = "redis.call('SET', KEYS[1], ARGV[1]) return #KEYS + #ARGV";
    static const char read[] = "return redis.call('GET', KEYS[1])";
    sentinel_script_t *script = sentinel_script_new(source, strlen(source), 0);
    sentinel_script_t *reader = sentinel_script_new(read, strlen(read), SENTINEL_SCRIPT_READ_ONLY);
    sentinel_script_t *same = sentinel_script_new("return 1", 8, 0);
    const char *args[] = {"helpers:script", "a\0b"};
    const size_t lens[] = {14, 3};
    sentinel_client_t *replica = NULL;
    sentinel_reply_t *reply = NULL;
    sentinel_error_t *error = NULL;
    int i;

    CHECK(script != NULL && reader != NULL && same != NULL);
    CHECK_EQUAL(0, strcmp("e0e1f9fabfc9d4800c877a703b823ac0578ff8db", sentinel_script_sha1(same)));
    for (i = 0; i < 2; i++) { /* the second time the server has it */
        CHECK_OK(sentinel_script_run(client, script, 1, 2, args, lens, NULL, &reply, &error), &error);
        CHECK_EQUAL(2, sentinel_reply_integer(reply));
        sentinel_reply_free(reply);
    }
    if (live_since(client, 7, 0)) {
        CHECK_OK(sentinel_script_run(client, reader, 1, 1, args, NULL, NULL, &reply, &error), &error);
        CHECK_BYTES("a\0b", 3, reply);
        sentinel_reply_free(reply);
        CHECK_OK(sentinel_replica_for(sentinel, service, NULL, &replica, &error), &error);
        CHECK_OK(sentinel_script_run(replica, reader, 1, 1, args, NULL, NULL, NULL, &error), &error);
        sentinel_client_free(replica);
    }
    CHECK_OK(sentinel_script_run(client, same, 0, 0, NULL, NULL, NULL, &reply, &error), &error);
    CHECK_EQUAL(1, sentinel_reply_integer(reply));
    sentinel_reply_free(reply);
    reply = NULL;
    CHECK_FAILS(SENTINEL_ERR_INVALID_ARGUMENT, "numkeys",
                sentinel_script_run(client, script, 3, 2, args, lens, NULL, &reply, &error), &error);
    CHECK(reply == NULL);
    sentinel_script_free(same);
    sentinel_script_free(reader);
    sentinel_script_free(script);
}

/* Elements that a scan gives from where it is. */
static size_t rest_of(sentinel_scan_t *scan)
{
    sentinel_reply_t *page = NULL;
    sentinel_error_t *error = NULL;
    sentinel_status_t status;
    size_t count = 0;

    while ((status = sentinel_scan_next(scan, NULL, &page, &error)) == SENTINEL_OK) {
        CHECK_EQUAL(SENTINEL_REPLY_ARRAY, sentinel_reply_type(page));
        count += sentinel_reply_len(page);
        sentinel_reply_free(page);
        page = NULL;
    }
    CHECK_STATUS(SENTINEL_EMPTY, status);
    CHECK(page == NULL && error == NULL);
    return count;
}

static void scans_walk_page_by_page(sentinel_client_t *client)
{
    sentinel_scan_t *scan = NULL;
    sentinel_error_t *error = NULL;
    char field[32];
    int i;

    for (i = 0; i < 600; i++) {
        snprintf(field, sizeof field, "field:%d", i);
        DO(client, "HSET", "helpers:hash", field, "v");
    }
    CHECK_OK(sentinel_scan_new(client, SENTINEL_ARGS("HSCAN", "helpers:hash", "COUNT", "50"), NULL, &scan, &error),
             &error);
    CHECK_EQUAL(1200, rest_of(scan)); /* fields and values: nothing changes meanwhile */
    CHECK_STATUS(SENTINEL_EMPTY, sentinel_scan_next(scan, NULL, NULL, &error));
    sentinel_scan_restart(scan);
    CHECK_OK(sentinel_scan_next(scan, NULL, NULL, &error), &error);
    sentinel_scan_restart(scan);
    CHECK_EQUAL(1200, rest_of(scan));
    sentinel_scan_free(scan);

    CHECK_OK(sentinel_scan_new(client, SENTINEL_ARGS("SCAN", "MATCH", "helpers:hash"), NULL, &scan, &error), &error);
    CHECK_EQUAL(1, rest_of(scan));
    sentinel_scan_free(scan);
    scan = NULL;
    CHECK_FAILS(SENTINEL_ERR_INVALID_ARGUMENT, "SCAN",
                sentinel_scan_new(client, SENTINEL_ARGS("KEYS", "*"), NULL, &scan, &error), &error);
    CHECK(scan == NULL);
}

/* A server without WAITAOF, or without an append-only file, refuses before the write. */
static void disks_confirm_or_nothing_is_written(sentinel_client_t *client)
{
    sentinel_call_t call = SENTINEL_CALL_INIT;
    sentinel_reply_t *reply = NULL;
    sentinel_error_t *error = NULL;

    call.flags = SENTINEL_CALL_WAIT_AOF;
    CHECK_STATUS(SENTINEL_ERR_SERVER,
                 sentinel_command(client, SENTINEL_ARGS("SET", "helpers:aof", "1"), NULL, &call, &reply, &error));
    CHECK_EQUAL(SENTINEL_OUTCOME_NOT_SENT, sentinel_error_outcome(error));
    CHECK(strstr(sentinel_error_message(error, NULL), "WAITAOF") != NULL);
    sentinel_error_free(error);
    reply = RUN(client, "GET", "helpers:aof");
    CHECK_EQUAL(SENTINEL_REPLY_NIL, sentinel_reply_type(reply));
    sentinel_reply_free(reply);
}

int main(int argc, char **argv)
{
    sentinel_t *sentinel = live_open(argc, argv);
    sentinel_client_t *client = live_primary(sentinel, argv[1]);
    sentinel_scan_t *scan = NULL;
    sentinel_error_t *error = NULL;

    scripts_run_by_name(sentinel, argv[1], client);
    scans_walk_page_by_page(client);
    disks_confirm_or_nothing_is_written(client);

    /* A scan outlives its client, and ends with the deployment. */
    CHECK_OK(sentinel_scan_new(client, SENTINEL_ARGS("SCAN"), NULL, &scan, &error), &error);
    sentinel_client_free(client);
    CHECK_OK(sentinel_scan_next(scan, NULL, NULL, &error), &error);
    CHECK_STATUS(SENTINEL_OK, sentinel_close(sentinel, 10000));
    sentinel_scan_restart(scan);
    CHECK_FAILS(SENTINEL_ERR_CLOSED, NULL, sentinel_scan_next(scan, NULL, NULL, &error), &error);
    sentinel_free(sentinel);
    sentinel_scan_free(scan);
    return 0;
}

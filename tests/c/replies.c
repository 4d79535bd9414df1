/*
 * needs: topology. Called with SERVICE HOST:PORT... Replies of every type, nested and flat, with RESP3 and RESP2, read
 * by the accessors and as one array of nodes.
 */
#include "live.h"

static sentinel_client_t *client_with_protocol(sentinel_t *sentinel, const char *service, int64_t protocol)
{
    sentinel_options_t *overrides = sentinel_options_new();
    sentinel_client_t *client = NULL;
    sentinel_error_t *error = NULL;

    CHECK_OK(sentinel_options_set_int(overrides, "protocol", protocol, &error), &error);
    CHECK_OK(sentinel_primary_for(sentinel, service, overrides, &client, &error), &error);
    sentinel_options_free(overrides);
    return client;
}

/* Walks the flat array beside the tree: same values, same order. Returns how many nodes that are. */
static size_t walk(const sentinel_reply_t *value, const char *nodes, size_t stride, size_t left, uint32_t depth)
{
    const sentinel_reply_node_t *node = (const sentinel_reply_node_t *)(const void *)nodes;
    int32_t type = sentinel_reply_type(value);
    size_t used = 1, len = 99, i;
    const char *data = sentinel_reply_data(value, &len);

    CHECK(value != NULL && left > 0);
    CHECK_EQUAL(type, node->type);
    CHECK_EQUAL(depth, node->depth);
    CHECK(node->data == data);
    CHECK_EQUAL(sentinel_reply_integer(value), node->integer);
    CHECK(sentinel_reply_double(value) == node->number);
    if (type == SENTINEL_REPLY_ARRAY || type == SENTINEL_REPLY_SET || type == SENTINEL_REPLY_PUSH) {
        CHECK_EQUAL(sentinel_reply_len(value), node->len);
        for (i = 0; i < node->len; i++) {
            used += walk(sentinel_reply_at(value, i), nodes + used * stride, stride, left - used, depth + 1);
        }
        CHECK(sentinel_reply_at(value, i) == NULL);
    } else if (type == SENTINEL_REPLY_MAP) {
        CHECK_EQUAL(sentinel_reply_len(value) * 2, node->len); /* direct children: keys and values */
        for (i = 0; i < sentinel_reply_len(value); i++) {
            used += walk(sentinel_reply_key_at(value, i), nodes + used * stride, stride, left - used, depth + 1);
            used += walk(sentinel_reply_value_at(value, i), nodes + used * stride, stride, left - used, depth + 1);
        }
        CHECK(sentinel_reply_key_at(value, i) == NULL && sentinel_reply_value_at(value, i) == NULL);
    } else {
        CHECK_EQUAL(len, node->len);
        CHECK_EQUAL(0, sentinel_reply_len(value));
        CHECK(sentinel_reply_at(value, 0) == NULL && sentinel_reply_key_at(value, 0) == NULL);
    }
    return used;
}

static void check_nodes(const sentinel_reply_t *reply)
{
    size_t count = 0, stride = 0;
    const sentinel_reply_node_t *nodes = sentinel_reply_nodes(reply, &count, &stride);

    CHECK(nodes != NULL && stride >= sizeof *nodes);
    CHECK_EQUAL(count, walk(reply, (const char *)nodes, stride, count, 0));
    CHECK(sentinel_reply_nodes(reply, NULL, NULL) == nodes);
}

static void nested_arrays(sentinel_client_t *client)
{
    static const char script[] =
        "return {1, {'two', {3, {}}, false}, redis.error_reply('OOPS four'), redis.status_reply('5'), ''}";
    sentinel_reply_t *reply = RUN(client, "EVAL", script, "0");
    const sentinel_reply_t *inner;

    CHECK_EQUAL(5, sentinel_reply_len(reply));
    CHECK_EQUAL(1, sentinel_reply_integer(sentinel_reply_at(reply, 0)));
    inner = sentinel_reply_at(reply, 1);
    CHECK_TEXT("two", sentinel_reply_at(inner, 0));
    CHECK_EQUAL(3, sentinel_reply_integer(sentinel_reply_at(sentinel_reply_at(inner, 1), 0)));
    CHECK_EQUAL(SENTINEL_REPLY_ARRAY, sentinel_reply_type(sentinel_reply_at(sentinel_reply_at(inner, 1), 1)));
    CHECK_EQUAL(0, sentinel_reply_len(sentinel_reply_at(sentinel_reply_at(inner, 1), 1)));
    CHECK_EQUAL(SENTINEL_REPLY_NIL, sentinel_reply_type(sentinel_reply_at(inner, 2)));
    CHECK_EQUAL(SENTINEL_REPLY_ERROR, sentinel_reply_type(sentinel_reply_at(reply, 2)));
    CHECK(strncmp(sentinel_reply_data(sentinel_reply_at(reply, 2), NULL), "OOPS", 4) == 0);
    CHECK_EQUAL(SENTINEL_REPLY_STATUS, sentinel_reply_type(sentinel_reply_at(reply, 3)));
    CHECK_TEXT("5", sentinel_reply_at(reply, 3));
    CHECK_BYTES("", 0, sentinel_reply_at(reply, 4));
    CHECK(sentinel_reply_key_at(reply, 0) == NULL && sentinel_reply_get(reply, "two", 3) == NULL);
    check_nodes(reply);

    /* A value inside a reply is not freed by itself. */
    sentinel_reply_free((sentinel_reply_t *)inner);
    CHECK_TEXT("two", sentinel_reply_at(inner, 0));

    /* The nodes of a part are the part's. */
    {
        size_t count = 0, stride = 0;
        const sentinel_reply_node_t *nodes = sentinel_reply_nodes(inner, &count, &stride);

        CHECK_EQUAL(6, count);
        CHECK_EQUAL(1, nodes->depth);
        CHECK_EQUAL(3, nodes->len);
    }
    sentinel_reply_free(reply);
}

static void maps(sentinel_client_t *client, int64_t protocol)
{
    sentinel_reply_t *reply;

    DO(client, "DEL", "replies:hash");
    DO(client, "HSET", "replies:hash", "field", "value", "", "empty");
    reply = RUN(client, "HGETALL", "replies:hash");
    if (protocol == 3) {
        CHECK_EQUAL(SENTINEL_REPLY_MAP, sentinel_reply_type(reply));
        CHECK_EQUAL(2, sentinel_reply_len(reply));
        CHECK_TEXT("field", sentinel_reply_key_at(reply, 0));
        CHECK_TEXT("value", sentinel_reply_value_at(reply, 0));
        CHECK_TEXT("value", sentinel_reply_get(reply, "field", 5));
        CHECK_TEXT("empty", sentinel_reply_get(reply, NULL, 0));
        CHECK(sentinel_reply_get(reply, "fiel", 4) == NULL);
        CHECK(sentinel_reply_get(reply, NULL, 5) == NULL);
    } else {
        CHECK_EQUAL(SENTINEL_REPLY_ARRAY, sentinel_reply_type(reply));
        CHECK_EQUAL(4, sentinel_reply_len(reply));
        CHECK_TEXT("value", sentinel_reply_at(reply, 1));
    }
    check_nodes(reply);
    sentinel_reply_free(reply);

    reply = RUN(client, "CONFIG", "GET", "*");
    CHECK_EQUAL(protocol == 3 ? SENTINEL_REPLY_MAP : SENTINEL_REPLY_ARRAY, sentinel_reply_type(reply));
    CHECK(sentinel_reply_len(reply) > 50);
    check_nodes(reply);
    sentinel_reply_free(reply);

    if (live_since(client, 7, 0)) {
        reply = RUN(client, "COMMAND", "DOCS", "GET", "SET");
        check_nodes(reply);
        sentinel_reply_free(reply);
    }
}

static void scalars(sentinel_client_t *client, int64_t protocol)
{
    sentinel_reply_t *reply;
    const char *version;
    int major;

    DO(client, "DEL", "replies:sorted", "replies:set");
    DO(client, "ZADD", "replies:sorted", "2.5", "member");
    DO(client, "SADD", "replies:set", "member");
    reply = RUN(client, "ZSCORE", "replies:sorted", "member");
    CHECK_TEXT("2.5", reply);
    if (protocol == 3) {
        CHECK_EQUAL(SENTINEL_REPLY_DOUBLE, sentinel_reply_type(reply));
        CHECK(sentinel_reply_double(reply) == 2.5);
    } else {
        CHECK_EQUAL(SENTINEL_REPLY_STRING, sentinel_reply_type(reply));
    }
    check_nodes(reply);
    sentinel_reply_free(reply);

    reply = RUN(client, "SMEMBERS", "replies:set");
    CHECK_EQUAL(protocol == 3 ? SENTINEL_REPLY_SET : SENTINEL_REPLY_ARRAY, sentinel_reply_type(reply));
    CHECK_TEXT("member", sentinel_reply_at(reply, 0));
    check_nodes(reply);
    sentinel_reply_free(reply);

    reply = RUN(client, "EVAL", "redis.setresp(3); return true", "0");
    CHECK_EQUAL(protocol == 3 ? SENTINEL_REPLY_BOOL : SENTINEL_REPLY_INTEGER, sentinel_reply_type(reply));
    CHECK_EQUAL(1, sentinel_reply_integer(reply));
    check_nodes(reply);
    sentinel_reply_free(reply);

    reply = RUN(client, "INFO", "server");
    CHECK(strstr(sentinel_reply_data(reply, NULL), "tcp_port:") != NULL);
    version = strstr(sentinel_reply_data(reply, NULL), "redis_version:");
    CHECK(version != NULL);
    major = atoi(version + strlen("redis_version:"));
    if (protocol == 3) {
        CHECK_EQUAL(SENTINEL_REPLY_VERBATIM, sentinel_reply_type(reply));
        CHECK(memcmp(sentinel_reply_verbatim_format(reply), "txt", 3) == 0);
    } else {
        CHECK(sentinel_reply_verbatim_format(reply) == NULL);
    }
    check_nodes(reply);
    sentinel_reply_free(reply);

    /* Scripts know big numbers since 7.0: before, this is a table of nothing. */
    reply = RUN(client, "EVAL", "return {big_number='12345678901234567890'}", "0");
    if (major < 7) {
        CHECK_EQUAL(SENTINEL_REPLY_ARRAY, sentinel_reply_type(reply));
        CHECK_EQUAL(0, sentinel_reply_len(reply));
    } else {
        CHECK_EQUAL(protocol == 3 ? SENTINEL_REPLY_BIG_NUMBER : SENTINEL_REPLY_STRING, sentinel_reply_type(reply));
        CHECK_TEXT("12345678901234567890", reply);
    }
    check_nodes(reply);
    sentinel_reply_free(reply);

    reply = RUN(client, "INCRBY", "replies:none", "-9223372036854775808");
    CHECK(sentinel_reply_integer(reply) == INT64_MIN);
    sentinel_reply_free(reply);
    DO(client, "DEL", "replies:none");
}

int main(int argc, char **argv)
{
    sentinel_t *sentinel = live_open(argc, argv);
    sentinel_reply_t *reply = NULL;
    int64_t protocol;

    for (protocol = 2; protocol <= 3; protocol++) {
        sentinel_client_t *client = client_with_protocol(sentinel, argv[1], protocol);

        nested_arrays(client);
        maps(client, protocol);
        scalars(client, protocol);
        if (protocol == 3) {
            reply = RUN(client, "ECHO", "outlives everything");
        }
        sentinel_client_free(client);
    }
    sentinel_free(sentinel);
    CHECK_TEXT("outlives everything", reply);
    sentinel_reply_free(reply);
    return 0;
}

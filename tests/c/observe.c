/*
 * needs: topology. Called with SERVICE HOST:PORT... What an operator sees: numbers by name and as text, the description
 * as JSON, events in a queue, and the log; and how each of them refuses what it cannot do.
 */
#include <pthread.h>

#include "live.h"

/* Lines of the log, and whether each was what a line must be. */
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static int lines, connections_seen, wrong_lines;

static void write_log(void *user_data, int32_t level, const char *message, size_t len)
{
    pthread_mutex_lock(&log_lock);
    lines++;
    if (user_data != &lines || level < SENTINEL_LOG_ERROR || level > SENTINEL_LOG_DEBUG || strlen(message) != len
        || strchr(message, '\n') != NULL || len == 0) {
        wrong_lines++;
    }
    if (strstr(message, "connected to the primary") != NULL) {
        connections_seen++;
    }
    pthread_mutex_unlock(&log_lock);
}

typedef sentinel_status_t (*text_fn)(const sentinel_t *sentinel, char *buffer, size_t capacity, size_t *len);

/* The whole text, which the caller frees. It may grow between two calls. */
static char *text_of(const sentinel_t *sentinel, text_fn write)
{
    size_t capacity = 0, len = 0;
    char *buffer = NULL;
    sentinel_status_t status = write(sentinel, NULL, 0, &len);

    while (status == SENTINEL_ERR_BUFFER_TOO_SMALL) {
        CHECK(len >= capacity);
        capacity = len + 1;
        buffer = realloc(buffer, capacity);
        CHECK(buffer != NULL);
        status = write(sentinel, buffer, capacity, &len);
    }
    CHECK_EQUAL(SENTINEL_OK, status);
    CHECK_EQUAL(strlen(buffer), len);
    return buffer;
}

static void texts_fit_or_say_how_much_they_need(const sentinel_t *sentinel, text_fn write)
{
    char *whole = text_of(sentinel, write);
    char small[16];
    size_t len = 0;

    memset(small, 'x', sizeof small);
    CHECK_STATUS(SENTINEL_ERR_BUFFER_TOO_SMALL, write(sentinel, small, sizeof small, &len));
    CHECK(len >= sizeof small && small[0] == 'x' && small[sizeof small - 1] == 'x');
    CHECK_STATUS(SENTINEL_ERR_BUFFER_TOO_SMALL, write(sentinel, small, sizeof small, NULL));
    CHECK_STATUS(SENTINEL_ERR_NULL_ARGUMENT, write(sentinel, NULL, 1, &len));
    CHECK_STATUS(SENTINEL_ERR_NULL_ARGUMENT, write(NULL, small, sizeof small, &len));
    free(whole);
}

static int64_t metric(const sentinel_t *sentinel, const char *name)
{
    int64_t value = -99;

    CHECK_EQUAL(SENTINEL_OK, sentinel_metric(sentinel, name, &value));
    return value;
}

static void numbers_have_names(const sentinel_t *sentinel, const char *service)
{
    int64_t value = 7;
    char name[256];
    char *text = text_of(sentinel, sentinel_metrics_text);

    CHECK(metric(sentinel, "commands_total") >= 2);
    snprintf(name, sizeof name, "libsentinel_calls_total{service=\"%s\",result=\"ok\"}", service);
    CHECK(metric(sentinel, name) >= 2);
    CHECK_EQUAL(1, metric(sentinel, "call_errors_total{status=\"server\"}"));
    CHECK(metric(sentinel, "epoch") >= 0);
    CHECK_STATUS(SENTINEL_ERR_INVALID_ARGUMENT, sentinel_metric(sentinel, "no_such_metric", &value));
    CHECK_STATUS(SENTINEL_ERR_INVALID_ARGUMENT, sentinel_metric(sentinel, "", &value));
    CHECK_STATUS(SENTINEL_ERR_NULL_ARGUMENT, sentinel_metric(sentinel, NULL, &value));
    CHECK_EQUAL(7, value);
    CHECK_STATUS(SENTINEL_OK, sentinel_metric(sentinel, "clients", NULL));
    CHECK(strncmp(text, "# HELP libsentinel_", 19) == 0);
    CHECK(strstr(text, "\nlibsentinel_sentinel_up{sentinel=\"") != NULL);
    free(text);
}

/* A reader of its own is python's, where there is one. */
static void the_description_is_json(const sentinel_t *sentinel, const char *service)
{
    char *text = text_of(sentinel, sentinel_describe);
    char part[256];

    CHECK(text[0] == '{' && text[strlen(text) - 1] == '}');
    snprintf(part, sizeof part, "\"services\":[{\"name\":\"%s\"", service);
    CHECK(strstr(text, part) != NULL);
    if (system("python3 -c '' 2>/dev/null") == 0) {
        FILE *python = popen("python3 -m json.tool >/dev/null", "w");

        CHECK(python != NULL);
        CHECK(fputs(text, python) >= 0);
        CHECK_EQUAL(0, pclose(python));
    }
    free(text);
}

static const char *field(const sentinel_reply_t *event, const char *name)
{
    const sentinel_reply_t *value = sentinel_reply_get(event, name, strlen(name));

    CHECK(value != NULL);
    return sentinel_reply_data(value, NULL);
}

static void events_come_to_the_queue(sentinel_t *sentinel, const char *service)
{
    sentinel_queue_t *queue = NULL;
    sentinel_client_t *client;
    sentinel_error_t *error = NULL;
    sentinel_completion_t entry;
    size_t count = 0;

    CHECK_OK(sentinel_queue_new(sentinel, 16, &queue, &error), &error);
    CHECK_FAILS(SENTINEL_ERR_INVALID_ARGUMENT, "0x20", sentinel_watch_events(sentinel, 0x20u, queue, 1, &error), &error);
    CHECK_FAILS(SENTINEL_ERR_NULL_ARGUMENT, "queue", sentinel_watch_events(sentinel, 1u, NULL, 1, &error), &error);
    CHECK_OK(sentinel_watch_events(sentinel, SENTINEL_EVENT_PRIMARY_CHANGED, queue, 1, &error), &error);
    CHECK_OK(sentinel_watch_events(sentinel, SENTINEL_EVENT_CONNECTION, queue, 42, &error), &error);
    client = live_primary(sentinel, service);
    DO(client, "PING");
    CHECK_STATUS(SENTINEL_OK, sentinel_queue_poll(queue, &entry, sizeof entry, 1, 60000, &count));
    CHECK_EQUAL(1, count);
    CHECK_EQUAL(42, entry.tag);
    CHECK_EQUAL(SENTINEL_COMPLETION_EVENT, entry.kind);
    CHECK_EQUAL(SENTINEL_OK, entry.status);
    CHECK_EQUAL(SENTINEL_REPLY_MAP, sentinel_reply_type(entry.reply));
    CHECK(strcmp(field(entry.reply, "event"), "connection") == 0);
    CHECK(strcmp(field(entry.reply, "service"), service) == 0);
    CHECK(strcmp(field(entry.reply, "role"), "primary") == 0);
    CHECK(strcmp(field(entry.reply, "change"), "made") == 0);
    CHECK(strchr(field(entry.reply, "node"), ':') != NULL);
    sentinel_reply_free(entry.reply);

    /* A watch that was ended brings nothing any more, and neither does one whose queue is gone. */
    CHECK_OK(sentinel_watch_events(sentinel, 0, queue, 0, &error), &error);
    while (sentinel_queue_poll(queue, &entry, sizeof entry, 1, 1, &count) == SENTINEL_OK) {
        sentinel_reply_free(entry.reply);
    }
    sentinel_client_free(client);
    client = live_primary(sentinel, service);
    DO(client, "PING");
    CHECK_STATUS(SENTINEL_EMPTY, sentinel_queue_poll(queue, &entry, sizeof entry, 1, 50, &count));
    CHECK_OK(sentinel_watch_events(sentinel, SENTINEL_EVENT_CONNECTION, queue, 42, &error), &error);
    sentinel_queue_free(queue);
    sentinel_client_free(client);
    client = live_primary(sentinel, service);
    DO(client, "PING");
    sentinel_client_free(client);
    CHECK_EQUAL(0, metric(sentinel, "events_dropped_total"));
}

int main(int argc, char **argv)
{
    sentinel_options_t *options = live_options(argc, argv);
    const char *const wrong[] = {"LPUSH", "observe:text", "x"};
    sentinel_error_t *error = NULL;
    sentinel_t *sentinel = NULL;
    sentinel_client_t *client;
    sentinel_reply_t *reply = NULL;

    CHECK_STATUS(SENTINEL_ERR_INVALID_ARGUMENT, sentinel_options_set_log(options, 6, write_log, NULL));
    CHECK_STATUS(SENTINEL_OK, sentinel_options_set_log(options, SENTINEL_LOG_DEBUG, write_log, &lines));
    CHECK_OK(sentinel_open(options, &sentinel, &error), &error);
    sentinel_options_free(options);
    client = live_primary(sentinel, argv[1]);
    DO(client, "SET", "observe:text", "text");
    DO(client, "GET", "observe:text");
    CHECK_FAILS(SENTINEL_ERR_SERVER, "WRONGTYPE", sentinel_command(client, 3, wrong, NULL, NULL, &reply, &error), &error);

    numbers_have_names(sentinel, argv[1]);
    texts_fit_or_say_how_much_they_need(sentinel, sentinel_metrics_text);
    texts_fit_or_say_how_much_they_need(sentinel, sentinel_describe);
    the_description_is_json(sentinel, argv[1]);
    events_come_to_the_queue(sentinel, argv[1]);
    sentinel_client_free(client);

    CHECK_STATUS(SENTINEL_OK, sentinel_close(sentinel, 60000));
    CHECK_STATUS(SENTINEL_ERR_CLOSED, sentinel_metric(sentinel, "clients", NULL));
    CHECK_STATUS(SENTINEL_ERR_CLOSED, sentinel_describe(sentinel, NULL, 0, NULL));
    sentinel_free(sentinel);
    CHECK(lines > 0 && connections_seen > 0);
    CHECK_EQUAL(0, wrong_lines);
    return 0;
}

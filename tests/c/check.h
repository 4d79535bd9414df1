/*
 * Assertions for the C tests: what fails is printed with its file and line, and the program exits with 1.
 */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sentinel.h>

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);                          \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

/* Two numbers of any integer type are equal. */
#define CHECK_EQUAL(expected, actual)                                                                        \
    check_equal((long long)(expected), (long long)(actual), #actual, __FILE__, __LINE__)

/* A call that is given no error object returns this status. */
#define CHECK_STATUS(expected, call) check_status((expected), (call), NULL, NULL, #call, __FILE__, __LINE__)

/* A call that writes `*error` (which is NULL again afterwards) succeeds. */
#define CHECK_OK(call, error) check_status(SENTINEL_OK, (call), (error), NULL, #call, __FILE__, __LINE__)

/* A call fails with this status, and `part` is in its message; frees the error. */
#define CHECK_FAILS(expected, part, call, error)                                                             \
    check_status((expected), (call), (error), (part), #call, __FILE__, __LINE__)

/* The data of a reply are these bytes, with a NUL behind them. */
#define CHECK_BYTES(expected, expected_len, reply)                                                           \
    check_bytes((expected), (expected_len), (reply), #reply, __FILE__, __LINE__)

#define CHECK_TEXT(expected, reply) CHECK_BYTES((expected), strlen(expected), (reply))

static inline void check_equal(long long expected, long long actual, const char *what, const char *file, int line)
{
    if (expected != actual) {
        fprintf(stderr, "%s:%d: %s is %lld, not %lld\n", file, line, what, actual, expected);
        exit(1);
    }
}

static inline void check_status(sentinel_status_t expected, sentinel_status_t actual, sentinel_error_t **error,
                                const char *part, const char *what, const char *file, int line)
{
    sentinel_error_t *given = error == NULL ? NULL : *error;
    const char *message = given == NULL ? "" : sentinel_error_message(given, NULL);

    if (expected != actual) {
        fprintf(stderr, "%s:%d: %s: %s instead of %s: %s\n", file, line, what, sentinel_status_name(actual),
                sentinel_status_name(expected), message);
        exit(1);
    }
    if (error == NULL) {
        return;
    }
    if ((given == NULL) != (expected >= 0)) {
        fprintf(stderr, "%s:%d: %s: %s\n", file, line, what, given == NULL ? "no error object" : "an error object");
        exit(1);
    }
    if (given != NULL && (sentinel_error_status(given) != expected || strlen(message) == 0)) {
        fprintf(stderr, "%s:%d: %s: the error object has another status, or no message\n", file, line, what);
        exit(1);
    }
    if (part != NULL && strstr(message, part) == NULL) {
        fprintf(stderr, "%s:%d: %s: \"%s\" is not in \"%s\"\n", file, line, what, part, message);
        exit(1);
    }
    sentinel_error_free(given);
    *error = NULL;
}

static inline void check_bytes(const char *expected, size_t expected_len, const sentinel_reply_t *reply,
                               const char *what, const char *file, int line)
{
    size_t len = 99;
    const char *data = sentinel_reply_data(reply, &len);

    if (data == NULL || len != expected_len || memcmp(data, expected, len) != 0 || data[len] != '\0') {
        fprintf(stderr, "%s:%d: %s has %zu bytes \"%.60s\", not %zu \"%.60s\"\n", file, line, what, len,
                data == NULL ? "(NULL)" : data, expected_len, expected);
        exit(1);
    }
}

#endif

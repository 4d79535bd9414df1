/*
 * needs: nothing. The options as the library lists them: each takes its own default and what it says that it takes, and
 * nothing beyond.
 */
#include "check.h"

#include <stddef.h>

static sentinel_status_t set_int(const char *name, int64_t value)
{
    sentinel_options_t *options = sentinel_options_new();
    sentinel_status_t status = sentinel_options_set_int(options, name, value, NULL);

    sentinel_options_free(options);
    return status;
}

static sentinel_status_t set(const char *name, const char *value)
{
    sentinel_options_t *options = sentinel_options_new();
    sentinel_status_t status = sentinel_options_set(options, name, value, NULL);

    sentinel_options_free(options);
    return status;
}

/* Opens with it, or takes it as an override. */
static sentinel_status_t given(const char *name, const char *value, int as_override)
{
    sentinel_options_t *options = sentinel_options_new(), *overrides = sentinel_options_new();
    sentinel_t *sentinel = NULL;
    sentinel_client_t *client = NULL;
    sentinel_status_t status;

    CHECK_STATUS(SENTINEL_OK, sentinel_options_add_sentinel(options, "127.0.0.1", 26379, NULL));
    CHECK_STATUS(SENTINEL_OK, sentinel_options_set(as_override ? overrides : options, name, value, NULL));
    status = sentinel_open(options, &sentinel, NULL);
    if (as_override) {
        CHECK_EQUAL(SENTINEL_OK, status);
        status = sentinel_primary_for(sentinel, "mymaster", overrides, &client, NULL);
    }
    sentinel_client_free(client);
    sentinel_free(sentinel);
    sentinel_options_free(overrides);
    sentinel_options_free(options);
    return status;
}

static void each_word_is_taken(const sentinel_options_key_t *key)
{
    char words[256], *word;
    int count = 0;

    CHECK(strlen(key->words) < sizeof words);
    strcpy(words, key->words);
    for (word = strtok(words, " "); word != NULL; word = strtok(NULL, " "), count++)
        CHECK_STATUS(SENTINEL_OK, set(key->name, word));
    CHECK(count > 1);
    CHECK_STATUS(SENTINEL_ERR_INVALID_ARGUMENT, set(key->name, key->words));
}

int main(void)
{
    const sentinel_options_key_t *key;
    size_t count = 0, secrets = 0;

    for (; (key = sentinel_options_key(count)) != NULL; count++) {
        CHECK_EQUAL(sizeof *key, key->struct_size);
        CHECK(key == sentinel_options_key(count)); /* static */
        CHECK(*key->name != '\0' && *key->help != '\0');
        CHECK(key->reserved == 0 && key->scope >= 1 && key->scope <= 3);
        CHECK_STATUS(SENTINEL_OK, given(key->name, key->default_value, 0));
        CHECK_STATUS(key->scope & SENTINEL_SCOPE_CLIENT ? SENTINEL_OK : SENTINEL_ERR_INVALID_ARGUMENT,
                     given(key->name, key->default_value, 1));
        switch (key->kind) {
        case SENTINEL_OPTION_FLAG:
            CHECK(key->min == 0 && key->max == 1);
            CHECK(*key->unit == '\0');
            /* fall through */
        case SENTINEL_OPTION_INTEGER:
            CHECK_STATUS(SENTINEL_OK, set_int(key->name, key->min));
            CHECK_STATUS(SENTINEL_OK, set_int(key->name, key->max));
            CHECK_STATUS(SENTINEL_ERR_INVALID_ARGUMENT, set_int(key->name, key->min - 1));
            if (key->max < INT64_MAX)
                CHECK_STATUS(SENTINEL_ERR_INVALID_ARGUMENT, set_int(key->name, key->max + 1));
            break;
        case SENTINEL_OPTION_LIMIT:
            CHECK_STATUS(SENTINEL_OK, set_int(key->name, -1));
            CHECK_STATUS(SENTINEL_OK, set_int(key->name, key->max));
            CHECK_STATUS(SENTINEL_ERR_INVALID_ARGUMENT, set_int(key->name, 0));
            break;
        case SENTINEL_OPTION_CHOICE:
            each_word_is_taken(key);
            break;
        case SENTINEL_OPTION_TEXT:
        case SENTINEL_OPTION_USER:
        case SENTINEL_OPTION_SECRET:
            CHECK_STATUS(SENTINEL_ERR_INVALID_ARGUMENT, set_int(key->name, 1));
            CHECK(key->min == 0 && key->max == 0);
            secrets += key->kind == SENTINEL_OPTION_SECRET;
            break;
        default:
            CHECK(!"a kind that the header names");
        }
        CHECK((*key->words != '\0') == (key->kind == SENTINEL_OPTION_CHOICE));
    }
    CHECK(count > 40);
    CHECK_EQUAL(2, secrets);
    CHECK(sentinel_options_key(count + 1) == NULL && sentinel_options_key(SIZE_MAX) == NULL);
    return 0;
}

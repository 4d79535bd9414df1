/* test_package VERSION: whether the library is of this version and does as much as it can without a server. */
#include <sentinel.h>

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
    sentinel_options_t *options = sentinel_options_new();
    sentinel_t *sentinel = NULL;
    sentinel_status_t status = sentinel_options_add_sentinel(options, "127.0.0.1", 26379, NULL);

    if (status == SENTINEL_OK)
        status = sentinel_open(options, &sentinel, NULL);
    sentinel_free(sentinel);
    sentinel_options_free(options);
    printf("libsentinel %s: %s\n", sentinel_version(), sentinel_status_name(status));
    return argc != 2 || strcmp(argv[1], sentinel_version()) != 0 || status != SENTINEL_OK;
}

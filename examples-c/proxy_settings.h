/*
 * What sentinel-proxy is told: its command line and its file, each line KEY = VALUE. sentinel-proxy(1) lists the keys.
 *
 * Reading changes nothing but a struct settings; what is wrong is said with the file, the line and the key.
 */
#ifndef PROXY_SETTINGS_H
#define PROXY_SETTINGS_H
#include <sentinel.h>

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

struct deployment {
    sentinel_t *handle;
    char *url;
    unsigned uses;
};

/* One for each service, role and options, whatever listens for it. It lives as long as somebody is served by it. */
struct client {
    struct client *next;
    struct deployment *deployment;
    sentinel_client_t *handle;
    char *what;
    unsigned uses;
};

struct listener {
    struct listener *next, *before; /* before: the one in force with this address */
    char *address, *where, *what;   /* where: file, line and key; what: service, role and options */
    sentinel_options_t *overrides;
    struct client *client; /* NULL: it serves the metrics */
    struct stat file;
    int fd, mode, is_metrics, named; /* named: bytes of what that are service and role */
    long most;
    long long open, accepted, refused;
};

struct settings {
    char *url, *where;
    long most, drain_ms;
    struct listener *listeners;
    struct deployment *deployment;
};

static int allow_remote, check_only;

/* One line on stderr; -1, so that what fails can return it. */
__attribute__((format(printf, 2, 3))) static int say(const char *where, const char *format, ...) {
    char text[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    fprintf(stderr, "sentinel-proxy: %s%s%s\n", where, *where != '\0' ? ": " : "", text);
    return -1;
}

static int say_error(const char *where, sentinel_error_t *error) {
    say(where, "%s", error != NULL ? sentinel_error_message(error, NULL) : "failed");
    sentinel_error_free(error);
    return -1;
}

static void *must(void *memory) {
    if (memory == NULL) {
        say("", "out of memory");
        abort();
    }
    return memory;
}

__attribute__((format(printf, 1, 2))) static char *text_of(const char *format, ...) {
    char *text = NULL;
    va_list list;
    va_start(list, format);
    must(vasprintf(&text, format, list) < 0 ? NULL : text);
    va_end(list);
    return text;
}

/* A path from the root, or IP:PORT. -1: it is neither. */
static int parse_address(const char *address, struct sockaddr_storage *to, socklen_t *len) {
    char host[64];
    const char *colon = strrchr(address, ':'), *from = address + (*address == '[');
    size_t digits = colon != NULL ? strspn(colon + 1, "0123456789") : 0;
    memset(to, 0, sizeof *to);
    if (*address == '/') {
        struct sockaddr_un *path = (struct sockaddr_un *)to;
        path->sun_family = AF_UNIX;
        *len = sizeof *path;
        memcpy(path->sun_path, address, strnlen(address, sizeof path->sun_path - 1));
        return strlen(address) < sizeof path->sun_path && strpbrk(address, "\"\\") == NULL ? 0 : -1;
    }
    /* getaddrinfo takes nothing at all, and '*', for any port and any address. */
    if (digits == 0 || colon[1 + digits] != '\0' || strtol(colon + 1, NULL, 10) > 65535 || *address == '*' ||
        (*address == '[' && colon[-1] != ']'))
        return -1;
    struct addrinfo wanted = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM}, *found = NULL;
    wanted.ai_family = *address == '[' ? AF_INET6 : AF_INET;
    snprintf(host, sizeof host, "%.*s", (int)(colon - from - (*address == '[')), from);
    if (getaddrinfo(host, colon + 1, &wanted, &found) != 0)
        return -1;
    *len = found->ai_addrlen;
    memcpy(to, found->ai_addr, *len);
    freeaddrinfo(found);
    return 0;
}

static int is_loopback(const struct sockaddr_storage *address) {
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
    return address->ss_family == AF_UNIX ||
           (address->ss_family == AF_INET && ntohl(v4->sin_addr.s_addr) >> 24 == 127) ||
           (address->ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr));
}

static struct listener *find_listener(struct listener *from, const char *address) {
    while (from != NULL && strcmp(from->address, address) != 0)
        from = from->next;
    return from;
}

static int number(const char *where, const char *key, const char *text, long most, long *to) {
    char *rest = NULL;
    errno = 0;
    *to = strtol(text, &rest, 10);
    if (errno != 0 || *rest != '\0' || *to < 1 || *to > most)
        return say(where, "%s takes a number from 1 to %ld, not '%s'", key, most, text);
    return 0;
}

/* A word behind address, service and role: one of the proxy's, or an option of the client. */
static int set_word(struct listener *listener, char *word, int *remote) {
    char *value = strchr(word, '='), *rest = NULL;
    sentinel_error_t *error = NULL;
    if (value == NULL)
        return say(listener->where, "takes KEY=VALUE, not '%s'", word);
    *value++ = '\0';
    if (strcmp(word, "mode") == 0) {
        listener->mode = (int)strtol(value, &rest, 8);
        return (listener->mode & ~0066) == 0600 && *rest == '\0'
                   ? 0 : say(listener->where, "mode takes 0600, 0660 or 0666, not '%s'", value);
    }
    if (strcmp(word, "allow_remote") == 0) {
        *remote = strcmp(value, "yes") == 0;
        return *remote ? 0 : say(listener->where, "allow_remote takes yes, not '%s'", value);
    }
    if (listener->is_metrics)
        return say(listener->where, "takes mode and allow_remote, not '%s'", word);
    if (strcmp(word, "max_connections") == 0)
        return number(listener->where, word, value, 1000000, &listener->most);
    if (sentinel_options_set(listener->overrides, word, value, &error) != SENTINEL_OK)
        return say_error(listener->where, error);
    char *before = listener->what;
    listener->what = text_of("%s %s=%s", before, word, value);
    free(before);
    return 0;
}

/* listen = ADDRESS SERVICE ROLE [KEY=VALUE...]; metrics = ADDRESS [KEY=VALUE...] */
static int add_listener(struct settings *to, const char *where, char *value, int is_metrics) {
    struct sockaddr_storage parsed;
    socklen_t len = 0;
    char *left = NULL, *address = strtok_r(value, " \t", &left);
    char *service = is_metrics ? "" : strtok_r(NULL, " \t", &left);
    char *role = is_metrics ? "metrics" : strtok_r(NULL, " \t", &left);
    int remote = 0;
    if (address == NULL && is_metrics)
        return say(where, "takes ADDRESS");
    if (role == NULL || (!is_metrics && strcmp(role, "primary") != 0 && strcmp(role, "replica") != 0))
        return say(where, "takes ADDRESS SERVICE ROLE, and a role is primary or replica");
    if (parse_address(address, &parsed, &len) < 0 && *address == '/')
        return say(where, "the path of a Unix socket has %zu bytes at most, and neither \" nor \\, not '%s'",
                   sizeof ((struct sockaddr_un *)NULL)->sun_path - 1, address);
    if (parse_address(address, &parsed, &len) < 0)
        return say(where, "takes the path of a Unix socket, IP:PORT or [IP]:PORT, not '%s'", address);
    if (find_listener(to->listeners, address) != NULL)
        return say(where, "%s is given twice", address);
    struct listener *listener = must(malloc(sizeof *listener)), **at = &to->listeners;
    while (*at != NULL)
        at = &(*at)->next;
    *at = listener;
    *listener = (struct listener){.fd = -1, .mode = 0600, .is_metrics = is_metrics};
    listener->address = must(strdup(address));
    listener->where = must(strdup(where));
    listener->what = is_metrics ? must(strdup(role)) : text_of("%s %s", service, role);
    listener->named = (int)strlen(listener->what);
    listener->overrides = sentinel_options_new();
    for (char *word = strtok_r(NULL, " \t", &left); word != NULL; word = strtok_r(NULL, " \t", &left))
        if (set_word(listener, word, &remote) < 0)
            return -1;
    if (!is_loopback(&parsed) && !(remote && allow_remote))
        return say(where, "%s is not loopback, and nobody is asked for a password there: if that is wanted, say "
                   "allow_remote=yes behind it and --allow-remote on the command line", address);
    return 0;
}

static int set(struct settings *to, const char *key, char *value, const char *where) {
    if (strcmp(key, "listen") == 0 || strcmp(key, "metrics") == 0)
        return add_listener(to, where, value, *key == 'm');
    if (strcmp(key, "max_connections") == 0)
        return number(where, "it", value, 1000000, &to->most);
    if (strcmp(key, "drain_ms") == 0)
        return number(where, "it", value, 3600000, &to->drain_ms);
    if (strcmp(key, "url") != 0)
        return say(where, "is no key: there are url, listen, metrics, max_connections and drain_ms");
    if (to->url != NULL)
        return say(where, "is given twice");
    to->url = must(strdup(value));
    to->where = must(strdup(where));
    return 0;
}

static char *trim(char *text) {
    text += strspn(text, " \t");
    for (size_t len = strlen(text); len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL; len--)
        text[len - 1] = '\0';
    return text;
}

static int read_file(struct settings *to, const char *path) {
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t size = 0;
    int result = file != NULL ? 0 : say(path, "%s", strerror(errno));
    for (int at = 1; result == 0 && getline(&line, &size, file) >= 0; at++) {
        char *key = trim(line), *value = strchr(key, '=');
        if (*key == '\0' || *key == '#')
            continue;
        if (value != NULL)
            *value++ = '\0';
        char *where = text_of("%s:%d: %s", path, at, trim(key));
        result = value != NULL ? set(to, trim(key), trim(value), where) : say(where, "takes KEY = VALUE");
        free(where);
    }
    if (result == 0 && ferror(file))
        result = say(path, "cannot be read");
    if (file != NULL)
        fclose(file);
    free(line);
    return result;
}

/* The command line, and the file that it names. */
static int read_settings(struct settings *to, char **words) {
    int result = 0;
    *to = (struct settings){.most = 1000, .drain_ms = 10000};
    for (; result == 0 && *words != NULL; words++) {
        if (strcmp(*words, "--check") == 0 || strcmp(*words, "--allow-remote") == 0)
            continue;
        if (strncmp(*words, "--", 2) != 0 || words[1] == NULL)
            return say(*words, "takes --KEY VALUE: see sentinel-proxy --help");
        char *name = must(strdup(*words++)), *value = must(strdup(*words)), *key = name + 2;
        for (char *dash = key; (dash = strchr(dash, '-')) != NULL;)
            *dash = '_';
        result = strcmp(key, "config") == 0 ? read_file(to, value) : set(to, key, trim(value), words[-1]);
        free(name), free(value);
    }
    if (result == 0 && to->url == NULL)
        return say("url", "is missing: see sentinel-proxy --help");
    if (result == 0 && to->listeners == NULL)
        return say("listen", "is missing: see sentinel-proxy --help");
    return result;
}

#endif

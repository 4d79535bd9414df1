/*
 * The numbers of sentinel-proxy and of the library, for Prometheus: whoever connects is answered over HTTP.
 */
#ifndef PROXY_METRICS_H
#define PROXY_METRICS_H
#include "proxy_settings.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/time.h>
#include <unistd.h>

enum { SCRAPES = 16 }; /* at once */

static struct {
    long long accept_failures, reloads, failed_reloads;
} counts;
static atomic_int scrapes;

struct scrape {
    char *text;
    size_t len;
    int fd;
};

/* A thread of its own, for a second or two at most: whoever reads slowly delays nobody. */
static void *send_scrape(void *argument) {
    struct scrape *scrape = argument;
    const struct timeval patience = {.tv_sec = 1};
    char request[4096];
    size_t sent = 0;
    ssize_t n = 0;
    setsockopt(scrape->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(scrape->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (recv(scrape->fd, request, sizeof request, 0) > 0)
        while (sent < scrape->len && (n = send(scrape->fd, scrape->text + sent, scrape->len - sent, MSG_NOSIGNAL)) > 0)
            sent += (size_t)n;
    /* What was not read of the request would reset the connection, and the answer with it. */
    shutdown(scrape->fd, SHUT_WR);
    (void)!recv(scrape->fd, request, sizeof request, 0);
    close(scrape->fd);
    free(scrape->text);
    free(scrape);
    atomic_fetch_sub(&scrapes, 1);
    return NULL;
}

static void tell(FILE *out, const struct listener *from, const char *name, const char *type, const char *help,
                 size_t field) {
    fprintf(out, "# HELP sentinel_proxy_%s %s.\n# TYPE sentinel_proxy_%s %s\n", name, help, name, type);
    for (const struct listener *l = from; l != NULL; l = l->next)
        if (!l->is_metrics)
            fprintf(out, "sentinel_proxy_%s{listener=\"%s\"} %lld\n", name, l->address,
                    *(const long long *)((const char *)l + field));
}

/* The library's numbers and the few of this program. */
static char *metrics(const struct settings *in_force, size_t *len) {
    const struct listener *from = in_force->listeners;
    char *text = NULL;
    size_t room = 0;
    FILE *out = must(open_memstream(&text, len));
    char *of_library = NULL;
    const sentinel_t *library = in_force->deployment->handle;
    while (sentinel_metrics_text(library, of_library, room, &room) == SENTINEL_ERR_BUFFER_TOO_SMALL)
        of_library = must(realloc(of_library, ++room));
    fprintf(out, "HTTP/1.0 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close\r\n\r\n%s",
            of_library != NULL ? of_library : "");
    free(of_library);
    tell(out, from, "connections", "gauge", "Connections that are open", offsetof(struct listener, open));
    tell(out, from, "connections_total", "counter", "Connections served", offsetof(struct listener, accepted));
    tell(out, from, "refused_total", "counter", "Connections beyond a limit", offsetof(struct listener, refused));
    fprintf(out,
            "# HELP sentinel_proxy_accept_failures_total Times that a connection could not be accepted.\n"
            "# TYPE sentinel_proxy_accept_failures_total counter\nsentinel_proxy_accept_failures_total %lld\n"
            "# HELP sentinel_proxy_reloads_total Times that the configuration was read again.\n"
            "# TYPE sentinel_proxy_reloads_total counter\nsentinel_proxy_reloads_total{result=\"ok\"} %lld\n"
            "sentinel_proxy_reloads_total{result=\"failed\"} %lld\n",
            counts.accept_failures, counts.reloads, counts.failed_reloads);
    fclose(out);
    return text;
}

static void scrape(const struct settings *in_force, int fd) {
    struct scrape *scrape = must(malloc(sizeof *scrape));
    pthread_t thread;
    *scrape = (struct scrape){NULL, 0, fd};
    if (atomic_fetch_add(&scrapes, 1) < SCRAPES) {
        scrape->text = metrics(in_force, &scrape->len);
        if (fcntl(fd, F_SETFL, 0) == 0 && pthread_create(&thread, NULL, send_scrape, scrape) == 0) {
            pthread_detach(thread);
            return;
        }
    }
    atomic_fetch_sub(&scrapes, 1);
    close(fd);
    free(scrape->text);
    free(scrape);
}

#endif

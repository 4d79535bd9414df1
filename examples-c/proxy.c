/*
 * sentinel-proxy: a Unix socket or a loopback port for each service and role, for programs whose client library knows
 * nothing of Sentinel. Whoever connects is handed to sentinel_client_serve; the rest is the library's. The manual page
 * is packaging/sentinel-proxy.1.
 *
 *     sentinel-proxy --config FILE
 *     sentinel-proxy --url redis+sentinel://10.0.0.1,10.0.0.2 --listen "127.0.0.1:6390 mymaster primary"
 */
#define _GNU_SOURCE
#include "proxy_metrics.h"
#include "proxy_settings.h"

#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

/* Descriptors that are left to the library. Refusals at once. How long nobody is accepted once there are none. */
enum { SPARE_FDS = 64, REFUSALS = 32, PAUSE_MS = 100, TICK_MS = 20 };

/* What a descriptor is. That of a peer is a duplicate of the library's, which tells when both sides are done. */
struct entry {
    enum { NOTHING, SIGNALS, LISTENER, PEER, REFUSED } kind;
    struct listener *listener; /* of a peer NULL when it listens no longer */
    struct client *client;
};

static struct settings in_force;
static struct client *clients;
static struct entry *entries;
static size_t entry_count;
static char **arguments;
static int epoll, stopping, refusals;
static rlim_t most_fds;
static int64_t paused_until, stop_at;
static long long peers;

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void log_line(void *user_data, int32_t level, const char *message, size_t len) {
    (void)user_data, (void)level;
    say("", "%.*s", (int)len, message);
}

/* What sd_notify does, for a service manager that wants to be told. */
static void notify(const char *state) {
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t len = path != NULL ? strlen(path) : 0;
    if (len < 2 || len >= sizeof to.sun_path)
        return;
    memcpy(to.sun_path, path, len);
    if (*path == '@')
        to.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&to, size) < 0)
        say("NOTIFY_SOCKET", "%s", strerror(errno));
    close(fd);
}

static int watch(int fd, struct entry entry) {
    struct epoll_event event = {.events = entry.kind == PEER ? 0 : EPOLLIN, .data.fd = fd}; /* EPOLLHUP comes always */
    if ((size_t)fd >= entry_count) {
        size_t count = (size_t)fd * 2 + 64;
        entries = must(realloc(entries, count * sizeof *entries));
        memset(entries + entry_count, 0, (count - entry_count) * sizeof *entries);
        entry_count = count;
    }
    entries[fd] = entry;
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static void end(int fd) {
    if (fd < 0)
        return;
    if ((size_t)fd < entry_count)
        entries[fd] = (struct entry){NOTHING, NULL, NULL};
    close(fd);
}

/* ------------------------------------------------------------------------------------- deployments and clients -- */

static void leave_deployment(struct deployment *deployment) {
    if (deployment == NULL || --deployment->uses > 0)
        return;
    if (stopping)
        (void)!sentinel_close(deployment->handle, 1000);
    sentinel_free(deployment->handle);
    free(deployment->url);
    free(deployment);
}

static void leave_client(struct client *client) {
    struct client **at = &clients;
    if (client == NULL || --client->uses > 0)
        return;
    while (*at != client)
        at = &(*at)->next;
    *at = client->next;
    sentinel_client_free(client->handle);
    leave_deployment(client->deployment);
    free(client->what);
    free(client);
}

/* The one that is there, while its URL stays the same. */
static int find_deployment(struct settings *settings) {
    sentinel_options_t *options = sentinel_options_new();
    struct deployment *deployment = in_force.deployment;
    sentinel_error_t *error = NULL;
    sentinel_t *handle = NULL;
    if (deployment == NULL || strcmp(deployment->url, settings->url) != 0) {
        if (sentinel_options_parse_url(options, settings->url, &error) == SENTINEL_OK &&
            sentinel_options_set_log(options, SENTINEL_LOG_WARN, log_line, NULL) == SENTINEL_OK)
            (void)!sentinel_open(options, &handle, &error);
        deployment = handle != NULL ? must(malloc(sizeof *deployment)) : NULL;
        if (deployment != NULL)
            *deployment = (struct deployment){handle, must(strdup(settings->url)), 0};
    }
    sentinel_options_free(options);
    if (deployment == NULL)
        return say_error(settings->where, error);
    deployment->uses++;
    settings->deployment = deployment;
    return 0;
}

static int find_client(struct deployment *deployment, struct listener *listener) {
    struct client *client = clients;
    sentinel_error_t *error = NULL;
    while (client != NULL && (client->deployment != deployment || strcmp(client->what, listener->what) != 0))
        client = client->next;
    if (client == NULL) {
        sentinel_client_t *handle = NULL;
        char *service = must(strdup(listener->what)), *role = strchr(service, ' ');
        *role++ = '\0';
        sentinel_status_t status =
            strncmp(role, "replica", 7) == 0
                ? sentinel_replica_for(deployment->handle, service, listener->overrides, &handle, &error)
                : sentinel_primary_for(deployment->handle, service, listener->overrides, &handle, &error);
        free(service);
        if (status != SENTINEL_OK)
            return say_error(listener->where, error);
        client = must(malloc(sizeof *client));
        *client = (struct client){clients, deployment, handle, must(strdup(listener->what)), 0};
        clients = client;
        deployment->uses++;
    }
    client->uses++;
    listener->client = client;
    return 0;
}

/* -------------------------------------------------------------------------------------------------- listeners -- */

/* Whether the file of its Unix socket is the one that it made. */
static int is_there(const struct listener *listener) {
    struct stat file;
    return *listener->address != '/' || (lstat(listener->address, &file) == 0 && file.st_ino == listener->file.st_ino &&
                                         file.st_dev == listener->file.st_dev);
}

/* Removes a Unix socket on which nobody listens, such as one whose process was killed. */
static int clear_path(const char *path, const struct sockaddr_storage *to, socklen_t len, const char *where) {
    struct stat file;
    if (lstat(path, &file) < 0)
        return 0; /* what else is wrong with it, bind says */
    if (!S_ISSOCK(file.st_mode))
        return say(where, "%s is there, and is no socket", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int is_stale = fd >= 0 && connect(fd, (const struct sockaddr *)to, len) < 0 && errno == ECONNREFUSED;
    close(fd);
    if (!is_stale)
        return say(where, "%s is there, and somebody listens on it", path);
    return unlink(path) == 0 ? 0 : say(where, "%s: %s", path, strerror(errno));
}

static int start_listening(struct listener *listener) {
    struct sockaddr_storage to;
    socklen_t len = 0;
    int on = 1, is_path = *listener->address == '/';
    if (parse_address(listener->address, &to, &len) < 0 ||
        (is_path && clear_path(listener->address, &to, len, listener->where) < 0))
        return -1;
    int fd = listener->fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (!is_path) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on); /* inherited by what is accepted */
    }
    mode_t mask = umask((mode_t)(0777 & ~listener->mode)); /* so that nobody gets in before a chmod */
    int failed = bind(fd, (struct sockaddr *)&to, len);
    umask(mask);
    if (failed || (is_path && lstat(listener->address, &listener->file) < 0) || listen(fd, SOMAXCONN) < 0 ||
        watch(fd, (struct entry){LISTENER, listener, NULL}) < 0)
        return say(listener->where, "%s: %s", listener->address, strerror(errno));
    getsockname(fd, (struct sockaddr *)&to, &len);
    /* Without the options, for one may be a password. */
    if (is_path)
        say("", "%s is %.*s", listener->address, listener->named, listener->what);
    else /* the port stands at the same place in sockaddr_in6 */
        say("", "%s, port %d, is %.*s", listener->address, ntohs(((struct sockaddr_in *)&to)->sin_port),
            listener->named, listener->what);
    return 0;
}

static void free_listeners(struct listener *listener) {
    while (listener != NULL) {
        struct listener *next = listener->next;
        for (size_t fd = 0; fd < entry_count; fd++)
            if (entries[fd].listener == listener)
                entries[fd].listener = NULL;
        if (listener->fd >= 0 && *listener->address == '/' && is_there(listener))
            unlink(listener->address);
        end(listener->fd);
        leave_client(listener->client);
        sentinel_options_free(listener->overrides);
        free(listener->address), free(listener->where), free(listener->what), free(listener);
        listener = next;
    }
}

/* -------------------------------------------------------------------------------------------- what is in force -- */

/* Makes all that the settings need, without a change of what is in force. */
static int prepare(struct settings *next) {
    if (find_deployment(next) < 0)
        return -1;
    for (struct listener *l = next->listeners; l != NULL; l = l->next) {
        l->most = l->most != 0 ? l->most : next->most;
        l->before = find_listener(in_force.listeners, l->address);
        if (l->before != NULL && !is_there(l->before))
            l->before = NULL;
        if (!l->is_metrics && find_client(next->deployment, l) < 0)
            return -1;
        if (!check_only && l->before == NULL && start_listening(l) < 0)
            return -1;
    }
    return 0;
}

static void discard(struct settings *settings) {
    free_listeners(settings->listeners);
    leave_deployment(settings->deployment);
    free(settings->url), free(settings->where);
    *settings = (struct settings){0};
}

/* What listens already goes on with its descriptor and its connections, and these with the client that they have. */
static void put_in_force(struct settings *next) {
    for (struct listener *l = next->listeners; l != NULL; l = l->next) {
        struct listener *before = l->before;
        if (before == NULL)
            continue;
        for (size_t fd = 0; fd < entry_count; fd++)
            if (entries[fd].listener == before)
                entries[fd].listener = l;
        l->fd = before->fd, l->file = before->file;
        l->open = before->open, l->accepted = before->accepted, l->refused = before->refused;
        before->fd = -1;
        if (l->mode != before->mode && *l->address == '/' && chmod(l->address, (mode_t)l->mode) < 0)
            say(l->where, "%s: %s", l->address, strerror(errno));
    }
    discard(&in_force);
    in_force = *next;
}

static int load(void) {
    struct settings next;
    if (read_settings(&next, arguments) == 0 && prepare(&next) == 0) {
        put_in_force(&next);
        return 0;
    }
    discard(&next);
    return -1;
}

static void reload(void) {
    notify("RELOADING=1");
    if (load() == 0) {
        counts.reloads++;
        say("", "the configuration was read again");
    } else {
        counts.failed_reloads++;
        say("", "the configuration stays as it was");
    }
    notify("READY=1");
}

/* ------------------------------------------------------------------------------------------------ connections -- */

static void end_peer(int fd) {
    struct entry peer = entries[fd];
    if (peer.listener != NULL)
        peer.listener->open--;
    peers--;
    end(fd);
    leave_client(peer.client);
}

static void serve(struct listener *listener, int fd) {
    static const char full[] = "-ERR max number of clients reached\r\n";
    sentinel_error_t *error = NULL;
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (listener->open >= listener->most || own < 0 || (rlim_t)own + SPARE_FDS >= most_fds) {
        listener->refused++;
        end(own);
        /* It stays until the peer has said something: who writes to a closed socket does not read why. */
        if (refusals >= REFUSALS || send(fd, full, sizeof full - 1, MSG_NOSIGNAL) < 0 || shutdown(fd, SHUT_WR) < 0 ||
            watch(fd, (struct entry){REFUSED, NULL, NULL}) < 0)
            end(fd);
        else
            refusals++;
        return;
    }
    int failed = watch(own, (struct entry){PEER, listener, listener->client});
    listener->client->uses++, listener->open++, listener->accepted++, peers++;
    if (sentinel_client_serve(listener->client->handle, fd, &error) != SENTINEL_OK)
        failed = say_error(listener->address, error);
    if (failed < 0) {
        shutdown(own, SHUT_RDWR);
        end_peer(own);
    }
}

static void end_refused(int fd) {
    char unread[4096];
    (void)!recv(fd, unread, sizeof unread, 0); /* or the end would overtake the reason */
    refusals--;
    end(fd);
}

static void pause_accepting(int pause) {
    struct epoll_event event = {.events = pause ? 0 : EPOLLIN};
    paused_until = pause ? now_ms() + PAUSE_MS : 0;
    for (struct listener *l = in_force.listeners; l != NULL; l = l->next) {
        event.data.fd = l->fd;
        epoll_ctl(epoll, EPOLL_CTL_MOD, l->fd, &event);
    }
}

/* ------------------------------------------------------------------------------------------------- its own life -- */

static void take(struct listener *listener) {
    int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
        listener->is_metrics ? scrape(&in_force, fd) : serve(listener, fd);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        /* Who waits to be accepted would be told of again at once. */
        if (counts.accept_failures++ % 100 == 0)
            say(listener->address, "nobody can be accepted: %s", strerror(errno));
        pause_accepting(1);
    }
}

/* Nobody new, and nothing more from those who are here: the library answers what it has been asked, and ends them. */
static void stop(void) {
    stop_at = stopping ? 0 : now_ms() + in_force.drain_ms;
    if (stopping++)
        return;
    notify("STOPPING=1");
    for (struct listener *l = in_force.listeners; l != NULL; l = l->next) {
        if (l->is_metrics)
            continue;
        if (*l->address == '/' && is_there(l))
            unlink(l->address);
        end(l->fd);
        l->fd = -1;
    }
    for (size_t fd = 0; fd < entry_count; fd++)
        if (entries[fd].kind == PEER)
            shutdown((int)fd, SHUT_RD);
}

/* The calls of a peer that has gone without waiting for the answer are under way as well. */
static int is_busy(void) {
    int64_t pending = 0, all = peers;
    for (struct client *client = clients; client != NULL; client = client->next)
        if (sentinel_metric(client->deployment->handle, "pending_calls", &pending) == SENTINEL_OK)
            all += pending;
    return all > 0;
}

static void on_signal(int fd) {
    struct signalfd_siginfo told;
    if (read(fd, &told, sizeof told) != sizeof told)
        return;
    if (told.ssi_signo != SIGHUP)
        stop();
    else if (!stopping)
        reload();
}

/* One event at a time, so that none is left of what another has ended. */
static void run(void) {
    struct epoll_event event;
    while (!stopping || (now_ms() < stop_at && is_busy())) {
        int count = epoll_wait(epoll, &event, 1, stopping ? TICK_MS : paused_until != 0 ? PAUSE_MS : -1);
        if (paused_until != 0 && now_ms() >= paused_until)
            pause_accepting(0);
        int fd = event.data.fd;
        if (count != 1)
            continue;
        if (entries[fd].kind == SIGNALS)
            on_signal(fd);
        else if (entries[fd].kind == LISTENER)
            take(entries[fd].listener);
        else if (entries[fd].kind == PEER)
            end_peer(fd);
        else if (entries[fd].kind == REFUSED)
            end_refused(fd);
    }
    if (peers > 0)
        say("", peers == 1 ? "%lld connection was cut" : "%lld connections were cut", peers);
    for (size_t fd = 0; fd < entry_count; fd++)
        if (entries[fd].kind == PEER)
            end_peer((int)fd);
        else if (entries[fd].kind == REFUSED)
            end_refused((int)fd);
}

static const char help[] =
    "sentinel-proxy --config FILE [--check] [--allow-remote] [--KEY VALUE...]\n\n"
    "A socket for each service and role of Redis or Valkey behind Sentinel, for clients that know nothing of it.\n"
    "Each KEY is one of the file's, where it stands as KEY = VALUE:\n\n"
    "  url = redis+sentinel://[USER[:PASSWORD]@]HOST[:PORT][,HOST...][/SERVICE[/DATABASE]][?OPTION=VALUE&...]\n"
    "  listen = ADDRESS SERVICE primary|replica [max_connections=N] [mode=0660] [OPTION=VALUE...]\n"
    "  metrics = ADDRESS [mode=0660]\n"
    "  max_connections = 1000\n"
    "  drain_ms = 10000\n\n"
    "ADDRESS is the path of a Unix socket, or IP:PORT on loopback. SIGHUP reads the file again, SIGTERM ends.\n"
    "--check only looks at the configuration. The rest is in sentinel-proxy(1).\n";

int main(int argc, char **argv) {
    struct rlimit files = {0, 0};
    sigset_t signals;
    arguments = argv + 1;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0)
            return fputs(help, stdout) < 0;
        if (strcmp(argv[i], "--version") == 0)
            return printf("sentinel-proxy %s\n", sentinel_version()) < 0;
        check_only |= strcmp(argv[i], "--check") == 0;
        allow_remote |= strcmp(argv[i], "--allow-remote") == 0;
    }
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    most_fds = files.rlim_cur;
    sigemptyset(&signals);
    sigaddset(&signals, SIGHUP), sigaddset(&signals, SIGTERM), sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL); /* also in the threads that come */
    signal(SIGPIPE, SIG_IGN);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    int told = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (epoll < 0 || told < 0 || watch(told, (struct entry){SIGNALS, NULL, NULL}) < 0)
        return say("", "%s", strerror(errno)), 1;
    int result = load() < 0;
    if (result == 0 && !check_only) {
        notify("READY=1");
        run();
    }
    stopping = 1;
    discard(&in_force);
    end(told);
    close(epoll);
    free(entries);
    return result;
}

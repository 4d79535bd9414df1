/* bench_handover get THREADS SECONDS: the floor of a lane, which is what a library cannot do without when callers sleep
 * and one thread does the I/O. Ready-made bytes are handed over under a lock; one thread sends what has gathered, receives,
 * and wakes 32 callers with one system call. No deadline, no failure, no decoding, no count. PORT: the primary's. */
#define _GNU_SOURCE
#include "bench.h"

#include <arpa/inet.h>
#include <limits.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char GET[] = "*2\r\n$3\r\nGET\r\n$7\r\nbench:0\r\n";
enum { REQUEST = sizeof(GET) - 1, ANSWER = 5 + BENCH_VALUE + 2, ROW = 32, MOST = 1024 };

/* A caller's place: its bit in the word of its row, and its reply. */
typedef struct seat {
    unsigned place;
    struct row *row;
    atomic_bool done;
    char reply[ANSWER];
} seat;

typedef struct row {
    _Atomic uint32_t word;
    seat seats[ROW];
} row;

static row rows[MOST / ROW];
static atomic_uint seated;
static int connection, event, set;

static struct {
    pthread_mutex_t lock;
    char bytes[MOST * REQUEST];
    seat *callers[MOST];
    size_t count;
    bool awake;
} outbox = {.lock = PTHREAD_MUTEX_INITIALIZER};

static long futex(_Atomic uint32_t *word, int operation, uint32_t value, uint32_t bits) {
    return syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, NULL, NULL, bits);
}

static seat *sit(void) {
    unsigned number = atomic_fetch_add(&seated, 1);
    if (number >= MOST)
        bench_fail("too many callers");
    row *in = &rows[number / ROW];
    seat *mine = &in->seats[number % ROW];
    mine->row = in;
    mine->place = number % ROW;
    return mine;
}

static size_t work(void *nothing) {
    static __thread seat *mine;
    (void)nothing;
    if (mine == NULL)
        mine = sit();
    atomic_store_explicit(&mine->done, false, memory_order_relaxed);
    pthread_mutex_lock(&outbox.lock);
    memcpy(outbox.bytes + outbox.count * REQUEST, GET, REQUEST);
    outbox.callers[outbox.count++] = mine;
    bool sleeps = !outbox.awake;
    outbox.awake = true;
    pthread_mutex_unlock(&outbox.lock);
    if (sleeps && eventfd_write(event, 1) != 0)
        bench_fail("eventfd_write");
    for (;;) {
        uint32_t seen = atomic_load(&mine->row->word);
        if (atomic_load_explicit(&mine->done, memory_order_acquire))
            return 1;
        futex(&mine->row->word, FUTEX_WAIT_BITSET, seen, 1u << mine->place);
    }
}

/* Calls under way, first come, first served. */
static seat *flying[MOST];
static size_t first, count;

/* Sends what has gathered; false when there was nothing: the next caller wakes this thread. */
static bool gather(void) {
    static char bytes[MOST * REQUEST];
    pthread_mutex_lock(&outbox.lock);
    size_t taken = outbox.count;
    memcpy(bytes, outbox.bytes, taken * REQUEST);
    for (size_t i = 0; i < taken; i++)
        flying[(first + count++) % MOST] = outbox.callers[i];
    outbox.count = 0;
    outbox.awake = taken > 0;
    pthread_mutex_unlock(&outbox.lock);
    if (taken > 0 && send(connection, bytes, taken * REQUEST, MSG_NOSIGNAL) != (ssize_t)(taken * REQUEST))
        bench_fail("send");
    return taken > 0;
}

/* Receives once and wakes all who have their replies. */
static void receive(void) {
    static char bytes[MOST * ANSWER];
    static size_t held;
    uint32_t wakes[MOST / ROW] = {0};
    ssize_t n = recv(connection, bytes + held, sizeof(bytes) - held, MSG_DONTWAIT);
    if (n <= 0)
        bench_fail("recv");
    held += (size_t)n;
    size_t at = 0;
    for (; held - at >= ANSWER; at += ANSWER) {
        seat *caller = flying[first++ % MOST];
        count--;
        memcpy(caller->reply, bytes + at, ANSWER);
        atomic_store_explicit(&caller->done, true, memory_order_release);
        wakes[caller->row - rows] |= 1u << caller->place;
    }
    held -= at;
    memmove(bytes, bytes + at, held);
    for (size_t i = 0; i < MOST / ROW; i++)
        if (wakes[i] != 0) {
            atomic_fetch_add(&rows[i].word, 1);
            futex(&rows[i].word, FUTEX_WAKE_BITSET, INT_MAX, wakes[i]);
        }
}

static void *io(void *nothing) {
    struct epoll_event ready[2];
    for (;;) {
        while (gather())
            ;
        int n = epoll_wait(set, ready, 2, -1);
        for (int i = 0; i < n; i++)
            if (ready[i].data.fd == connection)
                receive();
    }
    return nothing;
}

static void watch(int fd) {
    struct epoll_event wanted = {.events = EPOLLIN | EPOLLET, .data.fd = fd};
    if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &wanted) != 0)
        bench_fail("epoll_ctl");
}

int main(int argc, char **argv) {
    static void *states[MOST];
    pthread_t id;
    if (argc != 4 || strcmp(argv[1], "get") != 0)
        return bench_usage(argv[0], "get");
    if (getenv("PORT") == NULL)
        bench_fail("PORT is not set");
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(getenv("PORT")))};
    int on = 1;
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    connection = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(connection, (struct sockaddr *)&to, sizeof(to)) != 0)
        bench_fail("no connection");
    setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    set = epoll_create1(0);
    event = eventfd(0, 0);
    watch(connection);
    watch(event);
    if (pthread_create(&id, NULL, io, NULL) != 0)
        return 1;
    return bench_run((size_t)atoi(argv[2]), atof(argv[3]), work, states);
}

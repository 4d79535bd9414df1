"""Eight writers through a failover by the Python clients redis and coredis, as bench_failover.c does it.

    failover_peers.py SERVICE HOST:PORT[,HOST:PORT...] SECONDS redis-py|coredis

Prints `begun` once all of them write; afterwards a line for each 50 ms: milliseconds, acknowledged, failed. These clients
do not say whether a write that failed was executed; a program has to take each for unknown.
"""

import asyncio
import sys
import threading
import time

WRITERS, PAUSE, BIN_MS = 8, 0.010, 50
# A node that was stopped answers nobody: without a limit these clients wait for it for ever.
SOCKET_TIMEOUT = 1.0


class Bins:
    """What became of the writes, by the moment of their end."""

    def __init__(self, seconds):
        self.acknowledged = [0] * (seconds * 1000 // BIN_MS)
        self.failed = list(self.acknowledged)
        self.lasts = seconds
        self.begun = time.monotonic()

    def is_over(self):
        return time.monotonic() >= self.begun + self.lasts

    def count(self, bins):
        at = int((time.monotonic() - self.begun) * 1000) // BIN_MS
        if at < len(bins):
            bins[at] += 1

    def show(self):
        # The last one is not whole.
        for at, (good, bad) in enumerate(zip(self.acknowledged[:-1], self.failed)):
            print(at * BIN_MS, good, bad)
        print("others 0")


def rest(due):
    """How long to wait for the next write, and when it is due. What was missed in a wait is not made up for."""
    now = time.monotonic()
    due = max(due + PAUSE, now)
    return due - now, due


def through_redis_py(service, sentinels, seconds):
    import redis
    from redis.sentinel import MasterNotFoundError, Sentinel

    limits = {"socket_timeout": SOCKET_TIMEOUT, "socket_connect_timeout": SOCKET_TIMEOUT}
    client = Sentinel(sentinels, sentinel_kwargs=limits, **limits).master_for(service)
    client.ping()
    print("begun", flush=True)
    bins = Bins(seconds)

    def write(number):
        due = time.monotonic()
        while not bins.is_over():
            try:
                client.set(f"bench:failover:{number}", "x")
                bins.count(bins.acknowledged)
            except (redis.RedisError, MasterNotFoundError):
                bins.count(bins.failed)
            wait, due = rest(due)
            time.sleep(wait)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bins.show()


async def through_coredis(service, sentinels, seconds):
    import coredis
    from coredis.sentinel import Sentinel

    limits = {"stream_timeout": SOCKET_TIMEOUT, "connect_timeout": SOCKET_TIMEOUT}
    async with Sentinel(sentinels=sentinels, sentinel_kwargs=limits, **limits) as sentinel:
        async with sentinel.primary_for(service) as client:
            await client.ping()
            print("begun", flush=True)
            bins = Bins(seconds)

            async def write(number):
                due = time.monotonic()
                while not bins.is_over():
                    try:
                        await client.set(f"bench:failover:{number}", "x")
                        bins.count(bins.acknowledged)
                    except (coredis.exceptions.RedisError, OSError, TimeoutError):
                        bins.count(bins.failed)
                    wait, due = rest(due)
                    await asyncio.sleep(wait)

            await asyncio.gather(*(write(number) for number in range(WRITERS)))
            bins.show()


def main():
    service, listed, seconds, peer = sys.argv[1:]
    sentinels = [(host, int(port)) for host, port in (one.rsplit(":", 1) for one in listed.split(","))]
    if peer == "redis-py":
        through_redis_py(service, sentinels, int(seconds))
    else:
        asyncio.run(through_coredis(service, sentinels, int(seconds)))


if __name__ == "__main__":
    main()

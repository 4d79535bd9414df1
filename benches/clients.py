"""redis-py as clients.sh drives it: clients.py rate|write PATH|PORT SECONDS PREFIX."""

import sys
import threading
import time

import redis

what, where, seconds, prefix = sys.argv[1:]
address = {"port": int(where)} if where.isdigit() else {"unix_socket_path": where}
client = redis.Redis(**address)

if what == "rate":
    begun, done = time.monotonic(), 0
    client.set(prefix, "x" * 64)
    while time.monotonic() - begun < float(seconds):
        client.get(prefix)
        done += 1
    print(round(done / (time.monotonic() - begun)))
    sys.exit()

over = threading.Event()
books = [[0, [], 0.0] for _ in range(4)]


def write(number):
    mine = books[number]
    while not over.is_set():
        begun = time.monotonic()
        try:
            client.incr(f"{prefix}:{number}:{mine[0] + len(mine[1])}")
            mine[0] += 1
        except redis.RedisError as error:
            mine[1].append(str(error).split(" ")[0])
        mine[2] = max(mine[2], time.monotonic() - begun)
        over.wait(0.002)


threads = [threading.Thread(target=write, args=(number,)) for number in range(len(books))]
for thread in threads:
    thread.start()
print("begun", flush=True)
sys.stdin.read()
over.set()
for thread in threads:
    thread.join()
failed = [word for mine in books for word in mine[1]]
print(sum(mine[0] for mine in books), len(failed), sum(word == "UNKNOWN" for word in failed), round(max(mine[2] for mine in books) * 1000))

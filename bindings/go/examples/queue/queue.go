package main

import (
	"context"
	"errors"
	"time"

	"libsentinel/sentinel"
)

// A task is a hash of its own; the lists hold names. A task that is done is kept for a while, so that one which is enqueued again,
// because nobody knew whether it was, is not done again.
var (
	enqueueScript = sentinel.NewScript(`
if redis.call("EXISTS", KEYS[1]) == 1 then
	return 0
end
redis.call("HSET", KEYS[1], "payload", ARGV[2])
redis.call("LPUSH", KEYS[2], ARGV[1])
return 1`)
	dequeueScript = sentinel.NewScript(`
local late = redis.call("ZRANGEBYSCORE", KEYS[2], "-inf", ARGV[1], "LIMIT", 0, 100)
for _, name in ipairs(late) do
	redis.call("ZREM", KEYS[2], name)
	redis.call("RPUSH", KEYS[1], name)
end
local name = redis.call("RPOP", KEYS[1])
if not name then
	return false
end
redis.call("ZADD", KEYS[2], ARGV[2], name)
return {name, redis.call("HGET", ARGV[3] .. name, "payload")}`)
	doneScript = sentinel.NewScript(`
if redis.call("HGET", KEYS[1], "done") then
	return 1
end
if redis.call("ZREM", KEYS[2], ARGV[1]) == 0 then
	return 0
end
redis.call("HSET", KEYS[1], "done", 1)
redis.call("PEXPIRE", KEYS[1], ARGV[2])
return 1`)
)

// Task is what a worker does.
type Task struct{ Name, Payload string }

// Queue hands each task to one worker. What it has acknowledged outlives a failover: `replicas` replicas have it by then, which should
// be all that may be promoted.
type Queue struct {
	safe, plain      *sentinel.Client
	pending, active  string
	prefix           string
	lease, retention time.Duration
}

// NewQueue does no I/O. A task that a worker does not finish within the lease is handed to another.
func NewQueue(client *sentinel.Client, name string, replicas uint32, lease, retention time.Duration) *Queue {
	return &Queue{
		safe: client.With(sentinel.Replicas(replicas)), plain: client,
		pending: name + ":pending", active: name + ":active", prefix: name + ":task:",
		lease: lease, retention: retention,
	}
}

// Enqueue adds a task. One of this name that is there, or was done not long ago, is the same: so this may be called again, and is,
// when it is not known whether it was executed.
func (q *Queue) Enqueue(ctx context.Context, task Task) error {
	_, err := enqueueScript.Run(ctx, q.safe.With(sentinel.RetryUnknown()), []string{q.prefix + task.Name, q.pending},
		task.Name, task.Payload)
	return err
}

// Dequeue takes the oldest task, if there is any. When that fails one may have been taken: nobody does it, and after its lease it is
// handed out again.
func (q *Queue) Dequeue(ctx context.Context) (Task, bool, error) {
	now := time.Now()
	words, err := sentinel.Strings(dequeueScript.Run(ctx, q.safe, []string{q.pending, q.active},
		now.UnixMilli(), now.Add(q.lease).UnixMilli(), q.prefix))
	switch {
	case errors.Is(err, sentinel.ErrNil):
		return Task{}, false, nil
	case err != nil:
		return Task{}, false, err
	}
	return Task{words[0], words[1]}, true, nil
}

// Done says that a task is done. False: its lease was over, and it is in other hands.
func (q *Queue) Done(ctx context.Context, task Task) (bool, error) {
	return sentinel.Bool(doneScript.Run(ctx, q.safe.With(sentinel.RetryUnknown()), []string{q.prefix + task.Name, q.active},
		task.Name, q.retention.Milliseconds()))
}

// Left is how many tasks wait or are in a worker's hands.
func (q *Queue) Left(ctx context.Context) (int64, error) {
	counts, err := q.plain.Transaction().Do("LLEN", q.pending).Do("ZCARD", q.active).Run(ctx)
	if err != nil {
		return 0, err
	}
	pending, err := counts[0].Int()
	if err != nil {
		return 0, err
	}
	active, err := counts[1].Int()
	return pending + active, err
}

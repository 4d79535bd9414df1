package sentinel

/*
#include <sentinel.h>
#include <stdlib.h>

typedef struct { sentinel_status_t status; uint64_t id; sentinel_error_t *error; } submitted;

// One crossing a call, and its results by value, so that nothing of Go's moves to the heap for them.
static submitted submit(sentinel_client_t *client, size_t argc, const size_t *lens, const void *data, size_t data_len,
                        int64_t timeout_ms, uint32_t flags, uint32_t replicas, sentinel_queue_t *queue, uint64_t tag) {
	sentinel_call_t call = SENTINEL_CALL_INIT;
	submitted end = {SENTINEL_OK, 0, NULL};
	call.timeout_ms = timeout_ms;
	call.flags = flags;
	call.replicas = replicas;
	end.status = sentinel_submit_queued(client, argc, lens, data, data_len, &call, queue, tag, &end.id, &end.error);
	return end;
}

// The commands of a batch lie back to back: their counts of arguments, all lengths, all bytes.
static submitted submit_batch(sentinel_client_t *client, int32_t kind, size_t commands, const size_t *argcs,
                              const size_t *lens, const char *data, int64_t timeout_ms, uint32_t flags,
                              uint32_t replicas, sentinel_queue_t *queue, uint64_t tag) {
	sentinel_call_t call = SENTINEL_CALL_INIT;
	submitted end = {SENTINEL_OK, 0, NULL};
	sentinel_batch_t *batch = sentinel_batch_new(kind);
	call.timeout_ms = timeout_ms;
	call.flags = flags;
	call.replicas = replicas;
	for (size_t i = 0; i < commands && end.status == SENTINEL_OK; i++) {
		size_t bytes = 0;
		for (size_t j = 0; j < argcs[i]; j++)
			bytes += lens[j];
		end.status = sentinel_batch_add_packed(batch, argcs[i], lens, data, bytes);
		lens += argcs[i];
		data += bytes;
	}
	if (end.status == SENTINEL_OK)
		end.status = sentinel_submit_batch(client, batch, &call, queue, tag, &end.id, &end.error);
	sentinel_batch_free(batch);
	return end;
}
*/
import "C"

import (
	"context"
	"runtime"
	"sync"
)

// Client is bound to the primary or to the replicas of a service and follows them through every failover.
type Client struct {
	shared *clientHandle
	flags  uint32
	needed uint32
}

type clientHandle struct {
	db     *DB
	mutex  sync.RWMutex // held while C has the handle
	handle *C.sentinel_client_t
}

func (db *DB) client(service string, options []Option, role Role) (*Client, error) {
	var overrides *C.sentinel_options_t
	if len(options) > 0 {
		made, err := newOptions(options)
		if err != nil {
			return nil, err
		}
		defer C.sentinel_options_free(made)
		overrides = made
	}
	name, free := cString(service)
	defer free()
	shared := &clientHandle{db: db}
	var failure *C.sentinel_error_t
	var status C.sentinel_status_t
	if role == RolePrimary {
		status = C.sentinel_primary_for(db.handle, name, overrides, &shared.handle, &failure)
	} else {
		status = C.sentinel_replica_for(db.handle, name, overrides, &shared.handle, &failure)
	}
	if status != C.SENTINEL_OK {
		return nil, takeError(status, failure)
	}
	runtime.SetFinalizer(shared, (*clientHandle).close)
	return &Client{shared: shared}, nil
}

// Close gives up the client's connections. Calls under way end with ErrClosed or their reply.
func (c *Client) Close() { c.shared.close() }

func (h *clientHandle) close() {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	C.sentinel_client_free(h.handle)
	h.handle = nil
}

// A CallOption changes how the calls of a client are made; see Client.With.
type CallOption func(*Client)

// Replicas makes each write wait until so many replicas have it; ErrNotReplicated when they do not in time.
func Replicas(count uint32) CallOption { return func(c *Client) { c.needed = count } }

// RetryUnknown repeats a command even when it may have been executed: the program says that this is safe.
func RetryUnknown() CallOption { return func(c *Client) { c.flags |= C.SENTINEL_CALL_RETRY_UNKNOWN } }

// NoRetry never repeats a command.
func NoRetry() CallOption { return func(c *Client) { c.flags |= C.SENTINEL_CALL_NO_RETRY } }

// With gives the same client with other habits. Both share their connections.
func (c *Client) With(options ...CallOption) *Client {
	other := *c
	for _, option := range options {
		option(&other)
	}
	return &other
}

// Do runs one command. The context's deadline is the call's, otherwise the client's timeout_ms; its cancel ends the
// call. An argument is a string, []byte, number, bool or encoding.BinaryMarshaler.
func (c *Client) Do(ctx context.Context, args ...any) (Reply, error) {
	packed, err := pack(args)
	if err != nil {
		return Reply{}, err
	}
	lens, data := packed.pointers()
	reply, err := c.run(ctx, func(q *C.sentinel_queue_t, tag uint64) C.submitted {
		return C.submit(c.shared.handle, C.size_t(len(packed.lens)), lens, data, C.size_t(len(packed.data)),
			timeoutOf(ctx), C.uint32_t(c.flags), C.uint32_t(c.needed), q, C.uint64_t(tag))
	})
	packed.release()
	return reply, err
}

// run submits and waits for the completion, which is always exactly one.
func (c *Client) run(ctx context.Context, submit func(*C.sentinel_queue_t, uint64) C.submitted) (Reply, error) {
	if err := ctx.Err(); err != nil {
		return Reply{}, notSent(err)
	}
	calls := c.shared.db.calls
	tag, done, err := calls.expect()
	if err != nil {
		return Reply{}, err
	}
	c.shared.mutex.RLock()
	if c.shared.handle == nil {
		c.shared.mutex.RUnlock()
		calls.forget(tag, done)
		return Reply{}, closed("the client")
	}
	// Those that C keeps for a moment each hold a thread of the system: only a few at once.
	calls.gate <- struct{}{}
	submitted := submit(calls.queue.handle, tag)
	<-calls.gate
	c.shared.mutex.RUnlock()
	if submitted.status != C.SENTINEL_OK {
		calls.forget(tag, done)
		return Reply{}, takeError(submitted.status, submitted.error)
	}
	var entry completion
	if ctx.Done() == nil {
		entry = <-done
	} else {
		select {
		case entry = <-done:
		case <-ctx.Done():
			c.cancel(submitted.id)
			entry = <-done
		}
	}
	channels.Put(done)
	runtime.KeepAlive(c)
	if entry.status != C.SENTINEL_OK {
		return Reply{}, withContext(ctx, takeError(entry.status, entry.error))
	}
	return takeReply(entry.reply), nil
}

func (c *Client) cancel(id C.uint64_t) {
	c.shared.mutex.RLock()
	defer c.shared.mutex.RUnlock()
	if c.shared.handle != nil {
		C.sentinel_cancel(c.shared.handle, id)
	}
}

// Connect finds the client's node and makes a first connection, for programs that want to fail at their start.
func (c *Client) Connect(ctx context.Context) error {
	timeout := timeoutOf(ctx)
	_, err := blocking(ctx, func() (struct{}, error) {
		c.shared.mutex.RLock()
		defer c.shared.mutex.RUnlock()
		if c.shared.handle == nil {
			return struct{}{}, closed("the client")
		}
		var failure *C.sentinel_error_t
		if status := C.sentinel_client_connect(c.shared.handle, timeout, &failure); status != C.SENTINEL_OK {
			return struct{}{}, takeError(status, failure)
		}
		return struct{}{}, nil
	}, nil)
	return err
}

// Node is the node that serves this client now, and false while there is no connection. It does no I/O.
func (c *Client) Node() (Node, bool) {
	c.shared.mutex.RLock()
	defer c.shared.mutex.RUnlock()
	var nodes *C.sentinel_nodes_t
	if c.shared.handle == nil || C.sentinel_client_node(c.shared.handle, &nodes) != C.SENTINEL_OK {
		return Node{}, false
	}
	if list := takeNodes(nodes); len(list) > 0 {
		return list[0], true
	}
	return Node{}, false
}

// Batch gathers commands that are sent in one write.
type Batch struct {
	client *Client
	kind   C.int32_t
	argcs  []C.size_t
	packed packed
	err    error
}

// Pipeline runs its commands one after the other; others may come between them.
func (c *Client) Pipeline() *Batch { return &Batch{client: c, kind: C.SENTINEL_BATCH_PIPELINE} }

// Transaction runs its commands as one MULTI ... EXEC: nothing comes between them.
func (c *Client) Transaction() *Batch { return &Batch{client: c, kind: C.SENTINEL_BATCH_TRANSACTION} }

// Do adds a command. An argument that is no value makes Run fail.
func (b *Batch) Do(args ...any) *Batch {
	if len(args) == 0 && b.err == nil {
		b.err = misuse("a command has at least its name")
	}
	if err := b.packed.add(args); err != nil && b.err == nil {
		b.err = err
	}
	b.argcs = append(b.argcs, C.size_t(len(args)))
	return b
}

// Run sends the commands and gives a reply for each; Reply.Err says which of them the server refused, or what became of
// those that a cut left without an answer. A batch may be run again.
func (b *Batch) Run(ctx context.Context) ([]Reply, error) {
	if b.err != nil {
		return nil, b.err
	}
	if len(b.argcs) == 0 {
		return nil, nil
	}
	lens, data := b.packed.pointers()
	c := b.client
	reply, err := c.run(ctx, func(q *C.sentinel_queue_t, tag uint64) C.submitted {
		return C.submit_batch(c.shared.handle, b.kind, C.size_t(len(b.argcs)), &b.argcs[0], lens, (*C.char)(data),
			timeoutOf(ctx), C.uint32_t(c.flags), C.uint32_t(c.needed), q, C.uint64_t(tag))
	})
	if err != nil {
		return nil, err
	}
	return reply.elements, nil
}

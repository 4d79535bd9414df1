package sentinel

/*
#include "submitted.h"

// One crossing a call. It waits here for wait_ms at most; 0: not at all.
static submitted submit(sentinel_client_t *client, size_t argc, const size_t *lens, const void *data, size_t data_len,
                        int64_t timeout_ms, uint32_t flags, uint32_t replicas, int64_t wait_ms, sentinel_queue_t *queue,
                        uint64_t tag) {
	sentinel_call_t call = SENTINEL_CALL_INIT;
	submitted end = {SENTINEL_OK, false, 0, NULL, NULL};
	call.timeout_ms = timeout_ms;
	call.flags = flags;
	call.replicas = replicas;
	if (wait_ms == 0) {
		end.status = sentinel_submit_queued(client, argc, lens, data, data_len, &call, queue, tag, &end.id, &end.error);
		return end;
	}
	end.status = sentinel_try_command(client, argc, lens, data, data_len, &call, wait_ms, queue, tag, &end.id, &end.reply,
	                                  &end.error);
	end.done = end.status != SENTINEL_EMPTY;
	if (!end.done)
		end.status = SENTINEL_OK;
	return end;
}
*/
import "C"

import (
	"context"
	"math"
	"net"
	"os"
	"runtime"
	"sync/atomic"
)

// Client is bound to the primary or to the replicas of a service and follows them through every failover. A copy is the same
// client, and the zero value is a closed one.
type Client struct {
	shared *clientHandle
	flags  uint32
	needed uint32
}

// clientHandle is what C has of a client. It is freed when it is closed and nobody uses it: a close waits for nobody.
type clientHandle struct {
	db     *DB
	users  atomic.Int64 // and isClosed
	calls  atomic.Int64 // under way
	handle *C.sentinel_client_t
}

// Few calls at a time each have a connection and a thread of the system to themselves, for so many milliseconds: a reply
// comes back without a change of threads. More of them share a connection, and no thread waits for them.
const (
	fewCalls     = 2
	fewCallsWait = 20
)

// begin counts a call until it is over, and tells for how long C may keep it.
func (h *clientHandle) begin() C.int64_t {
	if h == nil {
		return 0
	}
	if h.calls.Add(1) <= fewCalls {
		return fewCallsWait
	}
	return 0
}

const isClosed = math.MinInt64

// end is that of a call that begin has counted.
func (h *clientHandle) end() {
	if h != nil {
		h.calls.Add(-1)
	}
}

// use gives the handle until done, or nil when it is closed.
func (h *clientHandle) use() *C.sentinel_client_t {
	return h.useIf(func(users int64) bool { return users >= 0 })
}

// stillUse gives the handle until done, also when it is closed and others use it; nil when it is freed.
func (h *clientHandle) stillUse() *C.sentinel_client_t {
	return h.useIf(func(users int64) bool { return users != isClosed })
}

// useIf counts one more user, and never one that has no right to be one: closed and without users it is freed.
func (h *clientHandle) useIf(may func(users int64) bool) *C.sentinel_client_t {
	if h == nil {
		return nil
	}
	for {
		users := h.users.Load()
		if !may(users) {
			return nil
		}
		if h.users.CompareAndSwap(users, users+1) {
			return h.handle
		}
	}
}

func (h *clientHandle) done() {
	if h.users.Add(-1) == isClosed {
		C.sentinel_client_free(h.handle)
	}
}

// close ends what was submitted at once, and leaves the handle to the last that uses it.
func (h *clientHandle) close() {
	handle := h.use()
	if handle == nil {
		return
	}
	for {
		users := h.users.Load()
		if users < 0 {
			break // another was first
		}
		if h.users.CompareAndSwap(users, users+isClosed) {
			C.sentinel_client_close(handle)
			break
		}
	}
	h.done()
}

// isOver is true of one that was closed.
func (h *clientHandle) isOver() bool { return h.users.Load() < 0 }

func (db *DB) client(service string, options []Option, role Role) (*Client, error) {
	if !db.isOpen() {
		return nil, closed("the deployment")
	}
	var overrides *C.sentinel_options_t
	if len(options) > 0 {
		made, err := newOptions(options)
		if err != nil {
			return nil, err
		}
		defer C.sentinel_options_free(made)
		overrides = made
	}
	name, free, err := cString("the service", service)
	if err != nil {
		return nil, err
	}
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

// A CallOption changes how the calls of a client are made; see Client.With.
type CallOption func(*Client)

// Replicas makes each write wait until so many replicas have it; ErrNotReplicated when they do not in time.
func Replicas(count uint32) CallOption { return func(c *Client) { c.needed = count } }

// WaitAOF makes each write wait until the primary, and so many replicas as Replicas says, have it on disk (redis 7.2,
// valkey): ErrNotReplicated when they do not confirm it in time.
func WaitAOF() CallOption { return func(c *Client) { c.flags |= C.SENTINEL_CALL_WAIT_AOF } }

// RetryUnknown repeats a command even when it may have been executed: the program says that this is safe.
func RetryUnknown() CallOption { return func(c *Client) { c.flags |= C.SENTINEL_CALL_RETRY_UNKNOWN } }

func (c *Client) retriesUnknown() bool { return c.flags&C.SENTINEL_CALL_RETRY_UNKNOWN != 0 }

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
// call. An argument is a string, []byte, number, bool, a type made of one of these (a time.Duration is its nanoseconds: seconds and
// milliseconds, as EX and PX take them, are for the program to make), a time.Time (RFC 3339), or an encoding.BinaryMarshaler. A
// command that waits in the server, such as BLPOP, waits as long as its own timeout says, where no deadline is set; 0 is for
// ever.
func (c *Client) Do(ctx context.Context, args ...any) (Reply, error) {
	if err := over(ctx); err != nil {
		return Reply{}, notSent(err)
	}
	packed, err := pack(args)
	if err != nil {
		return Reply{}, err
	}
	lens, data := packed.pointers()
	wait := c.shared.begin()
	reply, err := c.run(ctx, func(handle *C.sentinel_client_t, q *C.sentinel_queue_t, tag uint64) C.submitted {
		return C.submit(handle, C.size_t(len(packed.lens)), lens, data, C.size_t(len(packed.data)),
			timeoutOf(ctx), C.uint32_t(c.flags), C.uint32_t(c.needed), wait, q, C.uint64_t(tag))
	})
	c.shared.end()
	packed.release()
	return reply, err
}

// run submits and waits for the completion, which is always exactly one. Its caller has looked at the context.
func (c *Client) run(ctx context.Context, submit func(*C.sentinel_client_t, *C.sentinel_queue_t, uint64) C.submitted) (Reply, error) {
	if c.shared == nil {
		return Reply{}, closed("the client")
	}
	calls := c.shared.db.calls
	tag, done, err := calls.expect()
	if err != nil {
		return Reply{}, err
	}
	handle := c.shared.use()
	if handle == nil {
		calls.forget(tag, done)
		return Reply{}, closed("the client")
	}
	// Those that C keeps for a moment each hold a thread of the system: only a few at once.
	calls.gate <- struct{}{}
	submitted := submit(handle, calls.queue.handle, tag)
	<-calls.gate
	c.shared.done()
	if submitted.done {
		calls.forget(tag, done)
		if submitted.status == C.SENTINEL_OK {
			return takeReply(submitted.reply), nil
		}
		return Reply{}, withContext(ctx, takeError(submitted.status, submitted.error))
	}
	if submitted.status != C.SENTINEL_OK {
		calls.forget(tag, done)
		return Reply{}, takeError(submitted.status, submitted.error)
	}
	entry := c.wait(ctx, done, submitted.id)
	channels.Put(done)
	runtime.KeepAlive(c)
	if entry.status != C.SENTINEL_OK {
		return Reply{}, withContext(ctx, takeError(entry.status, entry.error))
	}
	return takeReply(entry.reply), nil
}

// wait gives the completion of a call that was submitted. The context's cancel ends the call.
func (c *Client) wait(ctx context.Context, done <-chan completion, id C.uint64_t) completion {
	if ctx.Done() == nil {
		return <-done
	}
	if entry, ok := waitFor(ctx, done); ok {
		return entry
	}
	if handle := c.shared.stillUse(); handle != nil {
		C.sentinel_cancel(handle, id)
		c.shared.done()
	}
	return <-done
}

// Connect finds the client's node and makes a first connection, for programs that want to fail at their start.
func (c *Client) Connect(ctx context.Context) error {
	timeout := timeoutOf(ctx)
	_, _, err := blocking(ctx, func() (struct{}, error) {
		handle := c.shared.use()
		if handle == nil {
			return struct{}{}, closed("the client")
		}
		defer c.shared.done()
		var failure *C.sentinel_error_t
		if status := C.sentinel_client_connect(handle, timeout, &failure); status != C.SENTINEL_OK {
			return struct{}{}, takeError(status, failure)
		}
		return struct{}{}, nil
	}, nil)
	return err
}

// Conn is a stream that speaks RESP as a server of the client's role does and follows every failover: for libraries that
// bring a client of their own. The caller closes it.
func (c *Client) Conn() (net.Conn, error) {
	handle := c.shared.use()
	if handle == nil {
		return nil, closed("the client")
	}
	defer c.shared.done()
	fd := C.int(-1)
	var failure *C.sentinel_error_t
	if status := C.sentinel_client_socket(handle, &fd, &failure); status != C.SENTINEL_OK {
		return nil, takeError(status, failure)
	}
	file := os.NewFile(uintptr(fd), "libsentinel")
	defer file.Close() // the connection has a descriptor of its own
	return net.FileConn(file)
}

// DialContext is Conn in the shape that libraries ask for: Dialer of go-redis, NewConn of redigo, DialCtxFn of rueidis. The
// node is the client's, whatever address is asked for.
func (c *Client) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if err := over(ctx); err != nil {
		return nil, err
	}
	return c.Conn()
}

// Node is the node that serves this client now, and false while there is no connection. It does no I/O.
func (c *Client) Node() (Node, bool) {
	handle := c.shared.use()
	if handle == nil {
		return Node{}, false
	}
	defer c.shared.done()
	var nodes *C.sentinel_nodes_t
	if C.sentinel_client_node(handle, &nodes) != C.SENTINEL_OK {
		return Node{}, false
	}
	if list := takeNodes(nodes); len(list) > 0 {
		return list[0], true
	}
	return Node{}, false
}

package sentinel

/*
#include <sentinel.h>
#include <stdlib.h>

static sentinel_status_t on_connection(sentinel_connection_t *connection, size_t argc, const size_t *lens,
                                       const char *data, int64_t timeout_ms, sentinel_reply_t **reply,
                                       sentinel_error_t **error) {
	sentinel_call_t call = SENTINEL_CALL_INIT;
	const char **argv = malloc((argc + 1) * sizeof *argv);
	sentinel_status_t status;
	if (argv == NULL)
		return SENTINEL_ERR_INTERNAL;
	for (size_t i = 0; i < argc; i++) {
		argv[i] = data != NULL ? data : "";
		data += lens[i];
	}
	call.timeout_ms = timeout_ms;
	status = sentinel_connection_command(connection, argc, argv, lens, &call, reply, error);
	free(argv);
	return status;
}
*/
import "C"

import (
	"context"
	"runtime"
)

// Conn is a connection of one's own: for WATCH, MULTI by hand, and anything else with state. It is never shared and
// never silently replaced. One goroutine uses it at a time.
type Conn struct {
	client *Client
	handle *C.sentinel_connection_t
}

// Acquire takes a verified connection out of the client's pool, or makes one. A call on it holds a thread of the system
// while it waits, so this is for few goroutines at a time.
func (c *Client) Acquire(ctx context.Context) (*Conn, error) {
	timeout := timeoutOf(ctx)
	conn, _, err := blocking(ctx, func() (*Conn, error) {
		handle := c.shared.use()
		if handle == nil {
			return nil, closed("the client")
		}
		defer c.shared.done()
		conn := &Conn{client: c}
		var failure *C.sentinel_error_t
		status := C.sentinel_client_acquire(handle, timeout, &conn.handle, &failure)
		if status != C.SENTINEL_OK {
			return nil, takeError(status, failure)
		}
		if c.shared.isOver() {
			C.sentinel_connection_release(conn.handle)
			return nil, closed("the client")
		}
		runtime.SetFinalizer(conn, (*Conn).Release)
		return conn, nil
	}, (*Conn).Release)
	return conn, err
}

// Do runs one command on the connection; it is never repeated. A context that ends before the reply has come ends the call
// in C too and costs the connection: it answers ErrClosed from then on. A command that waits in the server, such as BLPOP,
// has no other end than its own timeout or the context.
func (c *Conn) Do(ctx context.Context, args ...any) (Reply, error) {
	if c.handle == nil {
		return Reply{}, closed("the connection")
	}
	if err := over(ctx); err != nil {
		return Reply{}, notSent(err)
	}
	packed, err := pack(args)
	if err != nil {
		return Reply{}, err
	}
	timeout := timeoutOf(ctx)
	handle := c.handle
	given := make(chan struct{})
	reply, goesOn, err := blocking(ctx, func() (Reply, error) {
		defer close(given)
		defer packed.release()
		lens, data := packed.pointers()
		var reply *C.sentinel_reply_t
		var failure *C.sentinel_error_t
		status := C.on_connection(handle, C.size_t(len(packed.lens)), lens, (*C.char)(data), timeout, &reply, &failure)
		if status != C.SENTINEL_OK {
			return Reply{}, takeError(status, failure)
		}
		return takeReply(reply), nil
	}, nil)
	if goesOn {
		c.abandon(given)
	}
	runtime.KeepAlive(c)
	return reply, err
}

// abandon ends the call that still has the connection, and gives that back when it is over.
func (c *Conn) abandon(over <-chan struct{}) {
	handle := c.handle
	C.sentinel_connection_cancel(handle)
	c.handle = nil
	runtime.SetFinalizer(c, nil)
	go func() {
		<-over
		C.sentinel_connection_release(handle)
	}()
}

// Release gives the connection back, reset or dropped.
func (c *Conn) Release() {
	runtime.SetFinalizer(c, nil)
	C.sentinel_connection_release(c.handle)
	c.handle = nil
}

package sentinel

/*
#include <sentinel.h>
#include <stdlib.h>

static sentinel_status_t scan_new(sentinel_client_t *client, size_t argc, const size_t *lens, const char *data,
                                  sentinel_scan_t **out, sentinel_error_t **error) {
	const char **argv = malloc((argc + 1) * sizeof *argv);
	sentinel_status_t status;
	if (argv == NULL)
		return SENTINEL_ERR_INTERNAL;
	for (size_t i = 0; i < argc; i++) {
		argv[i] = data != NULL ? data : "";
		data += lens[i];
	}
	status = sentinel_scan_new(client, argc, argv, lens, out, error);
	free(argv);
	return status;
}

static sentinel_status_t scan_next(sentinel_scan_t *scan, int64_t timeout_ms, sentinel_reply_t **reply,
                                   sentinel_error_t **error) {
	sentinel_call_t call = SENTINEL_CALL_INIT;
	call.timeout_ms = timeout_ms;
	return sentinel_scan_next(scan, &call, reply, error);
}
*/
import "C"

import (
	"context"
	"runtime"
	"sync"
)

// Scan is a walk through the keys of a node, or the elements of a key, page by page.
//
//	scan, err := client.Scan("SCAN", "MATCH", "user:*")
//	...
//	defer scan.Close()
//	for scan.Next(ctx) {
//		for _, key := range scan.Page() {
//			...
//		}
//	}
//	err = scan.Err()
//
// What is there all the time is given at least once, perhaps more than once. A cursor is a node's own: when the node is
// gone the walk ends with ErrWrongState, and Restart begins anew. One goroutine uses it at a time.
type Scan struct {
	client *Client
	mutex  sync.Mutex // held while C has the handle: a page that nobody waits for is still under way
	handle *C.sentinel_scan_t
	coming chan ended[[]Reply] // the page that a Next has asked for and did not wait for
	// limited: by the deadline of that Next, and not by the client's
	limited bool
	walks   int // how often it was begun; of whom holds the mutex
	page    []Reply
	err     error
}

// Scan prepares a walk by SCAN, or by HSCAN, SSCAN or ZSCAN with the key, without a cursor; then come the options of the
// command. It does no I/O.
func (c *Client) Scan(args ...any) (*Scan, error) {
	packed, err := pack(args)
	if err != nil {
		return nil, err
	}
	defer packed.release()
	handle := c.shared.use()
	if handle == nil {
		return nil, closed("the client")
	}
	defer c.shared.done()
	scan := &Scan{client: c}
	lens, data := packed.pointers()
	var failure *C.sentinel_error_t
	status := C.scan_new(handle, C.size_t(len(packed.lens)), lens, (*C.char)(data), &scan.handle, &failure)
	if status != C.SENTINEL_OK {
		return nil, takeError(status, failure)
	}
	runtime.SetFinalizer(scan, (*Scan).free)
	return scan, nil
}

// Next asks for the next page, and is false at the end and after a failure; see Err. It holds a thread of the system while
// it waits. The page of a Next that its context ended is not lost: the next one gives it.
func (s *Scan) Next(ctx context.Context) bool {
	s.page, s.err = nil, nil
	if err := over(ctx); err != nil {
		s.err = notSent(err)
		return false
	}
	asked := s.coming != nil && s.limited
	for {
		if s.coming == nil {
			timeout := timeoutOf(ctx)
			s.limited = timeout != 0
			walk := s.walks
			s.coming = start(func() ([]Reply, error) { return s.ask(timeout, walk) })
		}
		end, ok := waitFor(ctx, s.coming)
		if !ok {
			s.err = interrupted(ctx)
			return false
		}
		s.coming = nil
		if end.err != nil && asked {
			// It failed by the deadline of an earlier Next: this one has its own.
			asked = false
			continue
		}
		s.page, s.err = end.value, withContext(ctx, end.err)
		break
	}
	runtime.KeepAlive(s)
	return s.page != nil
}

// ask gives the next page of this walk; nothing of another one, whose page would be given to nobody.
func (s *Scan) ask(timeout C.int64_t, walk int) ([]Reply, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if walk != s.walks {
		return nil, nil
	}
	if s.handle == nil {
		return nil, closed("the scan")
	}
	var reply *C.sentinel_reply_t
	var failure *C.sentinel_error_t
	switch status := C.scan_next(s.handle, timeout, &reply, &failure); {
	case status == C.SENTINEL_OK:
		elements := takeReply(reply).elements
		if elements == nil {
			elements = []Reply{}
		}
		return elements, nil
	case status == C.SENTINEL_EMPTY:
		return nil, nil
	default:
		return nil, takeError(status, failure)
	}
}

// Page is what the last Next brought, as the server gives it, perhaps nothing: of hashes and sorted sets both halves of
// each pair, by turns.
func (s *Scan) Page() []Reply { return s.page }

// Err is why the last Next failed; nil at the end. After any failure but ErrWrongState, Next goes on where it failed.
func (s *Scan) Err() error { return s.err }

// Restart goes back to the beginning, on whatever node serves the client then.
func (s *Scan) Restart() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.coming = nil
	s.walks++
	C.sentinel_scan_restart(s.handle)
}

// Close gives the scan's connection back.
func (s *Scan) Close() {
	runtime.SetFinalizer(s, nil)
	// After a page that was given up, which ends by itself.
	go s.free()
}

func (s *Scan) free() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	C.sentinel_scan_free(s.handle)
	s.handle = nil
}

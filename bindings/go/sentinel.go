// Package sentinel reads and writes Redis or Valkey through Sentinel: a client for the primary of a service and one for
// its replicas, which follow them through every failover.
//
//	db, err := sentinel.Open("redis+sentinel://127.0.0.1:26379,127.0.0.1:26380/mymaster")
//	...
//	defer db.Close()
//	primary, err := db.Primary("")
//	...
//	name, err := sentinel.String(primary.Do(ctx, "GET", "name"))
//
// A deployment and its clients are used by any number of goroutines at once. Calls wait in Go's netpoller, whatever their
// number; one or two at a time, and what says so, hold a thread of the system while they wait.
package sentinel

/*
#include <sentinel.h>
#include <stdlib.h>
*/
import "C"

import (
	"context"
	"runtime"
	"strconv"
	"sync"
	"time"
)

// queueCapacity is how many calls may be under way in a deployment: as many as one client may have by default, and
// room for a few such clients.
const queueCapacity = 4 * 65536

// DB is a deployment: a set of Sentinels and the services they watch. One for a program is enough; a copy is the same
// deployment, and the zero value is a closed one.
type DB struct{ *deployment }

type deployment struct {
	handle *C.sentinel_t
	calls  *calls
	queues *queues
	once   sync.Once
}

// Open opens a deployment by a URL, by options (WithSentinels), or both. It does no I/O, so it succeeds with every
// Sentinel down; see Client.Connect.
//
//	redis+sentinel://[user[:password]@]host[:port][,host[:port]...]/service[/database][?key=value&...]
func Open(url string, options ...Option) (*DB, error) {
	if url != "" {
		options = append([]Option{withURL(url)}, options...)
	}
	made, err := newOptions(options)
	if err != nil {
		return nil, err
	}
	defer C.sentinel_options_free(made)
	db := &DB{&deployment{queues: &queues{open: make(map[*queue]struct{})}}}
	var failure *C.sentinel_error_t
	if status := C.sentinel_open(made, &db.handle, &failure); status != C.SENTINEL_OK {
		return nil, takeError(status, failure)
	}
	db.calls, err = newCalls(db.handle)
	if err != nil {
		C.sentinel_free(db.handle)
		return nil, err
	}
	// The handle lives as long as anything can reach it, so that no call meets a freed one: a client, or a subscription or
	// watch that was not closed. This is the safety net of a program that forgets Close, too.
	runtime.SetFinalizer(db.deployment, func(d *deployment) {
		go func() {
			d.close()
			C.sentinel_free(d.handle)
		}()
	})
	return db, nil
}

// isOpen is false of the zero value.
func (db *DB) isOpen() bool { return db != nil && db.deployment != nil }

// Close ends every call on the deployment and its clients with ErrClosed, and its subscriptions and watches.
func (db *DB) Close() error {
	if !db.isOpen() {
		return nil
	}
	err := db.deployment.close()
	runtime.KeepAlive(db.deployment)
	return err
}

func (d *deployment) close() error {
	var err error
	d.once.Do(func() {
		err = statusError(C.sentinel_close(d.handle, 0))
		d.calls.stop()
		d.queues.stop()
	})
	return err
}

// Describe is every Sentinel and node as the library sees it now, and why, as JSON; sentinel.h says what is in it.
func (db *DB) Describe() (string, error) { return db.text(describe) }

// Metrics is what the library has counted, in the text format of Prometheus.
func (db *DB) Metrics() (string, error) { return db.text(metrics) }

// Primary gives a client of the primary of a service; "" is the service of the URL. Options override those of the
// deployment. It does no I/O.
func (db *DB) Primary(service string, options ...Option) (*Client, error) {
	return db.client(service, options, RolePrimary)
}

// Replica gives a client of the replicas of a service: each command goes to one of them, and to the primary when there
// is none, unless replica.fallback_to_primary is 0.
func (db *DB) Replica(service string, options ...Option) (*Client, error) {
	return db.client(service, options, RoleReplica)
}

// Role is the part a node plays.
type Role int

// The parts a node plays.
const (
	RolePrimary  Role = C.SENTINEL_ROLE_PRIMARY
	RoleReplica  Role = C.SENTINEL_ROLE_REPLICA
	RoleSentinel Role = C.SENTINEL_ROLE_SENTINEL
)

// Node is a server or a Sentinel, as it was at one moment.
type Node struct {
	Host string
	Port int
	Role Role
}

// Addr is host:port.
func (n Node) Addr() string { return joinHostPort(n.Host, n.Port) }

// DiscoverPrimary asks the Sentinels for the primary of a service. Programs that use clients need none of this.
func (db *DB) DiscoverPrimary(ctx context.Context, service string) (Node, error) {
	nodes, err := db.discover(ctx, service, RolePrimary)
	if err != nil || len(nodes) == 0 {
		return Node{}, err
	}
	return nodes[0], nil
}

// DiscoverReplicas asks the Sentinels for the usable replicas of a service.
func (db *DB) DiscoverReplicas(ctx context.Context, service string) ([]Node, error) {
	return db.discover(ctx, service, RoleReplica)
}

// DiscoverSentinels asks the Sentinels for all that watch a service.
func (db *DB) DiscoverSentinels(ctx context.Context, service string) ([]Node, error) {
	return db.discover(ctx, service, RoleSentinel)
}

func (db *DB) discover(ctx context.Context, service string, role Role) ([]Node, error) {
	if !db.isOpen() {
		return nil, closed("the deployment")
	}
	if err := over(ctx); err != nil {
		return nil, notSent(err)
	}
	timeout := timeoutOf(ctx)
	nodes, _, err := blocking(ctx, func() ([]Node, error) {
		name, free, err := cString("the service", service)
		if err != nil {
			return nil, err
		}
		defer free()
		defer runtime.KeepAlive(db.deployment)
		var nodes *C.sentinel_nodes_t
		var failure *C.sentinel_error_t
		var status C.sentinel_status_t
		switch role {
		case RolePrimary:
			status = C.sentinel_discover_primary(db.handle, name, timeout, &nodes, &failure)
		case RoleReplica:
			status = C.sentinel_discover_replicas(db.handle, name, timeout, &nodes, &failure)
		default:
			status = C.sentinel_discover_sentinels(db.handle, name, timeout, &nodes, &failure)
		}
		if status != C.SENTINEL_OK {
			return nil, takeError(status, failure)
		}
		return takeNodes(nodes), nil
	}, nil)
	return nodes, err
}

func takeNodes(nodes *C.sentinel_nodes_t) []Node {
	defer C.sentinel_nodes_free(nodes)
	result := make([]Node, int(C.sentinel_nodes_len(nodes)))
	for i := range result {
		at := C.size_t(i)
		result[i] = Node{
			Host: C.GoString(C.sentinel_nodes_host(nodes, at)),
			Port: int(C.sentinel_nodes_port(nodes, at)),
			Role: Role(C.sentinel_nodes_role(nodes, at)),
		}
	}
	return result
}

// Version is that of the library that was loaded.
func Version() string { return C.GoString(C.sentinel_version()) }

// timeoutOf gives the library the context's deadline, so that it ends the call by itself; 0: the client's default.
func timeoutOf(ctx context.Context) C.int64_t {
	deadline, ok := ctx.Deadline()
	if !ok {
		return 0
	}
	left := time.Until(deadline)
	ms := left / time.Millisecond
	if left%time.Millisecond > 0 {
		ms++
	}
	if ms < 1 {
		ms = 1
	}
	return C.int64_t(ms)
}

type ended[T any] struct {
	value T
	err   error
}

// start runs what holds a thread, for the few calls that have no queued form.
func start[T any](call func() (T, error)) chan ended[T] {
	done := make(chan ended[T], 1)
	go func() {
		value, err := call()
		done <- ended[T]{value, err}
	}()
	return done
}

// graceAfterDeadline is how long the library's own end of a call is waited for when the context's deadline, which is the
// call's, has passed: the library says where it was tried and why it failed, the context says nothing.
const graceAfterDeadline = 20 * time.Millisecond

// waitFor waits no longer than the context lets it, and a little longer for the library's own end of a call at the deadline.
func waitFor[T any](ctx context.Context, done <-chan T) (end T, ok bool) {
	select {
	case end = <-done:
		return end, true
	case <-ctx.Done():
	}
	if ctx.Err() == context.DeadlineExceeded {
		grace := time.NewTimer(graceAfterDeadline)
		defer grace.Stop()
		select {
		case end = <-done:
			return end, true
		case <-grace.C:
		}
	}
	return end, false
}

// blocking starts a call and waits for it as long as the context lets it; what comes later is undone. Whether it goes on.
func blocking[T any](ctx context.Context, call func() (T, error), undo func(T)) (value T, goesOn bool, err error) {
	if err := over(ctx); err != nil {
		return value, false, notSent(err)
	}
	done := start(call)
	if end, ok := waitFor(ctx, done); ok {
		return end.value, false, withContext(ctx, end.err)
	}
	go func() {
		if end := <-done; end.err == nil && undo != nil {
			undo(end.value)
		}
	}()
	return value, true, interrupted(ctx)
}

func joinHostPort(host string, port int) string {
	for i := 0; i < len(host); i++ {
		if host[i] == ':' {
			return "[" + host + "]:" + strconv.Itoa(port)
		}
	}
	return host + ":" + strconv.Itoa(port)
}

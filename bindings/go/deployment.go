package sentinel

/*
#include <sentinel.h>
#include <stdlib.h>

// What a deployment tells of itself, in C's memory, for the caller to free.
static sentinel_status_t text_of(const sentinel_t *sentinel, int what, char **out, size_t *out_len) {
	size_t size = 0, len = 0;
	sentinel_status_t status;
	*out = NULL;
	do {
		char *more = realloc(*out, size + 1);
		if (more == NULL) {
			free(*out);
			*out = NULL;
			return SENTINEL_ERR_INTERNAL;
		}
		*out = more;
		status = (what == 0 ? sentinel_describe : sentinel_metrics_text)(sentinel, *out, size + 1, &len);
		size = len + len / 4 + 1024; // it grows meanwhile
	} while (status == SENTINEL_ERR_BUFFER_TOO_SMALL);
	*out_len = len;
	return status;
}
*/
import "C"

import (
	"runtime"
	"sync"
	"unsafe"
)

// UpdateCredentials replaces the login at the data nodes, without a restart and without a failed call: add the new
// password at the servers, call this, take the old one away. username "" is the user default, and without a password no
// login; another user without a password logs in with an empty one. Clients that were made with a login of their own
// keep it.
func (db *DB) UpdateCredentials(username string, password []byte) error {
	return db.update(username, password, func(name *C.char, data unsafe.Pointer, length C.size_t, failure **C.sentinel_error_t) C.sentinel_status_t {
		return C.sentinel_update_credentials(db.handle, name, data, length, failure)
	})
}

// UpdateSentinelCredentials replaces the login at the Sentinels.
func (db *DB) UpdateSentinelCredentials(username string, password []byte) error {
	return db.update(username, password, func(name *C.char, data unsafe.Pointer, length C.size_t, failure **C.sentinel_error_t) C.sentinel_status_t {
		return C.sentinel_update_sentinel_credentials(db.handle, name, data, length, failure)
	})
}

// UpdateSentinels lets the Sentinels of these options take the place of those given before, as in
// db.UpdateSentinels(WithSentinels("10.0.0.7:26379")); no call fails for it. Other options are ignored.
func (db *DB) UpdateSentinels(options ...Option) error {
	if !db.isOpen() {
		return closed("the deployment")
	}
	made, err := newOptions(options)
	if err != nil {
		return err
	}
	defer C.sentinel_options_free(made)
	var failure *C.sentinel_error_t
	status := C.sentinel_update_sentinels(db.handle, made, &failure)
	runtime.KeepAlive(db.deployment)
	if status != C.SENTINEL_OK {
		return takeError(status, failure)
	}
	return nil
}

func (db *DB) update(username string, password []byte,
	update func(*C.char, unsafe.Pointer, C.size_t, **C.sentinel_error_t) C.sentinel_status_t) error {
	if !db.isOpen() {
		return closed("the deployment")
	}
	name, free, err := cString("the user name", username)
	if err != nil {
		return err
	}
	defer free()
	// A copy, so that what C is handed is nothing but these bytes.
	data := C.CBytes(password)
	defer func() {
		for i := range password {
			*(*byte)(unsafe.Add(data, i)) = 0
		}
		C.free(data)
	}()
	var failure *C.sentinel_error_t
	status := update(name, data, C.size_t(len(password)), &failure)
	runtime.KeepAlive(db.deployment)
	if status != C.SENTINEL_OK {
		return takeError(status, failure)
	}
	return nil
}

// What text_of gives.
const (
	describe C.int = iota
	metrics
)

func (db *DB) text(what C.int) (string, error) {
	if !db.isOpen() {
		return "", closed("the deployment")
	}
	var content *C.char
	var length C.size_t
	status := C.text_of(db.handle, what, &content, &length)
	runtime.KeepAlive(db.deployment)
	defer C.free(unsafe.Pointer(content))
	if status != C.SENTINEL_OK {
		return "", statusError(status)
	}
	return C.GoStringN(content, C.int(length)), nil
}

// EventKind is what a Watch tells of; a sum of them is several.
type EventKind uint32

// The kinds. Each event has the fields that sentinel.h lists for it.
const (
	EventPrimaryChanged   EventKind = C.SENTINEL_EVENT_PRIMARY_CHANGED
	EventReplicasChanged  EventKind = C.SENTINEL_EVENT_REPLICAS_CHANGED
	EventSentinelsChanged EventKind = C.SENTINEL_EVENT_SENTINELS_CHANGED
	EventConnection       EventKind = C.SENTINEL_EVENT_CONNECTION
	EventSubscriptionGap  EventKind = C.SENTINEL_EVENT_SUBSCRIPTION_GAP
	EventFailover         EventKind = C.SENTINEL_EVENT_FAILOVER
	EventWritesHeld       EventKind = C.SENTINEL_EVENT_WRITES_HELD
)

// Change is what happened to a deployment: Name is primary_changed, replicas_changed, sentinels_changed, connection,
// subscription_gap, failover or writes_held. Fields are those of the library as Reply.Value has them, such as from, to.
type Change struct {
	Name    string
	Service string
	Fields  map[string]any
}

// eventsAtOnce is how many events wait for the program; one more is dropped and counted by the library.
const eventsAtOnce = 4096

// Watch tells what happens to a deployment, as the library sees it.
type Watch struct {
	db      *DB
	queue   *queue
	changes chan Change
	once    sync.Once
}

// Watch tells of changes from now on, until it or its deployment is closed.
func (db *DB) Watch(kinds EventKind) (*Watch, error) {
	if !db.isOpen() {
		return nil, closed("the deployment")
	}
	changes := make(chan Change, entriesAtOnce)
	queue, err := newQueue(db.handle, eventsAtOnce, func(entry *completion, over <-chan struct{}) {
		C.sentinel_error_free(entry.error)
		fields, ok := takeReply(entry.reply).Value().(map[string]any)
		if !ok {
			return
		}
		name, _ := fields["event"].(string)
		service, _ := fields["service"].(string)
		select {
		case changes <- Change{Name: name, Service: service, Fields: fields}:
		case <-over:
		}
	})
	if err != nil {
		return nil, err
	}
	w := &Watch{db: db, queue: queue, changes: changes}
	// Until it has ended it keeps the deployment: a program may have nothing but the channel.
	db.queues.add(queue, func() { close(w.changes) })
	var failure *C.sentinel_error_t
	if status := C.sentinel_watch_events(db.handle, C.uint32_t(kinds), queue.handle, 0, &failure); status != C.SENTINEL_OK {
		w.Close()
		return nil, takeError(status, failure)
	}
	return w, nil
}

// Changes is closed with the watch, and with its deployment.
func (w *Watch) Changes() <-chan Change { return w.changes }

// Close ends the watch and closes its channel.
func (w *Watch) Close() {
	w.once.Do(func() {
		if w.queue == nil {
			return // the zero value
		}
		C.sentinel_watch_events(w.db.handle, 0, w.queue.handle, 0, nil)
		w.queue.stop()
	})
}

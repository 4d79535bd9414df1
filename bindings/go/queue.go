package sentinel

/*
#include <sentinel.h>
*/
import "C"

import (
	"os"
	"runtime"
	"sync"
	"syscall"
	"unsafe"
)

// entriesAtOnce is how many completions one crossing takes from a queue.
const entriesAtOnce = 256

type completion = C.sentinel_completion_t

// queue is a queue of completions and the goroutine that waits for them, in the netpoller, on the queue's descriptor.
type queue struct {
	handle *C.sentinel_queue_t
	file   *os.File
	over   chan struct{} // closed when nobody is to wait for a program any more that does not read
	once   sync.Once
	ended  chan struct{}
}

// newQueue hands every completion to take, on one goroutine, until the queue is stopped. What take waits for, it waits for
// no longer than until over is closed.
func newQueue(deployment *C.sentinel_t, capacity int, take func(entry *completion, over <-chan struct{})) (*queue, error) {
	q := &queue{over: make(chan struct{}), ended: make(chan struct{})}
	var failure *C.sentinel_error_t
	status := C.sentinel_queue_new(deployment, C.size_t(capacity), &q.handle, &failure)
	if status != C.SENTINEL_OK {
		return nil, takeError(status, failure)
	}
	if err := q.open(); err != nil {
		C.sentinel_queue_free(q.handle)
		return nil, &Error{Status: StatusInternal, Outcome: OutcomeNotSent, Message: "the queue's descriptor: " + err.Error(), cause: err}
	}
	// Submissions may still name it after its goroutine has ended.
	runtime.SetFinalizer(q, func(q *queue) { C.sentinel_queue_free(q.handle) })
	go q.run(take)
	return q, nil
}

// open makes a file of a copy of the queue's descriptor, which stays the queue's own.
func (q *queue) open() error {
	fd := C.sentinel_queue_fd(q.handle)
	if fd < 0 {
		return syscall.EMFILE
	}
	copied, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_DUPFD_CLOEXEC, 0)
	if errno != 0 {
		return errno
	}
	// Without this, os.NewFile would not hand it to the netpoller.
	if err := syscall.SetNonblock(int(copied), true); err != nil {
		syscall.Close(int(copied))
		return err
	}
	q.file = os.NewFile(copied, "sentinel-queue")
	return nil
}

// run takes what is there before it waits, every time: the netpoller tells of changes only.
func (q *queue) run(take func(*completion, <-chan struct{})) {
	defer close(q.ended)
	entries := make([]completion, entriesAtOnce)
	drain := func(uintptr) bool {
		for {
			var count C.size_t
			status := C.sentinel_queue_poll(q.handle, &entries[0], C.size_t(unsafe.Sizeof(entries[0])),
				entriesAtOnce, 0, &count)
			for i := range entries[:count] {
				take(&entries[i], q.over)
				entries[i] = completion{}
			}
			if count == 0 {
				return status < 0 // closed, and everything was taken
			}
			if count < entriesAtOnce {
				// Those that were woken run first, and submit what the next round takes together.
				runtime.Gosched()
			}
		}
	}
	if conn, err := q.file.SyscallConn(); err == nil {
		// Returns when the deployment is closed, or by Close of the file.
		_ = conn.Read(drain)
	}
	drain(0)
	q.file.Close()
	runtime.KeepAlive(q)
}

// stop ends the goroutine after what is in the queue was taken.
func (q *queue) stop() {
	q.end()
	<-q.ended
}

// end lets the goroutine end. The file's Close waits for whoever reads it, so that this one must not wait for the program.
func (q *queue) end() {
	q.once.Do(func() { close(q.over) })
	q.file.Close()
}

// queues are those of subscriptions and watches. A queue's descriptor tells of what is in it and not of its end, so that
// the deployment ends them by hand. It refers to no DB, see Open.
type queues struct {
	mutex   sync.Mutex
	open    map[*queue]struct{}
	stopped bool
}

// add lets over be called when the queue has ended.
func (all *queues) add(q *queue, over func()) {
	all.mutex.Lock()
	all.open[q] = struct{}{}
	stopped := all.stopped
	all.mutex.Unlock()
	go func() {
		<-q.ended
		all.mutex.Lock()
		delete(all.open, q)
		all.mutex.Unlock()
		over()
	}()
	if stopped {
		q.stop()
	}
}

func (all *queues) stop() {
	all.mutex.Lock()
	all.stopped = true
	open := make([]*queue, 0, len(all.open))
	for q := range all.open {
		open = append(open, q)
	}
	all.mutex.Unlock()
	for _, q := range open {
		q.end()
	}
}

// calls gives the completions of one queue to the goroutines that wait for them.
type calls struct {
	queue   *queue
	gate    chan struct{} // as many places as goroutines may submit at once
	mutex   sync.Mutex
	waiting map[uint64]chan completion
	next    uint64
	stopped bool
}

func newCalls(deployment *C.sentinel_t) (*calls, error) {
	c := &calls{waiting: make(map[uint64]chan completion), gate: make(chan struct{}, 2*runtime.GOMAXPROCS(0))}
	queue, err := newQueue(deployment, queueCapacity, c.take)
	if err != nil {
		return nil, err
	}
	c.queue = queue
	return c, nil
}

var channels = sync.Pool{New: func() any { return make(chan completion, 1) }}

// expect gives a tag for a submission, and the channel on which its one completion will come.
func (c *calls) expect() (uint64, chan completion, error) {
	done := channels.Get().(chan completion)
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.stopped {
		return 0, nil, closed("the deployment")
	}
	c.next++
	c.waiting[c.next] = done
	return c.next, done, nil
}

// forget takes a tag back that was not submitted after all.
func (c *calls) forget(tag uint64, done chan completion) {
	c.mutex.Lock()
	_, waits := c.waiting[tag]
	delete(c.waiting, tag)
	c.mutex.Unlock()
	if !waits {
		// The end of the deployment is in it: whoever is given the channel next would take that for its reply.
		freeCompletion(<-done)
	}
	channels.Put(done)
}

func (c *calls) take(entry *completion, _ <-chan struct{}) {
	tag := uint64(entry.tag)
	c.mutex.Lock()
	done := c.waiting[tag]
	delete(c.waiting, tag)
	c.mutex.Unlock()
	if done == nil {
		freeCompletion(*entry)
		return
	}
	done <- *entry
}

// stop ends what is still waited for; sentinel_close has completed all of it as a rule.
func (c *calls) stop() {
	c.mutex.Lock()
	c.stopped = true
	c.mutex.Unlock()
	// The queue's own end brings no more completions.
	c.queue.stop()
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for tag, done := range c.waiting {
		delete(c.waiting, tag)
		done <- completion{status: C.SENTINEL_ERR_CLOSED}
	}
}

func freeCompletion(entry completion) {
	C.sentinel_reply_free(entry.reply)
	C.sentinel_error_free(entry.error)
}

//go:build storm

package sentinel

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A storm: everything at once, for SECONDS (20), by the random numbers of SEED. What each call may and must not give is
// in storm_calls_test.go. `go test -tags storm -race -run TestStorm -v`, inside `lab run`.

const (
	slots     = 4                // pool.max_connections
	members   = 500              // of the set that is walked through
	unlimited = 10 * time.Second // timeout_ms
)

// slack is how late a call may be on a machine that is not; more, by SLACK in ms, where it has other things to do.
var slack = time.Duration(number("SLACK", 500)) * time.Millisecond

type storm struct {
	seed    int64
	begun   time.Time
	db      *DB
	service string
	primary *Client
	replica *Client

	over   atomic.Bool
	broken atomic.Value // of string: what was found first
	unrest atomic.Int64 // odd while a failover or a shortage of descriptors is under way
	stall  atomic.Int64 // by how much, in sum, a plain sleep was late
	serial atomic.Int64
	moved  atomic.Int64
	born   atomic.Int64 // children
	calls  atomic.Int64

	inherited int // descriptors of a child before anything was opened

	failures atomic.Int64
	mutex    sync.Mutex
	errors   map[string]int
	ops      map[string]int
}

// fail ends the storm with what was found first.
func (s *storm) fail(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if found := s.broken.CompareAndSwap(nil, text); found || s.failures.Add(1) < 20 {
		fmt.Printf("storm: go broke after %.1f s, seed %d, unrest %d: %s\n", time.Since(s.begun).Seconds(), s.seed,
			s.unrest.Load(), text)
	}
	s.over.Store(true)
}

func (s *storm) count(kind string) {
	s.mutex.Lock()
	s.errors[kind]++
	s.mutex.Unlock()
}

func number(name string, otherwise int64) int64 {
	if n, err := strconv.ParseInt(os.Getenv(name), 10, 64); err == nil {
		return n
	}
	return otherwise
}

// What a process has, for the comparison of before and after.
type holdings struct{ descriptors, goroutines, threads, memory int }

func (s *storm) holdings(t testing.TB) holdings {
	var has holdings
	entries, err := os.ReadDir("/proc/self/fd")
	check(t, err)
	has.descriptors, has.goroutines = len(entries)-1, runtime.NumGoroutine()
	tasks, _ := os.ReadDir("/proc/self/task")
	for _, task := range tasks {
		name, _ := os.ReadFile("/proc/self/task/" + task.Name() + "/comm")
		if strings.HasPrefix(string(name), "sentinel-") {
			has.threads++
		}
	}
	// Not what the process has of the system: the race detector keeps that.
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	has.memory = (int(memory.HeapAlloc) + allocated()) >> 20
	return has
}

func TestStorm(t *testing.T) {
	const megabytes = 20
	s := &storm{seed: number("SEED", time.Now().UnixNano()%1e9), begun: time.Now(),
		errors: make(map[string]int), ops: make(map[string]int)}
	seconds := time.Duration(number("SECONDS", 20)) * time.Second
	fmt.Printf("storm: go seed %d, %v\n", s.seed, seconds)
	// The netpoller and the runtime's own threads are there before anything is counted.
	lab(t, "wait-settled")
	before := s.holdings(t)
	inherited, _, err := childDescriptors()
	check(t, err)
	s.inherited = inherited
	s.prepare(t)

	var workers, others sync.WaitGroup
	run := func(group *sync.WaitGroup, index int64, what func(*worker)) {
		group.Add(1)
		go func() {
			defer group.Done()
			what(newWorker(s, s.seed+index))
		}()
	}
	for i := int64(0); i < 24; i++ {
		run(&workers, i, (*worker).work)
	}
	for i := int64(100); i < 104; i++ {
		run(&workers, i, (*worker).hear)
	}
	run(&workers, 200, (*worker).doom)
	run(&workers, 201, (*worker).doom)
	run(&workers, 202, (*worker).children)
	run(&others, 300, (*worker).clock)
	run(&others, 400, (*worker).weather)
	for end := s.begun.Add(seconds); time.Now().Before(end) && !s.over.Load(); {
		time.Sleep(10 * time.Millisecond)
	}
	s.over.Store(true)
	s.join(&others, "the weather has not ended")
	s.join(&workers, "a call has not ended")
	if s.broken.Load() == nil {
		s.everySlotIsFree()
	}
	check(t, s.db.Close())
	s.db, s.primary, s.replica = nil, nil, nil
	s.leavesNothing(t, before, megabytes)
	s.figures()
	if found := s.broken.Load(); found != nil {
		t.Fatalf("SEED=%d: %s", s.seed, found)
	}
}

func (s *storm) prepare(t testing.TB) {
	var err error
	s.db, s.service = topology(t, With("timeout_ms", unlimited), With("pool.max_connections", slots))
	s.primary, err = s.db.Primary(s.service)
	check(t, err)
	s.replica, err = s.db.Replica(s.service)
	check(t, err)
	batch := s.primary.Pipeline()
	for i := 0; i < members; i++ {
		batch.Do("SADD", "storm:set", i)
	}
	_, err = batch.Run(background)
	check(t, err)
	_, err = s.primary.With(Replicas(2)).Do(background, "SADD", "storm:set", 0, "last")
	check(t, err)
	_, err = s.primary.With(Replicas(2)).Do(background, "SREM", "storm:set", "last")
	check(t, err)
	// Until then the primary stands in, and a walk that began there ends with that.
	eventually(t, "no replica", func() bool {
		s.replica.Do(background, "PING")
		node, ok := s.replica.Node()
		return ok && node.Role == RoleReplica
	})
}

func (s *storm) join(group *sync.WaitGroup, what string) {
	ended := make(chan struct{})
	go func() { group.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		pprof.Lookup("goroutine").WriteTo(os.Stdout, 1)
		panic(fmt.Sprintf("SEED=%d: %s", s.seed, what))
	}
}

func text(counts map[string]int) string {
	var parts []string
	for kind, count := range counts {
		parts = append(parts, fmt.Sprintf("%s %d", kind, count))
	}
	sort.Strings(parts)
	return strings.Join(parts, ", ")
}

// descriptors tells how many there are of each kind.
func descriptors() map[string]int {
	kinds := make(map[string]int)
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, entry := range entries {
		target, _ := os.Readlink("/proc/self/fd/" + entry.Name())
		kind, _, _ := strings.Cut(target, ":[")
		kinds[kind]++
	}
	return kinds
}

func (s *storm) figures() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	fmt.Printf("storm: go seed %d, %.0f s, %d calls, %d failovers, %d children, errors: %s\n", s.seed,
		time.Since(s.begun).Seconds(), s.calls.Load(), s.moved.Load(), s.born.Load(), text(s.errors))
	fmt.Printf("rounds: %s; late by %v in all\n", text(s.ops), time.Duration(s.stall.Load()))
}

// everySlotIsFree: what was acquired and given up in whatever way has come back.
func (s *storm) everySlotIsFree() {
	collect()
	ctx, cancel := context.WithTimeout(background, unlimited)
	defer cancel()
	for _, client := range []*Client{s.primary, s.replica} {
		for i := 0; i < slots; i++ {
			conn, err := client.Acquire(ctx)
			if err != nil {
				s.fail("%d of %d slots are free: %v", i, slots, err)
				return
			}
			defer conn.Release()
			if got, err := String(conn.Do(ctx, "ECHO", i)); err != nil || got != strconv.Itoa(i) {
				s.fail("slot %d: %q, %v", i, got, err)
			}
		}
	}
}

// leavesNothing: everything is closed or was dropped.
func (s *storm) leavesNothing(t testing.TB, before holdings, megabytes int) {
	var now holdings
	for tries := 0; tries < 100; tries++ {
		collect()
		debug.FreeOSMemory()
		now = s.holdings(t)
		// The netpoller's own two descriptors may have come later.
		if now.descriptors <= before.descriptors+2 && now.goroutines <= before.goroutines && now.threads == 0 {
			break
		}
	}
	if now.descriptors > before.descriptors+2 {
		s.fail("%d descriptors, %d before: %s; %d threads of the library", now.descriptors, before.descriptors,
			text(descriptors()), now.threads)
	}
	if now.goroutines > before.goroutines || now.threads > 0 {
		pprof.Lookup("goroutine").WriteTo(os.Stdout, 2)
		s.fail("%d goroutines, %d before; %d threads of the library", now.goroutines, before.goroutines, now.threads)
	}
	if now.memory > before.memory+megabytes {
		s.fail("%d MB, %d before", now.memory, before.memory)
	}
	fmt.Printf("storm: go has %d MB, %d before\n", now.memory, before.memory)
}

// A worker is one goroutine with random numbers of its own.
type worker struct {
	*storm
	random *rand.Rand
}

func newWorker(s *storm, seed int64) *worker {
	return &worker{storm: s, random: rand.New(rand.NewSource(seed))}
}

// unique is a text that nothing else in this storm is.
func (w *worker) unique() string { return fmt.Sprintf("s%d:%d", w.seed, w.serial.Add(1)) }

func (w *worker) pause(most time.Duration) time.Duration {
	return time.Duration(w.random.Int63n(int64(most)) + 1)
}

// clock measures how late whatever waits is on this machine, so that calls are not blamed for it.
func (w *worker) clock() {
	const tick = 5 * time.Millisecond
	for !w.over.Load() {
		begun := time.Now()
		time.Sleep(tick)
		if late := time.Since(begun) - tick; late > tick {
			w.stall.Add(int64(late))
		}
	}
}

// weather is what happens to all: failovers, collections, no more descriptors.
func (w *worker) weather() {
	for round := 0; !w.over.Load(); round++ {
		time.Sleep(w.pause(time.Second))
		switch kind := w.random.Intn(4); {
		case round == 0 || kind == 0:
			w.failover("kill-primary")
		case round == 1 || kind == 1:
			w.failover("fail-over")
		case round == 2 || kind == 2:
			w.withoutDescriptors()
		default:
			old := debug.SetGCPercent(1)
			for end := time.Now().Add(w.pause(time.Second)); time.Now().Before(end); {
				runtime.GC()
				time.Sleep(w.pause(20 * time.Millisecond))
			}
			debug.SetGCPercent(old)
		}
	}
}

func (w *worker) failover(how string) {
	w.unrest.Add(1)
	defer w.unrest.Add(1)
	order := func(verb string) {
		if _, err := labOutput(verb); err != nil {
			w.fail("lab ctl %s: %v", verb, err)
		}
	}
	old, err := w.db.DiscoverPrimary(background, w.service)
	if err != nil {
		w.fail("the primary before %s: %v", how, err)
		return
	}
	order(how)
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		// Until then it must not be restarted, for it would be an empty primary.
		if now, ok := w.primary.Node(); ok && now.Addr() != old.Addr() {
			break
		}
		if _, err := w.primary.Do(background, "PING"); time.Now().After(end) {
			w.fail("no other primary a minute after %s: %v", how, err)
			return
		}
	}
	w.moved.Add(1)
	order("restart-killed")
	order("wait-settled")
	// Until the library has heard of it, and has what it needs.
	for _, client := range []*Client{w.primary, w.replica} {
		client.Do(background, "PING")
	}
}

func (w *worker) withoutDescriptors() {
	w.unrest.Add(1)
	defer w.unrest.Add(1)
	entries, err := os.ReadDir("/proc/self/fd")
	var old syscall.Rlimit
	if err != nil || syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old) != nil {
		return
	}
	low := old
	low.Cur = uint64(len(entries) + w.random.Intn(8))
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low) != nil {
		return
	}
	time.Sleep(w.pause(time.Second))
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		w.fail("the limit of descriptors: %v", err)
	}
	w.primary.Do(background, "PING")
}

// try is a call that is watched: what it may give depends on its context, and on what happened meanwhile.
type try struct {
	what     string
	begun    time.Time
	limit    time.Duration // 0: that of the client
	cancels  bool          // at its limit, in place of a deadline
	mayClose bool          // its client may be closed under it
	unrest   int64
	stall    int64
}

// begin gives a context of one kind or another.
func (w *worker) begin(what string, mayClose bool) (context.Context, context.CancelFunc, *try) {
	t := &try{what: what, mayClose: mayClose, unrest: w.unrest.Load(), stall: w.stall.Load(), begun: time.Now()}
	w.calls.Add(1)
	switch w.random.Intn(10) {
	case 0, 1, 2, 3:
		return background, func() {}, t
	case 4, 5:
		t.limit = 3 * time.Second
	case 6, 7:
		t.limit = w.pause(20 * time.Millisecond)
	default:
		t.limit, t.cancels = w.pause(10*time.Millisecond), true
		ctx, cancel := context.WithCancel(background)
		timer := time.AfterFunc(t.limit, cancel)
		return ctx, func() { timer.Stop(); cancel() }, t
	}
	ctx, cancel := context.WithTimeout(background, t.limit)
	return ctx, cancel, t
}

func (w *worker) calm(t *try) bool { return t.unrest%2 == 0 && w.unrest.Load() == t.unrest }

// end judges the time that a call took, and its error.
func (w *worker) end(t *try, err error) {
	took, limit := time.Since(t.begun), t.limit
	if limit == 0 {
		limit = unlimited
	}
	if late := took - limit - time.Duration(w.stall.Load()-t.stall); late > slack {
		w.fail("%s is %v late: limit %v, cancelled there: %v, error %v", t.what, late, limit, t.cancels, err)
	}
	if err == nil || errors.Is(err, ErrNil) {
		return
	}
	var failure *Error
	if !errors.As(err, &failure) {
		w.fail("%s: an error of no kind: %#v", t.what, err)
		return
	}
	w.count(failure.Status.String())
	if !w.allowed(t, failure) {
		w.fail("%s: %s is not to be expected: %v, outcome %v, limit %v, cancelled there: %v, attempts %q", t.what,
			failure.Status, err, failure.Outcome, t.limit, t.cancels, failure.Attempts)
	}
}

func (w *worker) allowed(t *try, failure *Error) bool {
	unrest := !w.calm(t)
	switch failure.Status {
	case StatusCancelled:
		return t.cancels && errors.Is(failure, context.Canceled)
	case StatusTimeout, StatusPoolExhausted:
		return unrest || t.limit > 0 && !t.cancels && errors.Is(failure, context.DeadlineExceeded)
	case StatusClosed:
		return t.mayClose
	case StatusPrimaryNotFound, StatusReplicaNotFound, StatusConnectionLost, StatusConnect:
		return unrest || t.mayClose || t.limit > 0 && t.limit < time.Second
	case StatusInternal, StatusTransactionAborted, StatusWrongState, StatusReadOnly, StatusLoading:
		return unrest
	}
	return false
}

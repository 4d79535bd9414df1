//go:build storm

package sentinel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

func labOutput(verb string) (string, error) {
	output, err := exec.Command(os.Getenv("LAB"), "ctl", verb).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, output)
	}
	return strings.TrimSpace(string(output)), nil
}

// work does one thing after another.
func (w *worker) work() {
	things := map[string]func(){
		"echo": w.echo, "key": w.key, "pipeline": w.pipeline, "transaction": w.transaction, "count": w.counter,
		"scan": w.scan, "acquire": w.acquire, "block": w.block, "client": w.client, "forget": w.forget,
	}
	names := []string{"echo", "echo", "echo", "key", "key", "pipeline", "pipeline", "transaction", "count", "scan",
		"acquire", "acquire", "block", "client", "forget"}
	for !w.over.Load() {
		name := names[w.random.Intn(len(names))]
		w.mutex.Lock()
		w.ops[name]++
		w.mutex.Unlock()
		things[name]()
	}
}

func (w *worker) either() *Client {
	if w.random.Intn(3) == 0 {
		return w.replica
	}
	return w.primary
}

// same: the reply is the call's own.
func (w *worker) same(what, want string, reply Reply, err error) {
	if got, err := String(reply, err); err == nil && got != want {
		w.fail("%s: want %q, got %q, which is another's", what, want, got)
	}
}

func (w *worker) echo() { w.echoOn(w.either(), false) }

func (w *worker) echoOn(client *Client, mayClose bool) error {
	ctx, cancel, t := w.begin("echo", mayClose)
	defer cancel()
	want := w.unique()
	if w.random.Intn(20) == 0 {
		want += strings.Repeat("x", w.random.Intn(200_000))
	}
	reply, err := client.Do(ctx, "ECHO", want)
	w.end(t, err)
	w.same("echo", want, reply, err)
	return err
}

// key: a key holds nothing but what was written to it.
func (w *worker) key() {
	name := fmt.Sprintf("storm:key:%d", w.random.Intn(50))
	ctx, cancel, t := w.begin("set", false)
	_, err := w.primary.Do(ctx, "SET", name, name+"|"+w.unique())
	w.end(t, err)
	cancel()
	ctx, cancel, t = w.begin("get", false)
	defer cancel()
	got, err := String(w.either().Do(ctx, "GET", name))
	w.end(t, err)
	if err == nil && !strings.HasPrefix(got, name+"|") {
		w.fail("get %s: got %q, which is another's", name, got)
	}
}

// elements judges the replies of a batch, each of which must be its own.
func (w *worker) elements(t *try, wants []string, replies []Reply) {
	if len(replies) != len(wants) {
		w.fail("%s: %d replies of %d", t.what, len(replies), len(wants))
		return
	}
	for i, want := range wants {
		var failure *Error
		err := replies[i].Err()
		if errors.As(err, &failure) && failure.Status == StatusConnectionLost && (!w.calm(t) || t.limit > 0) {
			continue // of a batch that was cut
		} else if err != nil {
			w.end(t, err)
		} else if got, err := String(replies[i], nil); want != "" && (err != nil || got != want) {
			w.fail("%s: reply %d: want %q, got %q, %v", t.what, i, want, got, err)
		}
	}
}

func (w *worker) pipeline() {
	ctx, cancel, t := w.begin("pipeline", false)
	defer cancel()
	client := w.either()
	batch := client.Pipeline()
	wants := make([]string, 1+w.random.Intn(30))
	for i := range wants {
		wants[i] = w.unique()
		batch.Do("ECHO", wants[i])
	}
	replies, err := batch.Run(ctx)
	w.end(t, err)
	if err == nil {
		w.elements(t, wants, replies)
	}
}

// transaction: nothing comes between its commands, so that both counters are always equal.
func (w *worker) transaction() {
	ctx, cancel, t := w.begin("transaction", false)
	defer cancel()
	want, pair := w.unique(), fmt.Sprintf("storm:pair:%d", w.random.Intn(5))
	replies, err := w.primary.Transaction().Do("INCR", pair+":a").Do("ECHO", want).Do("INCR", pair+":b").Run(ctx)
	w.end(t, err)
	if err != nil {
		return
	}
	w.elements(t, []string{"", want, ""}, replies)
	if a, b := replies[0].Value(), replies[2].Value(); a != b {
		w.fail("a transaction of %s was torn: %v, %v", pair, a, b)
	}
}

// counter: what was acknowledged was done, and what was promised not to have been done was not. A failover may lose
// what was acknowledged; nothing may be done twice.
func (w *worker) counter() {
	name, unrest := "storm:counter:"+w.unique(), w.unrest.Load()
	var acknowledged, unknown, last int64
	for i := 0; i < 20 && !w.over.Load(); i++ {
		ctx, cancel, t := w.begin("incr", false)
		got, err := Int(w.primary.Do(ctx, "INCR", name))
		w.end(t, err)
		cancel()
		var failure *Error
		switch {
		case err == nil:
			acknowledged++
			if w.unrest.Load() == unrest && unrest%2 == 0 && got <= last || got > acknowledged+unknown {
				w.fail("incr %s: %d after %d; %d acknowledged, %d unknown", name, got, last, acknowledged, unknown)
			}
			last = got
		case errors.As(err, &failure) && failure.Outcome == OutcomeUnknown:
			unknown++
		}
	}
	text, err := String(w.primary.Do(background, "GET", name))
	counted, _ := strconv.ParseInt(text, 10, 64)
	if err != nil && !errors.Is(err, ErrNil) {
		return
	}
	lost := w.unrest.Load() != unrest || unrest%2 == 1
	if counted > acknowledged+unknown || counted < acknowledged && !lost {
		w.fail("%s is %d; %d acknowledged, %d unknown, failover: %v", name, counted, acknowledged, unknown, lost)
	}
}

// scan: what is there all the time is given at least once, however often a page's wait is ended.
func (w *worker) scan() {
	scan, err := w.either().Scan("SSCAN", "storm:set", "COUNT", 20+w.random.Intn(200))
	if err != nil {
		w.fail("scan: %v", err)
		return
	}
	if w.random.Intn(4) != 0 {
		defer scan.Close() // otherwise it is the collector's
	}
	begun := &try{unrest: w.unrest.Load()}
	seen := make(map[string]bool)
	for pages := 0; !w.over.Load(); pages++ {
		ctx, cancel, t := w.begin("scan", false)
		more := scan.Next(ctx)
		w.end(t, scan.Err())
		cancel()
		for _, element := range scan.Page() {
			text, err := String(element, nil)
			if n, wrong := strconv.Atoi(text); err != nil || wrong != nil || n < 0 || n >= members {
				w.fail("scan: %q, %v, which is no member", text, err)
			}
			seen[text] = true
		}
		if more {
			continue
		}
		if scan.Err() == nil {
			if len(seen) != members && w.calm(begun) {
				w.fail("a scan gave %d of %d members in %d pages", len(seen), members, pages)
			}
			return
		}
		if errors.Is(scan.Err(), ErrWrongState) || !w.calm(begun) {
			return
		}
	}
}

// acquire: a connection of one's own, on which a transaction is run by hand, and which is given back in every way.
func (w *worker) acquire() {
	ctx, cancel, acquired := w.begin("acquire", false)
	conn, err := w.primary.Acquire(ctx)
	w.end(acquired, err)
	cancel()
	if err != nil {
		return
	}
	if w.random.Intn(8) != 0 {
		defer conn.Release() // otherwise it is the collector's
	} else {
		defer func() { conn = nil }()
	}
	closed := false
	do := func(args ...any) (Reply, error) {
		ctx, cancel, t := w.begin("on a connection", closed)
		defer cancel()
		t.unrest = acquired.unrest // it may have been lost since then
		reply, err := conn.Do(ctx, args...)
		// A context that ended costs the connection, and so does a failure.
		var failure *Error
		if w.end(t, err); errors.As(err, &failure) && failure.Status != StatusServer {
			closed = true
		}
		return reply, err
	}
	want := w.unique()
	reply, err := do("ECHO", want)
	w.same("on a connection", want, reply, err)
	name := fmt.Sprintf("storm:watched:%d", w.random.Intn(3))
	for _, command := range [][]any{{"WATCH", name}, {"MULTI"}, {"INCR", name}, {"ECHO", want}} {
		if _, err := do(command...); err != nil {
			return
		}
	}
	if w.random.Intn(4) == 0 {
		return // left in a transaction
	}
	ctx, cancel = context.WithTimeout(background, unlimited)
	defer cancel()
	reply, err = conn.Do(ctx, "EXEC")
	if replies := reply.elements; err == nil && len(replies) == 2 {
		w.same("a transaction by hand", want, replies[1], nil)
	} else if err == nil && !reply.IsNil() {
		w.fail("EXEC gave %v", reply.Value())
	}
}

// block: a command that waits in the server, and is ended.
func (w *worker) block() {
	ctx, cancel := context.WithTimeout(background, w.pause(30*time.Millisecond))
	defer cancel()
	list := "storm:list:" + w.unique()
	begun := &try{unrest: w.unrest.Load()}
	reply, err := w.primary.Do(ctx, "BLPOP", list, 0)
	if err == nil {
		w.fail("BLPOP of nothing gave %v", reply.Value())
	} else if w.calm(begun) && !errors.Is(err, context.DeadlineExceeded) {
		w.fail("BLPOP ended with %v", err)
	}
}

// client: one that is closed under its calls.
func (w *worker) client() {
	client, err := w.db.Primary(w.service)
	if err != nil {
		w.fail("a client: %v", err)
		return
	}
	var callers sync.WaitGroup
	for i := 0; i < 4; i++ {
		callers.Add(1)
		other := w.another()
		go func() {
			defer callers.Done()
			for i := 0; i < 1000 && other.echoOn(client, true) == nil; i++ {
			}
		}()
	}
	time.Sleep(w.pause(10 * time.Millisecond))
	client.Close()
	callers.Wait()
}

// forget: what nobody closes is freed by the collector, and what is in use is not.
func (w *worker) forget() {
	client, err := w.db.Primary(w.service)
	if err != nil {
		w.fail("a client: %v", err)
		return
	}
	w.echoOn(client, false)
	if w.random.Intn(20) == 0 {
		if db, err := w.open(); err == nil {
			if client, err := db.Primary(w.service); err == nil {
				w.echoOn(client, false)
			}
		}
	}
}

// childDescriptors is how many a child of another program has, and which.
func childDescriptors() (int, []byte, error) {
	listing, err := exec.Command("ls", "-l", "/proc/self/fd").CombinedOutput()
	return strings.Count(string(listing), " -> "), listing, err
}

// children of another program, begun in the middle of everything, have nothing that the library opened.
func (w *worker) children() {
	for !w.over.Load() {
		time.Sleep(w.pause(300 * time.Millisecond))
		begun := &try{unrest: w.unrest.Load()}
		count, listing, err := childDescriptors()
		if err != nil {
			if w.calm(begun) {
				w.fail("a child: %v: %s", err, listing)
			}
			continue
		}
		if w.born.Add(1); count > w.inherited {
			w.fail("a child has %d descriptors and not %d: %s", count, w.inherited, listing)
		}
	}
}

// open may fail where there is no descriptor.
func (w *worker) open() (*DB, error) {
	begun := &try{unrest: w.unrest.Load()}
	db, err := Open("", WithSentinels(strings.Split(os.Getenv("SENTINELS"), ",")...), With("timeout_ms", unlimited))
	if err != nil && w.calm(begun) {
		w.fail("open: %v", err)
	}
	return db, err
}

// doom: whole deployments that are closed under their calls, subscriptions and watches.
func (w *worker) doom() {
	for !w.over.Load() {
		db, err := w.open()
		if err != nil {
			time.Sleep(w.pause(100 * time.Millisecond))
			continue
		}
		client, err := db.Primary(w.service)
		if err != nil {
			w.fail("a client: %v", err)
			return
		}
		var callers sync.WaitGroup
		for i := 0; i < []int{3, 30, 300}[w.random.Intn(3)]; i++ {
			callers.Add(1)
			other := w.another()
			go func() {
				defer callers.Done()
				for err := error(nil); !errors.Is(err, ErrClosed); {
					err = other.echoOn(client, true)
				}
			}()
		}
		w.unread(db, client)
		time.Sleep(w.pause(60 * time.Millisecond))
		ended := make(chan struct{})
		go func() {
			db.Close()
			callers.Wait()
			close(ended)
		}()
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			w.fail("a close, or a call on what was closed, has not ended in 20 s")
			return
		}
	}
}

// unread: a subscription and a watch that nobody reads, with more messages than their channels hold.
func (w *worker) unread(db *DB, client *Client) {
	if w.random.Intn(3) != 0 {
		return
	}
	channel := "storm:unread:" + w.unique()
	if _, err := client.Subscribe(channel); err != nil {
		return // no descriptor
	}
	db.Watch(EventConnection | EventPrimaryChanged)
	batch := w.primary.Pipeline()
	for i := 0; i < 400; i++ {
		batch.Do("PUBLISH", channel, i)
	}
	batch.Run(background)
}

// another is a worker for another goroutine, which has random numbers of its own.
func (w *worker) another() *worker { return newWorker(w.storm, w.random.Int63()) }

package sentinel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// What somebody does who comes from another client and has read no more than the README.

// A copy of a DB is no second owner of what C has.
func TestACopiedDBIsTheSameDeployment(t *testing.T) {
	open := func() DB {
		db, _ := topology(t)
		return *db
	}
	_, service := topology(t)
	for i := 0; i < 5; i++ {
		db := open()
		for j := 0; j < 3; j++ {
			runtime.GC()
			time.Sleep(time.Millisecond)
		}
		client, err := db.Primary(service)
		check(t, err)
		_, err = client.Do(background, "PING")
		check(t, err)
		check(t, db.Close())
		check(t, db.Close())
	}
}

func TestZeroValuesAreClosed(t *testing.T) {
	var db DB
	var client Client
	var none *DB
	_, primary := db.Primary("")
	_, replica := none.Replica("")
	_, discover := db.DiscoverPrimary(background, "x")
	_, watch := db.Watch(EventConnection)
	_, describe := db.Describe()
	_, do := client.Do(background, "PING")
	_, acquire := client.Acquire(background)
	_, subscribe := client.Subscribe("x")
	_, scan := client.Scan("SCAN")
	_, run := client.Pipeline().Do("PING").Run(background)
	var conn Conn
	_, onConn := conn.Do(background, "PING")
	for name, err := range map[string]error{
		"Primary": primary, "Replica": replica, "Discover": discover, "Watch": watch, "Describe": describe, "Do": do,
		"Acquire": acquire, "Subscribe": subscribe, "Scan": scan, "Run": run, "Conn.Do": onConn,
		"Connect": client.Connect(background), "UpdateSentinels": db.UpdateSentinels(),
		"UpdateCredentials": db.UpdateCredentials("", nil),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s of a zero value: %v", name, err)
		}
	}
	client.Close()
	check(t, db.Close())
	if _, err := new(Batch).Do("PING").Run(background); err == nil || !strings.Contains(err.Error(), "Pipeline") {
		t.Errorf("a zero batch: %v", err)
	}
	if _, err := Open("redis+sentinel://127.0.0.1:1/x", Option{}); err != nil {
		t.Errorf("a zero option: %v", err)
	}
}

// Once the context is over nothing holds the connection: not C, not the server, not the pool.
func TestACallOnAConnectionEndsWithItsContext(t *testing.T) {
	db, service := topology(t, With("pool.max_connections", 1))
	client, err := db.Primary(service)
	check(t, err)
	for i := 0; i < 5; i++ {
		conn, err := client.Acquire(background)
		check(t, err)
		ctx, cancel := context.WithCancel(background)
		time.AfterFunc(20*time.Millisecond, cancel)
		_, err = conn.Do(ctx, "BLPOP", "habits:none", 0)
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("cancelled: %v", err)
		}
		conn.Release()
	}
	ctx, cancel := context.WithTimeout(background, 5*time.Second)
	defer cancel()
	conn, err := client.Acquire(ctx)
	check(t, err)
	defer conn.Release()
	_, err = conn.Do(ctx, "PING")
	check(t, err)
}

func TestAConnectionIsForOneGoroutine(t *testing.T) {
	db, service := topology(t)
	client, err := db.Primary(service)
	check(t, err)
	conn, err := client.Acquire(background)
	check(t, err)
	defer conn.Release()
	ended := make(chan error)
	go func() {
		_, err := conn.Do(background, "BLPOP", "habits:queue", 0)
		ended <- err
	}()
	for {
		info, err := String(client.Do(background, "INFO", "clients"))
		check(t, err)
		if !strings.Contains(info, "blocked_clients:0") {
			break
		}
	}
	if _, err := conn.Do(background, "PING"); !errors.Is(err, ErrWrongState) {
		t.Errorf("a second goroutine: %v", err)
	}
	_, err = client.Do(background, "RPUSH", "habits:queue", "job")
	check(t, err)
	check(t, <-ended)
}

func TestScoresAreAMap(t *testing.T) {
	db, service := topology(t)
	client, err := db.Primary(service)
	check(t, err)
	_, err = client.Do(background, "ZADD", "habits:z", 1, "a", 2.5, "b", 3, "c")
	check(t, err)
	for _, command := range [][]any{{"ZRANGE", "habits:z", 0, -1, "WITHSCORES"}, {"ZPOPMIN", "habits:z", 3}} {
		reply, err := client.Do(background, command...)
		check(t, err)
		if pairs := reply.Pairs(); len(pairs) != 3 || fmt.Sprint(pairs[1].Key) != "b" {
			t.Errorf("%v: %v", command, pairs)
		}
		if scores, err := StringMap(reply, nil); err != nil || scores["b"] != "2.5" || len(scores) != 3 {
			t.Errorf("%v: %v, %v", command, scores, err)
		}
	}
	_, err = client.Do(background, "HSET", "habits:h", "name", "Bob", "age", 40)
	check(t, err)
	if got, err := StringMap(client.Do(background, "HMGET", "habits:h", "name", "age", "none")); err == nil {
		t.Errorf("three values are no map: %v", got)
	}
	reply, err := client.Do(background, "HGETALL", "habits:h")
	check(t, err)
	if text, err := json.Marshal(reply); err != nil || string(text) != `{"age":"40","name":"Bob"}` {
		t.Errorf("as JSON: %s, %v", text, err)
	}
	if text := fmt.Sprint(reply); text != "map[age:40 name:Bob]" {
		t.Errorf("printed: %s", text)
	}
}

func TestArgumentsAsTheyAreExpected(t *testing.T) {
	db, service := topology(t)
	client, err := db.Primary(service)
	check(t, err)
	at := time.Date(2026, 11, 29, 17, 0, 0, 123456789, time.UTC)
	_, err = client.Do(background, "HSET", "habits:t", "at", at)
	check(t, err)
	var read struct {
		At time.Time `redis:"at"`
	}
	reply, err := client.Do(background, "HGETALL", "habits:t")
	check(t, err)
	if err := reply.Struct(&read); err != nil || !read.At.Equal(at) {
		t.Errorf("a time: %v, %v", read.At, err)
	}
	_, err = client.Do(background, "SET", "habits:n", float64(1500000))
	check(t, err)
	if n, err := Int(client.Do(background, "INCR", "habits:n")); err != nil || n != 1500001 {
		t.Errorf("a float without a fraction: %d, %v", n, err)
	}
	var none *url.URL
	_, err = client.Do(background, "SET", "habits:u", none)
	if err == nil || !strings.Contains(err.Error(), "argument 2 is a nil *url.URL") {
		t.Errorf("a nil pointer: %v", err)
	}
	_, err = client.Pipeline().Do("PING").Do("SET", "habits:u", none).Run(background)
	if err == nil || !strings.Contains(err.Error(), "command 1: argument 2 is a nil *url.URL") {
		t.Errorf("a nil pointer in a batch: %v", err)
	}
}

func TestMessagesSpeakGo(t *testing.T) {
	db, service := topology(t)
	client, err := db.Primary(service)
	check(t, err)
	_, multi := client.Do(background, "MULTI")
	_, selects := client.Do(background, "SELECT", 1)
	_, waits := client.Do(background, "WAIT", 1, 0)
	_, subscribes := client.Do(background, "SUBSCRIBE", "x")
	_, nothing := Open("")
	_, misspelled := Open("redis+sentinel://127.0.0.1:1/x", With("timeout", 2*time.Second))
	_, flag := Open("redis+sentinel://127.0.0.1:1/x", With("timeout_ms", true))
	for want, err := range map[string]error{
		"Client.Transaction": multi, "Client.Acquire": selects, "Replicas(n)": waits, "Client.Subscribe": subscribes,
		"WithSentinels": nothing, "timeout: no such option": misspelled, "timeout_ms is a time.Duration": flag,
	} {
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "sentinel_") {
			t.Errorf("want %q in %v", want, err)
		}
	}
}

func TestADeploymentDescribesItself(t *testing.T) {
	db, service := topology(t)
	client, err := db.Primary(service)
	check(t, err)
	_, err = client.Do(background, "PING")
	check(t, err)
	text, err := db.Describe()
	check(t, err)
	var described struct {
		Services []struct{ Name string }
	}
	if err := json.Unmarshal([]byte(text), &described); err != nil || len(described.Services) != 1 {
		t.Errorf("%v: %s", err, text)
	}
	if text, err = db.Metrics(); err != nil || !strings.Contains(text, `libsentinel_calls_total{service="`+service) {
		t.Errorf("%v: %s", err, text)
	}
}

// Only the server's own word says that nothing was executed: a script may have written before it failed.
func TestElementsHaveTheirOutcome(t *testing.T) {
	db, service := topology(t)
	client, err := db.Primary(service)
	check(t, err)
	const script = "redis.call('INCR', KEYS[1]); return redis.error_reply(ARGV[1])"
	_, err = client.Do(background, "DEL", "habits:ran", "habits:list")
	check(t, err)
	_, err = client.Do(background, "RPUSH", "habits:list", "x")
	check(t, err)
	for _, batch := range []*Batch{client.Pipeline(), client.Transaction()} {
		for _, words := range []string{"ERR x", "NOTSENT x", "UNKNOWN x"} {
			batch.Do("EVAL", script, 1, "habits:ran", words)
		}
		replies, err := batch.Do("INCR", "habits:list").Run(background)
		check(t, err)
		for i, want := range []Outcome{OutcomeUnknown, OutcomeUnknown, OutcomeUnknown, OutcomeRefused} {
			var failure *Error
			if !errors.As(replies[i].Err(), &failure) || failure.Outcome != want || failure.Status != StatusServer {
				t.Errorf("element %d: %#v", i, replies[i].Err())
			}
		}
	}
	if ran, err := Int(client.Do(background, "GET", "habits:ran")); err != nil || ran != 6 {
		t.Errorf("%d, %v", ran, err)
	}
	mixed, err := client.Do(background, "EVAL", "redis.setresp(3); return {map = {[1] = 'int', ['1'] = 'text'}}", 0)
	check(t, err)
	if values, ok := mixed.Value().([]any); !ok || len(values) != 4 {
		t.Errorf("two keys that are one text: %v", mixed.Value())
	}
}

// A close ends what waits, whoever else is in a call on the client, and nobody uses what it has freed.
func TestACloseEndsWhatWaitsWhoeverElseIsThere(t *testing.T) {
	db, service := topology(t, With("pool.max_connections", 1))
	client, err := db.Primary(service, With("client_name", "habits-close"))
	check(t, err)
	held, err := client.Acquire(background)
	check(t, err)
	defer held.Release()
	ends := make(chan error, 2)
	go func() {
		conn, err := client.Acquire(background)
		if err == nil {
			conn.Release()
		}
		ends <- err
	}()
	go func() {
		_, err := client.Do(background, "BLPOP", "habits:never", 0)
		ends <- err
	}()
	time.Sleep(20 * time.Millisecond)
	client.Close()
	if _, err := client.Do(background, "PING"); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	held.Release()
	for i := 0; i < 2; i++ {
		select {
		case err := <-ends:
			if !errors.Is(err, ErrClosed) {
				t.Errorf("under Close: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("a call has not ended with its client")
		}
	}
}

func TestCallsCancelledUnderAClose(t *testing.T) {
	db, service := topology(t)
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); {
		client, err := db.Primary(service)
		check(t, err)
		ctx, cancel := context.WithCancel(background)
		var callers sync.WaitGroup
		call := func(count int, call func()) {
			for i := 0; i < count; i++ {
				callers.Add(1)
				go func() { defer callers.Done(); call() }()
			}
		}
		call(8, func() { client.Do(ctx, "BLPOP", "habits:never", 1) })
		time.Sleep(10 * time.Millisecond)
		var over atomic.Bool
		call(4, func() {
			for !over.Load() {
				client.Node() // also when it is closed
			}
		})
		go cancel()
		client.Close()
		time.Sleep(2 * time.Millisecond)
		over.Store(true)
		callers.Wait()
		cancel()
	}
}

// The page of a Next that was given up before a Restart belongs to the old walk, and takes none of the new one's.
func TestARestartLosesNoPage(t *testing.T) {
	db, service := topology(t)
	client, err := db.Primary(service)
	check(t, err)
	batch := client.Pipeline()
	for i := 0; i < 200; i++ {
		batch.Do("SADD", "habits:set", i)
	}
	_, err = batch.Run(background)
	check(t, err)
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
		scan, err := client.Scan("SSCAN", "habits:set", "COUNT", 50)
		check(t, err)
		ctx, cancel := context.WithCancel(background)
		time.AfterFunc(20*time.Microsecond, cancel)
		scan.Next(ctx)
		cancel()
		scan.Restart()
		seen := make(map[string]bool)
		for scan.Next(background) {
			for _, member := range scan.Page() {
				seen[member.String()] = true
			}
		}
		check(t, scan.Err())
		scan.Close()
		if len(seen) != 200 {
			t.Fatalf("%d members of 200", len(seen))
		}
	}
}

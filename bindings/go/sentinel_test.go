package sentinel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestWritesThroughThePrimaryAndReadsThroughAReplica(t *testing.T) {
	db, service := topology(t)
	node, err := db.DiscoverPrimary(background, service)
	check(t, err)
	equal(t, RolePrimary, node.Role)
	replicas, err := db.DiscoverReplicas(background, service)
	check(t, err)
	if len(replicas) == 0 || replicas[0].Role != RoleReplica {
		t.Fatal("replicas:", replicas)
	}
	primary, err := db.Primary(service)
	check(t, err)
	replica, err := db.Replica(service)
	check(t, err)
	check(t, primary.Connect(background))
	serving, ok := primary.Node()
	if !ok || serving.Addr() != node.Addr() {
		t.Fatal("serving:", serving, "named:", node)
	}
	done, err := String(primary.With(Replicas(uint32(len(replicas)))).Do(background, "SET", "go:foo", "bar"))
	check(t, err)
	equal(t, "OK", done)
	value, err := String(replica.Do(background, "GET", "go:foo"))
	check(t, err)
	equal(t, "bar", value)
	_, err = String(primary.Do(background, "GET", "go:none"))
	equal(t, true, errors.Is(err, ErrNil))
}

func TestRepliesBecomeGoValues(t *testing.T) {
	client := primaryOf(t)
	binary := string([]byte{0, 1, 255, '\r', '\n', 0})
	_, err := client.Do(background, "SET", "go:binary", []byte(binary))
	check(t, err)
	text, err := String(client.Do(background, "GET", "go:binary"))
	check(t, err)
	equal(t, binary, text)
	raw, err := Bytes(client.Do(background, "GET", "go:binary"))
	check(t, err)
	equal(t, true, bytes.Equal(raw, []byte(binary)))
	empty, err := String(client.Do(background, "ECHO", ""))
	check(t, err)
	equal(t, "", empty)

	_, err = client.Do(background, "DEL", "go:hash", "go:list", "go:zset", "go:n")
	check(t, err)
	n, err := Int(client.Do(background, "HSET", "go:hash", "a", 1, "b", int64(2), "c", true, "d", 1.5))
	check(t, err)
	equal(t, 4, n)
	hash, err := StringMap(client.Do(background, "HGETALL", "go:hash"))
	check(t, err)
	equal(t, "map[a:1 b:2 c:1 d:1.5]", fmt.Sprint(hash))
	_, err = client.Do(background, "RPUSH", "go:list", "x", "y", "z")
	check(t, err)
	list, err := Strings(client.Do(background, "LRANGE", "go:list", 0, -1))
	check(t, err)
	equal(t, "x y z", strings.Join(list, " "))
	_, err = client.Do(background, "ZADD", "go:zset", 2.5, "m")
	check(t, err)
	score, err := Float(client.Do(background, "ZSCORE", "go:zset", "m"))
	check(t, err)
	equal(t, 2.5, score)
	reply, err := client.Do(background, "HGETALL", "go:hash")
	check(t, err)
	equal(t, 4, len(reply.Pairs()))
	if values, ok := reply.Value().(map[string]any); !ok || values["a"] != "1" {
		t.Fatal(reply.Value())
	}
	nested, err := client.Do(background, "EVAL", "return {1, {2, 'x'}, {err='MINE oh'}}", 0)
	check(t, err)
	inner := nested.Elements()
	equal(t, "x", inner[1].Value().([]any)[1].(string))
	var failure *Error
	if !errors.As(inner[2].Err(), &failure) || failure.ServerCode != "MINE" {
		t.Fatal(inner[2].Err())
	}
	_, err = Int(client.Do(background, "ECHO", "no number"))
	if err == nil {
		t.Fatal("text became a number")
	}
}

func TestErrorsSayWhatTheyAre(t *testing.T) {
	client := primaryOf(t)
	_, err := client.Do(background, "SET", "go:text", "x")
	check(t, err)
	_, err = client.Do(background, "LPUSH", "go:text", "y")
	var failure *Error
	if !errors.As(err, &failure) {
		t.Fatal(err)
	}
	equal(t, StatusServer, failure.Status)
	equal(t, "WRONGTYPE", failure.ServerCode)
	equal(t, OutcomeRefused, failure.Outcome)
	equal(t, true, errors.Is(err, ErrServer))
	equal(t, false, errors.Is(err, ErrConnection))
	_, err = client.Do(background, "SELECT", 1)
	if !errors.As(err, &failure) || failure.Status != StatusUnsupportedCommand {
		t.Fatal(err)
	}
	equal(t, "UNSUPPORTED_COMMAND", failure.Status.String())
	_, err = client.Pipeline().Do("GET", "go:text").Do("SUBSCRIBE", "x").Run(background)
	if !errors.As(err, &failure) || failure.Status != StatusUnsupportedCommand || !strings.Contains(failure.Message, "Client.Subscribe") {
		t.Fatal(err)
	}
	_, err = client.Do(background, "SET", "go:x", struct{}{})
	if !errors.As(err, &failure) || failure.Status != StatusInvalidArgument {
		t.Fatal(err)
	}
	_, err = Open("redis+sentinel://127.0.0.1/x?no.such=1")
	if !errors.As(err, &failure) || failure.Status != StatusUnknownOption {
		t.Fatal(err)
	}
	_, err = Open("", WithSentinels("127.0.0.1:70000"))
	equal(t, true, err != nil)
	_, err = Open("")
	equal(t, true, err != nil)
}

func TestNothingLeftToConnectTo(t *testing.T) {
	// Port 1 is nobody's.
	db, err := Open("redis+sentinel://127.0.0.1:1/none", With("timeout_ms", 200*time.Millisecond))
	check(t, err)
	defer db.Close()
	primary, err := db.Primary("")
	check(t, err)
	replica, err := db.Replica("", With("replica.fallback_to_primary", false))
	check(t, err)
	for name, one := range map[string]struct {
		client *Client
		want   error
	}{"primary": {primary, ErrPrimaryNotFound}, "replica": {replica, ErrReplicaNotFound}} {
		_, err := one.client.Do(background, "PING")
		var failure *Error
		if !errors.As(err, &failure) || !errors.Is(err, one.want) || !errors.Is(err, ErrConnection) {
			t.Fatal(name, err)
		}
		equal(t, ReasonNoSentinelReachable, failure.Reason)
		equal(t, OutcomeNotSent, failure.Outcome)
		if len(failure.Attempts) == 0 || !strings.Contains(failure.Attempts[0], "127.0.0.1:1") {
			t.Fatal(failure.Attempts)
		}
		if err := one.client.Connect(background); !errors.Is(err, one.want) {
			t.Fatal(err)
		}
	}
	other, service := topology(t, With("timeout_ms", 300))
	unknown, err := other.Primary(service + "-none")
	check(t, err)
	_, err = unknown.Do(background, "PING")
	var failure *Error
	if !errors.As(err, &failure) || !errors.Is(err, ErrPrimaryNotFound) {
		t.Fatal(err)
	}
	equal(t, ReasonUnknownService, failure.Reason)
}

func TestPipelinesAndTransactions(t *testing.T) {
	client := primaryOf(t)
	pipeline := client.Pipeline().Do("DEL", "go:n")
	for i := 0; i < 100; i++ {
		pipeline.Do("INCR", "go:n")
	}
	replies, err := pipeline.Do("LPUSH", "go:n", "x").Run(background)
	check(t, err)
	equal(t, 102, len(replies))
	last, err := replies[100].Int()
	check(t, err)
	equal(t, 100, last)
	if !errors.Is(replies[101].Err(), ErrServer) {
		t.Fatal(replies[101].Err())
	}
	replies, err = client.Transaction().Do("SET", "go:n", 7).Do("INCR", "go:n").Do("ECHO", "").Run(background)
	check(t, err)
	equal(t, int64(8), replies[1].Value().(int64))
	_, err = client.Transaction().Do("SET", "go:n").Do("INCR", "go:n").Run(background)
	if !errors.Is(err, ErrTransactionAborted) {
		t.Fatal(err)
	}
	none, err := client.Pipeline().Run(background)
	equal(t, true, err == nil && len(none) == 0)
	_, err = client.Pipeline().Do("SET", "a", struct{}{}).Run(background)
	equal(t, true, err != nil)
	_, err = client.Pipeline().Do().Run(background)
	equal(t, true, err != nil)
}

func TestAConnectionOfOnesOwn(t *testing.T) {
	client := primaryOf(t)
	conn, err := client.Acquire(background)
	check(t, err)
	for _, command := range [][]any{{"SET", "go:w", 1}, {"WATCH", "go:w"}, {"MULTI"}, {"INCR", "go:w"}} {
		_, err = conn.Do(background, command...)
		check(t, err)
	}
	_, err = client.Do(background, "SET", "go:w", "changed")
	check(t, err)
	_, err = conn.Do(background, "EXEC")
	if !errors.Is(err, ErrTransactionAborted) {
		t.Fatal(err)
	}
	empty, err := String(conn.Do(background, "ECHO", ""))
	check(t, err)
	equal(t, "", empty)
	ctx, cancel := context.WithTimeout(background, 50*time.Millisecond)
	defer cancel()
	_, err = conn.Do(ctx, "BLPOP", "go:empty", 0)
	equal(t, true, errors.Is(err, context.DeadlineExceeded))
	conn.Release()
	_, err = conn.Do(background, "PING")
	equal(t, true, errors.Is(err, ErrClosed))
}

func TestAContextEndsACall(t *testing.T) {
	client := primaryOf(t)
	ctx, cancel := context.WithCancel(background)
	ended := make(chan error, 1)
	go func() {
		_, err := client.Do(ctx, "BLPOP", "go:empty", 0)
		ended <- err
	}()
	eventually(t, "no client is blocked", func() bool {
		info, err := String(client.Do(background, "INFO", "clients"))
		check(t, err)
		return strings.Contains(info, "blocked_clients:1")
	})
	before := time.Now()
	cancel()
	err := <-ended
	if !errors.Is(err, context.Canceled) || time.Since(before) > time.Second {
		t.Fatal(err, time.Since(before))
	}
	ctx, cancel = context.WithTimeout(background, 30*time.Millisecond)
	defer cancel()
	before = time.Now()
	_, err = client.Do(ctx, "BLPOP", "go:empty", 0)
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(before) > time.Second {
		t.Fatal(err, time.Since(before))
	}
	_, err = client.Do(ctx, "SET", "go:late", 1)
	var failure *Error
	if !errors.As(err, &failure) || failure.Outcome != OutcomeNotSent {
		t.Fatal(err)
	}
	text, err := String(client.Do(background, "ECHO", "still works"))
	check(t, err)
	equal(t, "still works", text)
}

func TestCloseEndsCalls(t *testing.T) {
	db, service := topology(t)
	client, err := db.Primary(service)
	check(t, err)
	ended := make(chan error, 1)
	go func() {
		_, err := client.With(NoRetry()).Do(background, "BLPOP", "go:empty", 0)
		ended <- err
	}()
	other := primaryOf(t)
	eventually(t, "no client is blocked", func() bool {
		info, err := String(other.Do(background, "INFO", "clients"))
		check(t, err)
		return strings.Contains(info, "blocked_clients:1")
	})
	check(t, db.Close())
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	_, err = client.Do(background, "PING")
	equal(t, true, errors.Is(err, ErrClosed))
	other.Close()
	_, err = other.Do(background, "PING")
	equal(t, true, errors.Is(err, ErrClosed))
	_, ok := other.Node()
	equal(t, false, ok)
}

// Each waits at once with all others: a key that nobody pushes to until all of them are there.
func TestTenThousandGoroutinesOnAHandfulOfThreads(t *testing.T) {
	const goroutines = 10000
	client := primaryOf(t)
	check(t, client.Connect(background))
	var group sync.WaitGroup
	var failed atomic.Int64
	most := threads(t)
	for i := 0; i < goroutines; i++ {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			for round := 0; round < 3; round++ {
				want := strconv.Itoa(i) + ":" + strconv.Itoa(round)
				if got, err := String(client.Do(background, "ECHO", want)); err != nil || got != want {
					if failed.Add(1) == 1 {
						t.Error(got, err)
					}
				}
			}
		}(i)
	}
	over := make(chan struct{})
	go func() { group.Wait(); close(over) }()
	for running := true; running; {
		select {
		case <-over:
			running = false
		case <-time.After(time.Millisecond):
			if now := threads(t); now > most {
				most = now
			}
		}
	}
	equal(t, 0, failed.Load())
	t.Logf("%d goroutines, %d threads", goroutines, most)
	if most > 24 {
		t.Fatalf("%d goroutines took %d threads", goroutines, most)
	}
}

func TestAForgottenDeploymentIsCollected(t *testing.T) {
	// Other tests' leftovers first.
	runtime.GC()
	before := runtime.NumGoroutine()
	for i := 0; i < 20; i++ {
		db, err := Open("redis+sentinel://127.0.0.1:1/none")
		check(t, err)
		_, err = db.Primary("")
		check(t, err)
	}
	eventually(t, "deployments that nobody can reach keep their goroutines", func() bool {
		runtime.GC()
		return runtime.NumGoroutine() <= before
	})
}

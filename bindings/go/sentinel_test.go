package sentinel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The tests run inside `lab run`, which names the topology in SERVICE and SENTINELS; $LAB is the lab's program.

var background = context.Background()

func topology(t testing.TB, options ...Option) (*DB, string) {
	t.Helper()
	service, sentinels := os.Getenv("SERVICE"), os.Getenv("SENTINELS")
	if service == "" || sentinels == "" {
		t.Skip("SERVICE and SENTINELS name no topology")
	}
	db, err := Open("", append([]Option{WithSentinels(strings.Split(sentinels, ",")...)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db, service
}

func primaryOf(t testing.TB, options ...Option) *Client {
	t.Helper()
	db, service := topology(t, options...)
	client, err := db.Primary(service)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func lab(t testing.TB, order string) string {
	t.Helper()
	command := exec.Command(os.Getenv("LAB"), "ctl", order)
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		t.Fatalf("lab ctl %s: %v", order, err)
	}
	return strings.TrimSpace(string(output))
}

// eventually asks until the answer is yes, for a minute at most.
func eventually(t testing.TB, what string, ask func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ask() {
			return
		}
	}
	t.Fatal(what)
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T comparable](t testing.TB, want, got T) {
	t.Helper()
	if want != got {
		t.Fatalf("want %v, got %v", want, got)
	}
}

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

func threads(t testing.TB) int {
	status, err := os.ReadFile("/proc/self/status")
	check(t, err)
	for _, line := range strings.Split(string(status), "\n") {
		if strings.HasPrefix(line, "Threads:") {
			number, err := strconv.Atoi(strings.TrimSpace(line[len("Threads:"):]))
			check(t, err)
			return number
		}
	}
	t.Fatal("no Threads in /proc/self/status")
	return 0
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

func TestSubscriptionsAreChannels(t *testing.T) {
	client := primaryOf(t)
	subscription, err := client.Subscribe("go:channel")
	if errors.Is(err, ErrUnavailable) {
		t.Skip("subscriptions are not in this version of the library")
	}
	check(t, err)
	check(t, subscription.PSubscribe("go:pat*"))
	publishUntil(t, client, subscription, "go:channel", "hello", Message{"message", "", "go:channel", "hello"})
	publishUntil(t, client, subscription, "go:pattern", "\x00\xff", Message{"pmessage", "go:pat*", "go:pattern", "\x00\xff"})
	event := <-subscription.Events()
	equal(t, "subscribed", event.Name)
	equal(t, "go:channel", event.Fields["channel"])
	subscription.Close()
	for range subscription.Messages() {
	}
	equal(t, true, errors.Is(subscription.Subscribe("x"), ErrClosed))
}

func TestZSubscriptionsAreHeardThroughAFailover(t *testing.T) {
	client := primaryOf(t)
	if os.Getenv("LAB") == "" {
		t.Skip("LAB names no laboratory")
	}
	subscription, err := client.Subscribe("go:failover")
	if errors.Is(err, ErrUnavailable) {
		t.Skip("subscriptions are not in this version of the library")
	}
	check(t, err)
	defer subscription.Close()
	publishUntil(t, client, subscription, "go:failover", "before", Message{"message", "", "go:failover", "before"})
	lab(t, "kill-primary")
	publishUntil(t, client, subscription, "go:failover", "after", Message{"message", "", "go:failover", "after"})
	for gap := false; !gap; {
		event, open := <-subscription.Events()
		if !open {
			t.Fatal("no word of what may be missing")
		}
		gap = event.Name == "subscription_gap"
	}
	lab(t, "restart-killed")
	lab(t, "wait-settled")
}

// publishUntil publishes until the message arrives: the server may not have been told of the subscription yet.
func publishUntil(t testing.TB, client *Client, subscription *Subscription, channel, payload string, want Message) {
	t.Helper()
	eventually(t, "no message", func() bool {
		// One that is under way when a primary dies says nothing of what became of it; the next one does.
		if _, err := client.Do(background, "PUBLISH", channel, payload); err != nil && !errors.Is(err, ErrConnection) {
			t.Fatal(err)
		}
		for {
			select {
			case message := <-subscription.Messages():
				if message == want {
					return true
				}
			case <-time.After(20 * time.Millisecond):
				return false
			}
		}
	})
}

// Runs last of those that need a topology, for it changes it.
func TestZFailoverByKillIsSurvived(t *testing.T) {
	client := primaryOf(t)
	if os.Getenv("LAB") == "" {
		t.Skip("LAB names no laboratory")
	}
	check(t, client.Connect(background))
	old, _ := client.Node()
	var acknowledged, failed atomic.Int64
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for i := 0; i < 32; i++ {
		writers.Add(1)
		go func(i int) {
			defer writers.Done()
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				ctx, cancel := context.WithTimeout(background, 20*time.Second)
				_, err := client.Do(ctx, "SET", fmt.Sprintf("go:failover:%d", i), n)
				cancel()
				var failure *Error
				switch {
				case err == nil:
					acknowledged.Add(1)
				case errors.As(err, &failure) && errors.Is(err, ErrConnection) && failure.Outcome == OutcomeUnknown:
					failed.Add(1) // it was under way when the primary died
				default:
					t.Error(err)
					return
				}
			}
		}(i)
	}
	eventually(t, "nothing is written", func() bool { return acknowledged.Load() > 100 })
	equal(t, old.Addr(), lab(t, "kill-primary"))
	eventually(t, "the client stays with the dead primary", func() bool {
		now, ok := client.Node()
		return ok && now.Addr() != old.Addr()
	})
	after := acknowledged.Load()
	eventually(t, "nothing is written to the new primary", func() bool { return acknowledged.Load() > after+100 })
	close(stop)
	writers.Wait()
	t.Logf("%d acknowledged, %d unknown", acknowledged.Load(), failed.Load())
	if failed.Load() > 64 {
		t.Fatal("more calls failed than were under way")
	}
	lab(t, "restart-killed")
	lab(t, "wait-settled")
}

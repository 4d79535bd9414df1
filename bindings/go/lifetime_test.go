package sentinel

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// another gives a deployment of its own beside that of the test.
func another(t testing.TB, options ...Option) (*DB, *Client) {
	t.Helper()
	db, service := topology(t, options...)
	client, err := db.Primary(service)
	check(t, err)
	check(t, client.Connect(background))
	return db, client
}

// Each reply is that of its own call, whatever else is closed under its calls.
func TestACloseGivesNobodyAWrongReply(t *testing.T) {
	_, steady := another(t)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for reader := 0; reader < 8; reader++ {
		readers.Add(1)
		go func(reader int) {
			defer readers.Done()
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				want := fmt.Sprintf("%d:%d", reader, n)
				if got, err := String(steady.Do(background, "ECHO", want)); err != nil || got != want {
					t.Errorf("want %s, got %q, %v", want, got, err)
					return
				}
			}
		}(reader)
	}
	for round := 0; round < 60; round++ {
		db, client := another(t)
		var callers sync.WaitGroup
		for caller := 0; caller < 2000; caller++ {
			callers.Add(1)
			go func() {
				defer callers.Done()
				for {
					if got, err := String(client.Do(background, "ECHO", "doomed")); err != nil {
						return
					} else if got != "doomed" {
						t.Errorf("want doomed, got %q", got)
						return
					}
				}
			}()
		}
		time.Sleep(time.Duration(20+round%20) * time.Millisecond)
		check(t, db.Close())
		callers.Wait()
	}
	close(stop)
	readers.Wait()
}

// within fails the test when what does not end in time.
func within(t testing.TB, limit time.Duration, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	select {
	case <-done:
	case <-time.After(limit):
		t.Fatalf("%s has not ended in %v", what, limit)
	}
}

func TestAFullChannelHoldsNoClose(t *testing.T) {
	publisher := primaryOf(t)
	for _, fromInside := range []bool{false, true} {
		db, client := another(t)
		subscription, err := client.Subscribe("go:full")
		check(t, err)
		// Whoever hands the messages over waits for somebody who reads them.
		eventually(t, "the channel is not full", func() bool {
			_, err := publisher.Do(background, "PUBLISH", "go:full", "x")
			check(t, err)
			return len(subscription.Messages()) == cap(subscription.Messages())
		})
		for i := 0; i < 10; i++ {
			_, err := publisher.Do(background, "PUBLISH", "go:full", "x")
			check(t, err)
		}
		within(t, 10*time.Second, "Close", func() {
			if fromInside {
				for range subscription.Messages() {
					db.Close()
				}
				return
			}
			db.Close()
			for range subscription.Messages() {
			}
		})
	}
}

func TestAWatchThatNobodyReadsHoldsNoClose(t *testing.T) {
	db, service := topology(t)
	watch, err := db.Watch(EventConnection)
	check(t, err)
	change := func() bool {
		client, err := db.Primary(service)
		check(t, err)
		check(t, client.Connect(background))
		client.Close()
		return len(watch.Changes()) == cap(watch.Changes())
	}
	eventually(t, "the channel is not full", change)
	// One more waits for somebody who reads.
	for i := 0; i < 10; i++ {
		change()
	}
	within(t, 10*time.Second, "Close", func() { db.Close() })
}

// collect lets the garbage collector find what nobody refers to, and its finalizers run.
func collect() {
	for i := 0; i < 5; i++ {
		runtime.GC()
		time.Sleep(20 * time.Millisecond)
	}
}

//go:noinline
func onlyTheMessages(t testing.TB) <-chan Message {
	service, sentinels := os.Getenv("SERVICE"), os.Getenv("SENTINELS")
	db, err := Open("", WithSentinels(strings.Split(sentinels, ",")...))
	check(t, err)
	client, err := db.Primary(service)
	check(t, err)
	subscription, err := client.Subscribe("go:kept")
	check(t, err)
	return subscription.Messages()
}

func TestTheCollectorClosesNothingThatIsInUse(t *testing.T) {
	publisher := primaryOf(t)
	messages := onlyTheMessages(t)
	collect()
	eventually(t, "no message", func() bool {
		_, err := publisher.Do(background, "PUBLISH", "go:kept", "x")
		check(t, err)
		select {
		case message, open := <-messages:
			if !open {
				t.Fatal("the subscription was closed")
			}
			return message.Payload == "x"
		default:
			return false
		}
	})
}

func TestAFarDeadlineIsFar(t *testing.T) {
	far, cancel := context.WithDeadline(background, time.Now().Add(math.MaxInt64))
	defer cancel()
	if ms := timeoutOf(far); ms < 1000*60*60*24*365 {
		t.Fatalf("%d ms", ms)
	}
	never, stop := context.WithDeadline(background, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC))
	defer stop()
	_, err := primaryOf(t).Do(never, "PING")
	check(t, err)
}

// late is a context whose deadline has passed and whose timer has not run yet, as on a machine that is busy.
type late struct{ context.Context }

func (late) Deadline() (time.Time, bool) { return time.Now().Add(-time.Microsecond), true }

func TestADeadlineThatPassedIsOverBeforeItsTimerRuns(t *testing.T) {
	db, service := topology(t)
	client, err := db.Primary(service)
	check(t, err)
	conn, err := client.Acquire(background)
	check(t, err)
	over := late{background}
	_, err = client.Do(background, "DEL", "go:overdue")
	check(t, err)
	calls := map[string]func() error{
		"Do":       func() error { _, err := client.Do(over, "SET", "go:overdue", 1); return err },
		"Pipeline": func() error { _, err := client.Pipeline().Do("SET", "go:overdue", 1).Run(over); return err },
		"Conn.Do":  func() error { _, err := conn.Do(over, "SET", "go:overdue", 1); return err },
		"Acquire":  func() error { _, err := client.Acquire(over); return err },
		"Connect":  func() error { return client.Connect(over) },
		"Discover": func() error { _, err := db.DiscoverPrimary(over, service); return err },
		"Scan": func() error {
			scan, err := client.Scan("SCAN")
			check(t, err)
			defer scan.Close()
			scan.Next(over)
			return scan.Err()
		},
	}
	for name, call := range calls {
		err := call()
		var failure *Error
		if !errors.As(err, &failure) || failure.Outcome != OutcomeNotSent || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
	}
	count, err := Int(client.Do(background, "EXISTS", "go:overdue"))
	check(t, err)
	equal(t, int64(0), count)
}

func TestACancelledContextCostsNoConnection(t *testing.T) {
	_, client := another(t, With("pool.max_connections", 2))
	cancelled, cancel := context.WithCancel(background)
	cancel()
	before := runtime.NumGoroutine()
	for i := 0; i < 20; i++ {
		conn, err := client.Acquire(background)
		check(t, err)
		_, err = conn.Do(cancelled, "PING")
		equal(t, true, errors.Is(err, context.Canceled))
		_, err = conn.Do(background, "PING")
		check(t, err)
		conn.Release()
	}
	eventually(t, "goroutines are left", func() bool { return runtime.NumGoroutine() <= before+2 })
}

func TestAnAcquireUnderWayHoldsNeitherCloseNorCalls(t *testing.T) {
	_, client := another(t, With("pool.max_connections", 1))
	held, err := client.Acquire(background)
	check(t, err)
	limited, cancel := context.WithTimeout(background, 5*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		conn, err := client.Acquire(limited)
		if err == nil {
			conn.Release()
		}
		ended <- err
	}()
	time.Sleep(50 * time.Millisecond)
	within(t, time.Second, "Close", client.Close)
	within(t, time.Second, "a call", func() {
		ctx, cancel := context.WithTimeout(background, 100*time.Millisecond)
		defer cancel()
		_, err := client.Do(ctx, "PING")
		equal(t, true, errors.Is(err, ErrClosed))
	})
	held.Release()
	<-ended
}

// The library knows why a call failed; the context only that it did.
func TestADeadlineKeepsTheDiagnosis(t *testing.T) {
	db, err := Open("", WithSentinels("127.0.0.1:1", "127.0.0.1:2"))
	check(t, err)
	defer db.Close()
	client, err := db.Primary("nobody")
	check(t, err)
	calls := map[string]func(context.Context) error{
		"Do": func(ctx context.Context) error { _, err := client.Do(ctx, "PING"); return err },
		"Pipeline": func(ctx context.Context) error {
			_, err := client.Pipeline().Do("PING").Run(ctx)
			return err
		},
		"Acquire": func(ctx context.Context) error { _, err := client.Acquire(ctx); return err },
		"Connect": func(ctx context.Context) error { return client.Connect(ctx) },
		"Discover": func(ctx context.Context) error {
			_, err := db.DiscoverPrimary(ctx, "nobody")
			return err
		},
	}
	for name, call := range calls {
		for i := 0; i < 20; i++ {
			ctx, cancel := context.WithTimeout(background, time.Duration(20_300+i*100)*time.Microsecond)
			err := call(ctx)
			cancel()
			if !errors.Is(err, ErrPrimaryNotFound) || !errors.Is(err, ErrConnection) || !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("%s: %#v", name, err)
			}
			var failure *Error
			if !errors.As(err, &failure) || len(failure.Attempts) == 0 {
				t.Fatalf("%s: no attempts: %#v", name, err)
			}
		}
	}
}

func TestAnInterruptedScanLosesNoPage(t *testing.T) {
	client := primaryOf(t)
	const keys = 2000
	batch := client.Pipeline()
	for i := 0; i < keys; i++ {
		batch.Do("SADD", "go:pages", i)
	}
	_, err := batch.Run(background)
	check(t, err)
	scan, err := client.Scan("SSCAN", "go:pages", "COUNT", 50)
	check(t, err)
	defer scan.Close()
	seen := make(map[string]bool)
	for interrupted := 0; ; {
		ctx, cancel := context.WithTimeout(background, time.Duration(interrupted%7)*20*time.Microsecond)
		if interrupted > 400 {
			cancel()
			ctx, cancel = context.WithTimeout(background, 5*time.Second)
		}
		more := scan.Next(ctx)
		cancel()
		for _, element := range scan.Page() {
			text, err := String(element, nil)
			check(t, err)
			seen[text] = true
		}
		if !more && scan.Err() == nil {
			break
		}
		if !more {
			interrupted++
		}
	}
	equal(t, keys, len(seen))
}

type (
	name  string
	count uint16
	raw   []byte
)

func TestArgumentsAreWhatTheyAreMadeOf(t *testing.T) {
	client := primaryOf(t)
	for want, argument := range map[string]any{
		"-7": int8(-7), "8": int16(8), "9": uint8(9), "10": uint16(10), "11": count(11), "0.1": float32(0.1), "n": name("n"),
		"r": raw("r"), "1500000000": 1500 * time.Millisecond, "1": true, "12": uintptr(12),
	} {
		got, err := String(client.Do(background, "ECHO", argument))
		check(t, err)
		equal(t, want, got)
	}
	for _, argument := range []any{nil, struct{}{}, []string{"a"}, map[string]int{}, make(chan int)} {
		_, err := client.Do(background, "ECHO", argument)
		var failure *Error
		equal(t, true, errors.As(err, &failure) && failure.Status == StatusInvalidArgument)
		equal(t, true, strings.Contains(err.Error(), "argument 1"))
	}
}

func TestWhatCWouldCutIsRefused(t *testing.T) {
	refused := func(what string, err error) {
		t.Helper()
		var failure *Error
		if !errors.As(err, &failure) || failure.Status != StatusInvalidArgument || !strings.Contains(err.Error(), what) {
			t.Fatalf("%s: %v", what, err)
		}
	}
	_, err := Open("redis+sentinel://127.0.0.1:1/a\x00b")
	refused("URL", err)
	_, err = Open("", WithSentinels("127.0.0.1\x00:1"))
	refused("Sentinel", err)
	_, err = Open("", WithSentinels("127.0.0.1:1"), With("client_name", "a\x00b"))
	refused("client_name", err)
	_, err = Open("", WithSentinels("127.0.0.1:1"), With("tcp.keepalive_s", 500*time.Millisecond))
	refused("tcp.keepalive_s", err)
	_, err = Open("", WithSentinels("127.0.0.1:1"), With("max_pending", 5*time.Second))
	refused("max_pending", err)
	_, err = Open("", WithSentinels("127.0.0.1:1"), With("timeout_ms", 500*time.Microsecond))
	refused("timeout_ms", err)
	db, err := Open("", WithSentinels("127.0.0.1:1"), With("timeout_ms", uint16(5)), With("tcp.keepalive_s", 2*time.Second))
	check(t, err)
	defer db.Close()
	_, err = db.Primary("a\x00b")
	refused("service", err)
	_, err = db.DiscoverPrimary(background, "a\x00b")
	refused("service", err)
	refused("user", db.UpdateCredentials("a\x00b", []byte(strconv.Itoa(1))))
}

func TestAPoolWithoutRoomSaysSo(t *testing.T) {
	_, client := another(t, With("pool.max_connections", 1))
	conn, err := client.Acquire(background)
	check(t, err)
	defer conn.Release()
	ctx, cancel := context.WithTimeout(background, 50*time.Millisecond)
	defer cancel()
	_, err = client.Acquire(ctx)
	equal(t, true, errors.Is(err, ErrPoolExhausted))
	equal(t, true, errors.Is(err, context.DeadlineExceeded))
}

package sentinel

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestAScriptIsSentToANodeThatDoesNotHaveIt(t *testing.T) {
	client := primaryOf(t)
	for _, command := range [][]any{{"DEL", "go:script"}, {"SCRIPT", "FLUSH"}} {
		_, err := client.Do(background, command...)
		check(t, err)
	}
	script := NewScript("redis.call('INCRBY', KEYS[1], ARGV[1]) return redis.call('GET', KEYS[1])")
	value, err := String(script.Run(background, client, []string{"go:script"}, 2))
	check(t, err)
	equal(t, "2", value)
	there, err := client.Do(background, "SCRIPT", "EXISTS", script.SHA1())
	check(t, err)
	equal(t, int64(1), there.Value().([]any)[0].(int64))
	value, err = String(script.Run(background, client, []string{"go:script"}, 3))
	check(t, err)
	equal(t, "5", value)
	writes := NewReadOnlyScript("return redis.call('DEL', KEYS[1])")
	if _, err = writes.Run(background, client, []string{"go:script"}); !errors.Is(err, ErrServer) {
		t.Fatal(err)
	}
	own := NewScript("redis.call('INCR', KEYS[1]) return redis.error_reply('NOSCRIPT of mine')")
	// The second time the node has it.
	for i := 0; i < 2; i++ {
		if _, err = own.Run(background, client, []string{"go:script"}); !errors.Is(err, ErrServer) {
			t.Fatal(err)
		}
	}
	value, err = String(client.Do(background, "GET", "go:script"))
	check(t, err)
	equal(t, "7", value)
	forged := NewScript("redis.call('INCR', KEYS[1]) return redis.error_reply('NOSCRIPT No matching script. Please use EVAL.')")
	for i := 0; i < 2; i++ {
		var failure *Error
		_, err = forged.Run(background, client, []string{"go:script"})
		if !errors.As(err, &failure) || failure.Outcome != OutcomeUnknown {
			t.Fatal(err)
		}
	}
	value, err = String(client.Do(background, "GET", "go:script"))
	check(t, err)
	equal(t, "9", value)
}

func TestWaitIsAboutTheWritesOfItsOwnConnection(t *testing.T) {
	client := primaryOf(t)
	_, err := client.Do(background, "WAIT", 0, 10)
	var failure *Error
	if !errors.As(err, &failure) || failure.Status != StatusUnsupportedCommand || !strings.Contains(failure.Message, "Replicas(n)") {
		t.Fatal(err)
	}
}

func TestAScanWalksThroughEverything(t *testing.T) {
	client := primaryOf(t)
	names := client.Pipeline().Do("DEL", "go:scanned")
	for i := 0; i < 100; i++ {
		names.Do("SET", "go:scan:"+strconv.Itoa(i), "x")
	}
	_, err := names.Do("HSET", "go:scanned", "a", 1).Run(background)
	check(t, err)
	scan, err := client.Scan("SCAN", "MATCH", "go:scan:*", "COUNT", 10)
	check(t, err)
	walk := func() int {
		found := map[string]bool{}
		for scan.Next(background) {
			for _, key := range scan.Page() {
				name, err := key.Text()
				check(t, err)
				equal(t, true, strings.HasPrefix(name, "go:scan:"))
				found[name] = true
			}
		}
		check(t, scan.Err())
		return len(found)
	}
	equal(t, 100, walk())
	equal(t, 0, walk())
	scan.Restart()
	equal(t, 100, walk())
	over, cancel := context.WithCancel(background)
	cancel()
	scan.Restart()
	if scan.Next(over) || !errors.Is(scan.Err(), context.Canceled) {
		t.Fatal(scan.Err())
	}
	equal(t, 100, walk())
	scan.Close()
	eventually(t, "a closed scan goes on", func() bool {
		return !scan.Next(background) && errors.Is(scan.Err(), ErrClosed)
	})
	hash, err := client.Scan("HSCAN", "go:scanned")
	check(t, err)
	defer hash.Close()
	equal(t, true, hash.Next(background))
	equal(t, 2, len(hash.Page()))
	_, err = client.Scan("GET", "x")
	equal(t, true, err != nil)
}

// The lab's servers write no append-only file, or do not know the command.
func TestWhatWaitsForDisksIsRefusedBeforeItIsSent(t *testing.T) {
	client := primaryOf(t)
	_, err := client.Do(background, "DEL", "go:disk")
	check(t, err)
	ctx, cancel := context.WithTimeout(background, 5*time.Second)
	defer cancel()
	_, err = client.With(WaitAOF()).Do(ctx, "SET", "go:disk", "x")
	var failure *Error
	if !errors.As(err, &failure) || !errors.Is(err, ErrServer) || failure.Outcome != OutcomeNotSent {
		t.Fatal(err)
	}
	reply, err := client.Do(background, "GET", "go:disk")
	check(t, err)
	equal(t, true, reply.IsNil())
}

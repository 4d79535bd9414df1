package sentinel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

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

// The tests that change the topology stand in the last file, and so run last.
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

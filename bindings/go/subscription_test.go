package sentinel

import (
	"errors"
	"testing"
	"time"
)

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

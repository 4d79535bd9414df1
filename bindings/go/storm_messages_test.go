//go:build storm

package sentinel

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// heard is what one subscription told.
type heard struct {
	numbers []int
	gaps    int
	ended   bool
}

// listen reads a subscription until it is closed; each number, and "end", is handed on as it comes.
func (w *worker) listen(s *Subscription, all *heard, came chan<- string) {
	messages, events := s.Messages(), s.Events()
	for messages != nil || events != nil {
		select {
		case message, open := <-messages:
			if !open {
				messages = nil
				continue
			}
			if n, err := strconv.Atoi(message.Payload); err == nil {
				all.numbers = append(all.numbers, n)
				continue
			}
			select {
			case came <- message.Payload:
			default:
			}
		case event, open := <-events:
			if !open {
				events = nil
				continue
			}
			if event.Name == "subscription_gap" {
				all.gaps++
			}
			select {
			case came <- event.Name:
			default:
			}
		}
	}
	close(came)
}

// hear: each message comes once and in order, or there is a gap and the subscription says so.
func (w *worker) hear() {
	for !w.over.Load() {
		unrest := w.unrest.Load()
		channel := "storm:channel:" + w.unique()
		subscription, err := w.primary.Subscribe(channel)
		if err != nil {
			if w.unrest.Load() == unrest && unrest%2 == 0 {
				w.fail("subscribe: %v", err)
			}
			time.Sleep(w.pause(50 * time.Millisecond))
			continue
		}
		var all heard
		came := make(chan string, 1000)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			w.listen(subscription, &all, came)
		}()
		fates := w.publish(channel, came)
		subscription.Close()
		<-ended
		if fates != nil {
			w.order(channel, fates, &all)
		}
	}
}

type fate int

const (
	mayHave fate = iota // been published
	reached             // a subscriber
	reachedNobody
	never // published
)

// publish gives what became of each number, nil when the subscription was never in force.
func (w *worker) publish(channel string, came <-chan string) []fate {
	if !w.until(came, "subscribed", func() {}) {
		return nil
	}
	fates := make([]fate, 1+w.random.Intn(1000))
	for n := range fates {
		if w.over.Load() {
			break
		}
		ctx, cancel, t := w.begin("publish", false)
		count, err := Int(w.primary.Do(ctx, "PUBLISH", channel, n))
		w.end(t, err)
		cancel()
		var failure *Error
		switch {
		case err == nil && count > 0:
			fates[n] = reached
		case err == nil:
			fates[n] = reachedNobody
		case errors.As(err, &failure) && failure.Outcome != OutcomeUnknown:
			fates[n] = never
		}
		if w.random.Intn(4) == 0 {
			time.Sleep(w.pause(5 * time.Millisecond))
		}
	}
	end := "end:" + w.unique()
	if !w.until(came, end, func() { w.primary.Do(background, "PUBLISH", channel, end) }) {
		return nil
	}
	return fates
}

// until waits for a word, for 30 s, and does something each time that none came for a moment.
func (w *worker) until(came <-chan string, word string, ask func()) bool {
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		ask()
		wait := time.After(100 * time.Millisecond)
		for waits := true; waits; {
			select {
			case got, open := <-came:
				if !open {
					w.fail("a subscription ended by itself, before %q", word)
					return false
				} else if got == word {
					return true
				}
			case <-wait:
				waits = false
			}
		}
	}
	w.fail("a subscription has not told of %q in 30 s", word)
	return false
}

// order: a gap may hold messages back, and tell others again. A call that was given up may publish after the next.
func (w *worker) order(channel string, fates []fate, all *heard) {
	disorders, text, last := 0, "", -1
	seen := make(map[int]bool)
	for _, n := range all.numbers {
		if n >= len(fates) || fates[n] == never {
			w.fail("%s: message %d was never published", channel, n)
			return
		}
		late := n < last && fates[n] == mayHave && !seen[n]
		if seen[n] = true; late {
			continue
		}
		missing := false
		for m := last + 1; m < n; m++ {
			missing = missing || fates[m] == reached
		}
		if missing || n <= last {
			disorders++
			text += fmt.Sprintf(" %d after %d", n, last)
		}
		last = n
	}
	for m := last + 1; m < len(fates); m++ {
		if fates[m] == reached {
			disorders++
			text += fmt.Sprintf(" end after %d", last)
			break
		}
	}
	if disorders > 2*all.gaps {
		w.fail("%s: %d gaps were told; but%s", channel, all.gaps, text)
	}
}

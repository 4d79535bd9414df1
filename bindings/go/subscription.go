package sentinel

// #include <sentinel.h>
import "C"

import (
	"sync"
	"unsafe"
)

// messagesAtOnce is how many messages wait for the program before the library drops and says so; see the library's
// guide to publish and subscribe.
const messagesAtOnce = 65536

// Message is what was published.
type Message struct {
	// Kind is message, pmessage or smessage.
	Kind string
	// Pattern is the one that matched, of a pmessage.
	Pattern string
	Channel string
	Payload string
}

// Event is what else happens to a subscription: "subscribed" when a name is in force, "subscription_gap" where messages
// may be missing. Fields are those of the library, such as channel, node, milliseconds, dropped. Err is a name that the
// server refused, or a login.
type Event struct {
	Name   string
	Fields map[string]string
	Err    error
}

// Subscription is a set of channels and patterns that follows its client's service through failovers. It lasts until it or its
// deployment is closed.
type Subscription struct {
	client   *Client
	handle   *C.sentinel_subscription_t
	mutex    sync.RWMutex
	queue    *queue
	messages chan Message
	events   chan Event
	once     sync.Once
}

// Subscribe gives the messages of channels, as SUBSCRIBE does. More can be added later, of any kind.
func (c *Client) Subscribe(channels ...string) (*Subscription, error) {
	return c.subscribe(C.SENTINEL_SUBSCRIBE_CHANNEL, channels)
}

// PSubscribe gives the messages of all channels that match a pattern.
func (c *Client) PSubscribe(patterns ...string) (*Subscription, error) {
	return c.subscribe(C.SENTINEL_SUBSCRIBE_PATTERN, patterns)
}

// SSubscribe gives the messages of sharded channels.
func (c *Client) SSubscribe(channels ...string) (*Subscription, error) {
	return c.subscribe(C.SENTINEL_SUBSCRIBE_SHARDED, channels)
}

func (c *Client) subscribe(kind C.int32_t, channels []string) (*Subscription, error) {
	if c.shared == nil {
		return nil, closed("the client")
	}
	messages, events := make(chan Message, entriesAtOnce), make(chan Event, entriesAtOnce)
	db := c.shared.db
	queue, err := newQueue(db.handle, messagesAtOnce, func(entry *completion, over <-chan struct{}) {
		if entry.kind == C.SENTINEL_COMPLETION_MESSAGE {
			deliver(entry, messages, over)
			return
		}
		select {
		case events <- eventOf(entry):
		default: // a program that does not look at them misses the newest
		}
	})
	if err != nil {
		return nil, err
	}
	s := &Subscription{client: c, queue: queue, messages: messages, events: events}
	handle := c.shared.use()
	if handle == nil {
		queue.stop()
		return nil, closed("the client")
	}
	var failure *C.sentinel_error_t
	status := C.sentinel_subscription_new(handle, queue.handle, 0, &s.handle, &failure)
	c.shared.done()
	if status != C.SENTINEL_OK {
		queue.stop()
		return nil, takeError(status, failure)
	}
	// Until it has ended it keeps its client and the deployment: a program may have nothing but the channel.
	db.queues.add(queue, func() {
		s.Close() // for a program that closes its deployment only
		close(s.messages)
		close(s.events)
	})
	if err := s.each(channels, kind, true); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// deliver waits for a program that is slow: what does not fit into the queue meanwhile, the library drops.
func deliver(entry *completion, messages chan<- Message, over <-chan struct{}) {
	C.sentinel_error_free(entry.error)
	message, ok := messageOf(takeReply(entry.reply))
	if !ok {
		return
	}
	select {
	case messages <- message:
	case <-over:
	}
}

func eventOf(entry *completion) Event {
	if entry.status != C.SENTINEL_OK {
		C.sentinel_reply_free(entry.reply)
		return Event{Err: takeError(entry.status, entry.error)}
	}
	C.sentinel_error_free(entry.error)
	fields, _ := StringMap(takeReply(entry.reply), nil)
	return Event{Name: fields["event"], Fields: fields}
}

func messageOf(reply Reply) (Message, bool) {
	words, err := Strings(reply, nil)
	if err != nil {
		return Message{}, false
	}
	switch {
	case len(words) == 3 && (words[0] == "message" || words[0] == "smessage"):
		return Message{Kind: words[0], Channel: words[1], Payload: words[2]}, true
	case len(words) == 4 && words[0] == "pmessage":
		return Message{Kind: words[0], Pattern: words[1], Channel: words[2], Payload: words[3]}, true
	}
	return Message{}, false
}

// Messages is closed with the subscription, and with its deployment.
func (s *Subscription) Messages() <-chan Message { return s.messages }

// Events tells what else happens. Nobody has to read it.
func (s *Subscription) Events() <-chan Event { return s.events }

// Subscribe adds channels.
func (s *Subscription) Subscribe(channels ...string) error {
	return s.each(channels, C.SENTINEL_SUBSCRIBE_CHANNEL, true)
}

// PSubscribe adds patterns.
func (s *Subscription) PSubscribe(patterns ...string) error {
	return s.each(patterns, C.SENTINEL_SUBSCRIBE_PATTERN, true)
}

// Unsubscribe removes channels; one that was not added is no error.
func (s *Subscription) Unsubscribe(channels ...string) error {
	return s.each(channels, C.SENTINEL_SUBSCRIBE_CHANNEL, false)
}

// PUnsubscribe removes patterns; one that was not added is no error.
func (s *Subscription) PUnsubscribe(patterns ...string) error {
	return s.each(patterns, C.SENTINEL_SUBSCRIBE_PATTERN, false)
}

func (s *Subscription) each(names []string, kind C.int32_t, add bool) error {
	s.mutex.RLock()
	defer s.mutex.RUnlock()
	if s.handle == nil {
		return closed("the subscription")
	}
	for _, name := range names {
		bytes := []byte(name)
		var data unsafe.Pointer
		if len(bytes) > 0 {
			data = unsafe.Pointer(&bytes[0])
		}
		var failure *C.sentinel_error_t
		var status C.sentinel_status_t
		if add {
			status = C.sentinel_subscription_add(s.handle, kind|C.SENTINEL_SUBSCRIBE_CONFIRM, data, C.size_t(len(bytes)), &failure)
		} else {
			status = C.sentinel_subscription_remove(s.handle, kind, data, C.size_t(len(bytes)), &failure)
		}
		if status != C.SENTINEL_OK {
			return takeError(status, failure)
		}
	}
	return nil
}

// Close ends the subscription and closes its channel.
func (s *Subscription) Close() {
	s.once.Do(func() {
		s.mutex.Lock()
		C.sentinel_subscription_free(s.handle)
		s.handle = nil
		s.mutex.Unlock()
		s.queue.stop()
	})
}

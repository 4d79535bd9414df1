package sentinel

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

type place struct {
	City string `redis:"city"`
}

type person struct {
	place
	Name    string        `redis:"name"`
	Age     int8          `redis:"age"`
	Balance float32       `redis:"balance"`
	Count   uint64        `redis:"count"`
	Active  bool          `redis:"active"`
	Wait    time.Duration `redis:"wait"`
	Raw     []byte        `redis:"raw"`
	Address netip.Addr    `redis:"address"`
	Since   *time.Time    `redis:"since"`
	Gone    *string       `redis:"gone"`
	Plain   string
	Kept    string `redis:"-"`
}

func TestAHashFillsAStruct(t *testing.T) {
	client := primaryOf(t)
	_, err := client.Do(background, "DEL", "go:person")
	check(t, err)
	_, err = client.Do(background, "HSET", "go:person", "name", "Ada", "age", 36, "balance", 2.5, "count", uint64(1)<<63,
		"active", true, "wait", 1500*time.Millisecond, "raw", []byte{0, 255}, "address", "10.0.0.1",
		"since", "2026-01-02T03:04:05Z", "city", "London", "Plain", "x", "other", "y")
	check(t, err)
	reply, err := client.Do(background, "HGETALL", "go:person")
	check(t, err)
	got := person{Plain: "kept", Kept: "kept"}
	check(t, reply.Struct(&got))
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	wanted := person{place{"London"}, "Ada", 36, 2.5, 1 << 63, true, 1500 * time.Millisecond, []byte{0, 255},
		netip.MustParseAddr("10.0.0.1"), &since, nil, "kept", "kept"}
	equal(t, true, reflect.DeepEqual(wanted, got))
	// HMGET gives no names, and what is absent leaves the field alone.
	reply, err = client.Do(background, "HGETALL", "go:nobody")
	check(t, err)
	check(t, reply.Struct(&got))
	equal(t, "Ada", got.Name)
}

func TestAFieldThatDoesNotTakeItsValueIsNamed(t *testing.T) {
	hash := func(name, value string) Reply {
		text := func(text string) Reply { return Reply{kind: KindString, text: text} }
		return Reply{kind: KindArray, elements: []Reply{text(name), text(value)}}
	}
	type odd struct {
		Any any `redis:"any"`
	}
	for _, row := range []struct {
		reply Reply
		dest  any
		says  string
	}{
		{hash("age", "300"), &person{}, `field "age"`},
		{hash("active", "maybe"), &person{}, `field "active"`},
		{hash("address", "x"), &person{}, `field "address"`},
		{hash("any", "x"), &odd{}, `field "any"`},
		{hash("age", "3"), person{}, "dest is a"},
		{hash("age", "3"), (*person)(nil), "dest is a"},
		{hash("age", "3"), nil, "dest is a"},
		{Reply{kind: KindInteger}, &person{}, "map"},
	} {
		if err := row.reply.Struct(row.dest); err == nil || !strings.Contains(err.Error(), row.says) {
			t.Fatalf("%T: %v, wanted %q", row.dest, err, row.says)
		}
	}
}

package sentinel

import (
	"strings"
	"testing"
	"time"
)

// What the package knows of options by itself, against what the library says of each.
func TestKeysAreThoseOfTheLibrary(t *testing.T) {
	keys := Keys()
	if len(keys) < 40 {
		t.Fatalf("%d keys: %v", len(keys), keys)
	}
	opens := func(option Option) error {
		db, err := Open("", WithSentinels("127.0.0.1"), option)
		if err == nil {
			db.Close()
		}
		return err
	}
	for _, key := range keys {
		if key.Name == "" || key.Help == "" || !key.ForSentinels && !key.ForClients {
			t.Errorf("not described: %+v", key)
		}
		timed := strings.HasSuffix(key.Name, "_ms") || strings.HasSuffix(key.Name, "_s")
		if timed != (key.Unit == "ms" || key.Unit == "s") {
			t.Errorf("%s is in %q", key.Name, key.Unit)
		}
		if err := opens(With(key.Name, key.Default)); err != nil {
			t.Errorf("its own default: %v", err)
		}
		if err := opens(With(key.Name, true)); (timed || key.Takes == TakesFlag) && (err == nil) != (key.Takes == TakesFlag) {
			t.Errorf("%s by a bool: %v", key.Name, err)
		}
		number := key.Takes == TakesInteger || key.Takes == TakesLimit
		if err := opens(With(key.Name, time.Duration(0))); number && (err == nil) != (timed && key.Min <= 0) {
			t.Errorf("%s by a time.Duration: %v", key.Name, err)
		}
		if err := opens(WithSecret(key.Name, []byte("x"))); (err == nil) != (key.Takes == TakesUser || key.Takes == TakesSecret) {
			t.Errorf("%s by WithSecret: %v", key.Name, err)
		}
		for _, word := range key.Words {
			if err := opens(With(key.Name, word)); err != nil || key.Takes != TakesChoice {
				t.Errorf("%s by one of its words: %v", key.Name, err)
			}
		}
		if err := opens(With(key.Name, key.Max)); number && err != nil && !strings.HasPrefix(key.Name, "retry.") {
			t.Errorf("%s at its most: %v", key.Name, err)
		}
	}
}

func TestOverridesAreThoseForClients(t *testing.T) {
	db, service := topology(t)
	for _, key := range Keys() {
		client, err := db.Primary(service, With(key.Name, key.Default))
		if key.ForClients != (err == nil) {
			t.Errorf("%s: %v", key.Name, err)
		}
		if err == nil {
			client.Close()
		}
	}
}

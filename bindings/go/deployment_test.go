package sentinel

import (
	"errors"
	"testing"
	"time"
)

func TestNewPasswordsAreTakenOverWithoutAFailedCall(t *testing.T) {
	admin := primaryOf(t)
	do := func(args ...any) {
		t.Helper()
		_, err := admin.Do(background, args...)
		check(t, err)
	}
	do("ACL", "SETUSER", "go:user", "reset", "on", ">first", "~*", "&*", "+@all")
	defer do("ACL", "DELUSER", "go:user")
	db, service := topology(t, WithSecret("username", []byte("go:user")), WithSecret("password", []byte("first")))
	client, err := db.Primary(service)
	check(t, err)
	user, err := String(client.Do(background, "ACL", "WHOAMI"))
	check(t, err)
	equal(t, "go:user", user)
	do("ACL", "SETUSER", "go:user", ">second")
	check(t, db.UpdateCredentials("go:user", []byte("second")))
	do("ACL", "SETUSER", "go:user", "<first")
	do("CLIENT", "KILL", "USER", "go:user")
	user, err = String(client.Do(background, "ACL", "WHOAMI"))
	check(t, err)
	equal(t, "go:user", user)
	check(t, db.UpdateSentinelCredentials("", nil))
	check(t, db.UpdateCredentials("go:user", []byte("wrong")))
	do("CLIENT", "KILL", "USER", "go:user")
	if _, err = client.Do(background, "ACL", "WHOAMI"); !errors.Is(err, ErrConnection) {
		t.Fatal(err)
	}
}

func TestOtherSentinelsAreGiven(t *testing.T) {
	db, service := topology(t)
	sentinels, err := db.DiscoverSentinels(background, service)
	check(t, err)
	var addresses []string
	for _, sentinel := range sentinels {
		addresses = append(addresses, sentinel.Addr())
	}
	check(t, db.UpdateSentinels(WithSentinels(addresses...)))
	_, err = db.DiscoverPrimary(background, service)
	check(t, err)
	if err = db.UpdateSentinels(); err == nil {
		t.Fatal("no Sentinel is not refused")
	}
}

func TestAWatchTellsOfConnections(t *testing.T) {
	db, service := topology(t)
	watch, err := db.Watch(EventConnection | EventPrimaryChanged)
	check(t, err)
	client, err := db.Primary(service)
	check(t, err)
	check(t, client.Connect(background))
	change := <-watch.Changes()
	equal(t, "connection", change.Name)
	equal(t, service, change.Service)
	equal(t, "made", change.Fields["change"].(string))
	equal(t, "primary", change.Fields["role"].(string))
	watch.Close()
	for range watch.Changes() {
	}
}

func TestAClosedDeploymentEndsWhatIsListenedTo(t *testing.T) {
	db, service := topology(t)
	watch, err := db.Watch(EventPrimaryChanged | EventConnection)
	check(t, err)
	client, err := db.Primary(service)
	check(t, err)
	subscription, err := client.Subscribe("go:closed")
	check(t, err)
	// What has told something waits for more.
	check(t, client.Connect(background))
	<-watch.Changes()
	<-subscription.Events()
	_, err = client.Do(background, "PING")
	check(t, err)
	check(t, db.Close())
	limit := time.After(time.Minute)
	for open := true; open; {
		select {
		case _, open = <-subscription.Messages():
		case <-limit:
			t.Fatal("a subscription outlives its deployment")
		}
	}
	for open := true; open; {
		select {
		case _, open = <-watch.Changes():
		case <-limit:
			t.Fatal("a watch outlives its deployment")
		}
	}
	subscription.Close()
	watch.Close()
}

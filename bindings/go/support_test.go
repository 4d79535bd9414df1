package sentinel

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
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

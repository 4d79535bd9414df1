// Write twenty times a second, whatever happens to the primary, and say when it moved and what failed.
//
//	failover SERVICE HOST:PORT [HOST:PORT...]
//
// Ends on SIGINT or SIGTERM with a summary.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"libsentinel/sentinel"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: failover SERVICE HOST:PORT [HOST:PORT...]")
		os.Exit(1)
	}
	if err := write(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(service string, sentinels []string) error {
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	db, err := sentinel.Open("", sentinel.WithSentinels(sentinels...))
	if err != nil {
		return err
	}
	defer db.Close()
	client, err := db.Primary(service)
	if err != nil {
		return err
	}
	// Not needed, the first command connects as well: but a wrong service name is better said at the start.
	if err := client.Connect(stop); err != nil {
		return err
	}
	var acknowledged, failed, moves int
	serving := ""
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for stop.Err() == nil {
		key := fmt.Sprintf("failover:%d", acknowledged+failed)
		// No deadline: the write may take the client's timeout_ms, 5 s. In a failover it waits for the new primary.
		_, err := client.Do(context.Background(), "SET", key, 1)
		var failure *sentinel.Error
		switch {
		case err == nil:
			acknowledged++
		case errors.Is(err, sentinel.ErrConnection) && errors.As(err, &failure):
			// After NOT_SENT and REFUSED it was not executed; after UNKNOWN it may have been: a program that must know
			// reads the key back.
			failed++
			fmt.Println("  failed:", key, failure.Status, "outcome="+failure.Outcome.String())
		default:
			return err
		}
		if node, ok := client.Node(); ok && node.Addr() != serving {
			if serving != "" {
				moves++
			}
			serving = node.Addr()
			fmt.Println("primary", serving)
		}
		select {
		case <-ticker.C:
		case <-stop.Done():
		}
	}
	fmt.Printf("summary acknowledged=%d failed=%d moves=%d\n", acknowledged, failed, moves)
	return nil
}

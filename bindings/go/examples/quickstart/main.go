// Ask the Sentinels who serves, write through the primary, read through a replica, and send several commands at once.
//
//	quickstart SERVICE HOST:PORT [HOST:PORT...]
//
// Each HOST:PORT is a Sentinel; SERVICE is the name it watches the primary under, often "mymaster".
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"libsentinel/sentinel"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: quickstart SERVICE HOST:PORT [HOST:PORT...]")
		os.Exit(1)
	}
	if err := show(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		var failure *sentinel.Error
		if errors.Is(err, sentinel.ErrConnection) && errors.As(err, &failure) {
			for _, attempt := range failure.Attempts {
				fmt.Fprintln(os.Stderr, "   ", attempt)
			}
		}
		os.Exit(1)
	}
}

func show(service string, sentinels []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	db, err := sentinel.Open("", sentinel.WithSentinels(sentinels...))
	if err != nil {
		return err
	}
	defer db.Close()
	node, err := db.DiscoverPrimary(ctx, service)
	if err != nil {
		return err
	}
	fmt.Println("primary", node.Addr())
	replicas, err := db.DiscoverReplicas(ctx, service)
	if err != nil {
		return err
	}
	for _, node := range replicas {
		fmt.Println("replica", node.Addr())
	}

	primary, err := db.Primary(service)
	if err != nil {
		return err
	}
	replica, err := db.Replica(service)
	if err != nil {
		return err
	}
	// Replication is asynchronous; this write waits until every replica has it.
	done, err := sentinel.String(primary.With(sentinel.Replicas(uint32(len(replicas)))).Do(ctx, "SET", "foo", "bar"))
	if err != nil {
		return err
	}
	value, err := sentinel.String(replica.Do(ctx, "GET", "foo"))
	if err != nil {
		return err
	}
	fmt.Printf("SET foo bar: %s\nGET foo: %s\n", done, value)

	replies, err := primary.Transaction().
		Do("DEL", "fruit").
		Do("HSET", "fruit", "apples", 3, "pears", 5).
		Do("HGETALL", "fruit").
		Run(ctx)
	if err != nil {
		return err
	}
	for _, pair := range replies[2].Pairs() {
		fmt.Printf("%v: %v\n", pair.Key.Value(), pair.Value.Value())
	}
	return nil
}

// Send a thousand commands in one write, and a few as one transaction.
//
//	pipeline SERVICE HOST:PORT [HOST:PORT...]
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"libsentinel/sentinel"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: pipeline SERVICE HOST:PORT [HOST:PORT...]")
		os.Exit(1)
	}
	if err := show(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
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
	client, err := db.Primary(service)
	if err != nil {
		return err
	}
	counting := client.Pipeline().Do("DEL", "counter")
	for i := 0; i < 1000; i++ {
		counting.Do("INCR", "counter")
	}
	counted, err := counting.Run(ctx)
	if err != nil {
		return err
	}
	sum := int64(0)
	for _, reply := range counted[1:] {
		// An element may be an error of its own: Int returns it.
		number, err := reply.Int()
		if err != nil {
			return err
		}
		sum += number
	}
	fmt.Println("the sum of 1 to 1000 is", sum)

	// Nothing comes between the commands of a transaction.
	moved, err := client.Transaction().
		Do("MSET", "from", 100, "to", 0).
		Do("DECRBY", "from", 30).
		Do("INCRBY", "to", 30).
		Run(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("from %v, to %v\n", moved[1].Value(), moved[2].Value())
	return nil
}

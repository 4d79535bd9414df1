// Publish three messages and print what arrives. The subscription follows the service through failovers.
//
//	pubsub SERVICE HOST:PORT [HOST:PORT...]
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
		fmt.Fprintln(os.Stderr, "usage: pubsub SERVICE HOST:PORT [HOST:PORT...]")
		os.Exit(1)
	}
	err := show(os.Args[1], os.Args[2:])
	if errors.Is(err, sentinel.ErrUnavailable) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(77)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func show(service string, sentinels []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
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
	news, err := client.Subscribe("news")
	if err != nil {
		return err
	}
	defer news.Close()
	for published := 0; published < 3; {
		// What is published before the server knows of the subscription reaches nobody.
		reached, err := sentinel.Int(client.Do(ctx, "PUBLISH", "news", fmt.Sprint("message ", published)))
		if err != nil {
			return err
		}
		if reached > 0 {
			published++
		}
	}
	for i := 0; i < 3; i++ {
		select {
		case message := <-news.Messages():
			fmt.Printf("%s: %s\n", message.Channel, message.Payload)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

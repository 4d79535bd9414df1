package main

import (
	"context"

	"libsentinel/sentinel"
)

func open(service string, sentinels []string) func() error {
	db, err := sentinel.Open("", sentinel.WithSentinels(sentinels...))
	must(err)
	client, err := db.Primary(service)
	must(err)
	ctx := context.Background()
	_, err = client.Do(ctx, "SET", "bench", "0123456789012345678901234567890123456789012345678901234567890123")
	must(err)
	return func() error {
		_, err := sentinel.String(client.Do(ctx, "GET", "bench"))
		return err
	}
}

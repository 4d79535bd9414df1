package main

import (
	"time"

	redis "gopkg.in/redis.v5"
)

func open(service string, sentinels []string) func() error {
	client := redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName:    service,
		SentinelAddrs: sentinels,
		// A crowd waits for its turn at a connection longer than the default allows.
		PoolTimeout: time.Minute,
		ReadTimeout: time.Minute,
	})
	must(client.Set("bench", "0123456789012345678901234567890123456789012345678901234567890123", 0).Err())
	return func() error { return client.Get("bench").Err() }
}

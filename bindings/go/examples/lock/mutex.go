package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	mathrand "math/rand"
	"time"

	"libsentinel/sentinel"
)

// Each looks at whose lock it is, so all may be sent again when it is not known whether it was executed.
var (
	takeScript = sentinel.NewScript(`
local holder = redis.call("GET", KEYS[1])
if holder and holder ~= ARGV[1] then
	return 0
end
redis.call("SET", KEYS[1], ARGV[1], "PX", ARGV[2])
return 1`)
	extendScript = sentinel.NewScript(`
if redis.call("GET", KEYS[1]) == ARGV[1] then
	return redis.call("PEXPIRE", KEYS[1], ARGV[2])
end
return 0`)
	releaseScript = sentinel.NewScript(`
if redis.call("GET", KEYS[1]) == ARGV[1] then
	return redis.call("DEL", KEYS[1])
end
return 0`)
)

// Mutex is a lock that at most one of its holders has, in whichever process, until a moment that the holder knows. It is for one
// goroutine; others make their own, of the same name.
//
// What a primary has said OK to may be lost when it dies. A lock that was lost would be had twice: so it is had only once `replicas`
// replicas have it. With all replicas of the service there, any of them may become the primary; with fewer, the lock can still be
// had while one is down, and is safe as long as the one that is promoted is among those that have it.
type Mutex struct {
	safe, plain *sentinel.Client
	name, token string
	ttl         time.Duration
	until       time.Time
}

// NewMutex does no I/O.
func NewMutex(client *sentinel.Client, name string, ttl time.Duration, replicas uint32) (*Mutex, error) {
	token := make([]byte, 16)
	if _, err := rand.Read(token); err != nil {
		return nil, err
	}
	return &Mutex{
		safe:  client.With(sentinel.RetryUnknown(), sentinel.Replicas(replicas)),
		plain: client.With(sentinel.RetryUnknown()),
		name:  name, token: hex.EncodeToString(token), ttl: ttl,
	}, nil
}

// Until is when the holder has it no longer, unless it extends it before.
func (m *Mutex) Until() time.Time { return m.until }

// Lock tries until it has the lock or the context is done. What stood in the way the last time is told to trouble, if that is not nil.
func (m *Mutex) Lock(ctx context.Context, trouble func(error)) error {
	for {
		taken, err := m.write(ctx, takeScript, time.Now().Add(m.ttl/4))
		if err == nil && taken && time.Now().Before(m.until) {
			return nil
		}
		if err != nil || taken {
			// Perhaps it is there, without enough replicas or too late: nobody is to wait for it.
			m.Unlock()
		}
		if err != nil && trouble != nil && ctx.Err() == nil {
			trouble(err)
		}
		again := time.NewTimer(time.Duration(20+mathrand.Intn(40)) * time.Millisecond)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return ctx.Err()
		}
	}
}

// Extend gives the holder the whole time again. False without an error: it is not the holder any more. After an error, what was left
// before is left.
func (m *Mutex) Extend(ctx context.Context) (bool, error) {
	if !time.Now().Before(m.until) {
		return false, nil
	}
	return m.write(ctx, extendScript, m.until)
}

// write has a script executed with the replicas that were asked for, and notes until when that holds. The server begins to count later
// than this; how much faster its clock may be is allowed for.
func (m *Mutex) write(ctx context.Context, script *sentinel.Script, deadline time.Time) (bool, error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	until := time.Now().Add(m.ttl - m.ttl/100)
	held, err := sentinel.Bool(script.Run(ctx, m.safe, []string{m.name}, m.token, m.ttl.Milliseconds()))
	if err == nil && held {
		m.until = until
	}
	return held, err
}

// Unlock gives the lock back, with no more patience than a fraction of its time: after that it ends by itself.
func (m *Mutex) Unlock() error {
	m.until = time.Time{}
	ctx, cancel := context.WithTimeout(context.Background(), m.ttl/4)
	defer cancel()
	_, err := releaseScript.Run(ctx, m.plain, []string{m.name}, m.token)
	return err
}

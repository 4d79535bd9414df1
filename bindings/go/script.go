//go:build cgo

package sentinel

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"strings"
)

// Script is a Lua script with its SHA-1, made once and run by name: the source is sent only to a node that does not have
// it, such as a new primary. It never changes; any number of goroutines and clients use it at once.
type Script struct {
	source, sha1     string
	byName, bySource string
}

// NewScript does no I/O.
func NewScript(source string) *Script { return newScript(source, "EVALSHA", "EVAL") }

// NewReadOnlyScript is a script that only reads. It runs by EVALSHA_RO and EVAL_RO (redis 7), which refuse writes, and is
// repeated as commands are that only read.
func NewReadOnlyScript(source string) *Script { return newScript(source, "EVALSHA_RO", "EVAL_RO") }

func newScript(source, byName, bySource string) *Script {
	sum := sha1.Sum([]byte(source))
	return &Script{source: source, sha1: hex.EncodeToString(sum[:]), byName: byName, bySource: bySource}
}

// SHA1 is the script's name at the servers, in hexadecimal digits.
func (s *Script) SHA1() string { return s.sha1 }

// Run runs the script: args are its ARGV. A script that fails may have written before: its outcome is OutcomeUnknown, and
// it is not repeated unless the client is one With(RetryUnknown()).
func (s *Script) Run(ctx context.Context, client *Client, keys []string, args ...any) (Reply, error) {
	command := make([]any, 0, 3+len(keys)+len(args))
	command = append(command, s.byName, s.sha1, len(keys))
	for _, key := range keys {
		command = append(command, key)
	}
	command = append(command, args...)
	reply, err := client.Do(ctx, command...)
	var missing, failure *Error
	if !errors.As(err, &missing) || missing.Status != StatusServer || !strings.Contains(missing.Message, "NOSCRIPT No matching script") {
		return reply, err
	}
	// A script may end with any error after it has written: only the server's own word is refused. The rest may run twice.
	if missing.Outcome != OutcomeRefused && s.byName != "EVALSHA_RO" && !client.retriesUnknown() {
		return reply, err
	}
	command[0], command[1] = s.bySource, s.source
	reply, err = client.Do(ctx, command...)
	if missing.Outcome == OutcomeUnknown && errors.As(err, &failure) {
		// An earlier attempt by name may have run.
		failure.Outcome = OutcomeUnknown
	}
	return reply, err
}

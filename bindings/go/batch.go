package sentinel

/*
#include "submitted.h"

// The commands of a batch lie back to back: their counts of arguments, all lengths, all bytes.
static submitted submit_batch(sentinel_client_t *client, int32_t kind, size_t commands, const size_t *argcs,
                              const size_t *lens, const char *data, int64_t timeout_ms, uint32_t flags,
                              uint32_t replicas, sentinel_queue_t *queue, uint64_t tag) {
	sentinel_call_t call = SENTINEL_CALL_INIT;
	submitted end = {SENTINEL_OK, false, 0, NULL, NULL};
	sentinel_batch_t *batch = sentinel_batch_new(kind);
	call.timeout_ms = timeout_ms;
	call.flags = flags;
	call.replicas = replicas;
	for (size_t i = 0; i < commands && end.status == SENTINEL_OK; i++) {
		size_t bytes = 0;
		for (size_t j = 0; j < argcs[i]; j++)
			bytes += lens[j];
		end.status = sentinel_batch_add_packed(batch, argcs[i], lens, data, bytes);
		lens += argcs[i];
		data += bytes;
	}
	end.error = sentinel_batch_refusal(batch);
	if (end.status == SENTINEL_OK)
		end.status = sentinel_submit_batch(client, batch, &call, queue, tag, &end.id, &end.error);
	sentinel_batch_free(batch);
	return end;
}
*/
import "C"

import (
	"context"
	"fmt"
	"strings"
)

// Batch gathers commands that are sent in one write.
type Batch struct {
	client *Client
	kind   C.int32_t
	argcs  []C.size_t
	packed packed
	err    error
}

// Pipeline runs its commands one after the other; others may come between them.
func (c *Client) Pipeline() *Batch { return &Batch{client: c, kind: C.SENTINEL_BATCH_PIPELINE} }

// Transaction runs its commands as one MULTI ... EXEC: nothing comes between them.
func (c *Client) Transaction() *Batch { return &Batch{client: c, kind: C.SENTINEL_BATCH_TRANSACTION} }

// Do adds a command. An argument that is no value makes Run fail.
func (b *Batch) Do(args ...any) *Batch {
	if len(args) == 0 && b.err == nil {
		b.err = misuse("a command has at least its name")
	}
	if err := b.packed.add(args); err != nil && b.err == nil {
		b.err = misuse(fmt.Sprintf("command %d: %s", len(b.argcs), strings.TrimPrefix(err.Error(), "sentinel: ")))
	}
	b.argcs = append(b.argcs, C.size_t(len(args)))
	return b
}

// Run sends the commands and gives a reply for each; Reply.Err says which of them the server refused, or what became of
// those that a cut left without an answer. A batch may be run again.
func (b *Batch) Run(ctx context.Context) ([]Reply, error) {
	if b.err != nil {
		return nil, b.err
	}
	if len(b.argcs) == 0 {
		return nil, nil
	}
	if b.client == nil {
		return nil, misuse("a batch is made by Client.Pipeline or Client.Transaction")
	}
	if err := over(ctx); err != nil {
		return nil, notSent(err)
	}
	lens, data := b.packed.pointers()
	c := b.client
	reply, err := c.run(ctx, func(handle *C.sentinel_client_t, q *C.sentinel_queue_t, tag uint64) C.submitted {
		return C.submit_batch(handle, b.kind, C.size_t(len(b.argcs)), &b.argcs[0], lens, (*C.char)(data),
			timeoutOf(ctx), C.uint32_t(c.flags), C.uint32_t(c.needed), q, C.uint64_t(tag))
	})
	if err != nil {
		return nil, err
	}
	return reply.elements, nil
}

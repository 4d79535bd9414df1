package sentinel

// #include <sentinel.h>
import "C"

import (
	"context"
	"errors"
	"strings"
	"time"
)

// Status says what kind of failure it is; the README of the library has a table of them.
type Status int

// The statuses.
const (
	StatusNullArgument       Status = C.SENTINEL_ERR_NULL_ARGUMENT
	StatusInvalidArgument    Status = C.SENTINEL_ERR_INVALID_ARGUMENT
	StatusUnknownOption      Status = C.SENTINEL_ERR_UNKNOWN_OPTION
	StatusInvalidUTF8        Status = C.SENTINEL_ERR_INVALID_UTF8
	StatusWrongState         Status = C.SENTINEL_ERR_WRONG_STATE
	StatusForked             Status = C.SENTINEL_ERR_FORKED
	StatusUnsupportedCommand Status = C.SENTINEL_ERR_UNSUPPORTED_COMMAND
	StatusUnavailable        Status = C.SENTINEL_ERR_UNAVAILABLE
	StatusPrimaryNotFound    Status = C.SENTINEL_ERR_PRIMARY_NOT_FOUND
	StatusReplicaNotFound    Status = C.SENTINEL_ERR_REPLICA_NOT_FOUND
	StatusConnect            Status = C.SENTINEL_ERR_CONNECT
	StatusConnectionLost     Status = C.SENTINEL_ERR_CONNECTION_LOST
	StatusTLS                Status = C.SENTINEL_ERR_TLS
	StatusAuth               Status = C.SENTINEL_ERR_AUTH
	StatusProtocol           Status = C.SENTINEL_ERR_PROTOCOL
	StatusTimeout            Status = C.SENTINEL_ERR_TIMEOUT
	StatusServer             Status = C.SENTINEL_ERR_SERVER
	StatusReadOnly           Status = C.SENTINEL_ERR_READONLY
	StatusLoading            Status = C.SENTINEL_ERR_LOADING
	StatusTransactionAborted Status = C.SENTINEL_ERR_TRANSACTION_ABORTED
	StatusNotReplicated      Status = C.SENTINEL_ERR_NOT_REPLICATED
	StatusPoolExhausted      Status = C.SENTINEL_ERR_POOL_EXHAUSTED
	StatusQueueFull          Status = C.SENTINEL_ERR_QUEUE_FULL
	StatusCancelled          Status = C.SENTINEL_ERR_CANCELLED
	StatusClosed             Status = C.SENTINEL_ERR_CLOSED
	StatusInternal           Status = C.SENTINEL_ERR_INTERNAL
	StatusPanic              Status = C.SENTINEL_ERR_PANIC
)

// String is the name of the status, such as PRIMARY_NOT_FOUND.
func (s Status) String() string { return C.GoString(C.sentinel_status_name(C.sentinel_status_t(s))) }

// Reason is the detail behind StatusPrimaryNotFound and StatusReplicaNotFound.
type Reason int

// The reasons.
const (
	ReasonNone                Reason = C.SENTINEL_REASON_NONE
	ReasonNoSentinelReachable Reason = C.SENTINEL_REASON_NO_SENTINEL_REACHABLE
	ReasonUnknownService      Reason = C.SENTINEL_REASON_UNKNOWN_SERVICE
	ReasonSentinelAuth        Reason = C.SENTINEL_REASON_SENTINEL_AUTH
	ReasonWrongRole           Reason = C.SENTINEL_REASON_WRONG_ROLE
	ReasonNodeUnreachable     Reason = C.SENTINEL_REASON_NODE_UNREACHABLE
	ReasonNoUsableReplica     Reason = C.SENTINEL_REASON_NO_USABLE_REPLICA
	ReasonTooFewSentinels     Reason = C.SENTINEL_REASON_TOO_FEW_SENTINELS
	ReasonNoMajority          Reason = C.SENTINEL_REASON_NO_MAJORITY
	ReasonUnconfirmed         Reason = C.SENTINEL_REASON_UNCONFIRMED
)

// Outcome says what became of the command that failed.
type Outcome int

// The outcomes. The first two are promises that the command did not execute.
const (
	OutcomeNotSent Outcome = C.SENTINEL_OUTCOME_NOT_SENT
	OutcomeRefused Outcome = C.SENTINEL_OUTCOME_REFUSED
	OutcomeUnknown Outcome = C.SENTINEL_OUTCOME_UNKNOWN
)

// String is NOT_SENT, REFUSED or UNKNOWN.
func (o Outcome) String() string {
	switch o {
	case OutcomeNotSent:
		return "NOT_SENT"
	case OutcomeRefused:
		return "REFUSED"
	}
	return "UNKNOWN"
}

// For errors.Is. ErrConnection is true of every failure that means "no connection to the service", the first two among
// them.
var (
	ErrPrimaryNotFound    = errors.New("sentinel: no primary could be had")
	ErrReplicaNotFound    = errors.New("sentinel: no replica could be had")
	ErrConnection         = errors.New("sentinel: no connection to the service")
	ErrTimeout            = errors.New("sentinel: the deadline passed")
	ErrAuth               = errors.New("sentinel: the login was refused")
	ErrTLS                = errors.New("sentinel: the TLS handshake failed")
	ErrServer             = errors.New("sentinel: the server answered with an error")
	ErrTransactionAborted = errors.New("sentinel: the transaction was not executed")
	ErrNotReplicated      = errors.New("sentinel: too few replicas confirmed the write")
	ErrPoolExhausted      = errors.New("sentinel: no connection of the pool became free")
	ErrQueueFull          = errors.New("sentinel: too many calls are under way")
	ErrClosed             = errors.New("sentinel: closed")
	ErrWrongState         = errors.New("sentinel: not in this state; of a scan: its node is gone")
	ErrUnavailable        = errors.New("sentinel: not in this version of the library")
	// ErrNil is what the helpers, such as String, say of a reply that holds no value.
	ErrNil = errors.New("sentinel: nil")
)

// Error is why a call failed.
type Error struct {
	Status  Status
	Reason  Reason
	Outcome Outcome
	Message string
	// ServerCode is the first word of the server's error reply, such as WRONGTYPE.
	ServerCode string
	// Endpoint is host:port of the node at which the call failed.
	Endpoint string
	// Attempts has one entry for every Sentinel and node that was tried: where, at which stage, and why it failed.
	Attempts []string

	cause error
}

func (e *Error) Error() string { return "sentinel: " + e.Message }

// Unwrap is the context's error, when that ended the call.
func (e *Error) Unwrap() error { return e.cause }

// Timeout is true when the deadline passed.
func (e *Error) Timeout() bool { return e.Status == StatusTimeout }

// IsConnection is true of every failure that means "no connection to the service".
func (e *Error) IsConnection() bool {
	return C.sentinel_status_is_connection_error(C.sentinel_status_t(e.Status)) != 0
}

// Is makes errors.Is answer by the kind of failure.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrPrimaryNotFound:
		return e.Status == StatusPrimaryNotFound
	case ErrReplicaNotFound:
		return e.Status == StatusReplicaNotFound
	case ErrConnection:
		return e.IsConnection()
	case ErrTimeout:
		return e.Status == StatusTimeout
	case ErrAuth:
		return e.Status == StatusAuth || e.Reason == ReasonSentinelAuth
	case ErrTLS:
		return e.Status == StatusTLS
	case ErrServer:
		return e.Status <= StatusServer && e.Status > StatusServer-100
	case ErrTransactionAborted:
		return e.Status == StatusTransactionAborted
	case ErrNotReplicated:
		return e.Status == StatusNotReplicated
	case ErrPoolExhausted:
		return e.Status == StatusPoolExhausted
	case ErrQueueFull:
		return e.Status == StatusQueueFull
	case ErrClosed:
		return e.Status == StatusClosed
	case ErrWrongState:
		return e.Status == StatusWrongState
	case ErrUnavailable:
		return e.Status == StatusUnavailable
	}
	return false
}

// takeError makes a Go error of what a failed call left behind, and frees it. A failure without an error object keeps
// at least its status.
func takeError(status C.sentinel_status_t, failure *C.sentinel_error_t) error {
	if failure == nil {
		return statusError(status)
	}
	defer C.sentinel_error_free(failure)
	result := &Error{
		Status:  Status(status),
		Reason:  Reason(C.sentinel_error_reason(failure)),
		Outcome: Outcome(C.sentinel_error_outcome(failure)),
	}
	var length C.size_t
	message := C.sentinel_error_message(failure, &length)
	result.Message = inGo(C.GoStringN(message, C.int(length)))
	if code := C.sentinel_error_server_code(failure, &length); code != nil {
		result.ServerCode = C.GoStringN(code, C.int(length))
	}
	if endpoint := C.sentinel_error_endpoint(failure, &length); endpoint != nil {
		result.Endpoint = C.GoStringN(endpoint, C.int(length))
	}
	for i := C.size_t(0); i < C.sentinel_error_attempts(failure); i++ {
		attempt := C.sentinel_error_attempt(failure, i, &length)
		result.Attempts = append(result.Attempts, C.GoStringN(attempt, C.int(length)))
	}
	return result
}

// goNames are for what the library's messages call by its name in C.
var goNames = strings.NewReplacer(
	"sentinel_batch_run with SENTINEL_BATCH_TRANSACTION", "Client.Transaction",
	"sentinel_options_add_sentinel", "WithSentinels",
	"sentinel_subscription_new", "Client.Subscribe",
	"sentinel_call_t.replicas", "Client.With(Replicas(n))",
	"sentinel_client_acquire", "Client.Acquire",
	"sentinel_submit_queued", "a goroutine",
	"sentinel_client_free", "Client.Close",
	"sentinel_command", "Client.Do",
	"sentinel_open", "Open",
)

func inGo(message string) string {
	if !strings.Contains(message, "sentinel_") {
		return message
	}
	return goNames.Replace(message)
}

func statusError(status C.sentinel_status_t) error {
	if status == C.SENTINEL_OK {
		return nil
	}
	return &Error{
		Status:  Status(status),
		Outcome: OutcomeNotSent,
		Message: C.GoString(C.sentinel_status_message(status)),
	}
}

func misuse(message string) error {
	return &Error{Status: StatusInvalidArgument, Outcome: OutcomeNotSent, Message: message}
}

func closed(what string) error {
	return &Error{Status: StatusClosed, Outcome: OutcomeNotSent, Message: what + " is closed"}
}

// over says why a context has ended, nil while it has not. A deadline counts from the moment that it names: the timer that
// ends the context may run later.
func over(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if deadline, limited := ctx.Deadline(); limited && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return nil
}

// notSent is the error of a call whose context was over before it began.
func notSent(cause error) error {
	status := StatusCancelled
	if errors.Is(cause, context.DeadlineExceeded) {
		status = StatusTimeout
	}
	return &Error{Status: status, Outcome: OutcomeNotSent, Message: cause.Error(), cause: cause}
}

// interrupted is the error of a call that its context ended and that goes on by itself.
func interrupted(ctx context.Context) error {
	cause := ctx.Err()
	failure := notSent(cause).(*Error)
	failure.Outcome = OutcomeUnknown
	return failure
}

// withContext names the context as the cause of a call that it ended: by its cancel, or by its deadline, which the
// library keeps and explains. Both are in the chain of the error.
func withContext(ctx context.Context, err error) error {
	failure, ok := err.(*Error)
	if !ok {
		return err
	}
	_, limited := ctx.Deadline()
	passed := over(ctx) == context.DeadlineExceeded
	switch {
	case failure.Status == StatusCancelled && passed:
		failure.Status, failure.cause = StatusTimeout, context.DeadlineExceeded
		failure.Message = context.DeadlineExceeded.Error()
	case failure.Status == StatusCancelled:
		failure.cause = ctx.Err()
	case failure.Status == StatusTimeout && limited, passed && failure.endsAtDeadline():
		failure.cause = context.DeadlineExceeded
	}
	return failure
}

// endsAtDeadline is true of what a call says that was tried until its deadline.
func (e *Error) endsAtDeadline() bool {
	return e.IsConnection() || e.Status == StatusPoolExhausted || e.Status == StatusNotReplicated
}

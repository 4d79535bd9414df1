package sentinel

// #include <sentinel.h>
import "C"

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"unsafe"
)

// Kind is what a reply is.
type Kind int

// The kinds.
const (
	KindNil       Kind = C.SENTINEL_REPLY_NIL
	KindStatus    Kind = C.SENTINEL_REPLY_STATUS
	KindString    Kind = C.SENTINEL_REPLY_STRING
	KindInteger   Kind = C.SENTINEL_REPLY_INTEGER
	KindDouble    Kind = C.SENTINEL_REPLY_DOUBLE
	KindBool      Kind = C.SENTINEL_REPLY_BOOL
	KindArray     Kind = C.SENTINEL_REPLY_ARRAY
	KindMap       Kind = C.SENTINEL_REPLY_MAP
	KindSet       Kind = C.SENTINEL_REPLY_SET
	KindVerbatim  Kind = C.SENTINEL_REPLY_VERBATIM
	KindBigNumber Kind = C.SENTINEL_REPLY_BIG_NUMBER
	KindPush      Kind = C.SENTINEL_REPLY_PUSH
	KindError     Kind = C.SENTINEL_REPLY_ERROR
)

// Reply is an answer of the server, in Go's own memory. The zero value is nil. It is copied by each call, so it is small.
type Reply struct {
	kind     Kind
	text     string
	bits     int64 // of an integer, a bool (1 or 0) or a double
	elements []Reply
	failure  *Error // of an error
}

func (r Reply) double() float64 { return math.Float64frombits(uint64(r.bits)) }

// Kind is what the reply is.
func (r Reply) Kind() Kind { return r.kind }

// IsNil is true when there is no value.
func (r Reply) IsNil() bool { return r.kind == KindNil }

// Err is the error that an element of a batch or of EXEC is, otherwise nil. Its outcome is OutcomeRefused where the server
// itself says that nothing was executed, OutcomeUnknown where a script, a function or a module speaks.
func (r Reply) Err() error {
	if r.failure == nil {
		return nil
	}
	return r.failure
}

// Elements are those of an array, set or push; of a map its keys and values, by turns.
func (r Reply) Elements() []Reply { return r.elements }

// Pair is a key and a value of a map.
type Pair struct{ Key, Value Reply }

// Pairs are those of a map, in the server's order, duplicates and all. An array of keys and values by turns, which older
// protocols answer, is read as a map, and so is one of arrays of two each, as ZRANGE WITHSCORES has it in RESP3. What is
// neither has none.
func (r Reply) Pairs() []Pair {
	if r.kind != KindMap && r.isOfPairs() {
		pairs := make([]Pair, len(r.elements))
		for i, element := range r.elements {
			pairs[i] = Pair{element.elements[0], element.elements[1]}
		}
		return pairs
	}
	if len(r.elements)%2 != 0 {
		return nil
	}
	pairs := make([]Pair, 0, len(r.elements)/2)
	for i := 0; i+1 < len(r.elements); i += 2 {
		pairs = append(pairs, Pair{r.elements[i], r.elements[i+1]})
	}
	return pairs
}

// isOfPairs is true of a list whose elements are lists of two.
func (r Reply) isOfPairs() bool {
	for _, element := range r.elements {
		if element.kind != KindArray || len(element.elements) != 2 {
			return false
		}
	}
	return len(r.elements) > 0
}

// String is the value as text, for people.
func (r Reply) String() string { return fmt.Sprint(r.Value()) }

// MarshalJSON gives the value.
func (r Reply) MarshalJSON() ([]byte, error) { return json.Marshal(r.Value()) }

// Value is the reply as Go has it: nil, string, int64, float64, bool, *big.Int, []any, map[string]any (of a map whose
// keys are different texts; otherwise []any of keys and values), or error.
func (r Reply) Value() any {
	switch r.kind {
	case KindNil:
		return nil
	case KindInteger:
		return r.bits
	case KindDouble:
		return r.double()
	case KindBool:
		return r.bits != 0
	case KindBigNumber:
		number, _ := new(big.Int).SetString(r.text, 10)
		return number
	case KindMap:
		values, err := mapOf(r, func(r Reply) (any, error) { return r.Value(), nil })
		if err == nil && len(values) == len(r.elements)/2 {
			return values
		}
		return r.values()
	case KindArray, KindSet, KindPush:
		return r.values()
	case KindError:
		return r.Err()
	}
	return r.text
}

func (r Reply) values() []any {
	values := make([]any, len(r.elements))
	for i, element := range r.elements {
		values[i] = element.Value()
	}
	return values
}

// Text is the bytes of a text, or a number as text.
func (r Reply) Text() (string, error) {
	switch r.kind {
	case KindStatus, KindString, KindVerbatim, KindBigNumber, KindDouble:
		return r.text, nil
	case KindInteger:
		return strconv.FormatInt(r.bits, 10), nil
	}
	return "", r.isNot("text")
}

// Int is a number, also one that came as text.
func (r Reply) Int() (int64, error) {
	switch r.kind {
	case KindInteger, KindBool:
		return r.bits, nil
	case KindStatus, KindString, KindBigNumber:
		if number, err := strconv.ParseInt(r.text, 10, 64); err == nil {
			return number, nil
		}
	}
	return 0, r.isNot("an integer")
}

// Float is a number, also one that came as text.
func (r Reply) Float() (float64, error) {
	switch r.kind {
	case KindDouble:
		return r.double(), nil
	case KindInteger:
		return float64(r.bits), nil
	case KindStatus, KindString:
		if number, err := strconv.ParseFloat(r.text, 64); err == nil {
			return number, nil
		}
	}
	return 0, r.isNot("a number")
}

// Bool is a boolean, an integer other than 0, or OK.
func (r Reply) Bool() (bool, error) {
	switch {
	case r.kind == KindBool || r.kind == KindInteger:
		return r.bits != 0, nil
	case r.kind == KindStatus && r.text == "OK":
		return true, nil
	case r.kind == KindString && (r.text == "1" || r.text == "0"):
		return r.text == "1", nil
	}
	return false, r.isNot("a boolean")
}

func (r Reply) isNot(what string) error {
	if r.kind == KindNil {
		return ErrNil
	}
	if err := r.Err(); err != nil {
		return err
	}
	return fmt.Errorf("sentinel: the reply %q is not %s", fmt.Sprint(r.Value()), what)
}

// String takes what Do returns and gives text; ErrNil when there is no value.
func String(r Reply, err error) (string, error) { return typed(r, err, Reply.Text) }

// Bytes takes what Do returns and gives bytes; ErrNil when there is no value.
func Bytes(r Reply, err error) ([]byte, error) {
	text, err := typed(r, err, Reply.Text)
	if err != nil {
		return nil, err
	}
	return []byte(text), nil
}

// Int takes what Do returns and gives an integer; ErrNil when there is no value.
func Int(r Reply, err error) (int64, error) { return typed(r, err, Reply.Int) }

// Float takes what Do returns and gives a number; ErrNil when there is no value.
func Float(r Reply, err error) (float64, error) { return typed(r, err, Reply.Float) }

// Bool takes what Do returns and gives a boolean; ErrNil when there is no value.
func Bool(r Reply, err error) (bool, error) { return typed(r, err, Reply.Bool) }

// Strings takes what Do returns and gives a list of texts; an element without a value is "".
func Strings(r Reply, err error) ([]string, error) {
	if err != nil {
		return nil, err
	}
	if r.kind != KindArray && r.kind != KindSet && r.kind != KindPush && r.kind != KindMap {
		return nil, r.isNot("a list")
	}
	texts := make([]string, len(r.elements))
	for i, element := range r.elements {
		if element.IsNil() {
			continue
		}
		if texts[i], err = element.Text(); err != nil {
			return nil, err
		}
	}
	return texts, nil
}

// StringMap takes what Do returns and gives the pairs of a map, such as HGETALL's or those of ZRANGE WITHSCORES. Of several
// pairs with one key the last counts. A list of values, such as HMGET's, is none.
func StringMap(r Reply, err error) (map[string]string, error) {
	if err != nil {
		return nil, err
	}
	if !r.isMap() {
		return nil, r.isNot("a map")
	}
	return mapOf(r, Reply.Text)
}

// isMap is true of what Pairs reads whole.
func (r Reply) isMap() bool {
	return r.kind == KindMap || r.kind == KindArray && (len(r.elements)%2 == 0 || r.isOfPairs())
}

func mapOf[T any](r Reply, value func(Reply) (T, error)) (map[string]T, error) {
	values := make(map[string]T, len(r.elements)/2)
	for _, pair := range r.Pairs() {
		key, err := pair.Key.Text()
		if err != nil {
			return nil, err
		}
		if values[key], err = value(pair.Value); err != nil {
			return nil, err
		}
	}
	return values, nil
}

func typed[T any](r Reply, err error, as func(Reply) (T, error)) (T, error) {
	if err != nil {
		var none T
		return none, err
	}
	return as(r)
}

// takeReply copies a reply to Go's memory and frees it: the whole tree by one crossing.
func takeReply(reply *C.sentinel_reply_t) Reply {
	defer C.sentinel_reply_free(reply)
	var count, stride C.size_t
	nodes := unsafe.Pointer(C.sentinel_reply_nodes(reply, &count, &stride))
	reader := treeReader{next: nodes, left: int(count), stride: uintptr(stride)}
	return reader.read()
}

type treeReader struct {
	next   unsafe.Pointer
	left   int
	stride uintptr
}

// read goes as deep as a reply may be: max_reply_depth.
func (t *treeReader) read() Reply {
	if t.left == 0 {
		return Reply{}
	}
	node := (*C.sentinel_reply_node_t)(t.next)
	t.left--
	if t.left > 0 {
		t.next = unsafe.Add(t.next, t.stride)
	}
	reply := Reply{kind: Kind(node._type), bits: int64(node.integer)}
	switch reply.kind {
	case KindArray, KindMap, KindSet, KindPush:
		reply.elements = make([]Reply, int(node.len))
		for i := range reply.elements {
			reply.elements[i] = t.read()
		}
	default:
		if reply.kind == KindDouble {
			reply.bits = int64(math.Float64bits(float64(node.number)))
		}
		if node.data != nil {
			reply.text = string(unsafe.Slice((*byte)(unsafe.Pointer(node.data)), int(node.len)))
		}
		if reply.kind == KindError {
			// A node's address is the handle of its value.
			failure := C.sentinel_reply_failure((*C.sentinel_reply_t)(unsafe.Pointer(node)))
			reply.failure, _ = takeError(C.sentinel_error_status(failure), failure).(*Error)
		}
	}
	return reply
}

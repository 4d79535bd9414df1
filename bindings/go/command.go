package sentinel

// #include <sentinel.h>
import "C"

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"sync"
	"time"
	"unsafe"
)

// packed is arguments back to back and their lengths apart: what C may be handed without an array of Go pointers.
type packed struct {
	lens []C.size_t
	data []byte
}

var buffers = sync.Pool{New: func() any { return new(packed) }}

// pack takes a string, []byte, integer, float, bool (1 or 0), or a type made of one of these, a time.Time, or an
// encoding.BinaryMarshaler for each argument.
func pack(args []any) (*packed, error) {
	p := buffers.Get().(*packed)
	if err := p.add(args); err != nil {
		p.release()
		return nil, err
	}
	return p, nil
}

func (p *packed) add(args []any) error {
	for i, arg := range args {
		before := len(p.data)
		switch arg := arg.(type) {
		case string:
			p.data = append(p.data, arg...)
		case []byte:
			p.data = append(p.data, arg...)
		case int:
			p.data = strconv.AppendInt(p.data, int64(arg), 10)
		case int64:
			p.data = strconv.AppendInt(p.data, arg, 10)
		case bool:
			if arg {
				p.data = append(p.data, '1')
			} else {
				p.data = append(p.data, '0')
			}
		case time.Time:
			p.data = arg.AppendFormat(p.data, time.RFC3339Nano)
		case encoding.BinaryMarshaler:
			if value := reflect.ValueOf(arg); value.Kind() == reflect.Pointer && value.IsNil() {
				return misuse(fmt.Sprintf("argument %d is a nil %T", i, arg))
			}
			bytes, err := arg.MarshalBinary()
			if err != nil {
				return misuse(fmt.Sprintf("argument %d: %v", i, err))
			}
			p.data = append(p.data, bytes...)
		default:
			var ok bool
			if p.data, ok = appendKind(p.data, reflect.ValueOf(arg)); !ok {
				return misuse(fmt.Sprintf("argument %d is a %T, which is no value of a command", i, arg))
			}
		}
		p.lens = append(p.lens, C.size_t(len(p.data)-before))
	}
	return nil
}

// appendKind writes what is a string, a number or bytes by its kind, whatever its type is called: a time.Duration is its
// nanoseconds.
func appendKind(data []byte, value reflect.Value) ([]byte, bool) {
	switch value.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.AppendInt(data, value.Int(), 10), true
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return strconv.AppendUint(data, value.Uint(), 10), true
	case reflect.Float32:
		return strconv.AppendFloat(data, value.Float(), 'f', -1, 32), true
	case reflect.Float64:
		return strconv.AppendFloat(data, value.Float(), 'f', -1, 64), true
	case reflect.String:
		return append(data, value.String()...), true
	case reflect.Bool:
		if value.Bool() {
			return append(data, '1'), true
		}
		return append(data, '0'), true
	case reflect.Slice:
		if value.Type().Elem().Kind() == reflect.Uint8 {
			return append(data, value.Bytes()...), true
		}
	}
	return data, false
}

// release gives the buffers to another call; large ones go to the garbage collector.
func (p *packed) release() {
	const keep = 64 << 10
	if cap(p.data) > keep || cap(p.lens) > keep {
		return
	}
	p.lens, p.data = p.lens[:0], p.data[:0]
	buffers.Put(p)
}

// pointers are NULL where there is nothing.
func (p *packed) pointers() (*C.size_t, unsafe.Pointer) {
	var lens *C.size_t
	var data unsafe.Pointer
	if len(p.lens) > 0 {
		lens = &p.lens[0]
	}
	if len(p.data) > 0 {
		data = unsafe.Pointer(&p.data[0])
	}
	return lens, data
}

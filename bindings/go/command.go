package sentinel

// #include <sentinel.h>
import "C"

import (
	"encoding"
	"fmt"
	"strconv"
	"sync"
	"unsafe"
)

// packed is arguments back to back and their lengths apart: what C may be handed without an array of Go pointers.
type packed struct {
	lens []C.size_t
	data []byte
}

var buffers = sync.Pool{New: func() any { return new(packed) }}

// pack takes a string, []byte, integer, float, bool (1 or 0) or encoding.BinaryMarshaler for each argument.
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
		case int32:
			p.data = strconv.AppendInt(p.data, int64(arg), 10)
		case uint64:
			p.data = strconv.AppendUint(p.data, arg, 10)
		case uint32:
			p.data = strconv.AppendUint(p.data, uint64(arg), 10)
		case uint:
			p.data = strconv.AppendUint(p.data, uint64(arg), 10)
		case float64:
			p.data = strconv.AppendFloat(p.data, arg, 'g', -1, 64)
		case bool:
			if arg {
				p.data = append(p.data, '1')
			} else {
				p.data = append(p.data, '0')
			}
		case encoding.BinaryMarshaler:
			bytes, err := arg.MarshalBinary()
			if err != nil {
				return misuse(fmt.Sprintf("argument %d: %v", i, err))
			}
			p.data = append(p.data, bytes...)
		default:
			return misuse(fmt.Sprintf("argument %d is a %T, which is no value of a command", i, arg))
		}
		p.lens = append(p.lens, C.size_t(len(p.data)-before))
	}
	return nil
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

package sentinel

/*
#include <sentinel.h>
#include <stdlib.h>
*/
import "C"

import (
	"net"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unsafe"
)

// Option sets something of a deployment or a client; docs/options.md of the library lists the keys.
type Option struct {
	apply func(*C.sentinel_options_t) error
}

// WithSentinels adds Sentinels, each as host:port, or host for port 26379.
func WithSentinels(addresses ...string) Option {
	return Option{func(options *C.sentinel_options_t) error {
		for _, address := range addresses {
			host, digits, err := net.SplitHostPort(address)
			if err != nil {
				host, digits = address, "26379"
			}
			port, err := strconv.ParseUint(digits, 10, 16)
			if err != nil {
				return misuse("a Sentinel is host:port, not " + strconv.Quote(address))
			}
			text, free, err := cString("a Sentinel", host)
			if err != nil {
				return err
			}
			var failure *C.sentinel_error_t
			status := C.sentinel_options_add_sentinel(options, text, C.uint16_t(port), &failure)
			free()
			if status != C.SENTINEL_OK {
				return takeError(status, failure)
			}
		}
		return nil
	}}
}

// Takes says what an option takes.
type Takes int

// What an option takes: an integer from Min to Max; the same, or -1 for no limit; 0 or 1; one of Words; text; text or
// bytes; bytes.
const (
	TakesInteger Takes = C.SENTINEL_OPTION_INTEGER
	TakesLimit   Takes = C.SENTINEL_OPTION_LIMIT
	TakesFlag    Takes = C.SENTINEL_OPTION_FLAG
	TakesChoice  Takes = C.SENTINEL_OPTION_CHOICE
	TakesText    Takes = C.SENTINEL_OPTION_TEXT
	TakesUser    Takes = C.SENTINEL_OPTION_USER
	TakesSecret  Takes = C.SENTINEL_OPTION_SECRET
)

// Key is what can be said of an option before it is set.
type Key struct {
	// Name is what With takes.
	Name  string
	Takes Takes
	// Default is the value in force where none is set, as text; empty: none.
	Default string
	// Unit is what its numbers count: ms, s, bytes, or empty.
	Unit string
	// Words are those of TakesChoice.
	Words []string
	// Help is its meaning in one line.
	Help     string
	Min, Max int64
	// ForSentinels and ForClients say what it is for; without ForClients it is refused by Primary and Replica.
	ForSentinels, ForClients bool
}

// Keys are all options of the library that is loaded.
func Keys() []Key {
	var keys []Key
	for index := C.size_t(0); ; index++ {
		key := C.sentinel_options_key(index)
		if key == nil {
			return keys
		}
		keys = append(keys, Key{
			Name:         C.GoString(key.name),
			Takes:        Takes(key.kind),
			Default:      C.GoString(key.default_value),
			Unit:         C.GoString(key.unit),
			Words:        strings.Fields(C.GoString(key.words)),
			Help:         C.GoString(key.help),
			Min:          int64(key.min),
			Max:          int64(key.max),
			ForSentinels: key.scope&C.SENTINEL_SCOPE_DEPLOYMENT != 0,
			ForClients:   key.scope&C.SENTINEL_SCOPE_CLIENT != 0,
		})
	}
}

// With sets an option by its key: a string, a number, a bool, or a time.Duration for keys that end in _ms or _s.
func With(key string, value any) Option {
	return Option{func(options *C.sentinel_options_t) error {
		text, err := optionText(key, value)
		if err != nil {
			return err
		}
		name, freeName, err := cString("an option's key", key)
		if err != nil {
			return err
		}
		defer freeName()
		if strings.IndexByte(text, 0) >= 0 {
			return misuse("the value of " + key + " holds a NUL byte")
		}
		content := C.CString(text)
		defer C.free(unsafe.Pointer(content))
		var failure *C.sentinel_error_t
		if status := C.sentinel_options_set(options, name, content, &failure); status != C.SENTINEL_OK {
			return takeError(status, failure)
		}
		return nil
	}}
}

func optionText(key string, value any) (string, error) {
	switch value := value.(type) {
	case string:
		return value, nil
	case bool:
		if strings.HasSuffix(key, "_ms") || strings.HasSuffix(key, "_s") {
			return "", misuse(key + " is a time.Duration or a number, not a bool")
		}
		if value {
			return "1", nil
		}
		return "0", nil
	case time.Duration:
		return durationText(key, value)
	}
	switch number := reflect.ValueOf(value); number.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(number.Int(), 10), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return strconv.FormatUint(number.Uint(), 10), nil
	}
	return "", misuse("the value of " + key + " is a string, an integer, a bool or a time.Duration")
}

// durationText is in the unit that the key ends in, and says so where the key has none, or the duration is no whole number
// of it.
func durationText(key string, value time.Duration) (string, error) {
	unit := time.Duration(0)
	switch {
	case strings.HasSuffix(key, "_ms"):
		unit = time.Millisecond
	case strings.HasSuffix(key, "_s"):
		unit = time.Second
	default:
		return value.String(), nil // the library knows what the key takes
	}
	if value%unit != 0 {
		return "", misuse(key + " is a whole number of " + unit.String()[1:] + ", not " + value.String())
	}
	return strconv.FormatInt(int64(value/unit), 10), nil
}

// WithSecret sets a password or user name from bytes. The library wipes its copy.
func WithSecret(key string, secret []byte) Option {
	return Option{func(options *C.sentinel_options_t) error {
		name, free, err := cString("an option's key", key)
		if err != nil {
			return err
		}
		defer free()
		var data unsafe.Pointer
		if len(secret) > 0 {
			data = unsafe.Pointer(&secret[0])
		}
		var failure *C.sentinel_error_t
		status := C.sentinel_options_set_secret(options, name, data, C.size_t(len(secret)), &failure)
		if status != C.SENTINEL_OK {
			return takeError(status, failure)
		}
		return nil
	}}
}

func withURL(url string) Option {
	return Option{func(options *C.sentinel_options_t) error {
		// Not shown: it may hold a password.
		if strings.IndexByte(url, 0) >= 0 {
			return misuse("the URL holds a NUL byte")
		}
		text, free, _ := cString("the URL", url)
		defer free()
		var failure *C.sentinel_error_t
		if status := C.sentinel_options_parse_url(options, text, &failure); status != C.SENTINEL_OK {
			return takeError(status, failure)
		}
		return nil
	}}
}

// newOptions is to be freed by the caller.
func newOptions(options []Option) (*C.sentinel_options_t, error) {
	made := C.sentinel_options_new()
	for _, option := range options {
		if option.apply == nil {
			continue // the zero value
		}
		if err := option.apply(made); err != nil {
			C.sentinel_options_free(made)
			return nil, err
		}
	}
	return made, nil
}

// cString is NULL for "", which is the service of the URL. C would read a text no further than to its first NUL.
func cString(what, text string) (*C.char, func(), error) {
	if strings.IndexByte(text, 0) >= 0 {
		return nil, nil, misuse(what + " holds a NUL byte: " + strconv.Quote(text))
	}
	if text == "" {
		return nil, func() {}, nil
	}
	copied := C.CString(text)
	return copied, func() { C.free(unsafe.Pointer(copied)) }, nil
}

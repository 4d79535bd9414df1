package sentinel

/*
#include <sentinel.h>
#include <stdlib.h>
*/
import "C"

import (
	"net"
	"strconv"
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
			text, free := cString(host)
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

// With sets an option by its key: a string, a number, a bool, or a time.Duration for keys that end in _ms or _s.
func With(key string, value any) Option {
	return Option{func(options *C.sentinel_options_t) error {
		text, err := optionText(key, value)
		if err != nil {
			return err
		}
		name, freeName := cString(key)
		defer freeName()
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
		if value {
			return "1", nil
		}
		return "0", nil
	case int:
		return strconv.Itoa(value), nil
	case int64:
		return strconv.FormatInt(value, 10), nil
	case time.Duration:
		if len(key) > 3 && key[len(key)-3:] == "_ms" {
			return strconv.FormatInt(value.Milliseconds(), 10), nil
		}
		return strconv.FormatInt(int64(value/time.Second), 10), nil
	}
	return "", misuse("the value of " + key + " is a string, an int, a bool or a time.Duration")
}

// WithSecret sets a password or user name from bytes. The library wipes its copy.
func WithSecret(key string, secret []byte) Option {
	return Option{func(options *C.sentinel_options_t) error {
		name, free := cString(key)
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
		text, free := cString(url)
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
		if err := option.apply(made); err != nil {
			C.sentinel_options_free(made)
			return nil, err
		}
	}
	return made, nil
}

// cString is NULL for "", which is the service of the URL.
func cString(text string) (*C.char, func()) {
	if text == "" {
		return nil, func() {}
	}
	copied := C.CString(text)
	return copied, func() { C.free(unsafe.Pointer(copied)) }
}

//go:build cgo

package sentinel

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
)

// Struct sets the fields of a struct, to which dest points, from a hash: the answer of HGETALL, or any keys and values by
// turns. A field of the hash belongs to the struct's field with the tag `redis:"name"`; those without a tag, and fields of the
// hash that none has, are left alone: a key that is not there leaves the struct as it is. The answer of HMGET holds no names
// and cannot be read so. A field is a string, []byte, number (a time.Duration is its nanoseconds, as an argument
// is), bool, an encoding.TextUnmarshaler or BinaryUnmarshaler, or a pointer to one of these, which nil leaves as it is. The
// error names the field that does not take its value.
func (r Reply) Struct(dest any) error {
	target := reflect.ValueOf(dest)
	if target.Kind() != reflect.Pointer || target.IsNil() || target.Elem().Kind() != reflect.Struct {
		return misuse(fmt.Sprintf("dest is a %T, takes a pointer to a struct", dest))
	}
	if !r.isMap() {
		return r.isNot("a map")
	}
	fields := make(map[string]reflect.Value)
	fieldsOf(target.Elem(), fields)
	for _, pair := range r.Pairs() {
		name, err := pair.Key.Text()
		if err != nil {
			return err
		}
		field, known := fields[name]
		if !known || pair.Value.IsNil() {
			continue
		}
		text, err := pair.Value.Text()
		if err == nil {
			err = setField(field, text)
		}
		if err != nil {
			return misuse(fmt.Sprintf("field %q: %v", name, err))
		}
	}
	return nil
}

// fieldsOf finds the fields with a tag, those of embedded structs too.
func fieldsOf(value reflect.Value, fields map[string]reflect.Value) {
	for i := 0; i < value.NumField(); i++ {
		field := value.Type().Field(i)
		if name := field.Tag.Get("redis"); name != "" && name != "-" && field.IsExported() {
			fields[name] = value.Field(i)
		} else if field.Anonymous && field.Type.Kind() == reflect.Struct {
			fieldsOf(value.Field(i), fields)
		}
	}
}

func setField(field reflect.Value, text string) error {
	switch dest := field.Addr().Interface().(type) {
	case encoding.TextUnmarshaler:
		return dest.UnmarshalText([]byte(text))
	case encoding.BinaryUnmarshaler:
		return dest.UnmarshalBinary([]byte(text))
	}
	bits := func() int { return field.Type().Bits() }
	switch field.Kind() {
	case reflect.Pointer:
		value := reflect.New(field.Type().Elem())
		if err := setField(value.Elem(), text); err != nil {
			return err
		}
		field.Set(value)
	case reflect.String:
		field.SetString(text)
	case reflect.Bool:
		value, err := strconv.ParseBool(text)
		if err != nil {
			return err
		}
		field.SetBool(value)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		value, err := strconv.ParseInt(text, 10, bits())
		if err != nil {
			return err
		}
		field.SetInt(value)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		value, err := strconv.ParseUint(text, 10, bits())
		if err != nil {
			return err
		}
		field.SetUint(value)
	case reflect.Float32, reflect.Float64:
		value, err := strconv.ParseFloat(text, bits())
		if err != nil {
			return err
		}
		field.SetFloat(value)
	default:
		if field.Kind() != reflect.Slice || field.Type().Elem().Kind() != reflect.Uint8 {
			return fmt.Errorf("a %s takes no value of a hash", field.Type())
		}
		field.SetBytes([]byte(text))
	}
	return nil
}

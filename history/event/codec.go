package event

import (
	"fmt"
	"maps"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Encode is a payload as a record has it, with what mask makes of its texts: the others hold no secrets, and masked they could not be read
// back. Texts that are empty are left out; numbers, times and yes or no are not.
func Encode(p Payload, mask func(texts map[string]string) map[string]string) map[string]string {
	texts, others := map[string]string{}, map[string]string{}
	if u, ok := p.(Unknown); ok {
		maps.Copy(texts, u.Detail)
	} else if p != nil {
		_ = eachField(reflect.ValueOf(p), func(f field) error {
			f.encode(texts, others)
			return nil
		})
	}
	if len(texts)+len(others) == 0 {
		return nil
	}
	maps.Copy(others, mask(texts))
	return others
}

// Plain masks nothing.
func Plain(texts map[string]string) map[string]string { return texts }

// Decode is the payload of an event of a kind. What a newer version wrote is kept: an event of a kind that is not known as an Unknown, and
// keys that the kind does not have in rest. The error names the key whose value is none.
func Decode(kind Kind, detail map[string]string) (p Payload, rest map[string]string, err error) {
	rest = maps.Clone(detail)
	for _, known := range Kinds() {
		if known.Kind() != kind {
			continue
		}
		v := reflect.New(reflect.TypeOf(known)).Elem()
		if err := eachField(v, func(f field) error { return f.decode(rest) }); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", kind, err)
		}
		if len(rest) == 0 {
			rest = nil
		}
		return v.Interface().(Payload), rest, nil
	}
	return Unknown{Name: kind, Detail: rest}, nil, nil
}

// field is one of a payload's.
type field struct {
	key       string // without the star
	omitEmpty bool
	value     reflect.Value
}

// eachField calls f with the fields of a struct and of those that it embeds, until it fails.
func eachField(v reflect.Value, f func(field) error) error {
	for i := range v.NumField() {
		var err error
		if t := v.Type().Field(i); t.Anonymous {
			err = eachField(v.Field(i), f)
		} else {
			key, omitEmpty := strings.CutSuffix(t.Tag.Get("key"), ",omitempty")
			err = f(field{key: strings.TrimSuffix(key, "*"), omitEmpty: omitEmpty, value: v.Field(i)})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (f field) encode(texts, others map[string]string) {
	put := func(key string, v reflect.Value) {
		if v.Kind() == reflect.String {
			texts[key] = v.String()
		} else {
			others[key] = text(v)
		}
	}
	switch f.value.Kind() {
	case reflect.Map:
		for _, k := range f.value.MapKeys() {
			put(f.key+k.String(), f.value.MapIndex(k))
		}
	case reflect.Slice:
		for i := range f.value.Len() {
			put(f.numbered(i), f.value.Index(i))
		}
	default:
		if !f.value.IsZero() || f.value.Kind() != reflect.String && !f.omitEmpty {
			put(f.key, f.value)
		}
	}
}

// numbered is the key of an element of a list, which counts from 01.
func (f field) numbered(i int) string { return fmt.Sprintf("%s%02d", f.key, i+1) }

// decode takes the field's value out of what the record has. What is absent or empty is the zero value.
func (f field) decode(rest map[string]string) error {
	take := func(key string, to reflect.Value) error {
		s := rest[key]
		delete(rest, key)
		if s == "" {
			return nil
		}
		if accepted := parse(s, to); accepted != "" {
			return fmt.Errorf("%s is %q; accepted: %s", key, s, accepted)
		}
		return nil
	}
	switch f.value.Kind() {
	case reflect.Map:
		for key := range rest {
			name, ok := strings.CutPrefix(key, f.key)
			if !ok {
				continue
			}
			if f.value.IsNil() {
				f.value.Set(reflect.MakeMap(f.value.Type()))
			}
			v := reflect.New(f.value.Type().Elem()).Elem()
			if err := take(key, v); err != nil {
				return err
			}
			f.value.SetMapIndex(reflect.ValueOf(name), v)
		}
	case reflect.Slice:
		for i := 0; ; i++ {
			key := f.numbered(i)
			if _, ok := rest[key]; !ok {
				return nil
			}
			v := reflect.New(f.value.Type().Elem()).Elem()
			if err := take(key, v); err != nil {
				return err
			}
			f.value.Set(reflect.Append(f.value, v))
		}
	default:
		return take(f.key, f.value)
	}
	return nil
}

// text is a single value, which is no text itself, as a record has it.
func text(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Duration:
		return x.String()
	case int:
		return strconv.Itoa(x)
	case float64:
		return strconv.FormatFloat(x, 'g', -1, 64)
	}
	return strconv.FormatBool(v.Bool())
}

// parse reads what text wrote; else it says what is accepted.
func parse(s string, to reflect.Value) (accepted string) {
	switch to.Interface().(type) {
	case time.Duration:
		d, err := time.ParseDuration(s)
		if err != nil {
			return "a duration, such as 1.5s"
		}
		to.SetInt(int64(d))
	case int:
		n, err := strconv.Atoi(s)
		if err != nil {
			return "a whole number"
		}
		to.SetInt(int64(n))
	case float64:
		x, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return "a number"
		}
		to.SetFloat(x)
	case bool:
		b, err := strconv.ParseBool(s)
		if err != nil {
			return "true, false"
		}
		to.SetBool(b)
	default:
		to.SetString(s)
	}
	return ""
}

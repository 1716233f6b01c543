package scenarios

import (
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// decoder turns YAML nodes into values and collects what is wrong. It never stops at the first fault, and it remembers
// where each value was written, so that later checks can point there.
//
// The library's own decoder stops at the first fault and forgets positions, which is why this one reads its syntax tree.
type decoder struct {
	file   string
	lines  []string
	faults []*Fault
	values map[string]string // parameters, by the name in ${name}; nil: text is taken as it is
	at     map[any]place     // pointer to a decoded value -> where it was written
}

// place is a position in the file; the zero value is none.
type place struct{ line, column int }

// The hooks with which a type says how it is read.
type (
	textual    interface{ parse(text string) error } // from one scalar, or a list of them joined by commas
	abridged   interface{ short() any }              // a scalar in its place sets this one field
	preset     interface{ preset() }                 // sets the defaults before anything is read
	structural interface {
		decode(d *decoder, node ast.Node)
	} // reads itself
)

func placeOf(t *token.Token) place {
	if t == nil || t.Position == nil {
		return place{}
	}
	return place{t.Position.Line, t.Position.Column}
}

// where is the first character of a node.
func where(n ast.Node) place {
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return where(n.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return where(n.Key)
	}
	return placeOf(n.GetToken())
}

func (d *decoder) fault(p place, format string, args ...any) {
	p.line = min(p.line, len(d.lines))
	f := &Fault{File: d.file, Line: p.line, Column: p.column, Message: fmt.Sprintf(format, args...)}
	if p.line > 0 && p.line <= len(d.lines) {
		f.Source = d.lines[p.line-1]
	}
	d.faults = append(d.faults, f)
}

// linesOf splits a text at every kind of line end that YAML knows.
func linesOf(source []byte) []string {
	return strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(source)), "\n")
}

// decode reads node into the value that the pointer points to.
func (d *decoder) decode(node ast.Node, pointer any) {
	d.value(node, reflect.ValueOf(pointer).Elem())
}

func (d *decoder) value(node ast.Node, v reflect.Value) {
	pointer := v.Addr().Interface()
	if _, known := d.at[pointer]; !known {
		d.at[pointer] = where(node)
	}
	switch n := node.(type) {
	case *ast.NullNode: // as if the key were not there; what is needed is found missing later
		if _, item := pointer.(*step); !item {
			return
		}
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
		d.fault(where(n), "anchors, aliases and tags are not part of the language; write the value itself, or a parameter")
		return
	}
	if p, ok := pointer.(preset); ok {
		p.preset()
	}
	if s, ok := pointer.(structural); ok {
		s.decode(d, node)
		return
	}
	if t, ok := pointer.(textual); ok {
		d.textual(node, t)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(node, v.Elem())
	case reflect.Struct:
		d.structure(node, v)
	case reflect.Slice:
		if isMap(v.Type()) {
			d.entries(node, v)
		} else {
			d.list(node, v)
		}
	default:
		d.scalar(node, v)
	}
}

func isMap(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && strings.HasPrefix(t.Name(), "Map[")
}

// pairs returns the keys and values of a mapping, having reported keys that are no text or stand twice.
func (d *decoder) pairs(node ast.Node, what string) (keys []string, pairs []*ast.MappingValueNode) {
	var all []*ast.MappingValueNode
	switch n := node.(type) {
	case *ast.MappingNode:
		all = n.Values
	case *ast.MappingValueNode:
		all = []*ast.MappingValueNode{n}
	default:
		d.fault(where(node), "found %s; accepted: %s", describe(node), what)
		return nil, nil
	}
	first := map[string]int{}
	for _, pair := range all {
		d.colon(pair)
		key, ok := text(pair.Key)
		if !ok {
			d.fault(where(pair), "found %s as a key; accepted: %s", describe(pair.Key), what)
			continue
		}
		if d.values != nil {
			expanded, err := expand(key, d.values)
			if err != nil {
				d.fault(where(pair), "%v", err)
				continue
			}
			key = expanded
		}
		if line, twice := first[key]; twice {
			d.fault(where(pair), "%q is given twice, first in line %d; accepted: once", key, line)
			continue
		}
		first[key] = where(pair).line
		keys, pairs = append(keys, key), append(pairs, pair)
	}
	return keys, pairs
}

// colon reports a value that follows its colon at once, as in {settle:10s}: the library reads it, and every other reader of YAML takes it
// for a part of the key.
func (d *decoder) colon(pair *ast.MappingValueNode) {
	key, ok := pair.Key.(*ast.StringNode)
	if !ok || key.Token.Type == token.DoubleQuoteType || key.Token.Type == token.SingleQuoteType {
		return
	}
	at, value := placeOf(pair.Start), placeOf(pair.Value.GetToken())
	if at.line == value.line && value.column == at.column+1 && !strings.HasPrefix(pair.Value.String(), "\n") {
		if _, null := pair.Value.(*ast.NullNode); !null {
			d.fault(at, "no blank after the colon; accepted: %s: %s", key.Value, pair.Value.String())
		}
	}
}

func (d *decoder) structure(node ast.Node, v reflect.Value) {
	if a, ok := v.Addr().Interface().(abridged); ok && isScalar(node) {
		d.decode(node, a.short())
		return
	}
	fields := fieldsOf(v.Type())
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	keys, pairs := d.pairs(node, "the keys "+strings.Join(names, ", "))
	for i, pair := range pairs {
		found := false
		for _, f := range fields {
			if f.name == keys[i] {
				d.value(pair.Value, v.FieldByIndex(f.index))
				found = true
			}
		}
		if !found {
			d.fault(where(pair), "%s", unknown("key", keys[i], names))
		}
	}
}

// field is a struct's field under its name in the language.
type field struct {
	name  string
	index []int
}

// fieldsOf are those of a struct, with those of the structs within it that have no name of their own.
func fieldsOf(t reflect.Type) (fields []field) {
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			fields = append(fields, field{name, f.Index})
		}
	}
	return fields
}

func (d *decoder) entries(node ast.Node, v reflect.Value) {
	keys, pairs := d.pairs(node, "a mapping of names to values")
	v.Set(reflect.MakeSlice(v.Type(), len(pairs), len(pairs)))
	for i, pair := range pairs {
		entry := v.Index(i)
		entry.Field(0).SetString(keys[i])
		d.at[entry.Addr().Interface()] = where(pair)
		d.value(pair.Value, entry.Field(1))
	}
}

func (d *decoder) list(node ast.Node, v reflect.Value) {
	n, ok := node.(*ast.SequenceNode)
	if !ok {
		d.fault(where(node), "found %s; accepted: a list", describe(node))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Values), len(n.Values)))
	for i, item := range n.Values {
		d.value(item, v.Index(i))
	}
}

func (d *decoder) textual(node ast.Node, to textual) {
	var words []string
	items := []ast.Node{node}
	if n, ok := node.(*ast.SequenceNode); ok {
		items = n.Values
	}
	for _, item := range items {
		word, ok := d.text(item, "a text")
		if !ok {
			return
		}
		words = append(words, word)
	}
	if err := to.parse(strings.Join(words, ",")); err != nil {
		d.fault(where(node), "%v", err)
	}
}

func (d *decoder) scalar(node ast.Node, v reflect.Value) {
	wanted, set := reader(v)
	s, ok := d.text(node, wanted)
	if ok && set(s) != nil {
		d.fault(where(node), "%q is not %s; accepted: %s", s, noun(wanted), wanted)
	}
}

var durationType = reflect.TypeFor[time.Duration]()

// reader says what a scalar of v's type looks like, and how it is set from a text.
func reader(v reflect.Value) (wanted string, set func(string) error) {
	switch {
	case v.Type() == durationType:
		return "a duration such as 250ms, 10s or 1m30s", func(s string) error {
			x, err := time.ParseDuration(s)
			if err == nil && x < 0 {
				err = strconv.ErrRange
			}
			v.SetInt(int64(max(x, 0)))
			return err
		}
	case v.Kind() == reflect.Int:
		return "a whole number, at least 0", func(s string) error {
			x, err := strconv.ParseUint(s, 10, 31)
			v.SetInt(int64(x))
			return err
		}
	case v.Kind() == reflect.Uint64:
		return "a whole number, at least 0", func(s string) error {
			x, err := strconv.ParseUint(s, 10, 64)
			v.SetUint(x)
			return err
		}
	case v.Kind() == reflect.Float64:
		return "a number such as 0.25", func(s string) error {
			x, err := strconv.ParseFloat(s, 64)
			v.SetFloat(x)
			return err
		}
	case v.Kind() == reflect.Bool:
		return "true or false", func(s string) error {
			if s != "true" && s != "false" {
				return strconv.ErrSyntax
			}
			v.SetBool(s == "true")
			return nil
		}
	default:
		return "a text", func(s string) error {
			v.SetString(s)
			return nil
		}
	}
}

// noun is the first words of what is wanted: "a duration such as 10s" is a duration.
func noun(wanted string) string {
	wanted, _, _ = strings.Cut(wanted, " such as")
	wanted, _, _ = strings.Cut(wanted, ",")
	return wanted
}

// text returns the text of a scalar with its parameters put in.
func (d *decoder) text(node ast.Node, wanted string) (string, bool) {
	s, ok := text(node)
	if !ok {
		d.fault(where(node), "found %s; accepted: %s", describe(node), wanted)
		return "", false
	}
	if d.values == nil {
		return s, true
	}
	s, err := expand(s, d.values)
	if err != nil {
		d.fault(where(node), "%v", err)
	}
	return s, err == nil
}

// text returns the text of a scalar as it was written, without its quotes.
func text(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func isScalar(node ast.Node) bool {
	_, ok := text(node)
	return ok
}

// describe names what a node is.
func describe(node ast.Node) string {
	switch n := node.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "nothing"
	default:
		if s, ok := text(n); ok {
			return strconv.Quote(s)
		}
		return "a " + strings.ToLower(node.Type().String())
	}
}

var reference = regexp.MustCompile(`\$\$\{|\$\{([^}]*)\}`)

// expand puts the values of parameters in place of ${name}; $${ is ${ itself.
func expand(s string, values map[string]string) (string, error) {
	var err error
	out := reference.ReplaceAllStringFunc(s, func(found string) string {
		if found == "$${" {
			return "${"
		}
		name := found[2 : len(found)-1]
		value, ok := values[name]
		if !ok && err == nil {
			err = fmt.Errorf("%s", unknown("parameter", name, sortedKeys(values)))
		}
		return value
	})
	return out, err
}

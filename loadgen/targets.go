package loadgen

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"coinbench/history"
)

// Bounds on what targets may be, so that an endless input ends with a message.
const (
	maxTargets      = 100_000
	maxTargetLine   = 4 << 20   // bytes
	maxTargetsInput = 256 << 20 // bytes, comments among them
	maxTargetBody   = 64 << 20  // bytes
)

// ReadBody reads the file of a request's body, which has a bound: such a file may be a device without an end.
func ReadBody(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxTargetBody+1))
	if err == nil && len(b) > maxTargetBody {
		err = fmt.Errorf("%s is longer than %d MiB, the most that a body may have", name, maxTargetBody>>20)
	}
	return b, err
}

// targetLines reads the lines of a file of targets, and says where in it a mistake is.
type targetLines struct {
	file string
	in   *bufio.Reader
	n    int // of the line, from 1
	left int // bytes that may still come
	line []byte
}

func newTargetLines(file string, r io.Reader) *targetLines {
	return &targetLines{file: file, in: bufio.NewReader(r), left: maxTargetsInput}
}

// next reads a line; false: there are no more, or the error.
func (l *targetLines) next() (bool, error) {
	l.line = l.line[:0]
	l.n++
	for {
		piece, err := l.in.ReadSlice('\n')
		l.line = append(l.line, piece...)
		l.left -= len(piece)
		switch {
		case len(l.line) > maxTargetLine:
			return false, l.fail(maxTargetLine, "the line is longer than %d MiB; accepted: shorter ones, with a long body in a file: @body.bin",
				maxTargetLine>>20)
		case l.left < 0:
			return false, l.fail(1, "the targets are more than %d MiB, the most that is read", maxTargetsInput>>20)
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return false, fmt.Errorf("%s:%d: %w", l.file, l.n, err)
		}
		if len(l.line) == 0 && err != nil {
			return false, nil
		}
		if l.n == 1 {
			l.line = bytes.TrimPrefix(l.line, []byte("\ufeff"))
		}
		return true, nil
	}
}

// fail is a mistake at a column, from 1, in bytes.
func (l *targetLines) fail(column int, format string, args ...any) error {
	return fmt.Errorf("%s:%d:%d: %w", l.file, l.n, column, fmt.Errorf(format, args...))
}

// column of a piece of the line that begins at a byte of its trimmed text.
func (l *targetLines) column(inTrimmed int) int {
	return len(l.line) - len(bytes.TrimLeftFunc(l.line, unicode.IsSpace)) + inTrimmed + 1
}

// cutMethod tells the first line of a target from a header line, as vegeta does: a method in capital letters, then a blank,
// with which rest begins.
func cutMethod(line string) (method, rest string, found bool) {
	rest = strings.TrimLeftFunc(line, func(r rune) bool { return 'A' <= r && r <= 'Z' })
	method = line[:len(line)-len(rest)]
	return method, rest, method != "" && strings.IndexFunc(rest, unicode.IsSpace) == 0
}

const acceptedTarget = "accepted: a method and a URL, like GET http://127.0.0.1:8001/"

// ReadHTTPTargets reads targets in vegeta's http format:
//
//	# a comment
//	POST http://127.0.0.1:8002/
//	Content-Type: application/octet-stream
//	@body.bin
//
//	GET http://127.0.0.1:8001/32
//
// A target is a line with method and URL, then header lines, then, if it has a body, a line with @ and a file, which
// readFile reads. An empty line ends it, or the next target if nothing is between them. Errors begin with file:line:column.
// What vegeta accepts too, it reads alike.
func ReadHTTPTargets(file string, r io.Reader, readFile func(name string) ([]byte, error)) ([]Target, error) {
	in := newTargetLines(file, r)
	var targets []Target
	var t *Target // the one being read; nil: between targets
	bare := false // nothing has come after its first line
	for {
		more, err := in.next()
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
		line := string(bytes.TrimSpace(in.line))
		method, rest, begins := cutMethod(line)
		switch {
		case strings.HasPrefix(line, "#"):
			bare = false
		case line == "":
			t = nil
		case begins:
			if t != nil && !bare {
				return nil, in.fail(in.column(0), "a target right behind the headers of another one; accepted: an empty line between them")
			}
			if len(targets) == maxTargets {
				return nil, in.fail(in.column(0), "more than %d targets, the most that are read; they are used in turn, so fewer do", maxTargets)
			}
			next, err := in.target(method, rest)
			if err != nil {
				return nil, err
			}
			targets = append(targets, next)
			t, bare = &targets[len(targets)-1], true
		case t == nil:
			return nil, in.fail(in.column(0), "expected a method and a URL, found %s; %s", quoted([]byte(line)), acceptedTarget)
		case strings.HasPrefix(line, "@"):
			body, err := readFile(strings.TrimSpace(line[1:]))
			if err != nil {
				return nil, in.fail(in.column(1), "read the body: %w", err)
			}
			t.Body = body
			t = nil // the body is the last line of a target
		default:
			if err := in.header(t, line); err != nil {
				return nil, err
			}
			bare = false
		}
	}
	if len(targets) == 0 {
		return nil, fmt.Errorf("%s: there are no targets; %s", file, acceptedTarget)
	}
	return targets, nil
}

// target is one of a first line: a method, and the rest of the line.
func (l *targetLines) target(method, rest string) (Target, error) {
	url := strings.TrimSpace(rest)
	at := len(method) + strings.Index(rest, url)
	if blank := strings.IndexFunc(url, unicode.IsSpace); blank >= 0 {
		hint := "write a blank in a URL as %20"
		if strings.HasPrefix(strings.TrimSpace(url[blank:]), "HTTP/") {
			hint = "without the HTTP version of a request line"
		}
		return Target{}, l.fail(l.column(at+blank), "a blank in the URL; %s: %s", acceptedTarget, hint)
	}
	if _, err := parseURL(url); err != nil {
		return Target{}, l.fail(l.column(at), "%w", err)
	}
	return Target{Method: method, URL: url}, nil
}

// header reads a header line of a target.
func (l *targetLines) header(t *Target, line string) error {
	const accepted = "accepted: a header like Name: value, a body like @file, or an empty line before the next target"
	key, value, found := strings.Cut(line, ":")
	key, value = strings.TrimSpace(key), strings.TrimSpace(value)
	switch {
	case !found:
		if name := strings.Fields(line)[0]; history.SecretName(name) {
			line = name + " " + history.Masked
		}
		return l.fail(l.column(0), "expected a header, found %s; %s", quoted([]byte(line)), accepted)
	case !validMethod(key):
		return l.fail(l.column(0), "%s is not a header's name; %s", quoted([]byte(key)), accepted)
	case value == "":
		return l.fail(l.column(len(line)), "the header %s has no value; %s", key, accepted)
	}
	if i := strings.IndexFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }); i >= 0 {
		return l.fail(l.column(strings.LastIndex(line, value)+i), "the header %s holds %s; %s", key, quoted([]byte{value[i]}), accepted)
	}
	if t.Header == nil {
		t.Header = http.Header{}
	}
	t.Header[key] = append(t.Header[key], value) // as written: vegeta keeps the case too
	return nil
}

const acceptedJSON = `accepted: an object a line, like {"method": "GET", "url": "http://127.0.0.1:8001/", "header": {"Accept": ["text/plain"]}, "body": "base64"}`

// ReadJSONTargets reads targets in vegeta's json format, one object per line with method, url, and, if wanted, header
// (lists of values by name) and body (base64). Errors begin with file:line:column.
func ReadJSONTargets(file string, r io.Reader) ([]Target, error) {
	in := newTargetLines(file, r)
	var targets []Target
	for {
		more, err := in.next()
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
		line := bytes.TrimSpace(in.line)
		if len(line) == 0 {
			continue
		}
		if len(targets) == maxTargets {
			return nil, in.fail(in.column(0), "more than %d targets, the most that are read; they are used in turn, so fewer do", maxTargets)
		}
		t, err := in.object(line)
		if err != nil {
			return nil, err
		}
		targets = append(targets, t)
	}
	if len(targets) == 0 {
		return nil, fmt.Errorf("%s: there are no targets; %s", file, acceptedJSON)
	}
	return targets, nil
}

// object reads a target from a line of JSON.
func (l *targetLines) object(line []byte) (t Target, err error) {
	if line[0] != '{' {
		what := quoted(line)
		if line[0] == '[' {
			what = "a JSON array"
		}
		return t, l.fail(l.column(0), "found %s; %s", what, acceptedJSON)
	}
	if !utf8.Valid(line) {
		return t, l.fail(l.column(0), "the line is not UTF-8; %s", acceptedJSON)
	}
	names := []string{"method", "url", "header", "body"}
	wants := []string{"a string", "a string", `an object of lists of strings, like {"Accept": ["text/plain"]}`, "a string in base64"}
	values := []any{&t.Method, &t.URL, &t.Header, &t.Body}
	seen := map[string]bool{}
	var whole json.RawMessage
	if err := json.Unmarshal(line, &whole); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return t, l.fail(l.column(max(int(syntax.Offset)-1, 0)), "the JSON is malformed (%w); %s", err, acceptedJSON)
		}
		return t, l.fail(l.column(0), "the JSON is malformed; %s", acceptedJSON)
	}
	in := json.NewDecoder(bytes.NewReader(line)) // field by field: a struct's decoder asks neither for exact names nor for each once
	for _, err := in.Token(); err == nil && in.More(); {
		token, _ := in.Token()
		name, _ := token.(string)
		i := slices.Index(names, name)
		switch at := l.field(line, name); {
		case i < 0:
			return t, l.fail(at, "unknown field %q; %s", name, acceptedJSON)
		case seen[name]:
			return t, l.fail(at, "the field %q is there twice; accepted: once", name)
		case in.Decode(values[i]) != nil:
			return t, l.fail(at, "%s must be %s; %s", name, wants[i], acceptedJSON)
		}
		seen[name] = true
	}
	switch {
	case t.Method == "":
		return t, l.fail(l.field(line, "method"), "the method is missing; %s", acceptedJSON)
	case !validMethod(t.Method):
		return t, l.fail(l.field(line, "method"), "%q is not an HTTP method; %s", t.Method, acceptedJSON)
	case t.URL == "":
		return t, l.fail(l.field(line, "url"), "the url is missing; %s", acceptedJSON)
	case len(t.Body) > maxTargetBody:
		return t, l.fail(l.field(line, "body"), "the body is longer than %d MiB, the most that a body may have", maxTargetBody>>20)
	}
	if _, err = parseURL(t.URL); err != nil {
		return t, l.fail(l.field(line, "url"), "%w", err)
	}
	for _, name := range sortedKeys(t.Header) {
		if !validMethod(name) {
			return t, l.fail(l.field(line, name), "%q is not a header's name; %s", name, acceptedJSON)
		}
	}
	return t, nil
}

// field is the column at which a name is in an object.
func (l *targetLines) field(line []byte, name string) int {
	text, _ := json.Marshal(name)
	return l.column(max(bytes.Index(line, text), 0))
}

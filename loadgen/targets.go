package loadgen

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
)

// The longest line of a targets file.
const maxTargetLine = 4 << 20

// beginsTarget tells the first line of a target from a header line, as vegeta does.
var beginsTarget = regexp.MustCompile(`^[A-Z]+\s`)

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
// readFile reads. An empty line or the next target ends it. Errors name the line.
func ReadHTTPTargets(r io.Reader, readFile func(name string) ([]byte, error)) ([]Target, error) {
	in := bufio.NewScanner(r)
	in.Buffer(nil, maxTargetLine)
	var targets []Target
	var t *Target // the one being read; nil: between targets
	for n := 1; in.Scan(); n++ {
		line := strings.TrimSpace(in.Text())
		fail := func(format string, args ...any) ([]Target, error) {
			return nil, fmt.Errorf("targets: line %d: %w", n, fmt.Errorf(format, args...))
		}
		switch {
		case strings.HasPrefix(line, "#"):
		case line == "":
			t = nil
		case beginsTarget.MatchString(line):
			method, url, _ := strings.Cut(line, " ")
			url = strings.TrimSpace(url)
			if _, err := parseURL(url); err != nil {
				return fail("%w", err)
			}
			targets = append(targets, Target{Method: method, URL: url})
			t = &targets[len(targets)-1]
		case t == nil:
			return fail("expected a method and a URL like GET http://127.0.0.1:8001/, found %q", line)
		case strings.HasPrefix(line, "@"):
			body, err := readFile(strings.TrimSpace(line[1:]))
			if err != nil {
				return fail("read the body: %w", err)
			}
			t.Body = body
			t = nil // the body is the last line of a target
		default:
			key, value, found := strings.Cut(line, ":")
			key, value = strings.TrimSpace(key), strings.TrimSpace(value)
			if !found || !validMethod(key) || value == "" {
				return fail("expected a header like Name: value, found %q", line)
			}
			if t.Header == nil {
				t.Header = http.Header{}
			}
			t.Header[key] = append(t.Header[key], value) // as written: vegeta keeps the case too
		}
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("targets: %w", err)
	}
	if len(targets) == 0 {
		return nil, fmt.Errorf("targets: there are none: write one like GET http://127.0.0.1:8001/")
	}
	return targets, nil
}

// ReadJSONTargets reads targets in vegeta's json format, one object per line with method, url, and, if wanted, header
// (lists of values by name) and body (base64).
func ReadJSONTargets(r io.Reader) ([]Target, error) {
	in := bufio.NewScanner(r)
	in.Buffer(nil, maxTargetLine)
	var targets []Target
	for n := 1; in.Scan(); n++ {
		line := bytes.TrimSpace(in.Bytes())
		if len(line) == 0 {
			continue
		}
		var t Target
		d := json.NewDecoder(bytes.NewReader(line))
		d.DisallowUnknownFields()
		err := d.Decode(&t)
		if err == nil && d.More() {
			err = fmt.Errorf("more than one object")
		}
		if err == nil && !validMethod(t.Method) {
			err = fmt.Errorf("%q is not an HTTP method", t.Method)
		}
		if err == nil {
			_, err = parseURL(t.URL)
		}
		if err != nil {
			return nil, fmt.Errorf("targets: line %d: %w", n, err)
		}
		targets = append(targets, t)
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("targets: %w", err)
	}
	if len(targets) == 0 {
		return nil, fmt.Errorf(`targets: there are none: write one like {"method": "GET", "url": "http://127.0.0.1:8001/"}`)
	}
	return targets, nil
}

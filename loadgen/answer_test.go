package loadgen

import (
	"strings"
	"testing"
	"time"
)

// However an answer is cut into pieces, it is read alike.
func TestAnAnswerInPiecesIsTheSame(t *testing.T) {
	e, err := newEngine(Player{}, Workload{Targets: []Target{{URL: "http://127.0.0.1:1/"}}, Clients: 1, Requests: 1,
		Expect: Expect{Body: []byte("hello")}}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	type reading struct {
		used, bytes int64
		status      int16
		class       classID
		done, close bool
		failure     string
	}
	// read feeds text up to each cut, and what was not used again with what comes behind it.
	read := func(text string, cuts ...int) (r reading) {
		var a answer
		var o outcome
		a.begin(e, &e.targets[0], &o)
		used := 0
		for _, cut := range append(cuts, len(text)) {
			n, done, err := a.feed([]byte(text[used:cut]))
			if used += n; err != nil {
				r.failure = err.Error()
			}
			if r.done = done; done || err != nil {
				break
			}
		}
		if !r.done && r.failure == "" {
			if err := a.closed(); err != nil {
				r.failure = err.Error()
			} else {
				r.done = true
			}
		}
		r.used, r.bytes, r.status, r.class, r.close = int64(used), o.bytes, o.status, o.class, a.h.close
		return r
	}
	for text, want := range map[string]classID{
		hello: ok,
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + hello:                        ok,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nTrailer: 1\r\n\r\n": ok,
		"HTTP/1.0 200 OK\r\n\r\nhello":                                              ok,
		"HTTP/1.1 204 No Content\r\n\r\n":                                           wrongBody,
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nworld":                         wrongBody,
		"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno":                            unexpectedStatus,
		"HTTP/1.1 200 OK\r\nno colon\r\n\r\n":                                       malformed,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n": malformed,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n":  malformed,
		"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello":                         ok, // and not whole
	} {
		whole := read(text)
		if whole.class != want {
			t.Errorf("%q: %+v, want %v", text, whole, want.class())
		}
		each := make([]int, len(text))
		for i := range each {
			each[i] = i
			if got := read(text, i); got != whole {
				t.Errorf("%q cut at %d: %+v, want %+v", text, i, got, whole)
			}
		}
		if got := read(text, each...); got != whole {
			t.Errorf("%q byte by byte: %+v, want %+v", text, got, whole)
		}
	}
	if got := read(hello + "x"); !got.done || !got.close || got.used != int64(len(hello)) {
		t.Errorf("bytes that were not asked for: %+v", got)
	}
	if got := read("HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", maxHead), 100); got.class != malformed {
		t.Errorf("an endless header: %+v", got)
	}
}

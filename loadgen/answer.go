package loadgen

import (
	"bytes"
	"io"
	"strings"
	"unicode"
)

// maxHead bounds a header, and any line within a chunked body.
const maxHead = 64 << 10

// answer reads the answers of one connection, one after another: a state machine over the bytes that have come, which can
// stop anywhere and wait for more. The goroutines and the event loops share it.
type answer struct {
	e    *engine
	p    *prepared
	o    *outcome
	h    head
	at   stretch
	left int64 // bytes of the body or the chunk that are still to come
	body bodyCheck
	who  [2]lastName // replica and version
	memo *headMemo   // nil: none
}

// headMemo remembers the latest header, which it need not read again: until the second is over, a server's answers often begin
// with the same bytes.
type headMemo struct {
	text []byte
	head head
}

// maxMemo bounds what is remembered.
const maxMemo = 1 << 10

// parse is parseHead, by heart where it can be.
func (m *headMemo) parse(b []byte, h *head) (bool, error) {
	if m != nil && len(m.text) > 0 && bytes.HasPrefix(b, m.text) {
		*h = m.head
		return true, nil
	}
	done, err := parseHead(b, h)
	if m != nil && done && h.size <= maxMemo {
		m.text = append(m.text[:0], b[:h.size]...)
		_, _ = parseHead(m.text, &m.head) // its slices lead into text
	}
	return done, err
}

// stretch is where an answer has got to.
type stretch uint8

const (
	atHead     stretch = iota
	inBody             // left more bytes
	tillClose          // all that comes until the server closes
	atChunk            // the line with a chunk's length
	inChunk            // left more bytes
	afterChunk         // the empty line behind a chunk
	atTrailer          // lines up to an empty one
	whole
)

// begin makes ready for the answer to p.
func (a *answer) begin(e *engine, p *prepared, o *outcome) {
	a.e, a.p, a.o, a.at = e, p, o, atHead
	a.body = bodyCheck{want: e.w.Expect.Body}
}

// headed tells whether the header has come whole.
func (a *answer) headed() bool { return a.at != atHead }

// feed reads on in b, and returns how much of it was used: the rest is to be fed again, with more behind it. Once the
// answer is whole it is judged, and o.class says whether it is what was expected. The error is what is malformed.
func (a *answer) feed(b []byte) (used int, done bool, err error) {
	for a.at != whole {
		rest := b[used:]
		n := 0
		switch a.at {
		case inBody, inChunk:
			n = int(min(a.left, int64(len(rest))))
			a.pass(rest[:n])
			used += n
			if a.left -= int64(n); a.left > 0 {
				return used, false, nil
			}
			if a.at == inChunk {
				a.at = afterChunk
			} else {
				a.at = whole
			}
			continue
		case tillClose:
			a.pass(rest)
			return len(b), false, nil
		case atHead:
			n, err = a.head(rest)
		default:
			n, err = a.line(rest)
		}
		if err == nil && n == 0 && len(rest) >= maxHead {
			err = a.tooLong(rest)
		}
		if err != nil {
			a.o.class = malformed
			return used, false, err
		}
		if n == 0 {
			return used, false, nil
		}
		used += n
	}
	if used < len(b) {
		a.h.close = true // bytes that were not asked for: the next answer could not be told from them
	}
	a.finish()
	return used, true, nil
}

// closed takes notice that the server has closed the connection. An error says that the answer is not whole.
func (a *answer) closed() error {
	switch a.at {
	case tillClose:
		a.at = whole
		a.finish()
		return nil
	case atHead:
		return io.EOF
	}
	return io.ErrUnexpectedEOF
}

func (a *answer) finish() {
	o := a.o
	if o.class = a.e.judge(o, &a.body); o.class != ok {
		o.err = a.e.unexpected(o)
	}
}

// head reads a header and finds out how the body ends. 0: it has not come whole.
func (a *answer) head(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	h := &a.h
	if done, err := a.memo.parse(b, h); !done {
		return 0, err
	}
	if h.status < 200 && h.status != 101 {
		return h.size, nil // an interim answer
	}
	a.o.status = int16(h.status)
	a.o.replica = a.who[0].lookup(a.e.replicas, h.replica)
	a.o.version = a.who[1].lookup(a.e.versions, h.version)
	if len(h.server) > 0 && a.e.server.Load() == nil {
		name := printable(h.server)
		a.e.server.CompareAndSwap(nil, &name)
	}
	switch {
	case h.status == 101, a.p.connect && h.status < 300: // what follows is another protocol, which is not spoken here
		a.at, h.close = whole, true
	case a.p.head || h.status == 204 || h.status == 304:
		a.at = whole
	case h.chunked:
		a.at = atChunk
	case h.coded:
		a.at, h.close = tillClose, true
	case h.length >= 0:
		a.at, a.left = inBody, h.length
	case h.status == 205: // has no body (RFC 9110, section 15.3.6), though some servers do not say so
		a.at = whole
	default:
		a.at, h.close = tillClose, true
	}
	return h.size, nil
}

// printable is a server's own words as they can be shown.
func printable(b []byte) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, string(b[:min(len(b), 100)]))
}

// line reads a line of a chunked body. 0: it has not come whole.
func (a *answer) line(b []byte) (int, error) {
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		return 0, nil
	}
	line := trimCR(b[:end])
	switch a.at {
	case atChunk:
		n, valid := chunkLength(line)
		if !valid {
			return 0, &malformedError{what: "the body's chunk has no hexadecimal length", text: quoted(line)}
		}
		if a.at, a.left = inChunk, n; n == 0 {
			a.at = atTrailer
		}
	case afterChunk:
		if len(line) != 0 {
			return 0, &malformedError{what: "the body's chunk does not end where it should", text: quoted(line)}
		}
		a.at = atChunk
	case atTrailer:
		if len(line) == 0 {
			a.at = whole
		}
	}
	return end + 1, nil
}

// pass counts a piece of the body, and compares it with the one that is wanted.
func (a *answer) pass(b []byte) {
	a.o.bytes += int64(len(b))
	a.body.see(b)
}

// bodyCheck compares a body with the one that is wanted while it passes.
type bodyCheck struct {
	want []byte
	at   int64
	bad  bool
}

func (c *bodyCheck) see(b []byte) {
	if c.want == nil || c.bad {
		return
	}
	if c.at+int64(len(b)) > int64(len(c.want)) || !bytes.Equal(b, c.want[c.at:c.at+int64(len(b))]) {
		c.bad = true
	}
	c.at += int64(len(b))
}

// lastName remembers the latest name and its id: answers of one connection usually carry the same.
type lastName struct {
	text []byte
	id   nameID
}

func (l *lastName) lookup(n *names, b []byte) nameID {
	if len(b) == 0 {
		return 0
	}
	if !bytes.Equal(l.text, b) {
		l.id = n.id(b)
		l.text = append(l.text[:0], b...)
	}
	return l.id
}

// tooLong words what has no end.
func (a *answer) tooLong(b []byte) error {
	what := "a line of the body's chunks is longer than 64 KiB"
	if a.at == atHead {
		what = "the header is longer than 64 KiB"
	}
	return &malformedError{what: what, text: quoted(b)}
}

func chunkLength(l []byte) (int64, bool) {
	if i := bytes.IndexByte(l, ';'); i >= 0 {
		l = l[:i]
	}
	l = trimSpace(l)
	if len(l) == 0 || len(l) > 16 {
		return 0, false
	}
	var n int64
	for _, c := range l {
		switch {
		case '0' <= c && c <= '9':
			n = n<<4 | int64(c-'0')
		case 'a' <= c && c <= 'f':
			n = n<<4 | int64(c-'a'+10)
		case 'A' <= c && c <= 'F':
			n = n<<4 | int64(c-'A'+10)
		default:
			return 0, false
		}
	}
	return n, n >= 0
}

package loadgen

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// head is what the loop needs of the header of an answer.
type head struct {
	size    int   // bytes of the header, with its empty line
	length  int64 // of the body; -1: not said
	status  int
	old     bool // HTTP/1.0
	chunked bool // the last transfer coding is chunked
	coded   bool // there is a transfer coding
	close   bool // the server will close the connection after this answer
	keep    bool // Connection: keep-alive, which HTTP/1.0 needs
	replica []byte
	version []byte
	server  []byte
}

// The names of the answer's headers that say who answered.
const (
	ReplicaHeader = "X-Coinbench-Replica"
	VersionHeader = "X-Coinbench-Version"
)

// malformedError says what of an answer is not HTTP, with the text of its line.
type malformedError struct {
	what string
	line int // of the header, from 1; 0: not of a header
	text string
}

func (m *malformedError) Error() string {
	if m.line == 0 {
		return fmt.Sprintf("%s: %s", m.what, m.text)
	}
	return fmt.Sprintf("line %d of the header: %s: %s", m.line, m.what, m.text)
}

func malformedLine(line int, text []byte, what string) error {
	return &malformedError{what: what, line: line, text: quoted(text)}
}

// quoted is a piece of an answer as it can be shown.
func quoted(b []byte) string {
	const most = 100
	if len(b) <= most {
		return strconv.QuoteToASCII(string(b))
	}
	return strconv.QuoteToASCII(string(b[:most])) + "..."
}

// parseHead reads a response header from the beginning of b. It returns false when more bytes are needed.
// It allocates nothing unless the header is malformed; replica and version point into b.
func parseHead(b []byte, h *head) (bool, error) {
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		if n := min(len(b), len("HTTP/1.")); string(b[:n]) != "HTTP/1."[:n] {
			return false, malformedLine(1, b, "the answer does not begin like HTTP/1.x")
		}
		return false, nil
	}
	if err := h.statusLine(trimCR(b[:end])); err != nil {
		return false, err
	}
	pos := end + 1
	for n := 2; ; n++ {
		first := n
		end = bytes.IndexByte(b[pos:], '\n')
		if end < 0 {
			return false, nil
		}
		end += pos
		if len(trimCR(b[pos:end])) == 0 {
			h.finish(end + 1)
			return true, nil
		}
		if first == 2 && isBlank(b[pos]) {
			return false, malformedLine(first, trimCR(b[pos:end]), "the first header line begins with a blank")
		}
		// A line that begins with a blank goes on with the one before (obs-fold, RFC 9112, section 5.2).
		for {
			if end+1 == len(b) {
				return false, nil
			}
			if !isBlank(b[end+1]) {
				break
			}
			more := bytes.IndexByte(b[end+1:], '\n')
			if more < 0 {
				return false, nil
			}
			end += 1 + more
			n++
		}
		if what := h.field(trimCR(b[pos:end])); what != "" {
			return false, malformedLine(first, trimCR(b[pos:end]), what)
		}
		pos = end + 1
	}
}

// statusLine reads "HTTP/1.1 200 OK" and begins the header.
func (h *head) statusLine(line []byte) error {
	const version = len("HTTP/1.1")
	if len(line) <= version || string(line[:version-1]) != "HTTP/1." || !isDigit(line[version-1]) || line[version] != ' ' {
		return malformedLine(1, line, "the answer does not begin like HTTP/1.x")
	}
	code := line[version:]
	for len(code) > 0 && code[0] == ' ' {
		code = code[1:]
	}
	if len(code) < 3 || !isDigit(code[0]) || !isDigit(code[1]) || !isDigit(code[2]) || code[0] == '0' || (len(code) > 3 && code[3] != ' ') {
		return malformedLine(1, line, "the status is no number of three digits")
	}
	*h = head{length: -1, status: int(code[0]-'0')*100 + int(code[1]-'0')*10 + int(code[2]-'0'), old: line[version-1] == '0'}
	return nil
}

// finish draws what follows from the fields together.
func (h *head) finish(size int) {
	h.size = size
	if h.old {
		h.close = h.close || !h.keep
		if h.coded { // HTTP/1.0 knows no transfer codings: where this answer ends is doubtful (RFC 9112, section 6.1)
			h.chunked, h.coded, h.close = false, false, true
		}
	}
}

// field reads one header line, folded ones included, and says what is wrong with it.
func (h *head) field(line []byte) (wrong string) {
	colon := bytes.IndexByte(line, ':')
	if colon < 0 {
		return "a header line has no colon"
	}
	key, value := line[:colon], trimSpace(line[colon+1:])
	for _, c := range key {
		if !isToken(c) && c != ' ' {
			return "the name of a header holds " + quoted([]byte{c})
		}
	}
	switch len(key) {
	case len("Server"):
		if fold(key, "server") {
			h.server = value
		}
	case len("Connection"):
		if fold(key, "connection") {
			h.close = h.close || hasToken(value, "close") // whatever else is said, and in whichever line
			h.keep = h.keep || hasToken(value, "keep-alive")
		}
	case len("Content-Length"):
		if fold(key, "content-length") {
			n, valid := parseLength(value)
			switch {
			case !valid:
				return "the length is no number"
			case h.length >= 0 && h.length != n:
				return fmt.Sprintf("the length was %d in an earlier line", h.length)
			}
			h.length = n
		}
	case len("Transfer-Encoding"):
		if fold(key, "transfer-encoding") {
			return h.codings(value)
		}
	case len(ReplicaHeader): // VersionHeader is as long
		if fold(key, "x-coinbench-replica") {
			h.replica = value
		} else if fold(key, "x-coinbench-version") {
			h.version = value
		}
	}
	return ""
}

// codings reads a line of transfer codings. What is inside of chunks (gzip) is the body's business: it is counted as it comes.
// The end of a body whose last coding is another one is that of the connection (RFC 9112, section 6.3).
func (h *head) codings(list []byte) (wrong string) {
	for coding := range elements(list) {
		if i := bytes.IndexByte(coding, ';'); i >= 0 {
			coding = trimSpace(coding[:i])
		}
		switch {
		case h.chunked:
			return "a transfer coding after chunked, which must be the last one"
		case fold(coding, "identity"):
			continue // it was no coding when there was such a word
		case fold(coding, "chunked"):
			h.chunked = true
		}
		h.coded = true
	}
	return ""
}

// elements are those of a list with commas, without the empty ones.
func elements(list []byte) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(list) > 0 {
			element := list
			if i := bytes.IndexByte(list, ','); i >= 0 {
				element, list = list[:i], list[i+1:]
			} else {
				list = nil
			}
			if element = trimSpace(element); len(element) > 0 && !yield(element) {
				return
			}
		}
	}
}

// hasToken tells whether a lower-case token is in a list.
func hasToken(list []byte, lower string) bool {
	for element := range elements(list) {
		if fold(element, lower) {
			return true
		}
	}
	return false
}

func parseLength(b []byte) (n int64, valid bool) {
	if len(b) == 0 {
		return 0, false
	}
	for _, c := range b {
		if !isDigit(c) || n > (1<<63-1-9)/10 {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// fold compares b with a lower-case ASCII string, ignoring b's case.
func fold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// isSpace is isBlank, or what a folded line has inside.
func isSpace(c byte) bool { return isBlank(c) || c == '\r' || c == '\n' }

// isToken tells whether a name may hold c (RFC 9110, section 5.6.2).
func isToken(c byte) bool {
	return isDigit(c) || ('a' <= c|0x20 && c|0x20 <= 'z') || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

func trimCR(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == '\r' {
		return b[:n-1]
	}
	return b
}

func trimSpace(b []byte) []byte {
	for len(b) > 0 && isSpace(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isSpace(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

package loadgen

import (
	"bytes"
	"errors"
)

// head is what the loop needs of the header of an answer.
type head struct {
	size    int   // bytes of the header, with its empty line
	length  int64 // of the body; -1: not said
	status  int
	chunked bool
	close   bool // the server will close the connection after this answer
	replica []byte
	version []byte
	server  []byte
}

// The names of the answer's headers that say who answered.
const (
	ReplicaHeader = "X-Coinbench-Replica"
	VersionHeader = "X-Coinbench-Version"
)

var (
	errNotHTTP       = errors.New("the answer does not begin like HTTP/1.x")
	errHeaderLine    = errors.New("a header line is malformed")
	errContentLength = errors.New("the Content-Length is malformed")
	errChunk         = errors.New("a chunk of the body is malformed")
	errTooBig        = errors.New("the header is longer than 64 KiB")
)

// parseHead reads a response header from the beginning of b. It returns false when more bytes are needed.
// It allocates nothing; replica and version point into b.
func parseHead(b []byte, h *head) (bool, error) {
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		if n := min(len(b), 7); string(b[:n]) != "HTTP/1."[:n] {
			return false, errNotHTTP
		}
		return false, nil
	}
	line := trimCR(b[:end])
	// "HTTP/1.1 200" at least
	if len(line) < 12 || string(line[:7]) != "HTTP/1." || line[8] != ' ' || (len(line) > 12 && line[12] != ' ') {
		return false, errNotHTTP
	}
	status := 0
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return false, errNotHTTP
		}
		status = status*10 + int(c-'0')
	}
	if status < 100 {
		return false, errNotHTTP
	}
	*h = head{length: -1, status: status, close: line[7] == '0'}
	pos := end + 1
	for {
		end = bytes.IndexByte(b[pos:], '\n')
		if end < 0 {
			return false, nil
		}
		line = trimCR(b[pos : pos+end])
		pos += end + 1
		if len(line) == 0 {
			h.size = pos
			return true, nil
		}
		if err := h.field(line); err != nil {
			return false, err
		}
	}
}

// field reads one header line.
func (h *head) field(line []byte) error {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 {
		return errHeaderLine
	}
	key, value := line[:colon], trimSpace(line[colon+1:])
	switch len(key) {
	case len("Server"):
		if fold(key, "server") {
			h.server = value
		}
	case len("Connection"):
		if fold(key, "connection") {
			switch {
			case fold(value, "close"):
				h.close = true
			case fold(value, "keep-alive"):
				h.close = false
			}
		}
	case len("Content-Length"):
		if fold(key, "content-length") {
			n, err := parseLength(value)
			if err != nil || (h.length >= 0 && h.length != n) {
				return errContentLength
			}
			h.length = n
		}
	case len("Transfer-Encoding"):
		if fold(key, "transfer-encoding") {
			h.chunked = fold(value, "chunked")
			if !h.chunked {
				return errHeaderLine
			}
		}
	case len(ReplicaHeader): // VersionHeader is as long
		if fold(key, "x-coinbench-replica") {
			h.replica = value
		} else if fold(key, "x-coinbench-version") {
			h.version = value
		}
	}
	return nil
}

func parseLength(b []byte) (int64, error) {
	if len(b) == 0 || len(b) > 18 {
		return 0, errContentLength
	}
	var n int64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, errContentLength
		}
		n = n*10 + int64(c-'0')
	}
	return n, nil
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

func trimCR(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == '\r' {
		return b[:n-1]
	}
	return b
}

func trimSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

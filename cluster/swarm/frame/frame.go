// Package frame carries messages over a task's log, line by line, so that whatever is lost, cut or mixed with other output is
// noticed. A log driver may split lines at 16 KiB; a frame is shorter.
//
//	coinbench1 COPY NODE NUMBER PART/PARTS CHECKSUM DATA
//
// Lines are numbered from 0 by each copy; a message is compressed and cut into parts; the last line says "end". The checksum
// (CRC-32, IEEE) is over all that stands before it and the data. A writer turns messages into lines, a Reader lines into
// messages; lines that come twice, as from a log that was opened again, are passed over.
package frame

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"
	"sync"
)

const (
	mark     = "coinbench1 "
	partSize = 11 << 10 // of compressed bytes in a line
	mostSize = 64 << 20 // of a message
)

// Writer writes frames.
type Writer struct {
	mu   sync.Mutex
	w    io.Writer
	head string
	next int
}

// NewWriter returns the writer of one copy (from 1) on a node.
func NewWriter(w io.Writer, copy int, node string) *Writer {
	return &Writer{w: w, head: fmt.Sprintf("%s%d %s ", mark, copy, strings.ReplaceAll(node, " ", "_"))}
}

// Message writes a message.
func (w *Writer) Message(message []byte) error {
	var packed bytes.Buffer
	z, err := flate.NewWriter(&packed, flate.BestSpeed)
	if err != nil {
		return err
	}
	if _, err := z.Write(message); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	data := packed.Bytes()
	parts := (len(data) + partSize - 1) / partSize
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range parts {
		if err := w.line(fmt.Sprintf("%d/%d", i+1, parts), data[i*partSize:min((i+1)*partSize, len(data))]); err != nil {
			return err
		}
	}
	return nil
}

// End writes the last line: nothing is missing.
func (w *Writer) End() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.line("end", nil)
}

func (w *Writer) line(part string, data []byte) error {
	head := w.head + strconv.Itoa(w.next) + " " + part + " "
	w.next++
	text := base64.StdEncoding.EncodeToString(data)
	_, err := fmt.Fprintf(w.w, "%s%08x %s\n", head, checksum(head, text), text)
	return err
}

func checksum(head, data string) uint32 {
	return crc32.Update(crc32.ChecksumIEEE([]byte(head)), crc32.IEEETable, []byte(data))
}

// Reader puts messages together again.
type Reader struct {
	message func(copy int, node string, message []byte)
	copies  map[int]*stream
}

type stream struct {
	node   string
	next   int
	packed []byte
	ended  bool
}

// NewReader tells message of every whole message, in the order of each copy.
func NewReader(message func(copy int, node string, message []byte)) *Reader {
	return &Reader{message: message, copies: map[int]*stream{}}
}

// Fault is a line that is wrong or missing.
type Fault struct {
	Copy   int
	Node   string
	Reason string
}

// Error says whose line.
func (f *Fault) Error() string {
	return fmt.Sprintf("generator %d on %s: %s", f.Copy, f.Node, f.Reason)
}

// Line takes one line of the log, without its end. It returns false for a line that is no frame.
func (r *Reader) Line(line string) (bool, error) {
	if !strings.HasPrefix(line, mark) {
		return false, nil
	}
	field := strings.SplitN(line, " ", 7)
	if len(field) != 7 {
		return true, &Fault{0, "?", "a line of its log is cut: " + shortened(line)}
	}
	copy, err := strconv.Atoi(field[1])
	if err != nil || copy < 1 {
		return true, &Fault{0, field[2], "a line of its log is damaged: " + shortened(line)}
	}
	fault := func(format string, args ...any) (bool, error) {
		return true, &Fault{copy, field[2], fmt.Sprintf(format, args...)}
	}
	number, err := strconv.Atoi(field[3])
	if err != nil {
		return fault("a line of its log is damaged: %s", shortened(line))
	}
	head := strings.Join(field[:5], " ") + " "
	if fmt.Sprintf("%08x", checksum(head, field[6])) != field[5] {
		return fault("line %d of its log is damaged", number)
	}
	s := r.copies[copy]
	if s == nil {
		s = &stream{node: field[2]}
		r.copies[copy] = s
	}
	switch {
	case s.node != field[2]:
		return fault("another one, on %s, has the same number", s.node)
	case number < s.next:
		return true, nil // it came before
	case number > s.next:
		return fault("%d lines of its log are missing after line %d", number-s.next, s.next-1)
	}
	s.next++
	if field[4] == "end" {
		s.ended = true
		return true, nil
	}
	part, parts, _ := strings.Cut(field[4], "/")
	data, err := base64.StdEncoding.DecodeString(field[6])
	if err != nil {
		return fault("line %d of its log is damaged", number)
	}
	if len(s.packed)+len(data) > mostSize {
		return fault("a message of more than %d bytes", mostSize)
	}
	s.packed = append(s.packed, data...)
	if part != parts {
		return true, nil
	}
	message, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(s.packed)), mostSize))
	s.packed = nil
	if err != nil {
		return fault("a message is damaged: %v", err)
	}
	r.message(copy, s.node, message)
	return true, nil
}

// Ended says how many copies have said that nothing is missing.
func (r *Reader) Ended() int {
	n := 0
	for _, s := range r.copies {
		if s.ended {
			n++
		}
	}
	return n
}

// Missing names the first of n copies that has not come to its end; nil: all have.
func (r *Reader) Missing(n int) *Fault {
	for i := 1; i <= n; i++ {
		switch s := r.copies[i]; {
		case s == nil:
			return &Fault{i, "", "its log has nothing in it"}
		case !s.ended:
			return &Fault{i, s.node, fmt.Sprintf("its log ends after line %d", s.next-1)}
		}
	}
	return nil
}

func shortened(line string) string {
	if len(line) > 80 {
		return line[:80] + "..."
	}
	return line
}

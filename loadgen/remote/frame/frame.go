// Package frame carries messages over a task's log, line by line, so that whatever is lost, cut or mixed with other output is
// noticed. A log driver may split lines at 16 KiB; a frame is shorter.
//
//	coinbench1 COPY NODE NUMBER PART/PARTS CHECKSUM DATA
//
// Lines are numbered from 0 by each copy; a message is compressed and cut into parts; the last line says "end". The checksum
// (CRC-32, IEEE) is over all that precedes it and the data. A writer turns messages into lines, a Reader lines into
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
	maxSize  = 64 << 20 // of a message
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

// Line takes one line of the log, without its end, and returns the copy that it is of; 0: it is no whole frame. An error says what of
// that copy is missing. What is cut or damaged is no frame, and noticed by the next one.
func (r *Reader) Line(line string) (copy int, err error) {
	field := strings.SplitN(line, " ", 7)
	if !strings.HasPrefix(line, mark) || len(field) != 7 {
		return 0, nil
	}
	head := strings.Join(field[:5], " ") + " "
	copy, err = strconv.Atoi(field[1])
	number, nerr := strconv.Atoi(field[3])
	data, derr := base64.StdEncoding.DecodeString(field[6])
	if err != nil || nerr != nil || derr != nil || copy < 1 || fmt.Sprintf("%08x", checksum(head, field[6])) != field[5] {
		return 0, nil
	}
	s := r.copies[copy]
	if s == nil {
		s = &stream{node: field[2]}
		r.copies[copy] = s
	}
	switch {
	case s.node != field[2]:
		return copy, fmt.Errorf("on %s: another one, on %s, has the same number", field[2], s.node)
	case number < s.next:
		return copy, nil // it came before
	case number > s.next:
		return copy, fmt.Errorf("on %s: %d lines of its log are missing after line %d", s.node, number-s.next, s.next-1)
	}
	s.next++
	if field[4] == "end" {
		s.ended = true
		return copy, nil
	}
	part, parts, _ := strings.Cut(field[4], "/")
	if len(s.packed)+len(data) > maxSize {
		return copy, fmt.Errorf("on %s: a message of more than %d bytes", s.node, maxSize)
	}
	s.packed = append(s.packed, data...)
	if part != parts {
		return copy, nil
	}
	message, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(s.packed)), maxSize))
	s.packed = nil
	if err != nil {
		return copy, fmt.Errorf("on %s: a message is damaged: %w", s.node, err)
	}
	r.message(copy, s.node, message)
	return copy, nil
}

// Ended says whether a copy has said that nothing is missing.
func (r *Reader) Ended(copy int) bool { return r.copies[copy] != nil && r.copies[copy].ended }

// Lines is how many lines of a copy have come, each counted once.
func (r *Reader) Lines(copy int) int {
	if s := r.copies[copy]; s != nil {
		return s.next
	}
	return 0
}

// Node is where a copy is; "": it was not heard yet.
func (r *Reader) Node(copy int) string {
	if s := r.copies[copy]; s != nil {
		return s.node
	}
	return ""
}

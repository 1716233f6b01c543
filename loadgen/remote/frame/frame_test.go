package frame

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// lines writes messages of one copy and returns the lines.
func lines(t interface{ Fatal(...any) }, copy int, node string, messages ...[]byte) []string {
	var log bytes.Buffer
	w := NewWriter(&log, copy, node)
	for _, m := range messages {
		if err := w.Message(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.End(); err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(log.String(), "\n"), "\n")
}

// What several copies write, mixed line by line, other output in between and lines repeated, is what is read.
func TestMessagesArriveWholeAndInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		copies := rapid.IntRange(1, 4).Draw(t, "copies")
		var sent [][][]byte
		var left [][]string
		for i := range copies {
			messages := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 60_000), 0, 4).Draw(t, "messages")
			sent = append(sent, messages)
			left = append(left, lines(t, i+1, fmt.Sprintf("node%d", i+1), messages...))
		}
		got := make([][][]byte, copies)
		r := NewReader(func(copy int, node string, m []byte) { got[copy-1] = append(got[copy-1], m) })
		for remaining := true; remaining; {
			remaining = false
			for i := range left {
				take := rapid.IntRange(0, len(left[i])).Draw(t, "take")
				for _, line := range left[i][:take] {
					if len(line) >= 16<<10 {
						t.Fatalf("a line of %d bytes", len(line))
					}
					for range rapid.IntRange(1, 2).Draw(t, "times") {
						if copy, err := r.Line(line); copy != i+1 || err != nil {
							t.Fatalf("of copy %d: %d, %v", i+1, copy, err)
						}
					}
					if copy, err := r.Line("panic: something else"); copy != 0 || err != nil {
						t.Fatalf("%d, %v", copy, err)
					}
				}
				left[i] = left[i][take:]
				remaining = remaining || len(left[i]) > 0
			}
		}
		for i := range sent {
			if node := fmt.Sprintf("node%d", i+1); !r.Ended(i+1) || r.Node(i+1) != node {
				t.Fatalf("copy %d on %q has not ended", i+1, r.Node(i+1))
			}
			if len(got[i]) != len(sent[i]) {
				t.Fatalf("copy %d: %d messages of %d", i+1, len(got[i]), len(sent[i]))
			}
			for j := range sent[i] {
				if !bytes.Equal(got[i][j], sent[i][j]) {
					t.Fatalf("copy %d: message %d differs", i+1, j)
				}
			}
		}
	})
}

// Whatever is lost, cut or damaged is noticed, with the name of the node.
func TestWhatIsLostIsNoticed(t *testing.T) {
	noise := make([]byte, 40_000)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	whole := lines(t, 1, "node7", []byte("first"), noise, []byte("last"))
	read := func(log []string) error {
		r := NewReader(func(int, string, []byte) {})
		for _, line := range log {
			if _, err := r.Line(line); err != nil {
				return err
			}
		}
		if !r.Ended(1) {
			return fmt.Errorf("on %s: no end", r.Node(1))
		}
		return nil
	}
	if err := read(whole); err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		without := append(append([]string{}, whole[:i]...), whole[i+1:]...)
		if err := read(without); err == nil || !strings.Contains(err.Error(), "node7") {
			t.Errorf("without line %d: %v", i, err)
		}
		damaged := append([]string{}, whole...)
		damaged[i] = damaged[i][:len(damaged[i])-1] + "!"
		if err := read(damaged); err == nil || !strings.Contains(err.Error(), "node7") {
			t.Errorf("with line %d damaged: %v", i, err)
		}
		damaged[i] = whole[i][:len(whole[i])/2]
		if err := read(damaged); err == nil || !strings.Contains(err.Error(), "node7") {
			t.Errorf("with line %d cut: %v", i, err)
		}
	}
}

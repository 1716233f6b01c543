package gate

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// stored are the lines of a series with two sessions of one sequence.
func stored(t testing.TB, blocks []Block) []string {
	var lines []string
	add := func(l Line) {
		b, err := l.Encode()
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(b))
	}
	at := time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)
	for i, id := range []string{"s", "again"} {
		add(Line{Session: &Session{ID: id, At: at.Add(time.Duration(i) * time.Hour), Sequence: "q", Kind: Compare, Seed: 3,
			Design: Design{Metrics: rate, Rule: DefaultRule()}}})
	}
	for i := range blocks {
		add(Line{Block: &blocks[i]})
	}
	add(Line{End: &End{Session: "s", Outcome: "PASS", Pairs: len(blocks) / 2}})
	return lines
}

func read(t testing.TB, text string) Series {
	s, err := ReadSeries(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Lines of two clones come in any order, and those of both twice: the series is the same to the byte.
func TestOrderAndRepetitionOfLinesChangeNothing(t *testing.T) {
	noise := rand.New(rand.NewPCG(1, 1))
	var d []float64
	for range 8 {
		d = append(d, .01*noise.NormFloat64())
	}
	lines := stored(t, blocks(3, d...))
	whole := read(t, strings.Join(lines, ""))
	of := func(s Series) string {
		b := new(bytes.Buffer)
		for _, block := range s.Blocks {
			line, _ := Line{Block: &block}.Encode()
			b.Write(line)
		}
		v := s.Judge(s.Sessions[0])
		return b.String() + string(v.Outcome) + v.Why
	}
	rapid.Check(t, func(r *rapid.T) {
		shuffled := rapid.Permutation(append(slices.Clone(lines), lines[:rapid.IntRange(0, len(lines)).Draw(r, "twice")]...)).Draw(r, "lines")
		if got := of(read(t, strings.Join(shuffled, ""))); got != of(whole) {
			t.Errorf("other lines:\n%s\nwant\n%s", got, of(whole))
		}
	})
}

// A process that was killed in the middle of a line leaves everything before it, and one line that is counted as broken.
func TestBrokenLineIsCountedAndNothingElseIsLost(t *testing.T) {
	lines := stored(t, blocks(3, 0, 0, 0, 0))
	text := strings.Join(lines, "")
	for _, cut := range []int{2, 10, len(lines[len(lines)-1]) - 2} {
		torn := text[:len(text)-cut]
		s := read(t, torn+"\n"+lines[3])
		if s.Broken != 1 || len(s.Blocks) != 8 || len(s.Sessions) != 2 {
			t.Errorf("cut by %d: %d broken lines, %d blocks, %d sessions", cut, s.Broken, len(s.Blocks), len(s.Sessions))
		}
	}
	if s := read(t, "{}\n{\"block\":{\"quod\":1}}\nnonsense\n"); s.Broken != 3 {
		t.Errorf("%d of 3 broken lines", s.Broken)
	}
}

package history

import (
	"maps"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
	"pgregory.net/rapid"
)

func drawTimes(t *rapid.T, name string) []int64 {
	ns := rapid.OneOf(rapid.Int64Range(0, 3000), rapid.Int64Range(0, 1e8), rapid.Int64Range(0, int64(LongestRecorded)))
	return rapid.SliceOfN(ns, 1, 200).Draw(t, name)
}

func histogramOf(times []int64) *Histogram {
	var h *Histogram
	for _, ns := range times {
		Observe(&h, time.Duration(ns))
	}
	return h
}

// A percentile is of nearest rank, to three digits, and the longest time is exact, also of what was written, read and added up.
func TestPercentilesAreOfNearestRank(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawTimes(t, "a"), drawTimes(t, "b")
		merged := histogramOf(a)
		merged.Merge(histogramOf(b))
		var readers [2]countReader
		var sum Sum
		for n, times := range [][]int64{a, b} {
			e, err := histogramOf(times).encode()
			if err != nil {
				t.Fatal(err)
			}
			counts, err := readers[n].of(nil, e)
			if err != nil {
				t.Fatal(err)
			}
			sum.Add(counts)
		}
		all := slices.Sorted(slices.Values(slices.Concat(a, b)))
		percent := rapid.OneOf(rapid.SampledFrom([]float64{0, 50, 90, 99, 99.9, 100}), rapid.Float64Range(0, 100)).Draw(t, "percent")
		rank := max(1, int(math.Ceil(percent/100*float64(len(all))*(1-1e-12))))
		for name, h := range map[string]*Histogram{"merged": merged, "summed": sum.Histogram()} {
			if h.Max() != all[len(all)-1] {
				t.Errorf("%s: the longest time is %d, want %d", name, h.Max(), all[len(all)-1])
			}
			got, want := h.ValueAtPercentile(percent), all[rank-1]
			if got < want || float64(got) > float64(want)*(1+1./1024) {
				t.Errorf("%s: p%v of %v is %d, want %d", name, percent, all, got, want)
			}
			if h.TotalCount() != int64(len(all)) {
				t.Errorf("%s: %d times of %d", name, h.TotalCount(), len(all))
			}
		}
	})
}

// The short way reads what the library reads, and leaves to it what is of another kind.
func TestTimesAreReadAsTheLibraryReadsThem(t *testing.T) {
	var r countReader // one for all: it keeps nothing of what it read before
	rapid.Check(t, func(t *rapid.T) {
		h := histogramOf(drawTimes(t, "times"))
		e, err := h.encode()
		if err != nil {
			t.Fatal(err)
		}
		if !r.read(e.text) {
			t.Fatalf("left to the library: %s", e.text)
		}
		got, err := r.of(nil, e)
		want := maps.Collect(h.Times)
		if err != nil || len(got) != len(want) {
			t.Fatalf("%d times, want %d: %v", len(got), len(want), err)
		}
		for _, c := range got {
			if want[c.NS] != c.N {
				t.Errorf("%d requests took %d, want %d", c.N, c.NS, want[c.NS])
			}
		}
		if !slices.IsSortedFunc(got, func(a, b Count) int { return int(a.NS - b.NS) }) {
			t.Errorf("not ascending: %v", got)
		}
		cut := rapid.IntRange(0, len(e.text)-1).Draw(t, "cut")
		if _, err := hdr.DecodePacked([]byte(e.text[:cut])); err != nil {
			if counts, err := r.of(nil, encoded{text: e.text[:cut]}); err == nil && cut > 0 {
				t.Errorf("cut at %d it holds %v", cut, counts)
			}
		}
	})
	foreign := hdr.NewPacked(1000, int64(time.Hour), 2)
	_ = foreign.RecordValues(int64(time.Second), 3)
	text, err := foreign.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.of(nil, encoded{text: string(text)})
	if err != nil || len(got) != 1 || got[0].N != 3 || math.Abs(float64(got[0].NS)-1e9) > 1e7 {
		t.Errorf("of two digits: %v, %v", got, err)
	}
}

// In whatever order successes come, the spans are those of the order of time.
func TestSuccessesMayComeInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		times := rapid.SliceOfN(rapid.Int64Range(0, 300), 1, 60).Draw(t, "ms")
		spans := func(times []int64) (s []Span) {
			for _, ms := range times {
				s = Succeeded(s, time.Duration(ms)*time.Millisecond)
			}
			return Unite(s, nil)
		}
		if got, want := spans(times), spans(slices.Sorted(slices.Values(times))); !reflect.DeepEqual(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	})
}

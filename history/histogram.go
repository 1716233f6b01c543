package history

import (
	"fmt"
	"math"
	"math/bits"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// LongestRecorded is the longest time that a histogram distinguishes; longer ones are recorded as this.
const LongestRecorded = 24 * time.Hour

const digits = 3 // of a histogram

// Histogram counts times in nanoseconds, to three significant digits; the longest one it knows exactly. It is sparse: it costs about five
// bytes for each time that occurred, and next to nothing while it is empty.
type Histogram struct {
	*hdr.PackedHistogram
	longest int64
}

// NewHistogram returns an empty histogram, of the one kind that histories hold.
func NewHistogram() *Histogram {
	return &Histogram{PackedHistogram: hdr.NewPacked(1, int64(LongestRecorded), digits)}
}

// Observe counts a time, of which one below zero is zero and one beyond LongestRecorded is that. A histogram that is nil is made.
func Observe(h **Histogram, d time.Duration) {
	if *h == nil {
		*h = NewHistogram()
	}
	_ = (*h).RecordValue(int64(min(max(d, 0), LongestRecorded))) // within the range, so never an error
}

// RecordValue counts a time; one that is negative or beyond the histogram's range is an error.
func (h *Histogram) RecordValue(ns int64) error { return h.RecordValues(ns, 1) }

// RecordValues counts a time that n requests took.
func (h *Histogram) RecordValues(ns, n int64) error {
	if err := h.PackedHistogram.RecordValues(ns, n); err != nil {
		return err
	}
	if n > 0 {
		h.longest = max(h.longest, ns)
	}
	return nil
}

// Merge counts what other counted.
func (h *Histogram) Merge(other *Histogram) {
	if other.TotalCount() > 0 {
		h.PackedHistogram.Merge(other.PackedHistogram)
		h.longest = max(h.longest, other.longest)
	}
}

// Clone is a copy.
func (h *Histogram) Clone() *Histogram { return &Histogram{h.PackedHistogram.Clone(), h.longest} }

// Reset empties the histogram and keeps its memory.
func (h *Histogram) Reset() {
	h.PackedHistogram.Reset()
	h.longest = 0
}

// Max is the longest time.
func (h *Histogram) Max() int64 { return h.longest }

// ValueAtPercentile is the least time within which a percentage of the requests was answered: of n times in ascending order the one of
// rank n percent/100, rounded up ("nearest rank"). It is the greatest time that the histogram does not tell from it; 0 if there is none.
func (h *Histogram) ValueAtPercentile(percent float64) int64 {
	n := float64(h.TotalCount())
	if n == 0 {
		return 0
	}
	rank := min(max(1, math.Ceil(percent/100*n*(1-1e-12))), n)
	return min(h.PackedHistogram.ValueAtPercentile(100*rank/n), h.longest) // which takes the nearest whole number for the rank
}

// Times yields every time that the histogram tells apart in ascending order, and how many requests took it. Each is the greatest that is
// not told from it. A histogram that is nil is empty.
func (h *Histogram) Times(yield func(ns, n int64) bool) {
	if h == nil {
		return
	}
	for least, n := range h.ForEachBucket {
		if !yield(min(timeOf(stepOf(least)), h.longest), n) {
			return
		}
	}
}

// A histogram of three digits has 1024 steps for each power of two from 1024 on, and one for each time below.

const steps = 38 << 10 // up to LongestRecorded, which is below 2^47

// stepOf is the step of a time.
func stepOf(ns int64) int {
	power := max(0, bits.Len64(uint64(ns))-11)
	return power<<10 + int(ns>>power)
}

// timeOf is the greatest time of a step.
func timeOf(step int) int64 {
	power := max(0, step>>10-1)
	return int64(step-power<<10+1)<<power - 1
}

func (h *Histogram) encode() (encoded, error) {
	if h == nil || h.TotalCount() == 0 {
		return encoded{}, nil
	}
	text, err := h.Encode()
	if err != nil {
		return encoded{}, fmt.Errorf("encode histogram: %w", err)
	}
	return encoded{string(text), h.longest}, nil
}

func (e encoded) decode() (*Histogram, error) {
	if e.text == "" {
		return NewHistogram(), nil
	}
	packed, err := hdr.DecodePacked([]byte(e.text))
	if err != nil {
		return nil, fmt.Errorf("decode histogram: %w", err)
	}
	return &Histogram{packed, e.max(packed.Max())}, nil
}

// max is the longest time of a histogram of which the greatest one that it does not tell from it is known.
func (e encoded) max(most int64) int64 {
	if e.longest > 0 {
		return min(e.longest, most)
	}
	return most
}

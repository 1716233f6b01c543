package history

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"io"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// Count is how many requests took a time in nanoseconds, which is the greatest that a histogram does not tell from theirs.
type Count struct{ NS, N int64 }

// TimesReader reads the times of a folder's intervals one after the other. Its zero value is ready.
type TimesReader struct {
	response, givenUp, service countReader
}

// Of are an interval's response times in ascending order, of the requests that were answered and of those that were given up. They are
// valid until the next call.
func (r *TimesReader) Of(i Interval) (response, givenUp []Count) {
	response, _ = r.response.of(i.Response, i.response) // they were decoded before, so never an error
	givenUp, _ = r.givenUp.of(i.GivenUp, i.givenUp)
	return response, givenUp
}

// Service are an interval's service times where its response times are not known, in ascending order. They are valid until the next call.
func (r *TimesReader) Service(i Interval) []Count {
	counts, _ := r.service.of(i.Service, i.service)
	return counts
}

// countReader reads histograms one after the other into the same memory.
type countReader struct {
	in      bytes.Reader
	zip     io.ReadCloser // nil before the first
	payload bytes.Buffer
	counts  []Count
}

// of are the counts of a histogram or, where there is none, of an encoded one.
func (r *countReader) of(h *Histogram, e encoded) ([]Count, error) {
	r.counts = r.counts[:0]
	if h == nil && e.text != "" {
		if r.read(e.text) {
			if n := len(r.counts); n > 0 {
				r.counts[n-1].NS = e.max(r.counts[n-1].NS)
			}
			return r.counts, nil
		}
		var err error
		if h, err = e.decode(); err != nil {
			return nil, err
		}
		r.counts = r.counts[:0]
	}
	for ns, n := range h.Times {
		r.counts = append(r.counts, Count{ns, n})
	}
	return r.counts, nil
}

// read reads a histogram as this package encodes it, in a quarter of the library's time, which makes a sparse histogram of it. Where it
// returns false, the library is to say what it is.
func (r *countReader) read(text string) bool {
	const header = 40
	packed, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(packed) < 8 || binary.BigEndian.Uint32(packed)&^0xf0 != uint32(hdr.V2CompressedEncodingCookieBase) {
		return false
	}
	length := int64(binary.BigEndian.Uint32(packed[4:]))
	if length > int64(len(packed)-8) {
		return false
	}
	r.in.Reset(packed[8 : 8+length])
	if r.zip == nil {
		r.zip, err = zlib.NewReader(&r.in)
	} else {
		err = r.zip.(zlib.Resetter).Reset(&r.in, nil)
	}
	if err != nil {
		r.zip = nil
		return false
	}
	r.payload.Reset()
	if _, err = r.payload.ReadFrom(io.LimitReader(r.zip, header+9*steps+1)); err != nil || r.payload.Len() < header {
		return false
	}
	b := r.payload.Bytes()
	if binary.BigEndian.Uint32(b)&^0xf0 != uint32(hdr.V2EncodingCookieBase) || int64(binary.BigEndian.Uint32(b[4:])) != int64(len(b)-header) ||
		binary.BigEndian.Uint32(b[12:]) != digits || binary.BigEndian.Uint64(b[16:]) != 1 ||
		binary.BigEndian.Uint64(b[24:]) != uint64(LongestRecorded) {
		return false
	}
	step := 0
	for b = b[header:]; len(b) > 0; {
		n, size := binary.Varint(b)
		if size <= 0 || size > 8 { // longer ones are written in another way
			return false
		}
		b = b[size:]
		if n < 0 { // more than are there
			if n < int64(step-steps) {
				return false
			}
			step -= int(n)
			continue
		}
		if step >= steps {
			return false
		}
		if n > 0 {
			r.counts = append(r.counts, Count{timeOf(step), n})
		}
		step++
	}
	return true
}

// Sum adds up the times of many histograms, in a tenth of the time that merging sparse ones takes. Its zero value is empty.
type Sum struct {
	counts  []int64 // by step
	longest int64
}

// Add adds times in ascending order.
func (s *Sum) Add(times []Count) {
	if len(times) == 0 {
		return
	}
	if s.counts == nil {
		s.counts = make([]int64, steps)
	}
	for _, c := range times {
		s.counts[stepOf(c.NS)] += c.N
	}
	s.longest = max(s.longest, times[len(times)-1].NS)
}

// AddSum adds what another sum holds.
func (s *Sum) AddSum(other *Sum) {
	if other.counts == nil {
		return
	}
	if s.counts == nil {
		s.counts = make([]int64, steps)
	}
	for step, n := range other.counts {
		s.counts[step] += n
	}
	s.longest = max(s.longest, other.longest)
}

// Reset empties it.
func (s *Sum) Reset() {
	clear(s.counts)
	s.longest = 0
}

// Histogram is the sum; nil: nothing was added.
func (s *Sum) Histogram() (h *Histogram) {
	for step, n := range s.counts {
		if n > 0 {
			if h == nil {
				h = NewHistogram()
			}
			_ = h.RecordValues(timeOf(step), n) // of the same range, so never an error
		}
	}
	if h != nil {
		h.longest = s.longest
	}
	return h
}

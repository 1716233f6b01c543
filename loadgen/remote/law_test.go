package remote

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"coinbench/history"
)

// recordOf is what one generator that begins and ends at these instants would record of samples.
func recordOf(samples []history.Sample, received map[int64]int64, begin, end time.Duration) (intervals []history.Interval,
	closing history.LoadEndRecord) {
	slices.SortStableFunc(samples, func(a, b history.Sample) int { return int(a.Done - b.Done) })
	last := begin
	closing.End = end
	for at := begin; at < end; at += time.Second {
		i := history.Interval{At: at, Length: min(time.Second, end-at)}
		for ; len(samples) > 0 && samples[0].Done < at+time.Second; samples = samples[1:] {
			s := samples[0]
			i.Received += received[s.Seq]
			if s.Class == history.OK {
				i.MaxGap, last = max(i.MaxGap, s.Done-last), s.Done
			} else {
				closing.Failed++
			}
			i.Add(s)
		}
		closing.MaxGap = max(closing.MaxGap, i.MaxGap)
		closing.Due += i.Due
		closing.OK += i.OK
		closing.ReceivedBytes += i.Received
		intervals = append(intervals, i)
	}
	closing.MaxGap = max(closing.MaxGap, end-last)
	closing.SamplesKept = closing.Due
	return intervals, closing
}

// The merged record of several generators is that of one which made all their requests: in every field of every second, and of the end.
// A time without a success is the same where it is 10 ms or longer, and otherwise known to be shorter than that.
func TestMergedGeneratorsAreTheConcatenation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		copies := rapid.IntRange(1, 4).Draw(t, "generators")
		aligned := rapid.Bool().Draw(t, "begin together")
		end := time.Duration(rapid.Int64Range(1e9, 4e9).Draw(t, "end"))
		var all []history.Sample
		received := map[int64]int64{}
		play := func(copy int, s *Sender) error {
			begin := time.Duration(0)
			if !aligned && copy > 1 {
				begin = time.Duration(rapid.Int64Range(0, int64(50*time.Millisecond)).Draw(t, "begin"))
			}
			n := rapid.IntRange(0, 60).Draw(t, "requests")
			blind := rapid.IntRange(0, 3).Draw(t, "blind") == 0
			var mine []history.Sample
			own := map[int64]int64{}
			for i := range n {
				x := history.Sample{Seq: int64(i), Due: begin + time.Duration(rapid.Int64Range(0, int64(end-begin)).Draw(t, "due")),
					Bytes: int64(i % 3)}
				x.Sent = x.Due
				x.Done = min(x.Due+time.Duration(rapid.Int64Range(0, 5e8).Draw(t, "ns")), end-1)
				x.Class = rapid.SampledFrom([]history.Class{history.OK, history.OK, history.OK, history.Refused, history.UnexpectedStatus}).Draw(t,
					"class")
				if blind {
					x.Class = history.Refused
				}
				if x.Class != history.Refused {
					x.Status, x.Replica, x.Version = 200, fmt.Sprint("rng.", i%2), fmt.Sprint("v", i%3)
				}
				own[x.Seq] = 100 + x.Bytes
				mine = append(mine, x)
			}
			for _, x := range mine {
				x.Seq = x.Seq*int64(copies) + int64(copy-1)
				received[x.Seq] = 100 + x.Bytes
				all = append(all, x)
			}
			intervals, closing := recordOf(slices.Clone(mine), own, begin, end)
			for _, x := range mine {
				if err := s.Sample(x); err != nil {
					return err
				}
			}
			for _, i := range intervals {
				if err := s.Interval(i); err != nil {
					return err
				}
			}
			closing.Server = "test/1"
			closing.CPUSeconds = 1
			return s.End(closing)
		}
		var rec keptRecord
		got, err := generators(inside{play: play}.run, copies)(t.Context(), workload(), time.Now(), &rec)
		if err != nil {
			t.Fatal(err)
		}
		intervals, want := recordOf(slices.Clone(all), received, 0, end)
		want.Server, want.CPUSeconds = "test/1", float64(copies)
		if !sameGap(got.MaxGap, want.MaxGap) {
			t.Fatalf("%v without a success, of all together %v", got.MaxGap, want.MaxGap)
		}
		if got.MaxGap = want.MaxGap; !reflect.DeepEqual(got, want) {
			t.Fatalf("the end is %+v, of all together %+v", got, want)
		}
		total, whole := sumOf(rec.intervals), sumOf(intervals)
		if !aligned {
			whole.At, whole.Length = total.At, total.Length
		}
		same(t, total, whole)
		if len(rec.samples) != len(all) {
			t.Fatalf("%d samples of %d", len(rec.samples), len(all))
		}
		if aligned {
			if len(rec.intervals) != len(intervals) {
				t.Fatalf("%d intervals, of all together %d", len(rec.intervals), len(intervals))
			}
			for n := range intervals {
				same(t, rec.intervals[n], intervals[n])
				if a, b := rec.intervals[n].MaxGap, intervals[n].MaxGap; !sameGap(a, b) {
					t.Fatalf("second %d: %v without a success, of all together %v", n, a, b)
				}
			}
		}
	})
}

func sumOf(all []history.Interval) (total history.Interval) {
	for _, i := range all {
		total.Merge(i)
	}
	return total
}

func sameGap(a, b time.Duration) bool {
	return a == b || a <= history.GapResolution && b < history.GapResolution
}

// same holds that two intervals hold the same in every field but MaxGap.
func same(t *rapid.T, got, want history.Interval) {
	t.Helper()
	histograms := func(i *history.Interval) (all []map[int64]int64) {
		flat := func(h *history.Histogram) map[int64]int64 {
			if h == nil {
				return map[int64]int64{}
			}
			return maps.Collect(h.ForEachBucket)
		}
		all = append(all, flat(i.Response), flat(i.Service), flat(i.GivenUp), flat(i.Lag), flat(i.Late))
		i.Response, i.Service, i.GivenUp, i.Lag, i.Late, i.MaxGap = nil, nil, nil, nil, nil, 0
		i.Parts = slices.Clone(i.Parts)
		for n := range i.Parts {
			all = append(all, flat(i.Parts[n].Response))
			i.Parts[n].Response = nil
		}
		return all
	}
	a, b := histograms(&got), histograms(&want)
	if !reflect.DeepEqual(a, b) {
		t.Fatalf("the histograms are %v, of all together %v", a, b)
	}
	if x, y := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); x != y {
		t.Fatalf("merged\n%s\nof all together\n%s", x, y)
	}
}

package precise

import (
	"testing"
	"time"
)

// A sleep is never short. How late it is depends on the machine; BenchmarkSleep shows it.
func TestSleepIsNeverShort(t *testing.T) {
	for _, d := range []time.Duration{-time.Second, 0, time.Microsecond, 500 * time.Microsecond, early, 5 * time.Millisecond,
		20 * time.Millisecond} {
		begin := time.Now()
		Sleep(d)
		if slept := time.Since(begin); slept < d {
			t.Errorf("Sleep(%s) took %s", d, slept)
		}
	}
}

func TestUntilThePastReturnsAtOnce(t *testing.T) {
	done := make(chan struct{})
	go func() { Until(time.Now().Add(-time.Hour)); close(done) }()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("still asleep")
	}
}

// BenchmarkSleep reports how late a sleep of 10 ms ends.
func BenchmarkSleep(b *testing.B) {
	const d = 10 * time.Millisecond
	var late, latest time.Duration
	n := 0
	for b.Loop() {
		begin := time.Now()
		Sleep(d)
		l := time.Since(begin) - d
		late += l
		latest = max(latest, l)
		n++
	}
	b.ReportMetric(float64(late.Microseconds())/float64(n), "µs-late/op")
	b.ReportMetric(float64(latest.Microseconds()), "µs-latest")
}

package history_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"coinbench/history"
	"coinbench/history/event"
)

// BenchmarkHour writes an hour of three loads at 5,000/s into the folder COIN_HOUR names, with the record's own writer: for
// `coinbench report` to be measured from outside.
func BenchmarkHour(b *testing.B) {
	dir := os.Getenv("COIN_HOUR")
	if dir == "" {
		b.Skip("not run: COIN_HOUR names no folder")
	}
	m := manifest()
	m.Simulated = true
	w, err := history.Create(dir, m, []byte("name: hour\n"), []byte("services: {}\n"))
	if err != nil {
		b.Fatal(err)
	}
	_ = w.Event(history.Event{At: 1, Payload: event.RunBegin{}})
	random := rand.New(rand.NewPCG(1, 2))
	const rate, length = 5000, time.Hour
	for load := range 3 {
		l, err := w.Load(history.LoadSpec{Name: fmt.Sprint("load", load), Service: "rng", Method: "GET", URL: "http://rng/", Schedule: "5000/s",
			Duration: length, Begin: time.Second})
		if err != nil {
			b.Fatal(err)
		}
		seq, last := int64(0), time.Second
		for at := time.Second; at < time.Second+length; at += time.Second {
			i := history.Interval{At: at, Length: time.Second}
			for n := range rate {
				s := history.Sample{Seq: seq, Due: at + time.Duration(n)*time.Second/rate, Status: 200, Replica: fmt.Sprint("rng.", n%10),
					Version: "v1"}
				s.Sent = s.Due + time.Duration(random.IntN(1e5))
				s.Done = s.Sent + time.Duration(random.ExpFloat64()*2e7)
				i.MaxGap, last = max(i.MaxGap, s.Done-last), max(last, s.Done)
				i.Add(s)
				if seq < 100_000 {
					_ = l.Sample(s)
				}
				seq++
			}
			if err := l.Interval(i); err != nil {
				b.Fatal(err)
			}
		}
		if err := l.End(history.LoadEndRecord{End: time.Second + length, Due: seq, OK: seq, SamplesKept: 100_000}, nil); err != nil {
			b.Fatal(err)
		}
	}
	for at := time.Duration(0); at < length; at += time.Second {
		for n := range 10 {
			values := map[string]float64{}
			for k := range 25 {
				values[fmt.Sprintf(`coinbench_requests_total{code="%d",method="GET"}`, 200+k)] = at.Seconds()
			}
			_ = w.Reading(history.Reading{At: at, Service: "rng", Task: fmt.Sprintf("rng.%d#1", n), Values: history.ValuesOf(values)})
		}
	}
	_ = w.Event(history.Event{At: time.Second + length, Payload: event.RunEnd{Status: string(history.Finished)}})
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
}

package capacity

import (
	"math"
	"testing"
	"time"

	"coinbench/history"
)

// Every request is in a flow once, with its rate and not a part of it, and one without an answer where it fell due; by the request and
// by the second alike.
func TestFlowsCountEveryRequest(t *testing.T) {
	const n, every = 517, 20 * time.Millisecond
	end := n*every + 5*time.Second
	byRequest := history.Load{LoadSpec: history.LoadSpec{Name: "users", Service: "hasher", Begin: time.Second}}
	var bySecond = byRequest
	seconds := make([]history.Interval, int(end/time.Second)+1)
	for k := range seconds {
		seconds[k].At, seconds[k].Length = time.Duration(k+1)*time.Second, time.Second
	}
	var hung int64
	for k := range n {
		s := history.Sample{Seq: int64(k), Due: time.Second + time.Duration(k)*every}
		s.Sent, s.Done, s.Class = s.Due, s.Due+5*time.Millisecond, history.OK
		if s.Due > 4*time.Second && k%4 == 0 {
			s.Done, s.Class = time.Second+end, history.NoAnswer
			hung++
		}
		byRequest.Samples = append(byRequest.Samples, s)
		i := &seconds[min(int((s.Done-time.Second)/time.Second), len(seconds)-1)]
		i.Due++
		if s.Class == history.OK {
			i.OK++
			history.Observe(&i.Response, s.Done-s.Due)
		} else {
			if i.Failures == nil {
				i.Failures = map[history.Class]int64{}
			}
			i.Failures[s.Class]++
			history.Observe(&i.GivenUp, s.Done-s.Due)
		}
	}
	bySecond.Intervals = seconds
	byRequest.Intervals = seconds
	rollouts := []Disturbance{{Service: "hasher", Loads: []LoadImpact{{Load: "users", Requests: n}}}}
	for name, l := range map[string]history.Load{"by request": byRequest, "by second": bySecond} {
		f := flows(&history.Run{End: end + 2*time.Second, Loads: []history.Load{l}}, rollouts)[0]
		sum := func(bins []float64) (total float64) {
			for i, perS := range bins {
				to := f.BeginS + float64(i+1)*f.BinS
				if i == len(bins)-1 {
					to = f.EndS
				}
				total += perS * (to - f.BeginS - float64(i)*f.BinS)
			}
			return total
		}
		if got := sum(f.Answered[""]); math.Abs(got-float64(n-hung)) > 1e-6 {
			t.Errorf("%s: %v answered, want %d", name, got, n-hung)
		}
		failed := f.Failed[history.NoAnswer]
		if got := sum(failed); math.Abs(got-float64(hung)) > 1e-6 {
			t.Errorf("%s: %v without an answer, want %d", name, got, hung)
		}
		for i, perS := range failed {
			if at := f.BeginS + float64(i)*f.BinS; perS > 20 || perS > 0 && (at < 3 || at > 1+(n*every).Seconds()) {
				t.Errorf("%s: %v/s without an answer at %v s; 12.5/s fell due from 4 s on", name, perS, at)
			}
		}
		for i, perS := range f.Answered[""] {
			if perS > 55 {
				t.Errorf("%s: bin %d of %d has %v answers/s of a load of 50/s", name, i, len(f.Answered[""]), perS)
			}
		}
	}
}

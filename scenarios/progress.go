package scenarios

import (
	"fmt"
	"time"

	"coinbench/history"
)

// Progress is how far a run has come.
type Progress struct {
	Step     int           // 1-based number of the step in force; 0 before the first
	Steps    int           // in all; 0: nobody knows
	Verb     string        // of the step
	Title    string        // of the step
	Doing    string        // what is happening within it
	Elapsed  time.Duration // since the run's start
	Fraction float64       // 0..1 of the estimated whole
	Left     time.Duration // estimated
	HashRate float64       // hashes/s over the last few seconds; rough, for the eyes only
	Rated    bool          // whether there is a HashRate
	Done     bool          // the last one
}

// progress is what is known about it while the run goes on.
type progress struct {
	tell    func(Progress)
	total   time.Duration
	before  []time.Duration // estimated sum of the steps before each
	lengths []time.Duration
	begun   time.Duration // when the step in force began
	doing   string
	reached float64 // it never goes back
	rates   rates
}

func newProgress(s Scenario, open bool, tell func(Progress)) progress {
	p := progress{tell: tell}
	if open { // how many steps come is not known
		return p
	}
	for _, step := range s.Steps {
		p.before = append(p.before, p.total)
		p.lengths = append(p.lengths, step.Length)
		p.total += step.Length
	}
	return p
}

// begin says that a step is in force; one without a verb, after the last, says that all are done.
func (st *stage) begin(n int, step Step) {
	now := st.now()
	st.mu.Lock()
	st.step, st.inForce = n, step
	st.progress.begun, st.progress.doing = now, ""
	st.mu.Unlock()
	st.report(false)
}

func (st *stage) doing(format string, args ...any) {
	st.mu.Lock()
	st.progress.doing = fmt.Sprintf(format, args...)
	st.mu.Unlock()
	st.report(false)
}

// report tells how far the run has come.
func (st *stage) report(done bool) {
	if st.progress.tell == nil {
		return
	}
	now := st.now()
	st.mu.Lock()
	defer st.mu.Unlock()
	p := &st.progress
	out := Progress{Steps: len(p.lengths), Doing: p.doing, Elapsed: now, Done: done}
	spent := p.total
	switch i := st.step; {
	case i < 0:
		spent = 0
	case st.inForce.Verb == "":
		out.Step = i
	default:
		out.Step, out.Verb, out.Title = i+1, st.inForce.Verb, st.inForce.Title
		if i < len(p.lengths) {
			spent = p.before[i] + min(now-p.begun, p.lengths[i])
		}
	}
	if p.total > 0 {
		p.reached = max(p.reached, float64(spent)/float64(p.total))
	}
	out.Fraction, out.Left = p.reached, p.total-spent
	out.HashRate, out.Rated = p.rates.rate()
	p.tell(out)
}

// rates keeps the last few readings of the workers' counters.
type rates struct {
	last []sum
}

// sum is each worker's counter at one time.
type sum struct {
	at     time.Duration
	hashes map[string]float64
}

const rateSpan = 3 * time.Second // over which the rough rate is taken

func (r *rates) add(readings []history.Reading) {
	s := sum{hashes: map[string]float64{}}
	for _, reading := range readings {
		if n, ok := reading.Values.Get(history.Hashes); ok {
			s.hashes[reading.Task] = n
			s.at = max(s.at, reading.At)
		}
	}
	if len(s.hashes) == 0 {
		r.last = nil
		return
	}
	r.last = append(r.last, s)
	for len(r.last) > 2 && s.at-r.last[1].at >= rateSpan {
		r.last = r.last[1:]
	}
}

// rate is the hashes/s of the workers that were there all the time.
func (r *rates) rate() (float64, bool) {
	if len(r.last) < 2 {
		return 0, false
	}
	from, to := r.last[0], r.last[len(r.last)-1]
	if to.at-from.at < time.Second/2 {
		return 0, false
	}
	var n float64
	for task, hashes := range to.hashes {
		n += hashes - from.hashes[task] // a new worker began at 0
	}
	return n / (to.at - from.at).Seconds(), true
}

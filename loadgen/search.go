package loadgen

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"coinbench/history"
)

// SearchConfig says what to look for. Its zero value but for SLO works.
type SearchConfig struct {
	SLO        SLO
	Least      float64       // where to begin, requests per second or clients; 0: 1
	Most       float64       // where to give up; 0: 1e6
	Precision  float64       // how close the answer's bounds shall be, as a ratio; 0: 0.02
	Confidence float64       // of each level's verdict, 0.5...0.999; 0: 0.9
	Whole      bool          // levels are whole numbers: clients
	Block      time.Duration // length of one block; 0: 5 s
}

// Block is one piece of load at one level, an observation of the search.
type Block struct {
	Level   float64 // requests per second, or clients
	Total   history.Interval
	End     history.LoadEndRecord
	Met     bool          // the objectives
	Why     string        // not
	Elapsed time.Duration // in which Total was answered
}

// Point is what a search learned at one level: one point of the curve.
type Point struct {
	Level  float64
	Blocks int
	Met    int // blocks that met the objectives
	Total  history.Interval
	Rate   float64 // requests answered well per second
	Why    string  // of the last block that did not
}

// SearchResult is the end of a search.
type SearchResult struct {
	Level      float64 // the greatest that met the objectives; 0: none did
	Above      float64 // the least that did not; 0: none was found
	Confidence float64 // of the verdict at each of the two
	Stopped    string  // why the search ended before it had both bounds; empty: it had
	Repeated   int     // blocks that were played again because they were invalid: in none of the numbers
	Curve      []Point // by level
}

// ErrNothingAnswers is the error of a search, or part of one, when not one request was answered at the first level.
var ErrNothingAnswers = errors.New("nothing answers")

// With these shares of blocks that meet the objectives a level counts as good or bad: the two hypotheses of the test.
const goodShare, badShare = 0.8, 0.2

// seeker is the decision of a search, a pure state machine: observe what a block said, then ask for the next level.
//
// It begins at the least level and doubles it while levels are good; then it halves the bracket between the greatest good
// and the least bad level (by ratio) until the bracket is as narrow as the precision asks for. Every level is played in
// blocks until Wald's sequential probability ratio test tells a level that meets the objectives in 80 % of its blocks from
// one that does in 20 %, with the confidence asked for: that is when one outcome leads by lead blocks.
type seeker struct {
	cfg       SearchConfig
	lead      int
	good, bad float64 // 0: none yet
	level     float64
	score     int // blocks that met minus blocks that did not, at level
	blocks    int // at level
	done      bool
}

// mostBlocks bounds what is spent on a level on the very edge; then the majority decides, and a tie counts as bad.
const mostBlocks = 15

func newSeeker(cfg SearchConfig) (*seeker, error) {
	if cfg.Least == 0 {
		cfg.Least = 1
	}
	if cfg.Most == 0 {
		cfg.Most = 1e6
	}
	if cfg.Precision == 0 {
		cfg.Precision = 0.02
	}
	if cfg.Confidence == 0 {
		cfg.Confidence = 0.9
	}
	if cfg.Whole {
		cfg.Least, cfg.Most = math.Ceil(cfg.Least), math.Floor(cfg.Most)
	}
	switch {
	case !(cfg.Least > 0) || !(cfg.Most >= cfg.Least):
		return nil, fmt.Errorf("search: the levels go from %v to %v: the least must be above 0 and at most the greatest", cfg.Least, cfg.Most)
	case !(cfg.Precision >= 1e-4 && cfg.Precision <= 1):
		return nil, fmt.Errorf("search: precision is %v: it must be a ratio from 0.0001 to 1", cfg.Precision)
	case !(cfg.Confidence >= 0.5 && cfg.Confidence <= 0.999):
		return nil, fmt.Errorf("search: confidence is %v: it must be from 0.5 to 0.999", cfg.Confidence)
	}
	// The test's bound ln(c/(1-c)), in steps of one block's weight ln(good/bad) (Wald, Sequential Analysis, 1947, 3.2).
	c := cfg.Confidence
	lead := int(math.Ceil(math.Log(c/(1-c))/math.Log(goodShare/badShare) - 1e-9))
	return &seeker{cfg: cfg, lead: max(lead, 1), level: cfg.Least}, nil
}

// next is the level to play; false: the search is over.
func (s *seeker) next() (float64, bool) { return s.level, !s.done }

// observe takes the outcome of a block at the level that next gave.
func (s *seeker) observe(met bool) {
	s.blocks++
	if met {
		s.score++
	} else {
		s.score--
	}
	switch {
	case s.score >= s.lead || (s.blocks >= mostBlocks && s.score > 0):
		s.good = s.level
	case -s.score >= s.lead || s.blocks >= mostBlocks:
		s.bad = s.level
	default:
		return
	}
	s.score, s.blocks = 0, 0
	s.advance()
}

func (s *seeker) advance() {
	switch {
	case s.good == 0: // even the least level is bad
		s.done = true
	case s.bad == 0:
		if s.good >= s.cfg.Most {
			s.done = true
			return
		}
		s.level = min(2*s.good, s.cfg.Most)
	case s.bad <= s.good*(1+s.cfg.Precision), s.cfg.Whole && s.bad-s.good <= 1:
		s.done = true
	default:
		s.level = math.Sqrt(s.good * s.bad)
		if s.cfg.Whole {
			s.level = min(max(math.Round(s.level), s.good+1), s.bad-1)
		}
	}
}

// mostInvalid is how many blocks in a row may be invalid before the generator counts as the limit. One or two come from
// whatever else the machine does.
const mostInvalid = 5

// Search finds the greatest level of load at which the objectives are met. play plays one block at a level. A block that is
// invalid says nothing and is played again. The search ends early, with what it knows, when ctx is done, when nothing answers
// at the first level (ErrNothingAnswers), and when the generator could not deliver a level mostInvalid times in a row: then
// the generator is the limit, and the result says so.
func Search(ctx context.Context, cfg SearchConfig, play func(ctx context.Context, level float64) (Block, error)) (SearchResult, error) {
	s, err := newSeeker(cfg)
	if err != nil {
		return SearchResult{}, err
	}
	points := map[float64]*Point{}
	seconds := map[float64]float64{}
	stopped := ""
	invalid, repeated := 0, 0
	var failure error
	for {
		level, more := s.next()
		if !more || ctx.Err() != nil {
			break
		}
		b, err := play(ctx, level)
		if err != nil {
			failure = fmt.Errorf("search at %v: %w", level, err)
			break
		}
		if ctx.Err() != nil { // cut short
			break
		}
		if b.Total.OK == 0 && len(points) == 0 {
			failure = fmt.Errorf("search: %w: of %d requests none was answered as expected (%s)", ErrNothingAnswers, b.Total.Due, b.Why)
			break
		}
		if len(b.End.Invalid) > 0 {
			if invalid++; invalid < mostInvalid {
				repeated++
				continue
			}
			stopped = fmt.Sprintf("the generator could not deliver %s, %d times in a row: %s", number(level), invalid, b.End.Invalid[0])
			break
		}
		invalid = 0
		p := points[level]
		if p == nil {
			p = &Point{Level: level}
			points[level] = p
		}
		p.Blocks++
		p.Total.Merge(b.Total)
		seconds[level] += b.Elapsed.Seconds()
		if b.Met {
			p.Met++
		} else {
			p.Why = b.Why
		}
		s.observe(b.Met)
	}
	r := SearchResult{Level: s.good, Above: s.bad, Confidence: s.cfg.Confidence, Stopped: stopped, Repeated: repeated}
	switch {
	case r.Stopped != "" || failure != nil:
	case ctx.Err() != nil:
		r.Stopped = "the search was interrupted"
	case s.good == 0:
		r.Stopped = fmt.Sprintf("the objectives are not met even at %s", number(s.cfg.Least))
	case s.bad == 0:
		r.Stopped = fmt.Sprintf("the objectives are still met at %s, where the search was to end", number(s.cfg.Most))
	}
	for _, p := range points {
		if sec := seconds[p.Level]; sec > 0 {
			p.Rate = float64(p.Total.OK) / sec
		}
		r.Curve = append(r.Curve, *p)
	}
	slices.SortFunc(r.Curve, func(a, b Point) int {
		if a.Level < b.Level {
			return -1
		}
		return 1
	})
	return r, failure
}

func number(x float64) string { return strconv.FormatFloat(x, 'g', 6, 64) }

// SearchRate searches the greatest rate (with cfg.Whole: the greatest number of clients) of the workload at which cfg.SLO is
// met. It plays w with its schedule (or clients) and its end replaced by each block's. Each block may be recorded on its
// own: begin, unless nil, is called before each block and gives the recorder of it, and a function to be called with its end.
func (p Player) SearchRate(ctx context.Context, w Workload, cfg SearchConfig, origin time.Time,
	begin func(Workload) (Recorder, func(history.LoadEndRecord) error, error)) (SearchResult, error) {
	if cfg.Block == 0 {
		cfg.Block = 5 * time.Second
	}
	if len(cfg.SLO) == 0 {
		return SearchResult{}, errors.New("search: no objective: say what to meet, like p99<200ms,errors<0.1%")
	}
	w.Think, w.Requests, w.Duration = 0, 0, cfg.Block
	play := func(ctx context.Context, w Workload) (Block, error) {
		var t totalRecorder
		closed := func(history.LoadEndRecord) error { return nil }
		if begin != nil {
			var err error
			if t.next, closed, err = begin(w); err != nil {
				return Block{}, err
			}
		}
		end, err := p.Run(ctx, w, origin, &t)
		if err = errors.Join(err, closed(end)); err != nil {
			return Block{}, err
		}
		b := Block{Total: t.total, End: end, Elapsed: w.Duration}
		if b.Total.Response == nil {
			b.Total.Response = history.NewHistogram()
		}
		if cfg.Whole && b.Total.Length > 0 {
			b.Elapsed = b.Total.Length // clients end what they began: their last answers come after the end
		}
		b.Met, b.Why = cfg.SLO.Judge(b.Total)
		return b, nil
	}
	// Before anything else: is somebody there? A refused connection shows at once, not after a block.
	probe := w
	probe.Name, probe.Clients, probe.Schedule, probe.Requests, probe.Duration = w.Name+" probe", 1, "", 1, cfg.Block
	if first, err := play(ctx, probe); err != nil {
		return SearchResult{}, err
	} else if first.Total.OK == 0 && ctx.Err() == nil {
		return SearchResult{}, fmt.Errorf("search: %w at %s: %s: start the service, or correct the URL", ErrNothingAnswers, w.Targets[0].URL, classes(first.Total))
	}
	again := false
	return Search(ctx, cfg, func(ctx context.Context, level float64) (Block, error) {
		w := w
		if w.Clients, w.Schedule = 0, rateText(level); cfg.Whole {
			w.Clients, w.Schedule = int(level), ""
		}
		w.Name = fmt.Sprintf("%s at %s", w.Name, number(level))
		if again {
			w.Name += " again"
		}
		b, err := play(ctx, w)
		b.Level, again = level, len(b.End.Invalid) > 0
		return b, err
	})
}

func classes(i history.Interval) string {
	for _, c := range history.Classes() {
		if i.Failures[c] > 0 {
			return string(c)
		}
	}
	return "no answer in time"
}

// totalRecorder sums the intervals and passes everything on.
type totalRecorder struct {
	total history.Interval
	next  Recorder
}

func (t *totalRecorder) Interval(i history.Interval) error {
	t.total.Merge(i)
	if t.next == nil {
		return nil
	}
	return t.next.Interval(i)
}

func (t *totalRecorder) Sample(s history.Sample) error {
	if t.next == nil {
		return nil
	}
	return t.next.Sample(s)
}

package loadgen

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"coinbench/history"
	"coinbench/internal/visible"
)

// SearchConfig says what to look for. Its zero value but for SLO works.
type SearchConfig struct {
	SLO        SLO
	Least      float64       // where to begin, requests per second or clients; 0: 1
	Most       float64       // where to give up; 0: 1e6
	Precision  float64       // how close the answer's bounds shall be, as a ratio; 0: 0.02
	Confidence float64       // that both of the answer's bounds are right, 0.5...0.999; 0: 0.9
	Whole      bool          // levels are whole numbers: clients
	Block      time.Duration // length of one block, at least; 0: 5 s
}

// Block is one piece of load at one level, an observation of the search.
type Block struct {
	Level     float64 // requests per second, or clients
	Total     history.Interval
	Intervals []history.Interval // of which it is the sum
	End       history.LoadEndRecord
	Met       bool          // the objectives
	Why       string        // not
	Elapsed   time.Duration // in which Total was answered
}

// Verdict is what a search knows of a level.
type Verdict string

// The verdicts. Only tested levels have one.
const (
	Untested  Verdict = ""          // passed on the way
	Meets     Verdict = "meets"     // the objectives
	Fails     Verdict = "fails"     // them
	Undecided Verdict = "undecided" // too close to them for the loads that were played
)

// Point is what a search learned at one level: one point of the curve.
type Point struct {
	Level   float64
	Verdict Verdict
	Blocks  int
	Met     int // blocks that met the objectives
	Total   history.Interval
	Rate    float64 // requests answered well per second
	Why     string  // of the last block that did not
}

// SearchResult is the end of a search.
type SearchResult struct {
	Level      float64 // the greatest that was shown to meet the objectives; 0: none was
	Above      float64 // the least that was shown not to; 0: none was
	Confidence float64 // that both are right
	Tested     int     // levels that were tested for it
	Stopped    string  // why the search ended before it had both bounds; empty: it had
	Repeated   int     // blocks that were played again because they were invalid: in none of the numbers
	Curve      []Point // by level
}

// ErrNothingAnswers is the error of a search, or part of one, when not one request was answered at the first level.
var ErrNothingAnswers = errors.New("nothing answers")

// seeker is the decision of a search, a pure state machine: it says which level to play for how many requests, and observes what a block
// said.
//
// First it looks around: it begins at the least level and doubles it while a block meets the objectives; then it halves the bracket, by
// ratio, until it is as narrow as the precision asks for. One block proves nothing. So then it tests: the level that was found, and from
// there downwards or upwards, in steps that grow, until one level is shown to meet the objectives and one to fail them. A level is tested
// by looks, each at loads twice as long as the one before; what all of them say together is judged (see evidence).
//
// Half of the doubt that the confidence leaves is for levels that are wrongly said to meet the objectives, half for those wrongly said to
// fail. The j-th level that is tested has 1/(j(j+1)) of each, and its looks 1/2, 1/4, 1/8 and 1/8 of that: together never more than there
// is, whatever the number of levels and looks (Bonferroni).
type seeker struct {
	cfg      SearchConfig
	level    float64
	met, not float64 // while it looks around: the greatest level whose block met the objectives, the least whose did not
	testing  bool
	looks    int // at level, that have been judged
	evidence *evidence
	tested   []tested // by level
	outward  int      // steps
	done     bool
}

type tested struct {
	level   float64
	verdict Verdict
}

const (
	mostLooks  = 4
	mostTested = 14
)

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
	return &seeker{cfg: cfg, level: cfg.Least}, nil
}

// next is the level to play, and how many requests its block must have; false: the search is over.
func (s *seeker) next() (level, requests float64, more bool) {
	if !s.testing {
		return s.level, 0, !s.done
	}
	return s.level, 1.2 * s.cfg.SLO.needed(s.doubt(0)) * math.Pow(2, float64(s.looks)), !s.done
}

// doubt is that of a look at the level that is being tested.
func (s *seeker) doubt(look int) float64 {
	j := float64(len(s.tested) + 1)
	part := math.Pow(.5, float64(min(look+1, mostLooks-1)))
	return (1 - s.cfg.Confidence) / 2 / (j * (j + 1)) * part
}

// observe takes the outcome of a block at the level that next gave.
func (s *seeker) observe(b Block) {
	if !s.testing {
		s.look(b.Met)
		return
	}
	if s.evidence == nil {
		s.evidence = &evidence{slo: s.cfg.SLO, offered: !s.cfg.Whole, precision: s.cfg.Precision}
	}
	s.evidence.add(b.Intervals)
	good, bad := s.evidence.probability()
	doubt := s.doubt(s.looks)
	s.looks++
	verdict := Undecided
	switch {
	case bad <= doubt:
		verdict = Fails
	case good <= doubt:
		verdict = Meets
	case s.looks < mostLooks:
		return
	}
	s.tested = append(s.tested, tested{s.level, verdict})
	slices.SortFunc(s.tested, func(a, b tested) int { return cmp.Compare(a.level, b.level) })
	s.evidence, s.looks = nil, 0
	s.advance()
}

// look goes on looking around.
func (s *seeker) look(met bool) {
	if met {
		s.met = s.level
	} else {
		s.not = s.level
	}
	switch {
	case s.met == 0, s.not == 0 && s.met >= s.cfg.Most, s.not > 0 && s.close(s.met, s.not):
		s.testing, s.level = true, max(s.met, s.cfg.Least)
	case s.not == 0:
		s.level = min(2*s.met, s.cfg.Most)
	default:
		s.level = s.between(s.met, s.not)
	}
}

// limit ends the looking around where the generator cannot go on, and tests what was found there; false: it was over, or nothing was found.
func (s *seeker) limit() bool {
	if s.testing || s.met == 0 {
		return false
	}
	s.cfg.Most, s.testing, s.level = s.met, true, s.met
	return true
}

// close says whether two levels are as close as they shall be.
func (s *seeker) close(a, b float64) bool {
	return b <= a*(1+s.cfg.Precision)*(1+1e-9) || s.cfg.Whole && b-a <= 1
}

func (s *seeker) between(a, b float64) float64 {
	level := math.Sqrt(a * b)
	if s.cfg.Whole {
		level = min(max(math.Round(level), a+1), b-1)
	}
	return level
}

// bounds are the greatest level that meets the objectives below all that fail, and the least that fails; 0: none.
func (s *seeker) bounds() (good, bad float64) {
	for _, t := range s.tested {
		if t.verdict == Fails {
			bad = t.level
			break
		}
	}
	for _, t := range s.tested {
		if t.verdict == Meets && (bad == 0 || t.level < bad) {
			good = t.level
		}
	}
	return good, bad
}

// advance chooses the next level to test.
func (s *seeker) advance() {
	good, bad := s.bounds()
	lowest, highest := s.tested[0].level, s.tested[len(s.tested)-1].level
	step := math.Pow(1+s.cfg.Precision, math.Pow(4, float64(s.outward))) // 2 %, 8 %, 37 %, 255 %
	switch {
	case len(s.tested) >= mostTested:
		s.done = true
	case good == 0:
		if lowest <= s.cfg.Least {
			s.done = true
			return
		}
		s.outward++
		s.level = max(s.cfg.Least, lowest/step)
		if s.cfg.Whole {
			s.level = max(s.cfg.Least, min(math.Floor(s.level), lowest-1))
		}
	case bad == 0:
		if highest >= s.cfg.Most {
			s.done = true
			return
		}
		s.outward++
		s.level = min(s.cfg.Most, highest*step)
		if s.cfg.Whole {
			s.level = min(s.cfg.Most, max(math.Ceil(s.level), highest+1))
		}
	default:
		s.outward = 0
		s.narrow(good, bad)
	}
}

// narrow tests the middle of the wider gap next to the levels that are too close to tell; it is over when both are narrow.
func (s *seeker) narrow(good, bad float64) {
	above, below := bad, good // of good, of bad
	for _, t := range s.tested {
		if t.verdict == Undecided && t.level > good && t.level < bad {
			above, below = min(above, t.level), max(below, t.level)
		}
	}
	from, to := good, above
	if above < bad && bad/below > above/good {
		from, to = below, bad
	}
	// Beside a level that cannot be decided others cannot either: they are not chased to the precision.
	if s.close(from, to) || above < bad && to <= from*math.Pow(1+s.cfg.Precision, 4) {
		s.done = true
		return
	}
	s.level = s.between(from, to)
}

// testBlocks is how many blocks' time a test takes at least: in fewer seconds it does not show how requests depend on each other.
const testBlocks = 4

// mostInvalid is how many blocks in a row may be invalid before the generator counts as the limit. One or two come from
// whatever else the machine does.
const mostInvalid = 5

// Search finds the greatest level of load at which the objectives are met. play plays one block at a level. A block that is
// invalid says nothing and is played again. The search ends early, with what it knows, when ctx is done, when nothing answers
// at the first level (ErrNothingAnswers), and when the generator could not deliver a level mostInvalid times in a row: then
// the generator is the limit, and the result says so.
func Search(ctx context.Context, cfg SearchConfig, play func(ctx context.Context, level float64, length time.Duration) (Block,
	error)) (SearchResult, error) {
	if cfg.Block == 0 {
		cfg.Block = 5 * time.Second
	}
	s, err := newSeeker(cfg)
	if err != nil {
		return SearchResult{}, err
	}
	points := map[float64]*Point{}
	seconds := map[float64]float64{}
	stopped := ""
	invalid, repeated, answered := 0, 0, 0.0
	var failure error
	for {
		level, requests, more := s.next()
		if !more || ctx.Err() != nil {
			break
		}
		rate := level
		if cfg.Whole {
			rate = answered
		}
		length := cfg.Block
		if requests > 0 && rate > 0 {
			length = max(testBlocks*length, time.Duration(requests/rate*float64(time.Second)).Round(time.Millisecond))
		}
		b, err := play(ctx, level, length)
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
		if undelivered := b.undelivered(); undelivered != "" {
			if invalid++; invalid < mostInvalid {
				repeated++
				continue
			}
			stopped = fmt.Sprintf("the generator could not deliver %s, %d times in a row: %s", number(level), invalid, undelivered)
			if invalid = 0; s.limit() {
				continue
			}
			break
		}
		invalid, answered = 0, float64(b.Total.OK)/max(b.Elapsed.Seconds(), 1e-9)
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
		s.observe(b)
	}
	good, bad := s.bounds()
	r := SearchResult{Level: good, Above: bad, Confidence: s.cfg.Confidence, Tested: len(s.tested), Stopped: stopped, Repeated: repeated}
	switch {
	case r.Stopped != "" || failure != nil || good > 0 && bad > 0:
	case ctx.Err() != nil:
		r.Stopped = "the search was interrupted"
	case good == 0 && bad > 0 && s.tested[0].level <= s.cfg.Least && s.tested[0].verdict == Fails:
		r.Stopped = fmt.Sprintf("the objectives are not met even at %s", number(s.cfg.Least))
	case good == 0:
		r.Stopped = fmt.Sprintf("no level could be shown to meet the objectives, down to %s: they are met or missed by too little to tell",
			number(s.tested[0].level))
	case good >= s.cfg.Most:
		r.Stopped = fmt.Sprintf("the objectives are still met at %s, where the search was to end", number(s.cfg.Most))
	default:
		r.Stopped = fmt.Sprintf("no level could be shown to miss the objectives, up to %s", number(s.tested[len(s.tested)-1].level))
	}
	for _, t := range s.tested {
		points[t.level].Verdict = t.verdict
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

func number(x float64) string { return visible.Significant(x, 4) }

// SearchRate searches the greatest rate (with cfg.Whole: the greatest number of clients) of the workload at which cfg.SLO is
// met. It plays w with its schedule (or clients) and its end replaced by each block's. Each block may be recorded on its
// own: begin, unless nil, is called before each block and gives the recorder of it, and a function to be called with its end.
func (p Player) SearchRate(ctx context.Context, w Workload, cfg SearchConfig, origin time.Time,
	begin func(Workload) (Recorder, func(history.LoadEndRecord, error) error, error)) (SearchResult, error) {
	if len(cfg.SLO) == 0 {
		return SearchResult{}, errors.New("search: no objective: say what to meet, like p99<200ms,errors<0.1%")
	}
	w.Think, w.Requests = 0, 0
	play := func(ctx context.Context, w Workload) (Block, error) {
		var t Sum
		closed := func(history.LoadEndRecord, error) error { return nil }
		if begin != nil {
			var err error
			if t.Next, closed, err = begin(w); err != nil {
				return Block{}, err
			}
		}
		end, err := p.Run(ctx, w, origin, &t)
		if err = errors.Join(err, closed(end, err)); err != nil {
			return Block{}, err
		}
		b := Block{Total: t.Total, Intervals: t.Intervals, End: end, Elapsed: w.Duration}
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
	probe.Name, probe.Clients, probe.Schedule, probe.Requests, probe.Duration = w.Name+"/probe", 1, "", 1, max(cfg.Block, 5*time.Second)
	if first, err := play(ctx, probe); err != nil {
		return SearchResult{}, err
	} else if first.Total.OK == 0 && ctx.Err() == nil {
		return SearchResult{}, fmt.Errorf("search: %w at %s: %s: start the service, or correct the URL", ErrNothingAnswers, w.Targets[0].URL,
			classes(first.Total))
	}
	return Search(ctx, cfg, func(ctx context.Context, level float64, length time.Duration) (Block, error) {
		w := w
		w.Duration = length
		if w.Clients, w.Schedule = 0, rateText(level); cfg.Whole {
			w.Clients, w.Schedule = int(level), ""
		}
		w.Name = LevelName(w.Name, level)
		b, err := play(ctx, w)
		b.Level = level
		return b, err
	})
}

// LevelName is the name of a search's load at a level.
func LevelName(search string, level float64) string {
	return search + "/" + visible.Significant(level, 4)
}

// undelivered says why a block is not what was asked for: the generator is to blame, or one of several was lost; "": it is.
func (b Block) undelivered() string {
	switch {
	case len(b.End.Invalid) > 0:
		return b.End.Invalid[0]
	case b.End.Missing > 0:
		return fmt.Sprintf("%d requests of a generator that was lost are missing", b.End.Missing)
	}
	return ""
}

func classes(i history.Interval) string {
	for _, c := range history.Classes() {
		if i.Failures[c] > 0 {
			return string(c)
		}
	}
	return "no answer in time"
}

// Sum is a Recorder that sums a load up, as a Block needs it, and passes everything on.
type Sum struct {
	Next      Recorder // nil: none
	Total     history.Interval
	Intervals []history.Interval
}

// Interval takes an interval.
func (s *Sum) Interval(i history.Interval) error {
	s.Total.Merge(i)
	s.Intervals = append(s.Intervals, cloned(i))
	if s.Next == nil {
		return nil
	}
	return s.Next.Interval(i)
}

// Sample takes a request.
func (s *Sum) Sample(sample history.Sample) error {
	if s.Next == nil {
		return nil
	}
	return s.Next.Sample(sample)
}

package scenarios

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"time"

	"coinbench/history"
	"coinbench/history/event"
	"coinbench/internal/visible"
	"coinbench/loadgen"
)

// Search looks for the greatest load of a service that meets objectives. Each block is a load of its own, NAME/LEVEL; at the
// end the level that was found is played once more, as the load NAME, so that objectives can speak of it.
type Search struct {
	Request
	// What must be met, such as p99<200ms,errors<0.1%.
	SLO string `json:"slo" jsonschema:"required"`
	// Levels are clients that wait for their answers, instead of requests per second.
	Clients bool `json:"clients" jsonschema:"default=false"`
	// Where to begin.
	Least float64 `json:"least" jsonschema:"default=1"`
	// Where to give up.
	Most float64 `json:"most" jsonschema:"default=1000000"`
	// How close the greatest level that meets the objectives and the least that does not are to be to each other, as a ratio.
	Precision float64 `json:"precision" jsonschema:"default=0.02"`
	// That both the level that meets the objectives and the one that does not are right, 0.5 to 0.999.
	Confidence float64 `json:"confidence" jsonschema:"default=0.9"`
	// Shortest length of one load. Where a level is tested they are as long as its objectives need.
	Block time.Duration `json:"block" jsonschema:"default=5s"`
	// Keep connections. Otherwise each request has a new one.
	Reuse bool `json:"reuse" jsonschema:"default=false"`
}

func (s *Search) preset() {
	s.Path, s.Type = "/", "application/octet-stream"
	s.Least, s.Most, s.Precision, s.Confidence, s.Block = 1, 1e6, 0.02, 0.9, 5*time.Second
}

func (s *Search) title() string {
	what := "rate"
	if s.Clients {
		what = "number of clients"
	}
	return fmt.Sprintf("search the greatest %s of %s%s that meets %s", what, s.Service, s.Path, s.SLO)
}

// config is the search's, of a step without faults.
func (s *Search) config() (loadgen.SearchConfig, error) {
	slo, err := loadgen.ParseSLO(s.SLO)
	return loadgen.SearchConfig{SLO: slo, Least: s.Least, Most: s.Most, Precision: s.Precision, Confidence: s.Confidence,
		Whole: s.Clients, Block: s.Block}, err
}

// guessedBlocks is how many loads of the shortest length a search takes, roughly: it doubles some five times and halves as often; then two
// levels or more are tested, each for as long as all of that.
const guessedBlocks = 30

func (s *Search) check(p *plan) {
	p.running()
	p.service(s.Service, &s.Service)
	s.Request.check(p)
	if s.SLO == "" {
		p.wrong(&s.SLO, "no slo is given; accepted: such as slo: p99<200ms,errors<0.1%%")
	} else if _, err := s.config(); err != nil {
		p.wrong(&s.SLO, "%v", err)
	}
	if !(s.Least > 0) {
		p.wrong(&s.Least, "least is %v; accepted: greater than 0", s.Least)
	}
	if !(s.Most >= s.Least && s.Most <= 1e6) || (s.Clients && s.Most > mostClients && p.written(&s.Most)) {
		p.wrong(&s.Most, "most is %v; accepted: from least, %v, to 1000000, or to %d clients", s.Most, s.Least, mostClients)
	}
	if !(s.Precision >= 1e-4 && s.Precision <= 1) {
		p.wrong(&s.Precision, "precision is %v; accepted: 0.0001 to 1", s.Precision)
	}
	if !(s.Confidence >= 0.5 && s.Confidence <= 0.999) {
		p.wrong(&s.Confidence, "confidence is %v; accepted: 0.5 to 0.999", s.Confidence)
	}
	p.positive(&s.Block, "block")
	p.load(s.name(), &s.Service)
	p.length = guessedBlocks * s.Block
}

// written says whether a value is in the file.
func (p *plan) written(pointer any) bool {
	_, ok := p.at[pointer]
	return ok
}

func (s *Search) play(ctx context.Context, st *stage) error {
	url, err := st.url(ctx, s.Service, s.Port, s.Path)
	if err != nil {
		return err
	}
	cfg, err := s.config()
	if err != nil {
		return err
	}
	if s.Clients {
		cfg.Most = min(cfg.Most, mostClients)
	}
	w := loadgen.Workload{
		Targets: []loadgen.Target{s.target(url, st.scenario.Seed)},
		Reuse:   loadgen.Reuse{PerRequest: !s.Reuse}, Timeouts: timeouts(), Seed: st.scenario.Seed,
	}
	lengths := map[float64]time.Duration{}
	block := func(ctx context.Context, name string, level float64, length time.Duration) (loadgen.Block, error) {
		w := w
		w.Duration = length
		lengths[level] = max(lengths[level], length)
		if w.Name = name; s.Clients {
			w.Clients = int(level)
		} else {
			w.Schedule = strconv.FormatFloat(math.Round(level*1000)/1000, 'f', -1, 64) + "/s"
		}
		b, err := st.block(ctx, s.Service, w)
		b.Level, b.Elapsed = level, length
		b.Met, b.Why = cfg.SLO.Judge(b.Total)
		return b, err
	}
	found, err := loadgen.Search(ctx, cfg, func(ctx context.Context, level float64, length time.Duration) (loadgen.Block, error) {
		text := s.level(level)
		st.doing("trying %s", text)
		return block(ctx, loadgen.LevelName(s.name(), level), level, length)
	})
	st.say(s.Service, event.SearchEnd{Name: s.name(), SLO: cfg.SLO.String(), Level: found.Level, Above: found.Above,
		Confidence: found.Confidence, Tested: found.Tested, Stopped: found.Stopped})
	switch {
	case err != nil:
		return fmt.Errorf("search: %w", err)
	case ctx.Err() != nil:
		return ctx.Err()
	case found.Level == 0:
		st.warn(fmt.Sprintf("search %s: %s", s.name(), found.Stopped))
		return nil
	case found.Stopped != "":
		st.warn(fmt.Sprintf("search %s: at least %s, no more is known: %s", s.name(), s.level(found.Level), found.Stopped))
	}
	st.doing("playing %s once more", s.level(found.Level))
	_, err = block(ctx, s.name(), found.Level, lengths[found.Level])
	return err
}

func (s *Search) level(v float64) string {
	if s.Clients {
		return plural(int(v), "client")
	}
	return visible.Significant(v, 4) + "/s"
}

// block plays and records a load of a search, and sums it up.
func (st *stage) block(ctx context.Context, service string, w loadgen.Workload) (b loadgen.Block, err error) {
	r, err := st.record(service, w)
	if err != nil {
		return b, err
	}
	sum := loadgen.Sum{Next: r}
	sum.Total.Merge(history.Interval{At: st.now()})
	end, err := r.play(ctx, &sum)
	return loadgen.Block{Total: sum.Total, Intervals: sum.Intervals, End: end}, err
}

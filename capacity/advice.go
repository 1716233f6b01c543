package capacity

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"gonum.org/v1/gonum/stat"

	"coinbench/capacity/des"
	"coinbench/history"
	"coinbench/internal/visible"
	"coinbench/services/settings"
)

// Advice is a change that was played, and what it makes of the hash rate.
type Advice struct {
	Set       map[string]any `json:"set"` // what is other than now: replicas by service; think; balance; SERVICE.COIN_NAME; probe
	Played                   // with the change
	Gain      float64        `json:"gain"` // predicted/present - 1
	Text      string         `json:"text"` // the change in words
	cause     Cause
	alone     bool
	simulated []float64
}

// Played is a hash rate of the simulator: the mean of its runs, and the interval in which one more run of the window's length lies with
// 95 %.
type Played struct {
	PerS float64 `json:"predicted_per_s"`
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// change is a candidate: what it eases, and how.
type change struct {
	cause Cause          // that it eases
	set   map[string]any // nil: nothing that can be set
	text  string
	make  func(*twin)
	more  bool // a larger step than the others: it has no say in what limits
}

// plays is what playing a window's changes says.
type plays struct {
	limits       []Cause // what gains most when it is eased; several: within 2 % of each other
	because      []string
	advice       []Advice
	reason       string // why there is no advice
	also         []string
	cured        map[Cause]bool // what is broken, and was played whole
	withoutProbe *Played
	probeCost    float64
}

const (
	worthGain  = .02  // of the hash rate: less is no advice
	tieWidth   = .015 // gains that differ by less are those of a tie
	closeCall  = .06  // gains that differ by less are played again
	playedRuns = 6    // seeds of each change
	mostMiss   = .25  // of the hash rate, by the twin: beyond, it is no twin
	mostEvents = 1.5e6
)

// play calibrates a twin on the window, eases one thing after the other in it, and sees what that makes of the hash rate. One step of each
// is the same small change: a replica of a service (a twentieth of them, where there are many), a worker, half the think time, another way
// to balance. What gains most is the limit; where nothing does alone, the pair that does is a tie.
func (e explainer) play(w *Window, found []finding) plays {
	p := plays{advice: []Advice{}, cured: map[Cause]bool{}}
	if w.HashRate == nil || w.HashRate.Value <= 0 || w.Bounds == nil && w.SilentS == 0 {
		p.reason = "no " + w.Config.roles.Unit.One + " was made in the window: there is nothing to play forward from"
		return p
	}
	t, why := e.newTwin(w)
	if why != "" {
		p.reason = "nothing could be played: " + why
		return p
	}
	t.last(w)
	now := t.runs()
	if len(now) < 2 {
		p.reason = "the simulator makes no " + w.Config.roles.Unit.One + " with these settings"
		return p
	}
	present := w.HashRate.Value
	base, spread := stat.MeanStdDev(now, nil)
	// Where the twin misses what was measured by more than chance, its predictions are put right by the same ratio.
	fit := 1.0
	if miss := present/base - 1; math.Abs(miss) > .01 && math.Abs(miss)*base > 3*spread*math.Sqrt(1+1/float64(len(now))) {
		fit = present / base
		if math.Abs(miss) > .05 {
			p.also = append(p.also, fmt.Sprintf("the simulator makes %s of what was measured here, %s: predictions are put right by the ratio",
				perSecond(base), perSecond(present)))
		}
	}
	if math.Abs(present/base-1) > mostMiss {
		p.reason = fmt.Sprintf("the simulator makes %s of what was measured here, %s: something is at work that it does not know, and what a "+
			"change makes of that cannot be played", perSecond(base), perSecond(present))
		return p
	}
	playing := func(c change) Advice {
		changed := t.copied()
		c.make(&changed)
		rates := changed.runs()
		a := Advice{Set: c.set, Text: c.text, cause: c.cause, alone: !c.more, simulated: rates}
		if len(rates) > 1 {
			a.Played = interval(rates, fit, w.LengthS/t.length.Seconds())
			// no ratio makes more than loops without a wait
			if most := float64(changed.replicas[t.roles.Driver.Service]) * changed.alone(); fit > 1 && a.PerS > most {
				a.Played = interval(rates, max(1, most/stat.Mean(rates, nil)), w.LengthS/t.length.Seconds())
			}
			mean := stat.Mean(rates, nil)
			a.Gain = mean/base - 1
		}
		return a
	}
	p.cured[CauseReplica] = len(t.kills) > 0 // the twin lost it, too: the change plays with what it costs
	p.probe(t, w, now, fit)
	var all []Advice
	gains := map[Cause]float64{}
	steps := e.steps(w, t, found)
	for _, c := range steps {
		a := playing(c)
		p.cured[c.cause] = true
		if !c.more {
			gains[c.cause] = max(gains[c.cause], a.Gain)
		}
		all = append(all, a)
	}
	causes := ordered(gains, t.roles)
	if best := gains[causes[0]]; best >= worthGain && len(causes) > 1 && gains[causes[1]] > best-closeCall && spread > 0 {
		// Chance must not decide: those that are close are played again, longer.
		longer := t
		longer.seeds *= 4
		present := stat.Mean(longer.runs(), nil)
		again := map[Cause]float64{}
		for _, c := range steps {
			if c.more || gains[c.cause] <= best-closeCall {
				continue
			}
			changed := longer.copied()
			c.make(&changed)
			again[c.cause] = max(again[c.cause], stat.Mean(changed.runs(), nil)/present-1)
		}
		maps.Copy(gains, again)
		causes = ordered(gains, t.roles)
	}
	best := gains[causes[0]]
	switch {
	case best >= worthGain:
		for _, c := range causes {
			if gains[c] >= max(worthGain, best-tieWidth) {
				p.limits = append(p.limits, c)
			}
		}
		if len(p.limits) > 1 {
			all = append(all, e.together(steps, p.limits, playing)...)
		}
		for _, c := range e.strides(w, t, p.limits) {
			all = append(all, playing(c))
		}
	default:
		// One alone gains nothing: two or three that hold each other back?
		var pairs []Advice
		for i, a := range causes {
			for _, b := range causes[i+1:] {
				pairs = append(pairs, e.together(steps, []Cause{a, b}, playing)...)
			}
		}
		if len(pairs) == 0 || slices.MaxFunc(pairs, byRate).Gain < worthGain && len(causes) > 2 {
			pairs = append(pairs, e.together(steps, causes, playing)...)
		}
		if len(pairs) > 0 {
			if pair := slices.MaxFunc(pairs, byRate); pair.Gain >= worthGain {
				for _, c := range strings.Split(string(pair.cause), "+") {
					p.limits = append(p.limits, Cause(c))
				}
				p.because = append(p.because, "one of them alone gains nothing")
				for _, a := range pairs {
					if a.cause == pair.cause {
						all = append(all, a)
					}
				}
			}
		}
	}
	for _, a := range all {
		if a.Set != nil && a.Gain >= worthGain && a.PerS > present {
			p.advice = append(p.advice, a)
		}
	}
	slices.SortStableFunc(p.advice, func(a, b Advice) int { return byRate(b, a) })
	p.advice = distinct(p.advice)
	if len(p.advice) > mostAdvice {
		p.advice = p.advice[:mostAdvice]
	}
	if len(p.advice) == 0 {
		p.reason = "of the changes that were played none gains 2 %"
		if best >= worthGain {
			p.reason = fmt.Sprintf("what gains most, %s, is nothing that can be set", causes[0])
		}
	}
	return p
}

const mostAdvice = 6

func byRate(a, b Advice) int { return cmp.Compare(a.PerS, b.PerS) }

// distinct leaves out what is told twice.
func distinct(all []Advice) []Advice {
	seen := map[string]bool{}
	return slices.DeleteFunc(all, func(a Advice) bool {
		key := fmt.Sprint(a.Set)
		again := seen[key]
		seen[key] = true
		return again
	})
}

func ordered(gains map[Cause]float64, roles history.Roles) []Cause {
	var all []Cause
	for _, c := range Causes(roles) {
		if _, ok := gains[c]; ok {
			all = append(all, c)
		}
	}
	slices.SortStableFunc(all, func(a, b Cause) int { return cmp.Compare(gains[b], gains[a]) })
	return all
}

// interval is the mean of some runs, put right by fit, and where one more run lies with 95 %, which is longer than they are by a factor
// (Student's t; the variance of a rate falls with the length). Half a percent is what two runs of constant delays differ by, whose rhythms
// are not the same.
func interval(rates []float64, fit, longer float64) Played {
	mean, sd := stat.MeanStdDev(rates, nil)
	n := float64(len(rates))
	half := studentT(n-1) * sd * math.Sqrt(1/n+1/max(.1, min(1, longer)))
	half = max(half, .005*mean)
	return Played{PerS: fit * mean, Low: max(0, fit*(mean-half)), High: fit * (mean + half)}
}

// runs are the hash rates of some seeds.
func (t twin) runs() []float64 {
	var all []float64
	for seed := range t.seeds {
		if rate, ok := t.play(uint64(seed) + 1); ok {
			all = append(all, rate)
		}
	}
	return all
}

// last sets how long the twin is played: as long as the window, but no less than thirty loops and no more than a report can wait for.
func (t *twin) last(w *Window) {
	loop := float64(w.workers()) / w.HashRate.Value
	length := max(20, min(w.LengthS, 30), 30*loop)
	settle := max(3, 3*loop, t.age.Seconds())
	t.seeds = playedRuns
	if events := w.HashRate.Value * 9 * (length + settle) * playedRuns; events > mostEvents {
		length = max(2, 5*loop, length*mostEvents/events)
		settle = max(1, 2*loop, settle*mostEvents/events)
		if w.HashRate.Value*9*(length+settle)*playedRuns > 4*mostEvents {
			t.seeds = 3
		}
	}
	if len(t.kills) > 0 {
		length = w.LengthS
		settle = max(settle, 3-slices.MinFunc(t.kills, func(a, b kill) int { return cmp.Compare(a.at, b.at) }).at.Seconds())
	}
	t.settle, t.length = nanos(settle), nanos(length)
}

// steps are the changes of one step each.
func (e explainer) steps(w *Window, t twin, found []finding) []change {
	var all []change
	driver, stations := t.roles.Driver.Service, t.roles.Stations
	for _, r := range append(slices.Clone(stations), t.roles.Driver) {
		from := t.replicas[r.Service]
		all = append(all, t.scaled(r, from, from+max(1, from/20)))
	}
	if think := t.told[driver].Think; w.Config.ThinkS >= .001 {
		half := nanos(w.Config.ThinkS / 2)
		all = append(all, change{cause: Cause(driver), set: map[string]any{"think": half.String()},
			text: fmt.Sprintf("Halve the think time (%s → %s)", setting(w.Config.ThinkS), setting(half.Seconds())),
			make: func(t *twin) { t.tell(driver, func(s *settings.Settings) { s.Think = think - half }) }})
	}
	for _, r := range stations {
		name := r.Service
		if t.replicas[name] < 2 || w.Config.KeepAlive {
			continue
		}
		for _, to := range []des.Balance{des.RoundRobin, des.LeastConnections} {
			if from := t.balances[name]; from != string(to) {
				c := t.balanced(name, to)
				if !atRandom(from) {
					c.cause, c.more = Cause(name), true // nothing is wrong with the way to balance, and there is a better one
				}
				all = append(all, c)
			}
		}
	}
	if t.store > 0 {
		all = append(all, change{cause: Cause(t.roles.Store.Service), text: "Make " + t.roles.Store.Service + " as fast as it is elsewhere",
			make: func(t *twin) { t.store = 0 }})
	}
	for i, v := range t.loads {
		if v.probe {
			all = append(all, change{cause: Cause(v.service), more: true, set: map[string]any{"probe": "none"}, text: "Measure without the probe",
				make: func(t *twin) { t.loads = slices.Delete(t.loads, i, i+1) }})
		}
	}
	for _, f := range found {
		switch f.cause {
		case CausePinned:
			all = append(all, change{cause: CausePinned, set: map[string]any{driver + ".COIN_KEEP_ALIVE": "false"},
				text: "Open a new connection for each call (COIN_KEEP_ALIVE=false)",
				make: func(t *twin) { t.tell(driver, func(s *settings.Settings) { s.KeepAlive = false }) }})
		case CauseBackoff:
			all = append(all, change{cause: CauseBackoff, text: "No silence after errors", make: func(t *twin) {
				t.tell(driver, func(s *settings.Settings) { s.Backoff = min(s.Backoff, 100*time.Millisecond) })
			}})
			half := nanos(w.Config.BackoffS / 2)
			all = append(all, change{cause: CauseBackoff, set: map[string]any{driver + ".COIN_BACKOFF": half.String()},
				text: fmt.Sprintf("Halve the back-off (COIN_BACKOFF, %s → %s)", setting(w.Config.BackoffS), setting(half.Seconds())),
				make: func(t *twin) { t.tell(driver, func(s *settings.Settings) { s.Backoff = half }) }})
		case CauseQueueLimit:
			for _, r := range stations {
				name, to := r.Service, 2*t.replicas[driver]
				if limit := t.told[name].QueueLimit; limit > 0 && limit < to {
					all = append(all, change{cause: CauseQueueLimit, set: map[string]any{name + ".COIN_QUEUE_LIMIT": fmt.Sprint(to)},
						text: fmt.Sprintf("Raise the limit of the queue of %s (COIN_QUEUE_LIMIT, %d → %d)", name, limit, to),
						make: func(t *twin) { t.tell(name, func(s *settings.Settings) { s.QueueLimit = to }) }})
				}
			}
		case CauseReplica:
			frozen := func(k kill) bool { return k.freeze.For > 0 }
			if len(t.apart) > 0 || slices.ContainsFunc(t.kills, frozen) {
				all = append(all, change{cause: CauseReplica, text: "Take the replica out and start one that is well", make: func(t *twin) {
					clear(t.apart)
					t.kills = slices.DeleteFunc(slices.Clone(t.kills), frozen)
				}})
			}
		}
	}
	return all
}

// scaled is another number of replicas.
func (t twin) scaled(r history.Role, from, to int) change {
	text := fmt.Sprintf("Scale %s %d → %d", r.Service, from, to)
	if r == t.roles.Driver {
		text = fmt.Sprintf("Add %s (%d → %d)", r.Plural, from, to)
	}
	return change{cause: Cause(r.Service), set: map[string]any{r.Service: to}, text: text, make: func(t *twin) {
		t.replicas[r.Service] = to
	}}
}

func (t twin) balanced(name string, to des.Balance) change {
	key, how := "balance", "round robin"
	if name != t.roles.Stations[0].Service {
		key = name + ".balance"
	}
	if to == des.LeastConnections {
		how = "by the fewest connections"
	}
	return change{cause: CauseBalancing, set: map[string]any{key: string(to)}, text: fmt.Sprintf("Balance %s %s", name, how),
		make: func(t *twin) { t.balances[name] = string(to) }}
}

// strides are larger changes of what limits: as many replicas as the next limit has use for, as many workers as the services can feed.
func (e explainer) strides(w *Window, t twin, limits []Cause) []change {
	var all []change
	if w.Bounds == nil {
		return nil
	}
	driver := t.roles.Driver.Service
	for _, c := range limits {
		station, visited := t.roles.Station(string(c))
		switch {
		case visited:
			if from, to := w.Bounds.needed(string(c)); from > 0 && to > from+1 && to <= mostPlayed {
				all = append(all, more(t.scaled(station, t.replicas[string(c)], to)))
			}
		case string(c) == driver:
			if to := w.Bounds.knee(); to > t.replicas[driver]+1 && to <= 4*t.replicas[driver]+4 {
				all = append(all, more(t.scaled(t.roles.Driver, t.replicas[driver], to)))
			}
		case c == CauseBackoff:
			all = append(all, change{cause: CauseBackoff, more: true, set: map[string]any{driver + ".COIN_BACKOFF": "1s"},
				text: "Shorten the back-off to a second (COIN_BACKOFF)",
				make: func(t *twin) { t.tell(driver, func(s *settings.Settings) { s.Backoff = time.Second }) }})
		}
	}
	return all
}

func more(c change) change {
	c.more = true
	return c
}

// together plays the steps of several causes at once: each way to ease the one with each way to ease the other.
func (e explainer) together(steps []change, causes []Cause, playing func(change) Advice) []Advice {
	combined := []change{{make: func(*twin) {}, set: map[string]any{}}}
	var names []string
	for _, cause := range causes {
		var next []change
		for _, c := range combined {
			for _, s := range steps {
				if s.cause != cause || s.more || s.set == nil {
					continue
				}
				both := change{cause: s.cause, set: map[string]any{}, text: s.text, more: true, make: func(t *twin) { c.make(t); s.make(t) }}
				for _, m := range []map[string]any{c.set, s.set} {
					for k, v := range m {
						both.set[k] = v
					}
				}
				if c.text != "" {
					both.text = c.text + " and " + lowerFirst(s.text)
				}
				next = append(next, both)
			}
		}
		if len(next) > 0 {
			combined = next
			names = append(names, string(cause))
		}
	}
	if len(names) < 2 {
		return nil
	}
	var all []Advice
	for _, c := range combined {
		c.cause = Cause(strings.Join(names, "+"))
		all = append(all, playing(c))
	}
	return all
}

func lowerFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}

// probe is what the window's probe costs: the same runs with it and without.
func (p *plays) probe(t twin, w *Window, now []float64, fit float64) {
	without := t.copied()
	without.loads = slices.DeleteFunc(without.loads, func(v visitor) bool { return v.probe })
	if len(without.loads) == len(t.loads) {
		return
	}
	rates := without.runs()
	if len(rates) < 2 {
		return
	}
	if cost := 1 - stat.Mean(now, nil)/stat.Mean(rates, nil); cost > .01 {
		played := interval(rates, fit, w.LengthS/t.length.Seconds())
		p.probeCost, p.withoutProbe = cost, &played
	}
}

// trying is the advice as a sentence.
func trying(limits []finding, k *Bottleneck) string {
	first := ""
	for _, f := range limits {
		first = cmp.Or(first, f.try)
	}
	if len(k.Advice) == 0 {
		if first == "" && k.Reason != "" {
			return "Nothing: " + k.Reason + "."
		}
		return first
	}
	say := func(a Advice) string {
		return fmt.Sprintf("%s: %s predicted [%s, %s]", a.Text, perSecond(a.PerS), visible.Figures(a.Low), visible.Figures(a.High))
	}
	text := say(k.Advice[0])
	for _, a := range k.Advice[1:] { // another way
		if !related(a.Set, k.Advice[0].Set) {
			text += ". Or " + lowerFirst(say(a))
			break
		}
	}
	text += "."
	if first != "" {
		return first + " " + text
	}
	return text
}

// related says whether two changes set something in common.
func related(a, b map[string]any) bool {
	for k := range a {
		if _, ok := b[k]; ok {
			return true
		}
	}
	return false
}

package capacity

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"coinbench/history"
	"coinbench/internal/visible"
)

// Cause is what limits, by name.
type Cause string

// The causes that are told apart besides the services: a station (its slots are full), the driver (its own loop: its work and the delays
// without a queue) and the store (it is slow) have their names.
const (
	CausePinned     Cause = "pinned connections" // kept connections stay with the replicas that they met first
	CauseBackoff    Cause = "back-off storm"     // the workers are silent after errors
	CauseBalancing  Cause = "random balancing"   // a queue at one replica while another is free
	CauseGenerator  Cause = "generator CPU"      // the load generator measured itself
	CauseHost       Cause = "host CPU"           // processes wait for a processor
	CauseQueueLimit Cause = "queue limit"        // a full queue turns connections away
	CauseReplica    Cause = "unhealthy replica"  // one replica is slow, fails, or is away
	CauseNone       Cause = "none"               // what was asked for was served
)

// Causes lists the causes, in the order of the documentation.
func Causes(roles history.Roles) (all []Cause) {
	for _, r := range roles.Stations {
		all = append(all, Cause(r.Service))
	}
	return append(all, Cause(roles.Driver.Service), CausePinned, CauseBackoff, CauseBalancing, CauseGenerator, CauseHost, CauseQueueLimit,
		Cause(roles.Store.Service), CauseReplica, CauseNone)
}

// Bottleneck says what limits the hash rate of a window, on what evidence, and what to change. The report, explain and the objectives have
// it from here.
type Bottleneck struct {
	Limit    string             `json:"limit"`          // a Cause; those of a tie with + between them
	Tied     []string           `json:"tied,omitempty"` // the causes of a tie
	Task     string             `json:"task,omitempty"` // the one replica that is to blame
	Evidence string             `json:"evidence"`
	Also     []string           `json:"also,omitempty"` // what else was seen, and limits less
	Shares   map[string]float64 `json:"shares"`         // of the loop; they add up to 1
	Advice   []Advice           `json:"advice"`         // changes that were played, the best first
	Reason   string             `json:"no_advice,omitempty"`
	Try      string             `json:"try"` // one change

	BoundPerS float64 `json:"bound_per_s"`    // the lowest bound
	Attained  float64 `json:"attained"`       // hash rate / bound
	Next      []Next  `json:"next,omitempty"` // the limits after this one, each after the change before it

	because []string
}

// Limits says whether a cause limits, alone or in a tie.
func (b *Bottleneck) Limits(cause string) bool {
	return b.Limit == cause || slices.Contains(b.Tied, cause)
}

// Next is a limit that appears after a change.
type Next struct {
	Change    string  `json:"change"` // e.g. "rng 1 → 4"
	Limit     string  `json:"limit"`
	BoundPerS float64 `json:"bound_per_s"`
}

// Thresholds of the rules below. They are far from what an undisturbed run shows, and from what each case does.
const (
	mostWait     = .05 // share of a loop that is spent in a service's queue, from which on it is more than the loop's own rhythm
	mostSilent   = .10 // share of the workers' time in back-off
	worthTelling = .02 // share of a loop from which on something is told as "also"
	mostOutside  = 1.5 // a worker waits this many times longer than the server's queue accounts for
	mostErrors   = .05 // share of a replica's answers that are errors while the others have none
	mostGenerate = .90 // share of all processors that the generator uses
	saturated    = .90 // utilisation from which on a server counts as full
	unspread     = .10 // by how much the busiest replica's utilisation exceeds the service's when connections are not spread
)

// finding is a cause with its evidence.
type finding struct {
	cause    Cause
	task     string
	evidence []string
	try      string
}

// attribute finds what limits each window in which there were workers. The instrument's own faults come first, then what is broken; where
// nothing is, changes are played, and what gains most when it is eased is the limit.
func attribute(run *history.Run, s series, a *Analysis, play bool) {
	e := explainer{run: run, s: s, a: a}
	for i := range a.Windows {
		w := &a.Windows[i]
		if len(w.Workers) > 0 {
			e.attribute(w, play)
		}
	}
}

func (e explainer) attribute(w *Window, play bool) {
	d := w.decompose()
	k := &Bottleneck{Shares: d.shares(), Advice: []Advice{}}
	w.Bottleneck = k
	if w.Bounds != nil && w.Bounds.UpperPerS > 0 {
		k.BoundPerS = w.Bounds.UpperPerS
		k.Attained = w.HashRate.Value / k.BoundPerS
	}
	var found []finding
	for _, rule := range []func(*Window) *finding{e.hostCPU, e.backoff, e.queueLimit, e.replica, e.pinned} {
		if f := rule(w); f != nil {
			found = append(found, *f)
		}
	}
	byWaits := e.byWaits(w, d)
	var p plays
	switch {
	case !play:
		p.reason = "nothing was played"
	case len(found) > 0 && found[0].cause == CauseHost:
		p.reason = "the machine was too busy: what is played on its numbers is the machine's"
	default:
		p = e.play(w, found)
	}
	if p.advice == nil {
		p.advice = []Advice{}
	}
	// What is broken, and gains less when it is made whole than something else when that is eased, is no limit.
	for len(found) > 0 && len(p.limits) > 0 && (found[0].cause == CauseReplica || found[0].cause == CauseBackoff) && p.cured[found[0].cause] &&
		!slices.Contains(p.limits, found[0].cause) {
		p.also = append(p.also, fmt.Sprintf("%s: %s", found[0].cause, found[0].evidence[0]))
		found = found[1:]
	}
	limits := []finding{byWaits}
	switch {
	case len(found) > 0:
		limits = found[:1]
	case len(p.limits) > 0:
		limits = nil
		for _, cause := range p.limits {
			limits = append(limits, e.evidence(w, d, cause, p.limits...))
		}
	}
	k.Limit, k.Task = string(limits[0].cause), limits[0].task
	for _, f := range limits {
		k.because = append(k.because, f.evidence...)
	}
	if len(limits) > 1 {
		for _, f := range limits {
			k.Tied = append(k.Tied, string(f.cause))
		}
		k.Limit = strings.Join(k.Tied, "+")
	}
	k.because = append(k.because, p.because...)
	k.Advice, k.Reason = p.advice, p.reason
	k.Also = e.also(w, d, k, found, p)
	k.Evidence = strings.Join(k.because, "; ")
	if _, station := d.roles.Station(k.Limit); w.Bounds != nil && len(limits) == 1 && (station || k.Limit == d.roles.Driver.Service) {
		k.Next = w.next(*w.Bounds, k.Limit)
	}
	k.Try = trying(limits, k)
	w.WithoutProbe = p.withoutProbe
}

// byWaits is what the loop says alone: the service that the workers wait for most, where they wait for more than a twentieth of it, and
// otherwise the loop itself.
func (e explainer) byWaits(w *Window, d decomposition) finding {
	cause, most := Cause(d.roles.Driver.Service), mostWait*d.total
	for _, r := range d.roles.Stations {
		if c := d.calls[r.Service]; c.queue > most {
			cause, most = Cause(r.Service), c.queue
		}
	}
	if d.store > most && d.store > mostWait*d.total {
		cause = Cause(d.roles.Store.Service)
	}
	if u := w.Service(string(cause)); u != nil && atRandom(w.Config.balances[string(cause)]) && u.Replicas > 1 && u.Utilisation != nil &&
		*u.Utilisation < saturated {
		cause = CauseBalancing
	}
	return e.evidence(w, d, cause)
}

// atRandom says whether a way to balance leaves a queue at one replica while another is free, whatever the servers do.
func atRandom(balance string) bool {
	return balance == "random" || balance == "sticky" || balance == "round-robin-per-client"
}

// evidence is what the numbers say for a cause.
// It leaves aside what is said of the causes that are told with it.
func (e explainer) evidence(w *Window, d decomposition, cause Cause, told ...Cause) finding {
	f := finding{cause: cause}
	driver, store := d.roles.Driver.Service, d.roles.Store.Service
	_, station := d.roles.Station(string(cause))
	switch {
	case station:
		u, c := w.Service(string(cause)), d.calls[string(cause)]
		text := string(cause)
		if u != nil && u.Utilisation != nil {
			text += fmt.Sprintf(" is busy %s of the time", percent(*u.Utilisation))
		}
		if u != nil && u.BoundPerS != nil {
			text += " and allows " + perSecond(*u.BoundPerS)
		}
		f.evidence = append(f.evidence, text)
		if c.queue > .001 {
			f.evidence = append(f.evidence, fmt.Sprintf("a %s waits %s for it in each loop, %s of it", driver,
				FormatSeconds(c.queue), percent(c.queue/d.total)))
		}
		if u != nil && u.ForeignBusy > .005*float64(max(1, u.Slots)) {
			f.evidence = append(f.evidence, fmt.Sprintf("requests of others occupy %s of its %s", visible.Figures(u.ForeignBusy),
				count(u.Slots, "slot")))
		}
		if in := intake(w.Config.told[string(cause)]); u != nil && in > .001 {
			f.evidence = append(f.evidence, fmt.Sprintf("it takes requests in one after the other, %s each, and begins none meanwhile",
				FormatSeconds(in)))
		}
	case string(cause) == store:
		f.evidence = []string{fmt.Sprintf("a %s spends %s of each loop in %s, %s of it", driver, FormatSeconds(d.store), store,
			percent(d.store/d.total)),
			fmt.Sprintf("without it the loop would be %s", FormatSeconds(d.total-d.store))}
		f.try = fmt.Sprintf("Look at %s and the way to it: its commands take microseconds there. Flushing less often hides it only.", store)
	case cause == CauseBalancing:
		for _, r := range d.roles.Stations {
			name := r.Service
			u, c := w.Service(name), d.calls[name]
			if u == nil || !atRandom(w.Config.balances[name]) || u.Replicas < 2 || u.Utilisation == nil {
				continue
			}
			f.evidence = append(f.evidence, fmt.Sprintf("a %s waits %s for %s in each loop although it is busy only %s of the time: a queue "+
				"at one replica while another is free",
				driver, FormatSeconds(c.queue), name, percent(*u.Utilisation)))
			if w.Bounds != nil {
				f.evidence = append(f.evidence, fmt.Sprintf("%s balancing reaches %s of the bound of %s", w.Config.balances[name],
					percent(w.HashRate.Value/w.Bounds.UpperPerS), perSecond(w.Bounds.UpperPerS)))
			}
		}
	default:
		f.evidence = []string{e.loopEvidence(w, d, told)}
	}
	return f
}

// loopEvidence says why the workers' own loop is the limit.
func (e explainer) loopEvidence(w *Window, d decomposition, told []Cause) string {
	if w.Bounds == nil {
		return fmt.Sprintf("no %s was made, and no counter says why: look at the %s' logs in the run's folder", d.roles.Unit.One,
			d.roles.Driver.Plural)
	}
	u, name := busiest(w.Services)
	b := *w.Bounds
	s := fmt.Sprintf("%s of %s each make at most %s", count(b.Workers, "loop"), FormatSeconds(b.LoopS), perSecond(b.WorkerPerS))
	if !slices.Contains(told, Cause(name)) {
		s = fmt.Sprintf("the busiest server, %s, is busy %s of the time; %s", name, percent(u), s)
	}
	queued := 0.0
	for _, r := range d.roles.Stations {
		queued += d.calls[r.Service].queue
	}
	if queued > worthTelling*d.total {
		s += fmt.Sprintf("; %s of each loop is spent in queues", FormatSeconds(queued))
	}
	return s
}

func busiest(services []ServiceUse) (utilisation float64, service string) {
	for _, s := range services {
		if s.Utilisation != nil && (service == "" || *s.Utilisation > utilisation) {
			utilisation, service = *s.Utilisation, s.Service
		}
	}
	return utilisation, service
}

// also is what was seen and is not the limit.
func (e explainer) also(w *Window, d decomposition, k *Bottleneck, found []finding, p plays) []string {
	var all []string
	for i, f := range found {
		if i > 0 {
			all = append(all, fmt.Sprintf("%s: %s", f.cause, f.evidence[0]))
		}
	}
	driver, store := d.roles.Driver.Service, d.roles.Store.Service
	for _, r := range d.roles.Stations {
		name := r.Service
		if c := d.calls[name]; c.queue > mostWait*d.total && !k.Limits(name) && !(k.Limits(string(CauseBalancing)) &&
			atRandom(w.Config.balances[name])) {
			all = append(all, fmt.Sprintf("%s: a %s waits %s for it in each loop, %s of it", name, driver, FormatSeconds(c.queue),
				percent(c.queue/d.total)))
		}
		if in := intake(w.Config.told[name]); d.total > 0 && in > worthTelling*d.total && !k.Limits(name) {
			all = append(all, fmt.Sprintf("intake: %s takes requests in one after the other, %s each", name, FormatSeconds(in)))
		}
		if u := w.Service(name); u != nil && u.Slots > 0 && u.ForeignBusy > worthTelling*float64(u.Slots) && !k.Limits(name) {
			all = append(all, fmt.Sprintf("others: their requests occupy %s of the %s of %s", visible.Figures(u.ForeignBusy), count(u.Slots, "slot"),
				name))
		}
	}
	if d.store > worthTelling*d.total && !k.Limits(store) {
		all = append(all, fmt.Sprintf("%s: a %s spends %s of each loop there, %s of it", store, driver, FormatSeconds(d.store),
			percent(d.store/d.total)))
	}
	ways := 0.0
	for _, c := range d.calls {
		ways += c.network
	}
	if ways > worthTelling*d.total {
		all = append(all, fmt.Sprintf("network: connections and transfers take %s of each loop, %s of it", FormatSeconds(ways),
			percent(ways/d.total)))
	}
	if p.withoutProbe != nil {
		all = append(all, fmt.Sprintf("probe: its requests cost the hash rate %s; without them it would be %s [%s, %s]", percent1(p.probeCost),
			perSecond(p.withoutProbe.PerS),
			visible.Figures(p.withoutProbe.Low), visible.Figures(p.withoutProbe.High)))
	}
	if e.starvedIn(w) {
		all = append(all, "generator CPU: a load within this window was limited by its own generator; its latencies must not be used")
	}
	return append(all, p.also...)
}

// next plays the changes forward on the bounds: a service that limits gets as many replicas as the next limit needs, workers that
// limit are added up to the knee.
func (w *Window) next(b Bounds, limit string) []Next {
	var all []Next
	for len(all) < 3 {
		var change string
		if limit == b.Driver {
			n := b.knee()
			if n == 0 {
				break
			}
			_, service := b.Saturation()
			change = fmt.Sprintf("%s %d → %d", w.Config.roles.Driver.Plural, b.Workers, n)
			b, limit = b.At(n), service
		} else {
			from, to := b.needed(limit)
			if from == 0 {
				break
			}
			change = fmt.Sprintf("%s %d → %d", limit, from, to)
			b = b.With(limit, to)
			if s, service := b.Saturation(); s < b.WorkerPerS*.98 {
				limit = service
			} else {
				limit = b.Driver
			}
		}
		all = append(all, Next{Change: change, Limit: limit, BoundPerS: b.UpperPerS})
	}
	return all
}

// knee is the number of workers from which on a service limits, at least one more than there are; 0: none ever does.
func (b Bounds) knee() int {
	if b.KneeWorkers == nil {
		return 0
	}
	return max(b.Workers+1, int(math.Ceil(*b.KneeWorkers-1e-6)))
}

// needed is the number of replicas with which a service allows what the next limit does, at least one more than there are; 0: the service
// has no limit.
func (b Bounds) needed(service string) (from, to int) {
	needed := b.WorkerPerS
	var d Demand
	for _, x := range b.Demands {
		if x.Service == service {
			d = x
		} else if x.BoundPerS != nil {
			needed = min(needed, *x.BoundPerS)
		}
	}
	if d.Replicas == 0 || d.BoundPerS == nil || *d.BoundPerS <= 0 {
		return 0, 0
	}
	// Demands are measured, so a replica more for half a percent would be noise.
	to = d.Replicas + 1
	for to < 100*d.Replicas {
		if at := b.With(service, to).demand(service).BoundPerS; at == nil || *at >= needed*.98 {
			break
		}
		to++
	}
	return d.Replicas, to
}

func (b Bounds) demand(service string) Demand {
	for _, d := range b.Demands {
		if d.Service == service {
			return d
		}
	}
	return Demand{}
}

func percent(ratio float64) string { return fmt.Sprintf("%.0f %%", 100*ratio) }

func percent1(ratio float64) string { return fmt.Sprintf("%.1f %%", 100*ratio) }

func perSecond(v float64) string { return visible.Figures(v) + " hashes/s" }

func times(n float64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%.0f times", n)
}

package capacity

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"coinbench/history"
	"coinbench/history/event"
	"coinbench/internal/visible"
)

// Outcome is the verdict on a run, best first: the worst one wins.
type Outcome string

// The outcomes.
const (
	OutcomePass         Outcome = "PASS"
	OutcomeInconclusive Outcome = "INCONCLUSIVE" // something that had to be judged could not be
	OutcomeFail         Outcome = "FAIL"         // an objective failed
	OutcomeInvalid      Outcome = "INVALID"      // the instrument failed: its numbers must not be used
)

// ExitCode is 0 for a pass, 1 for an objective that failed, 3 for what could not be measured.
func (o Outcome) ExitCode() int {
	switch o {
	case OutcomePass:
		return 0
	case OutcomeFail:
		return 1
	default:
		return 3
	}
}

// Overall is the verdict on a run.
type Overall struct {
	Outcome    Outcome `json:"outcome"`
	Why        string  `json:"why"`                  // one sentence
	Incomplete string  `json:"incomplete,omitempty"` // what is missing of the run; said before everything else
	Headline   string  `json:"headline,omitempty"`   // what limits the hash rate, in one sentence
	Unmet      string  `json:"unmet,omitempty"`      // why the run does not pass where it was played, as its scenario says
	Passed     int     `json:"passed"`
	Failed     int     `json:"failed"`
	Unknown    int     `json:"unknown"`
}

// Validity is whether the numbers may be used.
type Validity struct {
	OK       bool     `json:"ok"`
	Invalid  []string `json:"invalid,omitempty"`  // why the numbers must not be used
	Doubts   []string `json:"doubts,omitempty"`   // what leaves the verdict open
	Warnings []string `json:"warnings,omitempty"` // what the reader must know
	Readings int      `json:"readings"`
	Tasks    int      `json:"tasks"`
	GapS     float64  `json:"max_reading_gap_s"`   // the longest time between two readings of a task, within a window
	Requests int64    `json:"requests"`            // by the generator
	LagP99S  *float64 `json:"lag_p99_s,omitempty"` // the worst load's
	ClockS   float64  `json:"clock_difference_s"`  // how far the workers' wall clock ran ahead of the run's own
}

// playedAgain says whether the generator spoilt a load and the search that it belongs to played it again, under the same name, in order.
func playedAgain(loads []LoadResult, i int) bool {
	spoilt := func(l LoadResult) bool { return len(l.Invalid) > 0 || l.Missing > 0 }
	return spoilt(loads[i]) && slices.ContainsFunc(loads[i+1:], func(l LoadResult) bool {
		return l.Name == loads[i].Name && l.Complete && !spoilt(l)
	})
}

// maxGap is the longest time between readings that a window bears: they come once a second.
const maxGap = 3 * time.Second

func validity(run *history.Run, s series, a *Analysis) Validity {
	v := Validity{Readings: len(run.Readings), Tasks: len(s.tasks)}
	v.Warnings = append(v.Warnings, run.Warnings...)
	for i, l := range a.Loads {
		v.Requests += l.Requests
		if playedAgain(a.Loads, i) {
			v.Warnings = append(v.Warnings, "load "+l.Name+" was played again, and its numbers are not used: "+slices.Concat(l.Invalid,
				l.Warnings)[0])
			continue
		}
		if l.Lag != nil && (v.LagP99S == nil || l.Lag.P99S > *v.LagP99S) {
			v.LagP99S = ptr(l.Lag.P99S)
		}
		for _, why := range l.Invalid {
			v.Invalid = append(v.Invalid, "load "+l.Name+": "+why)
		}
		for _, w := range l.Warnings {
			v.Warnings = append(v.Warnings, "load "+l.Name+": "+w)
		}
		if !l.Complete {
			v.Doubts = append(v.Doubts, "load "+l.Name+" was cut off")
		}
	}
	var late []string
	least, most := 1.0, 0.0
	for i := range a.Windows {
		w := &a.Windows[i]
		if why := w.Host.disturbed(); why != "" {
			v.Invalid = append(v.Invalid, "window "+w.Name+": "+why)
		} else if w.Host != nil && w.Host.Late != nil && *w.Host.Late > warnLate {
			late, least, most = append(late, w.Name), min(least, *w.Host.Late), max(most, *w.Host.Late)
		}
		if w.Config.Drivers() > 0 && w.HashRate == nil {
			v.Doubts = append(v.Doubts, "window "+w.Name+": the "+a.Roles.Driver.Plural+"' counters were not read")
		} else if n := w.Config.Drivers(); len(w.Workers) < n {
			v.Doubts = append(v.Doubts, fmt.Sprintf("window %s: the counters of %d of %s were read", w.Name, len(w.Workers),
				a.Roles.Driver.Count(n)))
		}
		if w.HashRate != nil && w.Bounds != nil {
			bound := w.Bounds.UpperPerS
			if w.Configured != nil { // nothing is faster than it was set to be; a measured demand has its error
				bound = max(bound, w.Configured.UpperPerS)
			}
			slack := 1.03 * bound
			if w.HashRate.StdErr != nil {
				slack += 3 * *w.HashRate.StdErr
			}
			if w.HashRate.Value > slack && !w.Config.Updating {
				v.Warnings = append(v.Warnings, fmt.Sprintf("window %s: the hash rate %s is above the bound %s: the model leaves out something that "+
					"happened there",
					w.Name, visible.Figures(w.HashRate.Value), visible.Figures(bound)))
			}
		}
	}
	if len(late) > 0 {
		share, windows := percent(most), "window "
		if percent(least) != share {
			share = strings.TrimSuffix(percent(least), " %") + " to " + share
		}
		if len(late) > 1 {
			windows = "windows "
		}
		v.Warnings = append(v.Warnings, fmt.Sprintf("%s%s: the app's delays lasted %s longer than they were to, for want of processors: rates "+
			"are "+
			"lower by about as much", windows, strings.Join(late, ", "), share))
	}
	for i := range a.Losses {
		v.Doubts = append(v.Doubts, a.Losses[i].words())
	}
	for i := range a.Rollouts {
		if why := a.Rollouts[i].covered(); why != "" {
			v.Doubts = append(v.Doubts, why)
		}
	}
	gaps := map[string]bool{}
	for _, t := range s.tasks {
		for i := 1; i < len(t.readings); i++ {
			before, after := t.readings[i-1].At, t.readings[i].At
			gap := after - before
			for _, w := range a.Windows {
				if before < duration(w.EndS) && after > duration(w.BeginS) {
					v.GapS = max(v.GapS, gap.Seconds())
					if gap > maxGap && !gaps[w.Name] {
						gaps[w.Name] = true
						v.Doubts = append(v.Doubts, fmt.Sprintf("window %s: %s was not read for %.1f s", w.Name, t.name, gap.Seconds()))
					}
				}
			}
		}
	}
	stepped := false
	for _, t := range s.drivers() {
		for i, r := range t.readings {
			last := r.Values.Of(history.LastHash)
			if last <= 0 {
				continue
			}
			at := float64(run.Manifest.Start.UnixNano())/1e9 + r.At.Seconds()
			v.ClockS = max(v.ClockS, last-at)
			if i > 0 && last < t.readings[i-1].Values.Of(history.LastHash)-1e-6 {
				stepped = true
			}
		}
	}
	if v.ClockS < 1e-3 { // below what a reading resolves
		v.ClockS = 0
	}
	if stepped || v.ClockS > .5 {
		v.Doubts = append(v.Doubts, fmt.Sprintf("the %s' wall clock does not run with the run's own (%.3g s ahead): it was set, or the "+
			"hosts differ", a.Roles.Driver.Plural, math.Round(v.ClockS*1000)/1000))
	}
	if a.Reconciliation.Possible && !a.Reconciliation.Balanced {
		v.Warnings = append(v.Warnings, "the books do not balance: "+a.Reconciliation.Why)
	}
	v.Warnings = append(v.Warnings, a.Reconciliation.Contrary...)
	for _, e := range run.Events {
		if p, ok := e.Payload.(event.Warning); ok && p.Message != "" {
			v.Warnings = append(v.Warnings, p.Message)
		}
	}
	if len(run.Readings) == 0 && len(run.Loads) == 0 {
		v.Doubts = append(v.Doubts, "nothing was measured")
	}
	v.Invalid, v.Doubts, v.Warnings = alike(v.Invalid), alike(v.Doubts), alike(v.Warnings)
	v.OK = len(v.Invalid) == 0 && len(v.Doubts) == 0 && run.Status == history.Finished
	return v
}

// alike tells once what was found several times: findings that differ in their numbers, or in the load or window that they are about.
func alike(texts []string) (all []string) {
	about := regexp.MustCompile(`^(?:load|window) (\S+?)(?::? )`)
	numbers := regexp.MustCompile(`[0-9]+(?:\.[0-9]+)?(?: (?:µs|ms|s|min|h)\b)?`)
	type group struct {
		n     int
		names []string
	}
	groups := map[string]*group{}
	var kinds []string
	for _, text := range texts {
		name, rest := "", text
		if m := about.FindStringSubmatchIndex(text); m != nil {
			name, rest = text[m[2]:m[3]], text[:m[2]]+text[m[3]:]
		}
		kind := numbers.ReplaceAllString(rest, "#")
		g := groups[kind]
		if g == nil {
			g = &group{}
			groups[kind], kinds, all = g, append(kinds, kind), append(all, text)
		} else if name != "" && !slices.Contains(g.names, name) {
			g.names = append(g.names, name)
		}
		g.n++
	}
	for i, kind := range kinds {
		g := groups[kind]
		if g.n == 1 {
			continue
		}
		all[i] = fmt.Sprintf("%s (and %d more of the kind", strings.TrimSuffix(all[i], "."), g.n-1)
		if k := len(g.names); k > 6 {
			all[i] += fmt.Sprintf(": %s and %d others", strings.Join(g.names[:5], ", "), k-5)
		} else if k > 0 {
			all[i] += ": " + strings.Join(g.names, ", ")
		}
		all[i] += ")"
	}
	return all
}

func overall(a *Analysis) Overall {
	o := Overall{Outcome: OutcomePass}
	var failed, unknown []Verdict
	for _, v := range a.Objectives {
		switch v.Result {
		case Pass:
			o.Passed++
		case Fail:
			failed = append(failed, v)
		default:
			unknown = append(unknown, v)
		}
	}
	o.Failed, o.Unknown = len(failed), len(unknown)
	var error string
	for _, s := range a.Timeline.Steps {
		if s.Error != "" {
			if error = s.Error; !strings.HasPrefix(error, "step ") {
				error = fmt.Sprintf("step %q: %s", s.Title, s.Error)
			}
		}
	}
	switch a.Run.Status {
	case history.Finished:
	case history.Interrupted:
		o.Incomplete = fmt.Sprintf("The run was interrupted after %.1f s; the report covers what came before.", a.Run.LengthS)
	case history.RunFailed:
		o.Incomplete = fmt.Sprintf("The run failed after %.1f s; the report covers what came before.", a.Run.LengthS)
		if error != "" {
			o.Incomplete = fmt.Sprintf("The run failed after %.1f s (%s); the report covers what came before.", a.Run.LengthS,
				strings.TrimSuffix(error, "."))
		}
	default:
		o.Incomplete = fmt.Sprintf("The record ends after %.1f s without the end of the run: coinbench was killed, could not write, or is "+
			"still running.", a.Run.LengthS)
	}
	total := len(a.Objectives)
	switch {
	case len(a.Validity.Invalid) > 0:
		o.Outcome = OutcomeInvalid
		o.Why = "The numbers must not be used: " + sentence(a.Validity.Invalid[0], len(a.Validity.Invalid))
	case len(failed) > 0:
		o.Outcome = OutcomeFail
		o.Why = fmt.Sprintf("%d of %s failed: %s: %s", len(failed), count(total, "objective"), failed[0].Objective,
			sentence(failed[0].Reason, len(failed)))
	case o.Incomplete != "":
		o.Outcome = OutcomeInconclusive
		o.Why = "The run is incomplete, so it proves nothing that it did not reach."
	case len(a.Validity.Doubts) > 0:
		o.Outcome = OutcomeInconclusive
		o.Why = "The measurement has gaps: " + sentence(a.Validity.Doubts[0], len(a.Validity.Doubts))
	case len(unknown) > 0:
		o.Outcome = OutcomeInconclusive
		o.Why = fmt.Sprintf("%d of %s could not be judged: %s: %s", len(unknown), count(total, "objective"), unknown[0].Objective,
			sentence(unknown[0].Reason, len(unknown)))
	case total == 0 && len(a.Searches) > 0:
		var found []string
		for _, s := range a.Searches {
			if s.Level == 0 {
				o.Outcome = OutcomeInconclusive
			}
			found = append(found, s.Label()+": "+strings.TrimSuffix(s.Finding(), "."))
		}
		o.Why = "Found by " + strings.Join(found, "; by ") + "."
	case total == 0:
		o.Why = "The numbers are sound. No objective was stated, so nothing was judged."
	case total == 1:
		o.Why = fmt.Sprintf("The objective was met: %s (%s).", a.Objectives[0].Objective, a.Objectives[0].Reason)
	default:
		o.Why = fmt.Sprintf("All %d objectives were met.", total)
	}
	o.Headline = headline(a)
	return o
}

func sentence(first string, n int) string {
	first = strings.TrimSuffix(first, ".")
	if n > 1 {
		return fmt.Sprintf("%s (and %d more).", first, n-1)
	}
	return first + "."
}

// KeyWindows returns the windows that tell the story: those that are no points of a sweep and no second look at the configuration of the
// one before, or else the last one.
func (a *Analysis) KeyWindows() []*Window {
	inSweep := map[string]bool{}
	for _, s := range a.Sweeps {
		for _, p := range s.Points {
			inSweep[p.Window] = true
		}
	}
	var key []*Window
	for i := range a.Windows {
		w := &a.Windows[i]
		if inSweep[w.Name] || w.HashRate == nil || w.Bottleneck == nil {
			continue
		}
		if n := len(key); n > 0 && w.Errors == 0 && key[n-1].Errors == 0 && key[n-1].Config.String() == w.Config.String() {
			continue
		}
		key = append(key, w)
	}
	if len(key) == 0 && len(a.Windows) > 0 {
		if w := &a.Windows[len(a.Windows)-1]; w.Bottleneck != nil {
			key = append(key, w)
		}
	}
	return key
}

// headline tells how the limit moved from window to window.
func headline(a *Analysis) string {
	var parts []string
	for _, s := range a.Searches {
		parts = append(parts, s.Answer())
	}
	for _, w := range a.KeyWindows() {
		if len(parts) == len(a.Searches)+3 {
			break
		}
		verb, limit := "limits", strings.ReplaceAll(strings.ReplaceAll(w.Bottleneck.Limit, a.Roles.Driver.Service,
			"the "+a.Roles.Driver.Plural+"' own loop"), "+", " and ")
		if len(w.Bottleneck.Tied) > 0 {
			verb = "limit"
		}
		text := fmt.Sprintf("%s: %s %s at %s", w.Config, limit, verb, perSecond(w.HashRate.Value))
		if w.Errors > 0 {
			text = fmt.Sprintf("%s, %s: %s", w.Config, count(int(w.Errors), "error"), perSecond(w.HashRate.Value))
		}
		parts = append(parts, text)
	}
	if len(parts) == 0 {
		return ""
	}
	return strings.Join(parts, "; ") + "."
}

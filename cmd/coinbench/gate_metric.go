package main

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"coinbench/capacity"
	"coinbench/capacity/gate"
	"coinbench/history/event"
)

// gateMetric is a metric as it was asked for.
type gateMetric struct {
	gate.Metric
	kind string // what is before the brackets
	part string // of the scenario: a window or a rollout
	of   int    // ofWindow, ofProbe or ofRollout
}

const (
	ofWindow = iota
	ofProbe  // of a window
	ofRollout
)

type gateMetrics []gateMetric

var metricForm = regexp.MustCompile(`^\s*([a-z_0-9.]+)\s*\(\s*([^()\s]+)\s*\)\s*(\S+)?\s*$`)

// metricList reads the metrics, which are all of one window or of one rollout.
func (f gateFlags) metricList() (all gateMetrics, err error) {
	const accepted = "accepted: hash_rate(WINDOW); mean, max or a percentile such as p99 of probe-WINDOW; and availability, lost_requests, " +
		"hashes_lost or such a latency of a ROLLOUT; each with limits of its own behind it, as in 'availability(ROLLOUT) 0.1%..1%'"
	for _, text := range f.metrics {
		parts := metricForm.FindStringSubmatch(text)
		if parts == nil {
			return nil, fmt.Errorf("--metric %s: %s", text, accepted)
		}
		m := gateMetric{kind: parts[1], part: parts[2], of: ofRollout}
		m.Name = m.kind + "(" + m.part + ")"
		switch m.kind {
		case "coin_rate":
			return nil, errors.New("--metric " + text + ": coins are 1 hash in 16, so that a window of 10 s at 31 hashes/s has 20 of them, " +
				"give or take 22 %: to see a loss of 3 % would take about 1,800 pairs, 13 hours, where the hash rate takes 6 to 20. Coins/s are " +
				"hashes/s / 16; accepted: hash_rate(WINDOW)")
		case "hash_rate":
			m.Unit, m.of = "hashes/s", ofWindow
		case "availability":
			m.Unit, m.Difference = gate.Share, true
		case "lost_requests":
			m.Unit, m.Lower, m.Difference = "requests", true, true
		case "hashes_lost":
			m.Unit, m.Lower, m.Difference = "hashes", true, true
		case "mean", "max", "p50", "p90", "p95", "p99", "p99.9":
			m.Unit, m.Lower = "s", true
			if window, ok := strings.CutPrefix(m.part, "probe-"); ok {
				m.part, m.of = window, ofProbe
			}
		default:
			return nil, fmt.Errorf("--metric %s: %s", text, accepted)
		}
		if parts[3] != "" {
			if m.Limits, err = limitsFlag(text, parts[3]); err != nil {
				return nil, err
			}
		}
		if len(all) > 0 && m.part != all[0].part {
			return nil, fmt.Errorf("--metric %s: another part of the scenario than %s, which a block has not; accepted: metrics of one window, or "+
				"of one rollout", text, all[0].part)
		}
		if slices.ContainsFunc(all, func(other gateMetric) bool { return other.Name == m.Name }) {
			return nil, fmt.Errorf("--metric %s: twice; accepted: each metric once", text)
		}
		all = append(all, m)
	}
	return all, nil
}

// limitsFlag reads 0.1%..1%, of what is tolerated and of what is to be detected.
func limitsFlag(metric, text string) (*gate.Rule, error) {
	low, high, ok := strings.Cut(text, "..")
	if !ok {
		return nil, fmt.Errorf("--metric %s: accepted behind a metric: what is tolerated and what is to be detected, such as 0.1%%..1%%", metric)
	}
	tolerate, err := lossFlag("--metric "+metric+":", low)
	if err != nil {
		return nil, err
	}
	detect, err := lossFlag("--metric "+metric+":", high)
	return &gate.Rule{Tolerate: tolerate, Detect: detect}, err
}

// part is that of the scenario which they are of; "": its first window.
func (all gateMetrics) part() string {
	if len(all) == 0 {
		return ""
	}
	return all[0].part
}

// of are the metrics of a block, checked.
func (all gateMetrics) of(s side, rule gate.Rule) (metrics []gate.Metric, err error) {
	if len(all) == 0 {
		return []gate.Metric{{Name: "hash_rate(" + s.part + ")", Unit: "hashes/s"}}, nil
	}
	for _, m := range all {
		switch rollout := s.rollout != ""; {
		case rollout && m.of != ofRollout:
			err = fmt.Errorf("--metric %s: %s is a rollout; accepted: availability(%s), lost_requests(%s), hashes_lost(%s), or a latency such as "+
				"p99(%s)", m.Name, m.part, m.part, m.part, m.part, m.part)
		case !rollout && m.of == ofRollout && m.Unit == "s":
			err = fmt.Errorf("--metric %s: %s is a window; accepted: %s(probe-%s)", m.Name, m.part, m.kind, m.part)
		case !rollout && m.of == ofRollout:
			err = fmt.Errorf("--metric %s: %s is a window; accepted: the name of a rollout", m.Name, m.part)
		default:
			err = m.Check(rule)
		}
		if err != nil {
			return nil, err
		}
		metrics = append(metrics, m.Metric)
	}
	return metrics, nil
}

// take judges a block's validity, and only then takes its values.
func (g *gateRun) take(b *gate.Block, p *playedBlock, part string, metrics []gate.Metric) {
	a := &p.analysis
	why := append(slices.Clone(a.Validity.Invalid), a.Validity.Doubts...)
	w, r := a.Window(part), p.rollout(part)
	var host *capacity.HostUse
	switch {
	case g.base.rollout == "" && w == nil:
		why = append(why, "the window is missing")
	case g.base.rollout == "":
		host = w.Host
	case r == nil || r.verbed() && r.State == "":
		why = append(why, "the rollout was cut off")
	default:
		host = capacity.HostDuring(p.run, sinceStart(r.BeginS), sinceStart(r.EndS))
	}
	if doubt := doubtful(host); doubt != "" {
		why = append(why, doubt)
	}
	if host != nil && r == nil { // what replicas do as they start is nobody's yet
		b.Foreign = math.Round(1000*max(0, host.Busy-host.Own)) / 1000
	}
	if len(why) > 0 {
		b.Invalid = why[0]
		return
	}
	if r != nil && g.base.rollout != "" {
		if r.verbed() && r.State != event.Completed {
			b.Errors = 1
		}
	} else {
		b.Errors = w.Errors + w.Lost
		if w.HashRate != nil && w.HashRate.StdErr != nil {
			b.StdErr = *w.HashRate.StdErr
		}
	}
	for _, m := range metrics {
		v, err := g.valueOf(a, r, m)
		if err == nil && v == 0 && !m.Difference {
			v, err = g.none(b.Side)
		}
		if err != nil {
			b.Invalid, b.Values = m.Name+": "+err.Error(), nil
			return
		}
		if b.Side == gate.Head {
			v += g.head.added[m.Name]
		}
		b.Values = append(b.Values, v)
	}
}

// none stands for a metric that is 0, of which there is no ratio: of head, which makes no hash, half a hash in the whole window, so that it
// fails. With a base that makes none there is nothing to compare.
func (g *gateRun) none(s gate.Side) (float64, error) {
	if s == gate.Base {
		return 0, errors.New("it is 0 in base, so that there is nothing to compare with")
	}
	return .5 / g.design.BlockS, nil
}

// rollout is the disturbance of a name; nil: there is none.
func (p *playedBlock) rollout(name string) *rollout {
	for i := range p.analysis.Rollouts {
		if r := &p.analysis.Rollouts[i]; r.Name == name {
			return &rollout{r}
		}
	}
	return nil
}

type rollout struct{ *capacity.Disturbance }

// verbed says whether it is a rollout, which comes to an end of its own, and not a fault.
func (r *rollout) verbed() bool { return r.Verb == "update" || r.Verb == "restart" }

// valueOf is a metric of a block.
func (g *gateRun) valueOf(a *capacity.Analysis, r *rollout, m gate.Metric) (float64, error) {
	kind, _, _ := strings.Cut(m.Name, "(")
	switch {
	case g.base.rollout == "":
		return valueOfWindow(a, m)
	case kind == "hashes_lost":
		if r.HashesLost == nil {
			return 0, errors.New("no hash rate was measured before it")
		}
		return *r.HashesLost, nil
	}
	requests, failed, judges := int64(0), int64(0), []capacity.LoadImpact{}
	for _, l := range r.Loads {
		if !l.Observer {
			requests, failed, judges = requests+l.Available.Requests, failed+l.Available.Failed, append(judges, l)
		}
	}
	switch {
	case requests == 0:
		return 0, errors.New("no load that may judge it asked the service then; give the scenario one in the background")
	case kind == "availability":
		return 1 - float64(failed)/float64(requests), nil
	case kind == "lost_requests":
		return float64(failed), nil
	case len(judges) != 1:
		return 0, fmt.Errorf("%d loads asked the service then, whose latencies are not put together; accepted: one that does not observe only",
			len(judges))
	case judges[0].During == nil:
		return 0, errors.New("no request was answered during it")
	}
	return latencyOf(judges[0].During, kind), nil
}

// latencyOf is a mean, maximum or percentile.
func latencyOf(l *capacity.Latency, kind string) float64 {
	return map[string]float64{"mean": l.MeanS, "max": l.MaxS, "p50": l.P50S, "p90": l.P90S, "p95": l.P95S, "p99": l.P99S,
		"p99.9": l.P999S}[kind]
}

// valueOfWindow is a metric of an analysis.
func valueOfWindow(a *capacity.Analysis, m gate.Metric) (float64, error) {
	limit := " >= 0"
	if m.Unit == "s" {
		limit = " >= 0s"
	}
	o, err := capacity.ParseObjective(m.Name + limit)
	if err != nil {
		return 0, err
	}
	v := o.Judge(a)
	if v.Value == nil {
		return 0, errors.New(v.Reason)
	}
	return *v.Value, nil
}

func sinceStart(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }

package reports

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"coinbench/capacity"
	"coinbench/history/event"
)

// Contender is one run of a tournament: a release by one strategy, under the same load as the others.
type Contender struct {
	Name     string
	Analysis *capacity.Analysis
}

// release is what a contender's first rollout, and the load that met it, came to; nil: nothing.
func (c Contender) release() (*capacity.Disturbance, *capacity.LoadImpact) {
	for i := range c.Analysis.Rollouts {
		if r := &c.Analysis.Rollouts[i]; len(r.Loads) > 0 {
			return r, &r.Loads[0]
		}
	}
	return nil, nil
}

func tournamentRows(all []Contender) Table {
	rows := Table{{"strategy ", "took", "requests", "lost", "shown", "max gap", "p99 during", "serving", "two versions", "more replicas",
		"numbers "}}
	for _, c := range all {
		r, l := c.release()
		if r == nil {
			rows = append(rows, []string{c.Name, "–", "–", "–", "–", "–", "–", "–", "–", "–", string(c.Analysis.Overall.Outcome)})
			continue
		}
		took, p99, word := "–", "–", "sound"
		if r.DurationS != nil {
			took = capacity.FormatSeconds(*r.DurationS)
		}
		if l.During != nil {
			p99 = atLeast(l.During, 99, l.During.P99S)
		}
		switch {
		case len(c.Analysis.Validity.Invalid) > 0:
			word = "INVALID"
		case len(c.Analysis.Validity.Doubts) > 0:
			word = "doubtful"
		}
		if r.State != event.Completed {
			took += " (" + r.State.Words() + ")"
		}
		rows = append(rows, []string{c.Name, took, fmt.Sprint(l.Requests), fmt.Sprint(l.Failed), "≥ " + floored(l.Available.AtLeast),
			capacity.FormatSeconds(l.MaxGapS), p99,
			fmt.Sprintf("%d of %d", r.LeastServing, r.Replicas), capacity.FormatSeconds(r.MixedS), figures(r.ExtraReplicaS) + " replica-s", word})
	}
	return rows
}

// tournamentNote says what the table's numbers are of.
func tournamentNote(all []Contender) string {
	for _, c := range all {
		if r, l := c.release(); r != nil {
			if load := c.Analysis.Load(l.Load); load != nil {
				return fmt.Sprintf("%s, %d replicas, %s %s at %s, seed %d: the same requests at the same instants for each. Requests are those that "+
					"fell due during the release; "+
					"shown is the lower bound of the availability, if requests fail independently, at %.0f %% confidence.",
					r.Service, r.Replicas, load.Method, load.Service, load.Schedule, c.Analysis.Run.Seed, 100*l.Available.Confidence)
			}
		}
	}
	return ""
}

// TournamentText writes the table for a terminal.
func TournamentText(w io.Writer, all []Contender, o TextOptions) error {
	_, err := fmt.Fprintf(w, "%s\n%s\n", tournamentRows(all).Text("", o.Width), Fold(tournamentNote(all), o.Width))
	return err
}

// tournamentChart is what each release took, in a bar, and what it lost.
func tournamentChart(all []Contender) (chart, bool) {
	c := chart{title: "What a release takes and what it loses", x: axis{label: "duration of the release (s)"},
		desc: "Each strategy released the same service under the same requests."}
	safe := series{name: "no request lost", kind: bar, color: blue}
	lossy := series{name: "requests lost", kind: bar, color: vermilion}
	for _, k := range all {
		r, l := k.release()
		if r == nil || r.DurationS == nil {
			continue
		}
		y := -float64(len(c.y.ticks))
		c.y.ticks = append(c.y.ticks, tick{y, k.Name})
		p := xy{x: *r.DurationS, y: y, label: fmt.Sprintf("%s, %d of %d lost", capacity.FormatSeconds(*r.DurationS), l.Failed, l.Requests)}
		if r.ExtraReplicaS >= .05 {
			p.label += fmt.Sprintf(", %s replica-seconds more", figures(r.ExtraReplicaS))
		}
		p.text = k.Name + ": " + p.label
		if c.x.max = max(c.x.max, p.x); l.Failed > 0 {
			lossy.xy = append(lossy.xy, p)
		} else {
			safe.xy = append(safe.xy, p)
		}
	}
	for _, s := range []series{safe, lossy} {
		if len(s.xy) > 0 {
			c.series = append(c.series, s)
		}
	}
	c.x.max *= 1.45 // room for the words behind the bars
	c.y.min, c.y.max = .4-float64(len(c.y.ticks)), .6
	return c, len(c.series) > 0
}

// WriteTournament writes tournament.md, and the plot as SVG and PNG, below dir, and returns their paths.
func WriteTournament(dir string, all []Contender) (paths []string, err error) {
	write := func(name string, make func(io.Writer) error) {
		var b bytes.Buffer
		path := filepath.Join(dir, name)
		e := make(&b)
		if e == nil {
			e = os.WriteFile(path, b.Bytes(), 0o644)
		}
		if e == nil {
			paths = append(paths, path)
		} else if err == nil {
			err = fmt.Errorf("write the tournament's %s: %w", name, e)
		}
	}
	write("tournament.md", func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s\n%s\n", tournamentRows(all).Markdown(), tournamentNote(all))
		return err
	})
	if c, ok := tournamentChart(all); ok {
		for _, format := range []string{"svg", "png"} {
			write("tournament."+format, func(w io.Writer) error { return writePlot(w, format, c, subtitle(all[0].Analysis)) })
		}
	}
	return paths, err
}

package reports

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image/png"
	"io"
	"strings"
	"testing"
	"time"

	"coinbench/capacity"
	"coinbench/capacity/capacitytest"
	"coinbench/capacity/model"
)

// An explanation says for each window what limits, why, and what to try, with intervals.
func TestExplainText(t *testing.T) {
	run := capacitytest.New("bottleneck").Bottleneck()
	a := capacity.Analyse(run)
	x := capacity.Explain(run, &a)
	var b bytes.Buffer
	if err := ExplainText(&b, x, TextOptions{}); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, want := range []string{"saturated  10 workers, 1 rng", "limit: rng\n", "limit: the workers' own loop\n",
		"because rng is busy 100 %", "next    the workers' own loop, after rng 1 → 4: at most 33", "Try: Scale rng 1 → 4: 33", "change, " +
			"simulated", "loop    ", "headroom", "limit: none\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if part := x.Part("saturated"); part.Services[0].Utilisation.Parts < 5 || part.Rate.Low >= part.Rate.High {
		t.Errorf("no interval: %+v", part.Services[0].Utilisation)
	}
}

func whatIf() WhatIf {
	return WhatIf{Grid: model.Grid{Base: model.Setting{Last: 1, Think: 100 * time.Millisecond, Balance: "round-robin"},
		Drivers: []int{1, 2, 3}, First: []int{1, 2},
		PerS: [][]float64{{3.3, 6.6, 9.9}, {3.3, 6.6, 9.9}}}, Goal: model.Goal{PerS: 6, Cost: map[string]float64{"worker": 1, "rng": 1,
		"hasher": 1}},
		Plan: &model.Setting{Drivers: 2, First: 1, Last: 1}, Measured: []MeasuredPoint{{Drivers: 3, First: 1, Last: 1, PerS: 9.81}}}
}

// The plots are well formed, hold their numbers, and are the same twice.
func TestWhatIfPlots(t *testing.T) {
	for name, draw := range map[string]func(io.Writer, string, WhatIf) error{"heat map": Heatmap, "cost": CostPlot} {
		var a, b, p bytes.Buffer
		for _, w := range []*bytes.Buffer{&a, &b} {
			if err := draw(w, "svg", whatIf()); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(a.Bytes(), b.Bytes()) {
			t.Errorf("%s: two drawings differ", name)
		}
		d := xml.NewDecoder(&a)
		var text strings.Builder
		for {
			token, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if s, ok := token.(xml.CharData); ok {
				text.Write(s)
				text.WriteString(" ")
			}
		}
		if name == "heat map" {
			for _, want := range []string{"9.9", "9.8 ", "+0.9 %", "Predicted hash rate over workers and rng"} {
				if !strings.Contains(text.String(), want) {
					t.Errorf("%s lacks %q", name, want)
				}
			}
		}
		if err := draw(&p, "png", whatIf()); err != nil {
			t.Fatal(err)
		}
		if _, err := png.Decode(&p); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := draw(io.Discard, "gif", whatIf()); err == nil {
			t.Errorf("%s: gif is drawn", name)
		}
	}
}

// The errors of a proof are those of its rows, and the promise is held against each.
func TestProof(t *testing.T) {
	p := Proof{Rows: []ProofRow{{Predicted: 10.1, Measured: 10, ProbedS: .102, ProbeS: .1}, {Predicted: 19.8, Measured: 20, ProbedS: .096,
		ProbeS: .1}}}
	p.Sum()
	if !p.Holds || p.Mean < .0099 || p.Mean > .0101 || p.Probe < .029 || p.Probe > .031 || p.Bias > 1e-9 {
		t.Errorf("%+v", p)
	}
	p.Rows[0].Predicted = 10.4
	p.Sum()
	if p.Holds || p.Worst < .0399 {
		t.Errorf("an error of 4 %% holds: %+v", p)
	}
	p.Rows[0].Doubt = "other programs used 50 % of the processors"
	if p.Sum(); p.Outcome != capacity.OutcomeInconclusive {
		t.Errorf("only a disturbed setting errs: %s", p.Outcome)
	}
	p.Rows[1].Predicted = 21
	if p.Sum(); p.Outcome != capacity.OutcomeFail {
		t.Errorf("another errs, too: %s", p.Outcome)
	}
	if p = (Proof{}); p.Holds {
		t.Error("nothing measured holds")
	}
	p.Sum()
	if p.Holds {
		t.Error("nothing measured holds")
	}
}

// A verified plan passes where its target is out of the measurement's error or met exactly, and is not decided where the error does not
// tell.
func TestVerified(t *testing.T) {
	margin := func(v float64) *float64 { return &v }
	row := func(measured, off float64) Verified {
		return Verified{Row: ProofRow{Measured: measured, Margin: margin(off)}, Target: 40, Length: 20 * time.Second}
	}
	objective := func(measured, off float64) Verified {
		v := row(41, .1)
		v.SLO, v.SLOS, v.SLOLimitS, v.SLOMet, v.SLOMargin = "p90 <= 50ms", measured, .05, measured <= .05, margin(off)
		return v
	}
	disturbed := row(41, .1)
	disturbed.Invalid = "other programs were busy"
	for _, c := range []struct {
		name string
		v    Verified
		want capacity.Outcome
	}{
		{"more by more than the error", row(41, .9), capacity.OutcomePass},
		{"exactly", row(40, 0), capacity.OutcomePass},
		{"exactly, but for rounding", row(39.97, .1), capacity.OutcomePass},
		{"less by more than the error", row(39, .5), capacity.OutcomeFail},
		{"less by less than the error", row(39.5, .6), capacity.OutcomeInconclusive},
		{"more by less than the error", row(40.5, .6), capacity.OutcomeInconclusive},
		{"no interval", Verified{Row: ProofRow{Measured: 45}, Target: 40}, capacity.OutcomeInconclusive},
		{"disturbed", disturbed, capacity.OutcomeInvalid},
		{"objective met", objective(.04, .005), capacity.OutcomePass},
		{"objective not met", objective(.06, .005), capacity.OutcomeFail},
		{"objective within the error", objective(.048, .005), capacity.OutcomeInconclusive},
	} {
		if got := c.v.Verdict(); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	var b bytes.Buffer
	if err := VerifiedText(&b, row(39.5, .6), "sim", TextOptions{}); err != nil || !strings.Contains(b.String(),
		"measure for longer: --for 40s") {
		t.Errorf("%v: %s", err, b.String())
	}
}

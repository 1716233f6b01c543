package main

import (
	"fmt"
	"strings"

	"coinbench/capacity/gate"
	"coinbench/reports"
	"coinbench/scenarios"
)

// windows is how many windows a deployment has.
func (f gateFlags) windows() int {
	if f.calibrate {
		return gate.CalibrationWindows
	}
	return 1
}

// playCalibration measures how much windows vary within a deployment of base, and between deployments. One with an invalid window is
// replaced, at most as many as are asked for; three in a row end it.
func (g *gateRun) playCalibration() error {
	g.begin(g.sequence())
	if err := g.store.append(gate.Line{Session: &g.session}); err != nil {
		return err
	}
	whole, row := 0, 0
	for n := 0; whole < gate.CalibrationDeployments && n < 2*gate.CalibrationDeployments && row < 3; n++ {
		blocks, err := g.calibrateOnce(n)
		if err != nil {
			return err
		}
		valid := true
		for i, b := range blocks {
			if err := g.store.append(gate.Line{Block: &b}); err != nil {
				return err
			}
			if i == 0 || b.Invalid == "" || b.Invalid != blocks[i-1].Invalid { // what all windows lack is said once
				g.tell(fmt.Sprintf("deployment %d", n+1), b)
			}
			valid = valid && b.Invalid == ""
		}
		row++
		if valid {
			whole, row = whole+1, 0
		}
	}
	stored, err := g.store.read()
	if err != nil {
		return err
	}
	r := stored.Report(g.session, false)
	if whole < 2 {
		return unmeasured(fmt.Errorf("only %d deployments had only valid windows, and two are needed; above is what the others lacked", whole))
	}
	return reports.GateSpreadText(g.p.stdout, r, textOptions(g.p))
}

// calibrateOnce deploys base and measures its windows, the first of which has the time of the deployment.
func (g *gateRun) calibrateOnce(n int) ([]gate.Block, error) {
	first := gate.Next(g.session.Seed+uint64(n), g.session.ID, nil)
	first.Quad, first.Side = n, gate.Base
	played, err := g.deploy(g.base, &first, fmt.Sprintf("%02d-calibrate", n+1))
	if err != nil {
		return nil, err
	}
	blocks := []gate.Block{first}
	for i := range gate.CalibrationWindows {
		if i > 0 {
			blocks = append(blocks, gate.Block{Session: first.Session, Quad: n, Place: i, Side: gate.Base, Seed: first.Seed,
				Invalid: first.Invalid})
		}
		if played != nil {
			m := g.design.Metrics[0]
			window := scenarios.WindowName(g.design.Window, i)
			m.Name = strings.Replace(m.Name, g.design.Window+")", window+")", 1)
			g.take(&blocks[i], played, window, []gate.Metric{m})
		}
	}
	return blocks, nil
}

package gate

import (
	"fmt"
	"math"
	"slices"
)

// Correlation is the lag-1 autocorrelation of values in the order of time (Box, Jenkins and Reinsel, "Time series analysis", equation
// 2.1.11); 0 where all are equal.
func Correlation(values []float64) float64 {
	s := NewSample(values)
	if s.SD == 0 {
		return 0
	}
	sum, all := 0.0, 0.0
	for i, v := range values {
		all += (v - s.Mean) * (v - s.Mean)
		if i > 0 {
			sum += (v - s.Mean) * (values[i-1] - s.Mean)
		}
	}
	return sum / all
}

// resolution is the standard deviation below which pairs differ by how instants are rounded, and not by what was measured.
const resolution = 1e-6

// correlated says whether values depend on the ones before: beyond two standard errors of a correlation that is 0.
func correlated(values []float64) bool {
	return len(values) > 4 && NewSample(values).SD > resolution && math.Abs(Correlation(values)) > 2/math.Sqrt(float64(len(values)))
}

// What makes two modes of values: a gap with at least leastMode of them on each side, wider than modeGap times the larger standard
// deviation of a side and than modeFloor of the value.
const (
	leastBlocks = 8
	leastMode   = 2
	modeGap     = 4.0
	modeFloor   = .005
)

// Modes finds whether values are of two kinds, and what lies between them.
func Modes(values []float64) (between float64, two bool) {
	if len(values) < leastBlocks {
		return 0, false
	}
	v := slices.Sorted(slices.Values(values))
	widest := leastMode
	for i := leastMode; i <= len(v)-leastMode; i++ {
		if v[i]-v[i-1] > v[widest]-v[widest-1] {
			widest = i
		}
	}
	gap, between := v[widest]-v[widest-1], (v[widest]+v[widest-1])/2
	spread := max(NewSample(v[:widest]).SD, NewSample(v[widest:]).SD)
	return between, gap > modeGap*spread && gap > modeFloor*math.Abs(between)
}

// modes says what is to be said of two modes, of either side or of both; more: they ask for a longer gate.
func modes(base, head []float64, unit string) (note string, more bool) {
	ofBase, inBase := Modes(base)
	ofHead, inHead := Modes(head)
	if !inBase && !inHead {
		return "", false
	}
	between := ofHead
	if !inHead {
		between = ofBase
	}
	below := func(values []float64) (n int, mean float64) {
		for _, v := range values {
			if v < between {
				n++
				mean += v
			}
		}
		return n, mean / max(1, float64(n))
	}
	k, low := below(head)
	l, _ := below(base)
	switch {
	case inBase && inHead && Fisher(k, len(head), l, len(base)) >= .01 && Fisher(l, len(base), k, len(head)) >= .01:
		return fmt.Sprintf("both sides have two modes, %d of %d blocks of base and %d of %d of head below %.4g %s", l, len(base), k, len(head),
			between, unit), true
	case inHead:
		return fmt.Sprintf("new mode: %d of %d blocks of head at %.4g %s, and %d of %d of base below %.4g", k, len(head), low, unit, l, len(base),
			between), true
	}
	return fmt.Sprintf("base alone has two modes: %d of its %d blocks are below %.4g %s, and %d of %d of head", l, len(base), between, unit, k,
		len(head)), true
}

package gate

import "math"

// What a calibration plays: so many deployments of base, and so many windows of each.
const (
	CalibrationDeployments = 6
	CalibrationWindows     = 5
)

// Spread is how a window's value varies: within a deployment and between deployments.
type Spread struct {
	Deployments int     `json:"deployments"`
	Windows     int     `json:"windows"` // of each
	Mean        float64 `json:"mean"`    // of all values, in the metric's unit
	Within      float64 `json:"within"`  // T_1, as a share of the value
	Between     float64 `json:"between"` // T_2; 0: windows of one deployment vary as much as those of two
	Overhead    float64 `json:"overhead_s"`
	WindowS     float64 `json:"window_s"`
}

// Block is the standard deviation of a block of one window, as a share.
func (s Spread) Block() float64 { return math.Hypot(s.Within, s.Between) }

// Pair is the standard deviation of the logarithm of a pair.
func (s Spread) Pair() float64 { return math.Sqrt2 * s.Block() }

// BestWindow is the length of a window, in seconds, that makes the most of a gate's time: Kalibera and Jones' r_1 windows, where a
// window's variance falls with its length. Infinite: deployments add nothing.
func (s Spread) BestWindow() float64 {
	n := Nested{T2: []float64{s.Within * s.Within, s.Between * s.Between}}
	return s.WindowS * n.Repetitions([]float64{s.WindowS, s.Overhead})[0]
}

// Spread of the latest calibration of the series; nil: it has none that is whole. Its blocks are numbered by deployment (Quad) and window
// (Place). A deployment with an invalid window is left out.
func (s Series) Spread() *Spread {
	all := s.Sequences(Calibration)
	for i := len(all) - 1; i >= 0; i-- {
		if x := spreadOf(all[i].Design, s.Sequence(all[i].Sequence)); x != nil {
			return x
		}
	}
	return nil
}

func spreadOf(d Design, blocks []Block) *Spread {
	var all Tree
	x := Spread{Windows: CalibrationWindows, WindowS: d.BlockS}
	seconds := map[int]float64{}
	values := map[int][]float64{}
	last := -1
	for _, b := range blocks {
		last = max(last, b.Quad)
		seconds[b.Quad] += b.Seconds
		if b.Invalid == "" {
			values[b.Quad] = append(values[b.Quad], b.Values[0])
		}
	}
	for quad := range last + 1 {
		if len(values[quad]) != x.Windows {
			continue
		}
		deployment := Tree{}
		for _, v := range values[quad] {
			deployment.Values = append(deployment.Values, math.Log(v))
			x.Mean += v
		}
		x.Overhead += seconds[quad] - float64(x.Windows)*d.BlockS
		all.Parts = append(all.Parts, deployment)
	}
	x.Deployments = len(all.Parts)
	if x.Deployments < 2 {
		return nil
	}
	x.Mean /= float64(x.Deployments * x.Windows)
	x.Overhead /= float64(x.Deployments)
	n := all.Variances()
	x.Within, x.Between = math.Sqrt(n.T2[0]), math.Sqrt(max(0, n.T2[1]))
	return &x
}

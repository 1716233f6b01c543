package des

import (
	"math"
	"math/rand/v2"

	"coinbench/services/settings"
)

// uniform is a number in [0, 1).
func uniform(p *rand.PCG) float64 { return float64(p.Uint64()>>11) / (1 << 53) }

// normal is Marsaglia's polar method ("A convenient method for generating normal variables", SIAM Review 6(3), 1964).
func normal(p *rand.PCG) float64 {
	for {
		u, v := 2*uniform(p)-1, 2*uniform(p)-1
		if s := u*u + v*v; s > 0 && s < 1 {
			return u * math.Sqrt(-2*math.Log(s)/s)
		}
	}
}

// distribution is settings.Distribution as a number.
type distribution uint8

const (
	constant distribution = iota
	uniformly
	exponentially
	normally
)

func distributionOf(d settings.Distribution) distribution {
	switch d {
	case settings.Uniform:
		return uniformly
	case settings.Exponential:
		return exponentially
	case settings.Normal:
		return normally
	}
	return constant
}

// draw is one delay in nanoseconds, never negative.
func (d distribution) draw(p *rand.PCG, mean, jitter int64) int64 {
	switch d {
	case uniformly:
		return max(0, mean+int64((2*uniform(p)-1)*float64(jitter)))
	case exponentially:
		return int64(rand.New(p).ExpFloat64() * float64(mean)) // ziggurat, half the time of a logarithm
	case normally:
		return max(0, mean+int64(normal(p)*float64(jitter)))
	}
	return mean
}

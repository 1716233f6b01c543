package des

import (
	"math"
	"math/rand/v2"

	"coinbench/services/settings"
)

// stream returns a generator of its own for each purpose, so that one more draw in one place changes nothing elsewhere, and two
// runs that differ in one setting share the rest of their randomness. PCG is used by value: no interface, 16 bytes.
func stream(seed uint64, words ...uint64) rand.PCG {
	h := seed
	for _, w := range words {
		h = mix(h ^ mix(w+0x9e3779b97f4a7c15))
	}
	return *rand.NewPCG(h, mix(h+0x9e3779b97f4a7c15))
}

// mix is the finaliser of splitmix64 (Steele, Lea, Flood 2014, "Fast Splittable Pseudorandom Number Generators").
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func word(name string) uint64 {
	h := uint64(0)
	for _, c := range []byte(name) {
		h = mix(h ^ uint64(c))
	}
	return h
}

// uniform is a number in [0, 1).
func uniform(p *rand.PCG) float64 { return float64(p.Uint64()>>11) / (1 << 53) }

// below is a number in [0, n), n < 2³¹ (the bias is below 2⁻³²).
func below(p *rand.PCG, n int) int { return int(uint64(uint32(p.Uint64()>>32)) * uint64(n) >> 32) }

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

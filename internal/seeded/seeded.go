// Package seeded draws numbers that a seed decides, in a stream of its own for each purpose: one more draw in one place changes
// nothing elsewhere, and two runs that differ in one setting share the rest of their randomness. The local cluster's balancer and
// the simulator's draw from the same streams, so a prediction can meet the very choices that a measurement met (common random
// numbers: Law, Simulation Modeling and Analysis, section 11.2).
package seeded

import "math/rand/v2"

// Stream returns the generator of a purpose, which words name. PCG is used by value: no interface, 16 bytes.
func Stream(seed uint64, words ...uint64) rand.PCG {
	h := seed
	for _, w := range words {
		h = mix(h ^ mix(w+0x9e3779b97f4a7c15))
	}
	return *rand.NewPCG(h, mix(h+0x9e3779b97f4a7c15))
}

// Balancer holds the streams that balancing a service at random draws its replicas from, one number for each connection. Visitors
// from outside have one of their own: where theirs fall between the connections of the app changes nothing for the app.
type Balancer struct{ app, visitors rand.PCG }

// NewBalancer returns the streams of a service.
func NewBalancer(seed uint64, service string) Balancer {
	return Balancer{Stream(seed, Word("balance"), Word(service)), Stream(seed, Word("balance"), Word(service), Word("visitors"))}
}

// Choose draws one of n replicas for a connection.
func (b *Balancer) Choose(n int, visitor bool) int {
	if visitor {
		return Below(&b.visitors, n)
	}
	return Below(&b.app, n)
}

// mix is the finaliser of splitmix64 (Steele, Lea, Flood 2014, "Fast Splittable Pseudorandom Number Generators").
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Word makes a name a word of a stream's purpose.
func Word(name string) uint64 {
	h := uint64(0)
	for _, c := range []byte(name) {
		h = mix(h ^ uint64(c))
	}
	return h
}

// Below is a number in [0, n), n < 2³¹ (the bias is below 2⁻³²).
func Below(p *rand.PCG, n int) int { return int(uint64(uint32(p.Uint64()>>32)) * uint64(n) >> 32) }

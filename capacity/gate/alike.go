package gate

import "coinbench/capacity"

// Relabellings is how many gates are played with the blocks of --aa: without a FAIL among so many, at most 1 % fail (95 %).
const Relabellings = 299

// Relabelled plays gates of identical code with blocks that were measured for others. All blocks of a series' gates of base against itself,
// in the order in which they were measured, are deployments of the same code; what made one of them base and the other head was a coin,
// which each of these gates tosses anew from a place of its own. Their count is exact for this stream of blocks: what a gate's coins do to
// it. They share blocks, so that they say no more of other hours than the blocks do.
func (s Series) Relabelled(gates int) (c Control, blocks int) {
	var stream []Block
	for _, first := range s.Sequences(Alike) {
		for _, b := range s.Sequence(first.Sequence) {
			if b.Side != Null {
				stream = append(stream, b)
			}
		}
	}
	quads := len(stream) / 4
	if quads < leastFail/2 {
		return c, len(stream)
	}
	first := s.Sequences(Alike)[0]
	for i := range gates {
		start, seed := i*quads/gates, first.Seed+uint64(i)
		var chain []Block
		for outcome := capacity.Outcome(""); outcome == ""; {
			quad := len(chain) / 4
			order := Order(seed, quad)
			for place := range 4 {
				b := stream[4*((start+quad)%quads)+place]
				b.Session, b.Quad, b.Place, b.Side = "again", quad, place, order[place]
				chain = append(chain, b)
			}
			outcome = Judge(first.Design.Rule, first.Design.Metrics, chain, len(chain) >= 2*min(MostPairs, 2*quads)).Outcome
			if outcome == capacity.OutcomeFail {
				c.Failed++
			}
		}
		c.Gates++
	}
	c.bound()
	return c, len(stream)
}

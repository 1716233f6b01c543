package gate

import "coinbench/internal/seeded"

// Side is one of the two that are compared.
type Side string

// The sides.
const (
	Base Side = "base"
	Head Side = "head"
)

// Block is one deployment and its window.
type Block struct {
	Session string    `json:"session"` // blocks of one session were measured without a break; only they make pairs
	Quad    int       `json:"quad"`    // from 0, on through all sessions of a sequence
	Place   int       `json:"place"`   // within the quad, 0 to 3
	Side    Side      `json:"side"`
	Values  []float64 `json:"values,omitempty"`  // one for each metric, in its unit; none where the block is invalid
	StdErr  float64   `json:"std_err,omitempty"` // of the first, within the window; 0: unknown
	Invalid string    `json:"invalid,omitempty"` // why the block must not be used, found before its values were looked at
	Down    bool      `json:"down,omitempty"`    // it is invalid since the app did not come up, or its run did not come to its end
	Errors  float64   `json:"errors,omitempty"`  // exceptions and lost hashes, or rollouts that did not complete
	Seconds float64   `json:"seconds"`           // from its deployment until it was gone
	Seed    uint64    `json:"seed"`
}

// Order are the sides of a quad: ABBA or BAAB, by a coin of the sequence's seed (randomised multiple interleaved trials: Abedi and Brecht,
// "Conducting repeatable experiments in highly variable cloud computing environments", ICPE 2017). Drift that is linear cancels within a
// quad.
func Order(seed uint64, quad int) [4]Side {
	s := seeded.Stream(seed, seeded.Word("gate order"), uint64(quad))
	if s.Uint64()>>63 == 0 {
		return [4]Side{Base, Head, Head, Base}
	}
	return [4]Side{Head, Base, Base, Head}
}

// Next is the block to be measured after those that were: the second of a pair that the session has begun, or else the first of the next
// pair. A pair that a session left half is measured anew.
func Next(seed uint64, session string, blocks []Block) Block {
	b := Block{Session: session}
	for _, done := range blocks {
		next := 4*done.Quad + done.Place + 1
		if done.Place%2 == 0 && done.Session != session {
			next-- // its second block is missing, or comes next in the list
		}
		if next > 4*b.Quad+b.Place {
			b.Quad, b.Place = next/4, next%4
		}
	}
	b.Side = Order(seed, b.Quad)[b.Place]
	b.Seed = blockSeed(seed, b)
	return b
}

// blockSeed is drawn for each block, so that what a seed decides varies between blocks as it does between runs.
func blockSeed(seed uint64, b Block) uint64 {
	s := seeded.Stream(seed, seeded.Word("gate block"), seeded.Word(b.Session), uint64(4*b.Quad+b.Place))
	return s.Uint64() >> 1
}

// Pair is a block of base and one of head, next to each other.
type Pair struct {
	Base, Head Block
}

// Void says whether the pair must not be used, since one of its blocks must not.
func (p Pair) Void() bool { return p.Base.Invalid != "" || p.Head.Invalid != "" }

// quad is the pair's.
func (p Pair) quad() int { return p.Base.Quad }

// Pairs puts blocks together, in their order. A block without its other half is left out.
func Pairs(blocks []Block) []Pair {
	type key struct {
		session     string
		quad, place int
	}
	halves := map[key]Block{}
	var pairs []Pair
	for _, b := range blocks {
		k := key{b.Session, b.Quad, b.Place / 2}
		other, ok := halves[k]
		if !ok || other.Side == b.Side {
			halves[k] = b
			continue
		}
		delete(halves, k)
		if b.Side == Base {
			b, other = other, b
		}
		pairs = append(pairs, Pair{Base: other, Head: b})
	}
	return pairs
}

package gate

import (
	"slices"

	"coinbench/internal/seeded"
)

// Side is one of the two that are compared.
type Side string

// The sides.
const (
	Base Side = "base"
	Head Side = "head"
	// Null is base once more, as a third side: what differs between it and base is not the code.
	Null Side = "null"
)

// Block is one deployment and its window.
type Block struct {
	Session string    `json:"session"` // blocks of one session were measured without a break; only they make pairs
	Quad    int       `json:"quad"`    // from 0, on through all sessions of a sequence
	Place   int       `json:"place"`   // within the quad, 0 to 3; with a null arm to 5
	Side    Side      `json:"side"`
	Values  []float64 `json:"values,omitempty"`  // one for each metric, in its unit; none where the block is invalid
	StdErr  float64   `json:"std_err,omitempty"` // of the first, within the window; 0: unknown
	Invalid string    `json:"invalid,omitempty"` // why the block must not be used, found before its values were looked at
	Down    bool      `json:"down,omitempty"`    // it is invalid since the app did not come up, or its run did not come to its end
	Foreign float64   `json:"foreign,omitempty"` // share of the processors that other programs used meanwhile, 0..1
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
	return next(seed, session, blocks, func(quad int) []Side { o := Order(seed, quad); return o[:] })
}

// NextOfThree is the same with a null arm: a pair has a block of it as well, in any of its places.
func NextOfThree(seed uint64, session string, blocks []Block) Block {
	return next(seed, session, blocks, func(quad int) []Side { return orderOfThree(seed, quad) })
}

// orderOfThree are the sides of a quad with a null arm: one of the orders of the three, and then the same backwards.
func orderOfThree(seed uint64, quad int) []Side {
	s := seeded.Stream(seed, seeded.Word("gate order of three"), uint64(quad))
	o := []Side{Base, Head, Null}
	for i := len(o) - 1; i > 0; i-- {
		j := seeded.Below(&s, i+1)
		o[i], o[j] = o[j], o[i]
	}
	return append(o, o[2], o[1], o[0])
}

func next(seed uint64, session string, blocks []Block, order func(quad int) []Side) Block {
	b := Block{Session: session}
	quad := len(order(0))
	half := quad / 2
	for _, done := range blocks {
		next := quad*done.Quad + done.Place + 1
		if at := done.Place % half; at < half-1 && done.Session != session {
			next -= at + 1 // what is left of its pair is missing, or comes next in the list
		}
		if next > quad*b.Quad+b.Place {
			b.Quad, b.Place = next/quad, next%quad
		}
	}
	b.Side = order(b.Quad)[b.Place]
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

// half is how many blocks a pair has: a third with a null arm.
func half(blocks []Block) int {
	if slices.ContainsFunc(blocks, func(b Block) bool { return b.Side == Null }) {
		return 3
	}
	return 2
}

// nulls are the blocks with the null arm in head's place.
func nulls(blocks []Block) (all []Block) {
	for _, b := range blocks {
		switch b.Side {
		case Head:
			b.Side = Null
		case Null:
			b.Side = Head
		}
		all = append(all, b)
	}
	return all
}

// Pairs puts blocks together, in their order. A block without its other half is left out.
func Pairs(blocks []Block) []Pair {
	type key struct {
		session     string
		quad, place int
	}
	halves := map[key]Block{}
	var pairs []Pair
	blocksOfPair := half(blocks)
	for _, b := range blocks {
		if b.Side == Null {
			continue
		}
		k := key{b.Session, b.Quad, b.Place / blocksOfPair}
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

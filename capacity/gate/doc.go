// Package gate decides whether a change of the app loses hash rate: base against head, in interleaved blocks, with error rates that are
// stated beforehand.
//
// A block is a fresh deployment and one window; its value is what the one estimator of package capacity says of that window. Two blocks
// next to each other, one of each side, are a pair, and two pairs a quad: ABBA or BAAB, by a seeded coin, so that drift cancels and the
// order is random. What is judged is the logarithm of head's value over base's, one for each pair.
//
//	blocks -> Pairs -> Sequence (an interval that holds at every look) -> Judge: FAIL, PASS, INCONCLUSIVE, INVALID, or not yet
//
// The package measures nothing and knows no clock; the same blocks give the same verdict for ever. It holds the store's lines, too, and
// what finds changes in a series of gates.
package gate

// Package capacity judges a history: it turns the counters and requests of a run into hash rates, utilisations, bounds,
// a bottleneck and a verdict.
//
// A *history.Run and the objectives of its scenario enter; one Analysis leaves, which every report renders and which
// is written as result.json. The same history gives the same Analysis for ever: the package opens nothing, reads no clock,
// starts no goroutine and prints nothing.
//
// It predicts from operational laws only (utilisation law, Little's law, forced flow, asymptotic bounds). The laws hold
// for every system that was measured, whatever its distributions; they are those of Denning and Buzen, "The Operational
// Analysis of Queueing Network Models", ACM Computing Surveys 10(3), 1978, and of Lazowska, Zahorjan, Graham and Sevcik,
// "Quantitative System Performance", Prentice-Hall 1984, chapters 3 and 5.
//
// Times are seconds and rates are per second, with the unit in the name; ratios are 0..1. "Hash rate" is what the
// workshop's web page plots; a coin is a hash that begins with 0, one in sixteen.
package capacity

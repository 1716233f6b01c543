// Package labs holds the labs of a workshop: a scenario with a question whose answer is measured on the learner's own run.
//
//	labs/<name>.md --All--> Lab --Draw(seed)--> variables
//	prediction, run folder's Analysis --Round.Judge--> Feedback     right, a wrong model by name, not yet, or cannot tell
//
// No answer is stored. A prediction is sealed before the run; what the run measured judges it, and a prediction that was wrong is
// told which way of thinking gives its number: every lab lists its wrong models as formulas of the settings, and package queueing computes
// those of queueing theory.
//
// An Attempt is a learner's way through a lab: an append-only file, each line of which holds the hash of the one before.
package labs

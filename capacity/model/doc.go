// Package model turns one measured run into a model of the app on its machine, and the model into predictions and plans.
//
//	history --Calibrate--> Model --Predict--> Prediction     simulated, with bounds and mean value analysis next to it
//	                             \--Search---> Plan           the cheapest replicas that meet a target
//
// A Model holds what the settings do not say: what each request costs a server, each call its client, each loop a worker, besides the
// delays that were asked for, and how much of it comes with a higher rate. A prediction is played by package des with
// these costs, as a history, and read by package capacity with the estimators that read a measured run; so the two are compared like with
// like.
//
// The package opens nothing, reads no clock, starts no goroutine. What it does not know: processors (a machine that is full answers later
// than any prediction), networks that lose packets, rollouts.
package model

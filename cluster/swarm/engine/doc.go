// Package engine is a manager's engine as one run of coinbench speaks to it: under which names and labels things are made on a
// Swarm, which image is meant by a name there, and what the engine's errors mean.
//
// In goes a client and Options; out comes an Engine, which is the client and what all packages below cluster/swarm share. It makes
// nothing on the Swarm.
package engine

// Package setup is what is done to a Swarm around an app: it gives one that can pull nothing a registry (Bootstrap), examines it
// (Doctor), finds what runs made on it, and removes that (Sweep, Down).
//
// All of it works by an engine's labels; what coinbench did not make is never touched.
package setup

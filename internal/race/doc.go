// Package race says whether the race detector is at work. Tests ask it that count allocations, which it adds to, or that pass long
// virtual times, which it makes ten times as slow. Nothing enters; a constant leaves. It is for tests alone.
package race

// Enabled says that the race detector is at work.
const Enabled = enabled

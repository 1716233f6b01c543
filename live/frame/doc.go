// Package frame says what a watcher of a run sees: a Frame is a pure function of what has been recorded so far.
//
// A record's events, readings and intervals enter a Builder in the order in which they were recorded; Frames leave it, of a run that is
// going on as of one that ended long ago. What capacity says of windows, objectives and bottlenecks is handed to it (Judge), and is
// computed nowhere else. Its memory is bounded: the newest seconds one by one, older ones merged with their neighbours.
package frame

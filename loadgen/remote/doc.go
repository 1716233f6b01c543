// Package remote generates load elsewhere: by copies of coinbench that a Place runs, such as a cluster within its own network.
//
// Run starts the copies, lets them meet, gives each its work and lets them go together; what each then says comes back in frames
// (package frame) over what it prints. Generators is a load of several such copies, whose records become one: histograms are merged,
// never percentiles. ServeMeetings is where they meet, Meet and Sender are a copy's side. The package knows no Docker and no cluster.
//
//	harness ── Place ──┬── StartJob ──> copies ── Meet ──┐
//	                   ├── DialMeeting ────────── ServeMeetings
//	                   └── JobOutput <── frames ── copies
package remote

// Package history is the record that a run leaves: what was asked, what was done to the cluster, what the cluster
// did, what its counters said, and every request that the load generator made.
//
// Everything before the history has effects; everything after it is a pure function of it. A measured run and a
// simulated one write the same record.
//
//	runs/<scenario>/<UTC>/
//	    manifest.json     what was asked, where, with which binary (written once, first)
//	    scenario.yaml     the scenario as it was read
//	    app.yaml          the Compose file as it was read
//	    events.jsonl      one Event a line, in the order they happened; package event has what each kind says
//	    readings.jsonl    one Reading a line: a replica's counters at one instant
//	    load/<name>/      one folder per load: load.json, intervals.jsonl, samples.jsonl, failures.jsonl
//	    logs/             each replica's output
//
// Every file but the manifests is append-only, one JSON value a line, so a run that is killed at any byte leaves a
// readable history: Open drops a torn last line, keeps all before it, and says so in Run.Warnings.
//
// The format grows by fields and files that an older reader leaves out without misreading the others; what an older reader would
// misread raises Version, which it refuses. A newer reader reads every older folder: testdata keeps one of each form.
//
// Instants are durations since Manifest.Start on the run's own monotonic clock. The package opens files and nothing
// else: no network, no clock, no goroutine.
package history

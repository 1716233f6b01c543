package main

import "strings"

// The queries that more than one dashboard has, of the run in the variable run.
const (
	hashRate = `sum(rate(coinbench_worker_hashes_total{run="$run"}[$__rate_interval]))`
	quantile = `histogram_quantile(QUANTILE, sum by (load, le) (rate(coinbench_load_response_seconds_bucket{run="$run", load=~"$load"}[$__rate_interval])))`
	// A task that is gone is looked back at for minutes by its name alone, hence last_over_time.
	utilisation = `sum by (service) (rate(coinbench_busy_seconds_total{run="$run"}[$__rate_interval]))` +
		` / sum by (service) (last_over_time(coinbench_concurrency{run="$run"}[$__rate_interval]) > 0)`
	demand = `sum by (service) (rate(coinbench_request_service_seconds_sum{run="$run"}[$__rate_interval]))` +
		` / sum by (service) (rate(coinbench_request_service_seconds_count{run="$run"}[$__rate_interval]) > 0)`
	failed = `sum by (load) (rate(coinbench_load_requests_total{run="$run", load=~"$load", class!="ok"}[$__rate_interval]))` +
		` / sum by (load) (rate(coinbench_load_requests_total{run="$run", load=~"$load"}[$__rate_interval]))`
)

func p(percent string) string { return strings.Replace(quantile, "QUANTILE", percent, 1) }

// of is a query of the run in another variable.
func of(variable, query string) string { return strings.ReplaceAll(query, "$run", "$"+variable) }

func runVariable() Variable { return values("run", "Run", "coinbench_run_info", false) }

func loadVariable() Variable {
	return values("load", "Load", `coinbench_load_requests_total{run="$run"}`, true)
}

// run shows a run over time: traffic, latency, errors, saturation, and what its replicas did.
func run() Dashboard {
	return board("coinbench-run", "coinbench / Run", "A run over time: traffic, latency, errors, saturation and replicas.",
		[]Variable{runVariable(), loadVariable()},
		lines("Hash rate", "none", "Loops that the workers complete, and what is counted in Redis, which comes in jumps, per second.",
			hashRate, "completed",
			`sum(deriv(redis_hashes{run="$run"}[$__rate_interval]))`, "counted"),
		stacked(lines("Requests", "reqps", "Requests of the loads that ended, by how: ok, or a class of failure.",
			`sum by (class) (rate(coinbench_load_requests_total{run="$run", load=~"$load"}[$__rate_interval])) > 0`, "{{class}}")),
		lines("Response time", "s", "Response time of requests that succeeded, from due to done.",
			p("0.50"), "p50 {{load}}",
			p("0.99"), "p99 {{load}}"),
		lines("Generator lag p99", "s", "By how much requests were sent late: the generator's fault, not the app's.",
			`histogram_quantile(0.99, sum by (load, le) (rate(coinbench_load_lag_seconds_bucket{run="$run", load=~"$load"}[$__rate_interval])))`,
			"{{load}}"),
		share(lines("Failed share", "percentunit", "Share of requests that failed.", failed, "{{load}}")),
		lines("Longest time without a success", "s", "So far, of each load.",
			`coinbench_load_longest_gap_seconds{run="$run", load=~"$load"}`, "{{load}}"),
		share(lines("Utilisation", "percentunit", "Share of a service's slots that is busy. 1: it limits. Services without a limit have none.",
			utilisation, "{{service}}")),
		lines("Queue", "none", "Requests that wait for a slot.",
			`sum by (service) (last_over_time(coinbench_queue_length{run="$run"}[$__rate_interval]))`, "{{service}}"),
		stacked(lines("Replicas", "none", "Tasks by state and version; running ones are in rotation.",
			`sum by (service, state, version) (coinbench_replicas{run="$run"}) > 0`, "{{service}} {{state}} {{version}}")),
		lanes("Tasks", "Each task's life.", `coinbench_task_state{run="$run"} > 0`, "{{task}} {{version}}"),
		lines("Requests by replica", "reqps", "What each replica serves: even, unless connections are pinned.",
			`sum by (task) (rate(coinbench_request_service_seconds_count{run="$run"}[$__rate_interval])) > 0`, "{{task}}"),
		lines("Workers in back-off", "none", "Workers that wait after an error, and send nothing.",
			`sum(last_over_time(coinbench_worker_backing_off{run="$run"}[$__rate_interval]))`, "waiting"),
	)
}

// capacity shows what limits the hash rate: demands, utilisations and bounds.
func capacity() Dashboard {
	return board("coinbench-capacity", "coinbench / Capacity", "What limits the hash rate: service demands, utilisations and bounds.",
		[]Variable{runVariable()},
		lines("Hash rate and bounds", "none", "The hash rate, and what each service could serve: its slots over its service time. The lowest "+
			"one limits.",
			hashRate, "hash rate",
			`sum by (service) (last_over_time(coinbench_concurrency{run="$run"}[$__rate_interval]) > 0) / (`+demand+`)`, "bound of {{service}}"),
		share(lines("Utilisation", "percentunit", "Share of a service's slots that is busy. 1: it limits. Services without a limit have none.",
			utilisation, "{{service}}")),
		lines("Service demand", "s", "Time that a request occupies a slot.", demand, "{{service}}"),
		lines("Time in the queue", "s", "Time that a request waits for a slot.",
			`sum by (service) (rate(coinbench_request_queue_seconds_sum{run="$run"}[$__rate_interval]))`+
				` / sum by (service) (rate(coinbench_request_queue_seconds_count{run="$run"}[$__rate_interval]) > 0)`, "{{service}}"),
		stacked(lines("A loop of a worker", "s", "Where the time of a loop goes.",
			`sum by (stage) (rate(coinbench_worker_stage_seconds_total{run="$run"}[$__rate_interval]))`+
				` / on () group_left () sum(rate(coinbench_worker_hashes_total{run="$run"}[$__rate_interval]))`, "{{stage}}")),
		lines("Workers", "none", "Workers that loop: X against N is the hash rate above against this.",
			`count(rate(coinbench_worker_hashes_total{run="$run"}[$__rate_interval]))`, "workers",
			`coinbench_replicas_desired{run="$run"}`, "{{service}}, desired"),
	)
}

// compare lays two runs over each other, which export --shift lets begin at the same time.
func compare() Dashboard {
	both := func(query, legend string) []string {
		return []string{query, strings.TrimSpace("run " + legend), of("other", query), strings.TrimSpace("other " + legend)}
	}
	other := values("other", "Other run", "coinbench_run_info", false)
	return board("coinbench-compare", "coinbench / Compare", "Two runs over each other: export them with --shift and the same instant.",
		[]Variable{runVariable(), other, loadVariable()},
		lines("Hash rate", "none", "Loops that the workers of each run complete, per second.", both(hashRate, "")...),
		lines("Response time p99", "s", "Response time of requests that succeeded, from due to done.", both(p("0.99"), "{{load}}")...),
		share(lines("Utilisation", "percentunit", "Share of a service's slots that is busy.", both(utilisation, "{{service}}")...)),
		share(lines("Failed share", "percentunit", "Share of requests that failed.", both(failed, "{{load}}")...)),
	)
}

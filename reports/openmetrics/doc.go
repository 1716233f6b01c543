// Package openmetrics makes metrics of a run's history, for Prometheus: those that a scrape sees while the run is recorded, and all of a
// recorded run as OpenMetrics text with the instants at which they held, which `promtool tsdb create-blocks-from openmetrics` reads.
//
// What tasks export themselves keeps its name; the labels run, service, slot, task and version are those that service discovery gives it
// when Prometheus scrapes the tasks. So one query serves a run that is scraped and one that was exported.
package openmetrics

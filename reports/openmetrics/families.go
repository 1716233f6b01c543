package openmetrics

import (
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"

	"coinbench/history"
)

// Family is a metric as it is documented. Durations are in seconds, sizes in bytes.
type Family struct {
	Name string // as in a query, with _total; of a histogram or a summary without _bucket, _sum and _count
	Kind dto.MetricType
	Help string
}

// The names of the families that coinbench makes itself.
const (
	RunInfo         = "coinbench_run_info"
	Step            = "coinbench_step"
	Window          = "coinbench_window"
	ReplicasDesired = "coinbench_replicas_desired"
	Replicas        = "coinbench_replicas"
	TaskState       = "coinbench_task_state"
	RolloutActive   = "coinbench_rollout_active"
	FaultActive     = "coinbench_fault_active"
	Events          = "coinbench_events_total"
	LoadRequests    = "coinbench_load_requests_total"
	LoadBytes       = "coinbench_load_received_bytes_total"
	LoadAnswers     = "coinbench_load_answers_total"
	LoadGap         = "coinbench_load_longest_gap_seconds"
	LoadResponse    = "coinbench_load_response_seconds"
	LoadService     = "coinbench_load_service_seconds"
	LoadLag         = "coinbench_load_lag_seconds"
)

// Families are all metrics that are known, by name. Those of a service that exports others are exported too.
func Families() []Family {
	gauge, counter, histogram, summary := dto.MetricType_GAUGE, dto.MetricType_COUNTER, dto.MetricType_HISTOGRAM, dto.MetricType_SUMMARY
	all := []Family{
		{RunInfo, gauge, "1, with what the run is."},
		{Step, gauge, "1 while a step of the scenario is in force."},
		{Window, gauge, "1 while a measurement window is open."},
		{ReplicasDesired, gauge, "Replicas that a service is to have."},
		{Replicas, gauge, "Tasks by state: starting, running (in rotation) or stopping."},
		{TaskState, gauge, "State of a task: 1 starting, 2 running (in rotation), 3 stopping, 0 gone."},
		{RolloutActive, gauge, "1 while a rollout of the service is in progress."},
		{FaultActive, gauge, "Faults in force that the scenario asked for, by kind."},
		{Events, counter, "Events of the run, by kind."},
		{LoadRequests, counter, "Requests that ended, by how: ok, or a class of failure."},
		{LoadBytes, counter, "Bytes of bodies received."},
		{LoadAnswers, counter, "Answers by the replica that gave them."},
		{LoadGap, gauge, "The longest time without a success so far."},
		{LoadResponse, histogram, "Response time of requests that succeeded: from due to done."},
		{LoadService, histogram, "Service time of requests that succeeded: from sent to done."},
		{LoadLag, histogram, "Lag of requests that were sent: from due to sent."},
		{history.Requests, counter, "Requests answered, by code and method."},
		{history.Busy, counter, "Seconds of occupied server, summed over its slots."},
		{history.Concurrency, gauge, "Requests that a replica serves at once; 0: unlimited."},
		{history.InFlight, gauge, "Requests in service."},
		{history.QueueLength, gauge, "Requests that wait for a slot."},
		{strings.TrimSuffix(history.QueueSum, "_sum"), summary, "Time that requests waited for a slot."},
		{strings.TrimSuffix(history.ServiceSum, "_sum"), summary, "Time that requests were in service."},
		{history.Hashes, counter, "Loops completed by a replica of the driver."},
		{history.LastHash, gauge, "Unix time at which the latest loop completed."},
		{history.Counted, counter, "Hashes that were added to the store."},
		{history.Lost, counter, "Hashes done but never added to the store, lost by an exception."},
		{history.Unflushed, gauge, "Hashes done and waiting for the next flush."},
		{history.Coins, counter, "Hashes that start with 0."},
		{history.Posted, counter, "POSTs that the last station answered."},
		{history.WorkerErrors, counter, "Exceptions, by class."},
		{history.Backoffs, counter, "Times that a replica of the driver began to wait after an exception."},
		{history.Silence, counter, "Seconds for which it waited after exceptions."},
		{history.BackingOff, gauge, "1 while it waits after an exception."},
		{history.StageSum, counter, "Seconds spent, by stage of the loop."},
		{history.StageCount, counter, "Stages of the loop gone through."},
		{history.Slept, counter, "Seconds for which delays were to last."},
		{history.SleptLate, counter, "Seconds by which delays lasted longer."},
		{history.ProcessCPU, counter, "Processor time of a replica's process."},
		{"process_resident_memory_bytes", gauge, "Resident memory of a replica's process."},
		{history.HostCPU, counter, "Seconds that the host's processors offered, all together."},
		{history.HostBusy, counter, "Those that something used."},
		{history.HostPressure, counter, "Time in which something was ready to run and had to wait for a processor."},
		{history.RedisHashes, gauge, "Units of work counted in the store: what the web page reads."},
		{history.RedisCoins, gauge, "Coins in the store."},
	}
	slices.SortFunc(all, func(a, b Family) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// familyOf is what a series of a reading belongs to: its family, and what follows the family's name in it.
func familyOf(known map[string]*Family, series string) (f *Family, suffix string) {
	if f := known[series]; f != nil {
		return f, ""
	}
	for _, end := range []string{"_sum", "_count"} {
		if base, ok := strings.CutSuffix(series, end); ok {
			if known[base] == nil {
				known[base] = &Family{base, dto.MetricType_SUMMARY, "As the service exports it."}
			}
			if known[base].Kind == dto.MetricType_SUMMARY {
				return known[base], end
			}
		}
	}
	f = &Family{series, dto.MetricType_GAUGE, "As the service exports it."}
	if strings.HasSuffix(series, "_total") {
		f.Kind = dto.MetricType_COUNTER
	}
	known[series] = f
	return f, ""
}

// unit is the family's unit, as the end of its name says.
func (f *Family) unit() string {
	for _, u := range []string{"seconds", "bytes"} {
		if strings.HasSuffix(f.base(), "_"+u) {
			return u
		}
	}
	return ""
}

// base is the family's name in OpenMetrics.
func (f *Family) base() string {
	if f.Kind == dto.MetricType_COUNTER {
		return strings.TrimSuffix(f.Name, "_total")
	}
	return f.Name
}

package loadgen

import (
	"strings"
	"testing"
	"time"

	"coinbench/history"
)

// histogramOf holds 98 small values and two large ones, so that p99 is d.
func histogramOf(d time.Duration) *history.Histogram {
	h := history.NewHistogram()
	_ = h.RecordValues(int64(10*time.Microsecond), 98)
	_ = h.RecordValues(int64(d), 2)
	return h
}

func TestJudgement(t *testing.T) {
	open := Workload{Schedule: "500/s"}
	closed := Workload{Clients: 10}
	slow := history.NewHistogram()
	_ = slow.RecordValues(int64(200*time.Millisecond), 100)
	for _, c := range []struct {
		name          string
		change        func(*judgeInput)
		invalid, warn string // in the texts; "": no such text at all
	}{
		{"nothing wrong", func(*judgeInput) {}, "", ""},
		{"open, nothing wrong", func(f *judgeInput) { f.w, f.late = open, histogramOf(500*time.Microsecond) }, "", ""},
		{"some lag", func(f *judgeInput) { f.w, f.late = open, histogramOf(2*time.Millisecond) }, "", "lag p99 is 2"},
		{"lag", func(f *judgeInput) { f.w, f.late = open, histogramOf(8*time.Millisecond) }, "lag p99 is 8", ""},
		{"lag of the pacer", func(f *judgeInput) { f.w, f.late = open, histogramOf(8*time.Millisecond) }, "lag p99 is 8", ""},
		{"lag of a few", func(f *judgeInput) {
			f.w, f.late = open, histogramOf(500*time.Microsecond)
			for range 2 {
				history.Observe(&f.late, 800*time.Millisecond)
			}
			_ = f.late.RecordValues(int64(500*time.Microsecond), 998)
		}, "", "sent 2 of 1000 requests (0.2 %) more than 5.00 ms late, up to 800 ms"},
		{"lag that does not matter", func(f *judgeInput) { f.w, f.late, f.service = open, histogramOf(8*time.Millisecond), slow }, "", "lag p99"},
		{"lag of a closed load is think time's", func(f *judgeInput) { f.w, f.late = closed, histogramOf(time.Second) }, "", ""},
		{"waited", func(f *judgeInput) { f.w, f.totals.waited = open, 7 }, "", "7 of 1000 requests waited because all 10 connections"},
		{"dropped", func(f *judgeInput) { f.w, f.totals.failures[dropped] = open, 5 }, "", "5 of 1005 requests were dropped"},
		{"CPU", func(f *judgeInput) { f.used.cpu = 19500 * time.Millisecond }, "98 % of its 2 CPUs", ""},
		{"much CPU", func(f *judgeInput) { f.used.cpu = 17 * time.Second }, "", "85 % of its 2 CPUs"},
		{"collector", func(f *judgeInput) { f.used.pause = time.Second }, "garbage collector", ""},
		{"some collector", func(f *judgeInput) { f.used.pause = 200 * time.Millisecond }, "", "garbage collector"},
		{"starved", func(f *judgeInput) { f.used.starved = 6 * time.Second }, "", "waited 6.0 s for a CPU"},
		{"ports", func(f *judgeInput) { f.noPorts = 3 }, "3 connections failed because this machine's ephemeral ports", ""},
		{"ports soon", func(f *judgeInput) { f.opened = 100_000 }, "", "600000 new connections a minute with 28232 ephemeral ports"},
		{"ports on loopback", func(f *judgeInput) { f.opened, f.loopback = 100_000, true }, "", ""},
		{"files", func(f *judgeInput) { f.noFiles = 3 }, "ulimit -n", ""},
		{"SYN", func(f *judgeInput) { f.retried, f.opened = 2, 50 }, "", "2 of 50 connections took about 1, 3 or 7 s"},
		{"even", func(f *judgeInput) { f.totals.replicas = map[string]int64{"a": 100, "b": 110, "c": 90} }, "", ""},
		{"uneven", func(f *judgeInput) { f.totals.replicas = map[string]int64{"a": 200, "b": 100, "c": 0} }, "", "(a 67 %, b 33 %, c 0 %)"},
		{"uneven, but not our doing", func(f *judgeInput) {
			f.w.Reuse.PerRequest = true
			f.totals.replicas = map[string]int64{"a": 200, "b": 100}
		}, "", ""},
		{"too few to say", func(f *judgeInput) { f.totals.replicas = map[string]int64{"a": 20, "b": 10} }, "", ""},
	} {
		f := judgeInput{w: closed, elapsed: 10 * time.Second, procs: 2, totals: &totals{ok: 1000}, max: 10, ports: 28232}
		c.change(&f)
		invalid, warnings := judgement(f)
		for _, x := range []struct {
			what, want string
			got        []string
		}{{"invalid", c.invalid, invalid}, {"warnings", c.warn, warnings}} {
			text := strings.Join(x.got, "\n")
			if (x.want == "") != (text == "") || !strings.Contains(text, x.want) {
				t.Errorf("%s: %s: %q, want %q", c.name, x.what, text, x.want)
			}
		}
	}
}

func TestRetransmitted(t *testing.T) {
	for d, want := range map[time.Duration]bool{
		0: false, time.Millisecond: false, 900 * time.Millisecond: false, 1001 * time.Millisecond: true, 1200 * time.Millisecond: true,
		2 * time.Second: false, 3010 * time.Millisecond: true, 7100 * time.Millisecond: true, 8 * time.Second: false,
	} {
		if retransmitted(d) != want {
			t.Errorf("%v: %v, want %v", d, !want, want)
		}
	}
}

package main

import (
	"io"
	"os"
	"strings"
	"testing"

	"coinbench/labs"
)

func labProcess() process {
	return process{env: os.LookupEnv, environ: os.Environ(), stdout: io.Discard, stderr: io.Discard, secrets: secretsOf(process{})}
}

// Every lab, on three seeds: each answer that it knows has its own outcome and its own paragraph.
func TestClaimLabsTeachWhatTheySay(t *testing.T) {
	p := labProcess()
	var out strings.Builder
	p.stdout = &out
	all, err := labs.All()
	if err != nil {
		t.Fatal(err)
	}
	if err := proveLabs(p, all, 3, clusterFlags{name: "sim"}); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
	for _, language := range labs.Languages()[1:] {
		for i := range all {
			l, err := labs.Load(all[i].Name, language)
			if err != nil {
				t.Fatal(err)
			}
			if l.Title == all[i].Title {
				continue // not translated
			}
			if err := proveLabs(p, []labs.Lab{l}, 1, clusterFlags{name: "sim"}); err != nil {
				t.Errorf("%s: %v\n%s", language, err, out.String())
			}
		}
	}
}

// An app that is not what a lab is about turns it red, whatever its numbers are: the workshop itself lost its bottleneck twice.
func TestClaimALostLessonTurnsALabRed(t *testing.T) {
	p := labProcess()
	for _, c := range []struct{ name, lab, round, old, new string }{
		{"an rng with threads", "ten-times-the-workers", labs.Question, "rng: 1,", "rng: {replicas: 1, environment: {COIN_ACCEPT: pool, " +
			"COIN_CONCURRENCY: 100}},"},
		{"connections that are kept", "nothing-happened", labs.Transfer, `COIN_KEEP_ALIVE: "${keep}"`, "COIN_KEEP_ALIVE: true"},
		{"a hasher with a pool of 30", "fifty-at-once", labs.Transfer, "hasher: 1,", "hasher: {replicas: 1, environment: {COIN_CONCURRENCY: " +
			"30}},"},
		{"turns instead of chance", "fair-or-random", labs.Question, `balance: "${balance}"`, "balance: round-robin"},
		{"workers that stop when told", "slow-release", labs.Question, `COIN_ON_SIGTERM: "${sigterm}"`, "COIN_ON_SIGTERM: exit"},
		{"a back-off that is short", "two-seconds", labs.Question, `COIN_BACKOFF: "${backoff}"`, "COIN_BACKOFF: 100ms"},
		{"connections that are not kept", "nothing-happened", labs.Question, `COIN_KEEP_ALIVE: "${keep}"`, "COIN_KEEP_ALIVE: false"},
	} {
		l, err := labs.Load(c.lab, "en")
		if err != nil {
			t.Fatal(err)
		}
		changed := strings.Replace(l.Scenario, c.old, c.new, 1)
		if changed == l.Scenario {
			t.Fatalf("%s: %q is not in the scenario of %s", c.name, c.old, c.lab)
		}
		l.Scenario = changed
		if r, err := proveRound(p, &l, c.round, 1, clusterFlags{name: "sim"}); err != nil || len(r.faults) == 0 {
			t.Errorf("%s: %+v, %v", c.name, r, err)
		}
	}
}

// On a busy machine delays last a few percent longer, which no run is invalid for: then it cannot tell, and no right prediction is wrong.
func TestARunThatIsSlowerThanItsSettingsCannotTell(t *testing.T) {
	l, err := labs.Load("four-or-three", "en")
	if err != nil {
		t.Fatal(err)
	}
	for think, want := range map[string]labs.Outcome{"200ms": labs.Right, "208ms": labs.Right, "224ms": labs.CannotTell, "170ms": labs.CannotTell} {
		slow := l
		slow.Scenario = strings.Replace(l.Scenario, "${think}", think, 1)
		r, err := playLab(labProcess(), &slow, labs.Transfer, 1, clusterFlags{name: "sim"})
		if err != nil || slow.Scenario == l.Scenario {
			t.Fatal(err)
		}
		if f := l.Transfer.Judge(2.5, r.analysis, r.vars); f.Outcome != want {
			t.Errorf("think %s: %+v, want %s", think, f, want)
		}
	}
}

package main

import (
	"context"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"coinbench/labs"
	"coinbench/labs/web"
	"coinbench/live"
)

// learner is a process whose labs are in a folder of its own.
func learner(t *testing.T) process {
	t.Helper()
	p := labProcess()
	state := t.TempDir()
	p.env = func(name string) (string, bool) {
		if name == "XDG_STATE_HOME" {
			return state, true
		}
		return os.LookupEnv(name)
	}
	return p
}

// aLabInABrowser goes through the first lab on the simulator: a wrong prediction has its paragraph, then the other setting is predicted
// rightly. What is done in the terminal meanwhile is seen.
func aLabInABrowser(t *testing.T, ctx context.Context) {
	p := learner(t)
	s := newLabServer(t.Context(), p, "en", clusterFlags{name: "sim"})
	defer s.end()
	server := httptest.NewServer(web.Handler(s, live.Config{Token: "key"}))
	defer server.Close()
	defer server.CloseClientConnections() // of the live page
	if err := chromedp.Do(ctx, chromedp.Navigate(server.URL+"/?lab=four-or-three#key")); err != nil {
		t.Fatal(err)
	}
	fill := func(verb, values string) {
		t.Helper()
		poll(t, ctx, `document.querySelector("form button.main:enabled")?.textContent === "`+verb+`"`)
		eval[bool](t, ctx, `{
			const form = document.querySelector("form"), values = `+values+`
			for (const [name, value] of Object.entries(values)) form.elements[name].value = value
			form.requestSubmit()
			true
		}`)
	}
	says := func(text string) {
		t.Helper()
		poll(t, ctx, `document.querySelector("main").innerText.includes("`+text+`")`)
	}
	says("How many hashes per second does one worker make")
	fill("Predict", `{number: "4", confidence: "95"}`)
	says("Your prediction: 4 hashes/s, 95 % sure")
	fill("Run", `{cluster: "sim"}`)
	poll(t, ctx, `/INCONCLUSIVE|PASS/.test(document.querySelector("iframe")?.contentDocument?.querySelector("#badge")?.textContent)`)
	says("the line of the window watched") // and the report is on this side too
	fill("Check", `{number: "3.33"}`)
	says("wrong model: display")
	says("it is the size of one step of the counter")
	says("Now the worker thinks for 0.2 s")

	v, err := visitLab(p, "four-or-three", "en")
	if err != nil {
		t.Fatal(err)
	}
	if err := v.predict("2.5", 50); err != nil { // in the terminal
		t.Fatal(err)
	}
	says("Your prediction: 2.5 hashes/s, 50 % sure")
	fill("Run", `{cluster: "sim"}`)
	fill("Check", `{number: "2.5"}`)
	says("This lab is done.")
	if v, err = visitLab(p, "four-or-three", "en"); err != nil || v.standing() != "wrong model, then right" {
		t.Errorf("the terminal says %q, %v", v.standing(), err)
	}
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(320, 800)); err != nil {
		t.Fatal(err)
	}
	if wide := eval[int](t, ctx, `document.documentElement.scrollWidth`); wide > 320 {
		t.Errorf("in a window of 320 the page is %d wide", wide)
	}
	if below := eval[bool](t, ctx, `document.querySelector("iframe").getBoundingClientRect().top >=
		document.querySelector("main").getBoundingClientRect().bottom`); !below {
		t.Error("on a telephone the run is not below the lab")
	}
	if err := chromedp.Do(ctx, chromedp.Navigate(server.URL+"/")); err != nil {
		t.Fatal(err)
	}
	says("wrong model, then right")
	says("1 of 2 predictions right")
}

// A step that a page may not take now changes nothing, and says why, in the words of the command.
func TestALabServerRefusesWhatTheCommandsRefuse(t *testing.T) {
	p := learner(t)
	s := newLabServer(t.Context(), p, "en", clusterFlags{name: "sim"})
	defer s.end()
	const lab = "ten-times-the-workers"
	for _, c := range []struct {
		step web.Step
		want string // "": it is taken
	}{
		{web.Step{Lab: "no-such-lab", Verb: web.Hint}, "unknown"},
		{web.Step{Lab: lab, Verb: "solve"}, "accepted: predict, run, check, hint, reset"},
		{web.Step{Lab: lab, Verb: web.Run, Cluster: "sim"}, "predict first"},
		{web.Step{Lab: lab, Verb: web.Check, Number: "10", Evidence: "rng"}, "there is no run to check"},
		{web.Step{Lab: lab, Verb: web.Predict, Number: "ten", Confidence: 75}, "accepted: a number"},
		{web.Step{Lab: lab, Verb: web.Predict, Number: "10", Confidence: 100}, "accepted: 50, 75, 95"},
		{web.Step{Lab: lab, Verb: web.Hint}, ""},
		{web.Step{Lab: lab, Verb: web.Predict, Number: "10", Confidence: 75}, ""},
		{web.Step{Lab: lab, Verb: web.Predict, Number: "11", Confidence: 75}, "sealed"},
		{web.Step{Lab: lab, Verb: web.Run, Cluster: "local"}, "accepted: sim"},
		{web.Step{Lab: lab, Verb: web.Run, Cluster: "sim"}, ""},
		{web.Step{Lab: lab, Verb: web.Check, Number: "10"}, "and one of worker, rng, hasher"},
		{web.Step{Lab: lab, Verb: web.Check, Number: "10", Evidence: "redis"}, "accepted: worker, rng, hasher"},
		{web.Step{Lab: lab, Verb: web.Check, Number: "10", Evidence: "rng"}, ""},
		{web.Step{Lab: lab, Verb: web.Predict, Number: "10", Confidence: 75}, ""},
		{web.Step{Lab: lab, Verb: web.Reset}, ""},
	} {
		before, _ := s.Version(lab)
		err := s.Take(c.step)
		s.work.Wait() // for its run
		after, _ := s.Version(lab)
		switch {
		case c.want == "" && (err != nil || after == before):
			t.Errorf("%+v: %v, %s", c.step, err, after)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || after != before):
			t.Errorf("%+v: %v, want %q; %s, then %s", c.step, err, c.want, before, after)
		}
	}
	for _, path := range []string{"../1/run-4", "1/..", "1/run-4/..", "0/run-1", "1/run-99"} {
		attempt, run, _ := strings.Cut(path, "/")
		if _, err := s.Watch(lab, attempt, run); err == nil {
			t.Errorf("%s was shown", path)
		}
	}
	v, err := visitLab(p, lab, "en")
	if err != nil || v.state.Phase != labs.ToPredict || filepath.Base(v.attempt.Dir) != "2" {
		t.Errorf("%+v, %v", v.state, err)
	}
}

package main

import (
	"bytes"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"coinbench/labs"
	"coinbench/labs/board"
	"coinbench/labs/web"
)

// A trainer, two learners and a third who runs first: the room's numbers reach new attempts, votes arrive in the order of what is done, and
// the trainer's run says who thought how.
func TestARoomVotes(t *testing.T) {
	const lab = "ten-times-the-workers"
	sim := clusterFlags{name: "sim"}
	tp := learner(t)
	tr, err := newTrainer(tp, 7)
	if err != nil {
		t.Fatal(err)
	}
	b := board.New()
	follow := func() {
		t.Helper()
		if err := tr.follow(b); err != nil {
			t.Fatal(err)
		}
	}
	follow()
	server := httptest.NewServer(b.Handler(board.Keys{Room: "ROOM", Trainer: "TRAINER"}, nil))
	defer server.Close()

	join := func(name string) *labServer {
		t.Helper()
		s := newLabServer(t.Context(), learner(t), "en", sim)
		t.Cleanup(s.end)
		if s.share, err = newSharer(s.p, server.URL+"/#ROOM", name); err != nil {
			t.Fatal(err)
		}
		return s
	}
	take := func(s *labServer, step web.Step) {
		t.Helper()
		step.Lab = lab
		if err := s.Take(step); err != nil {
			t.Fatal(err)
		}
		s.work.Wait() // for its run
	}
	shared := func(s *labServer, want string) {
		t.Helper()
		i := slices.IndexFunc(s.share.labs, func(l labs.Lab) bool { return l.Name == lab })
		if err := s.share.share(t.Context(), &s.share.labs[i]); err != nil {
			t.Fatal(err)
		}
		if got, err := s.View(lab); err != nil || !strings.Contains(got.Shared, want) || want == "" && got.Shared != "" {
			t.Errorf("shared: %q, %v; want %q", got.Shared, err, want)
		}
	}
	round := func() board.Round {
		t.Helper()
		v, err := b.View(time.Now(), lab, false)
		if err != nil {
			t.Fatal(err)
		}
		return v.Rounds[0]
	}
	workers := func(p process) float64 {
		t.Helper()
		v, err := visitLab(p, lab, "en")
		if err != nil {
			t.Fatal(err)
		}
		vars, err := v.vars("question")
		if err != nil {
			t.Fatal(err)
		}
		return vars["workers"]
	}

	ada, bob, eve := join("Ada"), join(""), join("")
	for i, s := range []*labServer{ada, bob, eve} {
		if i == 0 { // who goes on in the terminal has the room's numbers too
			if err := s.share.begin(time.Now()); err != nil {
				t.Fatal(err)
			}
		} else {
			take(s, web.Step{Verb: web.Hint}) // begins
		}
		if got, want := workers(s.p), workers(tp); got != want {
			t.Errorf("a learner has %g workers, the room %g", got, want)
		}
	}
	linear := map[float64]string{8: "26.7", 12: "40", 15: "50"}[workers(tp)]
	take(ada, web.Step{Verb: web.Predict, Number: linear, Confidence: 95})
	shared(ada, "is on the room's board")
	shared(ada, "is on the room's board") // nothing has moved
	take(eve, web.Step{Verb: web.Predict, Number: "10", Confidence: 95})
	take(eve, web.Step{Verb: web.Run, Cluster: "sim"})
	shared(eve, "") // ran first: there is no vote
	if r := round(); r.Votes != 1 || r.Bars != nil {
		t.Errorf("%+v", r)
	}
	take(eve, web.Step{Verb: web.Reset})
	take(eve, web.Step{Verb: web.Predict, Number: "10", Confidence: 95})
	shared(eve, "no prediction follows a run")

	v, err := visitLab(tp, lab, "en")
	if err != nil {
		t.Fatal(err)
	}
	v.p.stdout = discard{}
	v.out = &labPage{}
	if err := v.predict("", 75); err != nil {
		t.Fatal(err)
	}
	follow()
	if r := round(); len(r.Bars) != 1 || r.Bars[0].Number != linear || r.Bars[0].Sure != 95 || r.Measured != "" {
		t.Errorf("%+v", r)
	}
	if err := v.run(sim); err != nil {
		t.Fatal(err)
	}
	follow()
	take(bob, web.Step{Verb: web.Predict, Number: "10", Confidence: 50})
	shared(bob, "the room's run has begun")
	r := round()
	if r.Votes != 1 || r.Measured != "10" || r.Bars[0].Means != "Each worker as if it were alone" || len(r.Models) != 5 ||
		r.Models[0].Count != 0 || r.Models[1].Count != 1 || r.Models[1].Number != linear {
		t.Errorf("%+v", r)
	}
	var csv bytes.Buffer
	want := "\n" + lab + ",question,Ada," + linear + ",95,wrong model,linear\n"
	if err := b.WriteCSV(&csv); err != nil || !strings.HasSuffix(csv.String(), want) {
		t.Errorf("%q, %v", csv.String(), err)
	}
	w, err := b.View(time.Now(), lab, true)
	if err != nil || len(w.Learners) != 3 || w.Learners[0].Name != "Ada" || w.Learners[2].Name != "learner 3" ||
		w.Learners[2].Text != "predicted" {
		t.Errorf("%+v, %v", w.Learners, err)
	}

	// The same learner comes back, and is the same; in another room they are another.
	again, err := newSharer(ada.p, server.URL+"/#ROOM", "")
	if err != nil || again.learner != ada.share.learner {
		t.Errorf("%v", err)
	}
	other, err := newSharer(ada.p, server.URL+"/#OTHER", "")
	if err != nil || other.learner == ada.share.learner {
		t.Errorf("%v", err)
	}

	// A board that is gone stops nobody, and is said.
	server.Close()
	take(bob, web.Step{Verb: web.Reset})
	if got, err := bob.View(lab); err != nil || !strings.Contains(got.Shared, "Not shared now") {
		t.Errorf("%q, %v", got.Shared, err)
	}
}

package board_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"coinbench/labs"
	"coinbench/labs/board"
	"coinbench/live"
)

const (
	lab  = "ten-times-the-workers"
	id   = "0123456789abcdef0123456789abcdef"
	seed = 7
)

func standing(t *testing.T, attempt string, m board.Measured) board.Standing {
	t.Helper()
	l, err := labs.Load(lab, "en")
	if err != nil {
		t.Fatal(err)
	}
	other := board.Measured{Vars: labs.Numbers(l.Settings(labs.Transfer, seed))}
	m.Vars = labs.Numbers(l.Settings(labs.Question, seed))
	return board.Standing{Lab: l, Attempt: attempt, Seed: seed, Round: labs.Question,
		Rounds: map[string]board.Measured{labs.Question: m, labs.Transfer: other}}
}

func vote(s board.Standing, learner int, number float64) board.Vote {
	return board.Vote{Learner: fmt.Sprintf("%032x", learner), Lab: lab, Round: labs.Question, Settings: board.Drawn(&s.Lab, seed),
		Number: number, Confidence: 75}
}

func refused(t *testing.T, what string, err error, code int) {
	t.Helper()
	var r *board.Refusal
	if !errors.As(err, &r) || r.Code != code {
		t.Errorf("%s: %v, want %d", what, err, code)
	}
}

func view(t *testing.T, b *board.Board, now time.Time, trainer bool) board.View {
	t.Helper()
	v, err := b.View(now, "", trainer)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// What the trainer does leads the room: numbers are hidden until the trainer has predicted, and no vote follows the begin of the run.
func TestTheTrainersStepsLeadTheVote(t *testing.T) {
	b, now := board.New(), time.Unix(1e9, 0)
	open := standing(t, "1", board.Measured{})
	b.Follow(open)
	if err := b.Vote(now, vote(open, 1, 40)); err != nil {
		t.Fatal(err)
	}
	if err := b.Vote(now, vote(open, 1, 48)); err != nil { // thought again, with a neighbour
		t.Fatal(err)
	}
	if err := b.Vote(now, vote(open, 2, 48.001)); err != nil {
		t.Fatal(err)
	}
	if r := view(t, b, now, false).Rounds[0]; r.Votes != 2 || r.Bars != nil || !strings.HasPrefix(r.Stage, "open") {
		t.Errorf("before the trainer has predicted: %+v", r)
	}
	if r := view(t, b, now, true).Rounds[0]; len(r.Bars) != 1 || r.Bars[0].Count != 2 || r.Bars[0].Number != "48" || r.Bars[0].Means != "" {
		t.Errorf("to the trainer: %+v", r)
	}
	b.Follow(standing(t, "1", board.Measured{Shown: true}))
	if r := view(t, b, now, false).Rounds[0]; len(r.Bars) != 1 || r.Models != nil {
		t.Errorf("when the trainer has predicted: %+v", r)
	}
	b.Follow(standing(t, "1", board.Measured{Shown: true, Closed: true}))
	refused(t, "a vote after the run began", b.Vote(now, vote(open, 3, 10)), http.StatusConflict)
	refused(t, "another number after the run began", b.Vote(now, vote(open, 1, 10)), http.StatusConflict)
	if r := view(t, b, now, false).Rounds[0]; r.Votes != 2 || r.Bars[0].Count != 2 {
		t.Errorf("a vote after the run counted: %+v", r)
	}
	b.Follow(standing(t, "2", board.Measured{})) // the trainer begins anew
	if r := view(t, b, now, false).Rounds[0]; r.Votes != 0 {
		t.Errorf("a new attempt: %+v", r)
	}
	if err := b.Vote(now, vote(open, 3, 10)); err != nil {
		t.Error(err)
	}
}

func TestWhatABoardRefuses(t *testing.T) {
	b, now := board.New(), time.Unix(1e9, 0)
	s := standing(t, "1", board.Measured{Shown: true})
	b.Follow(s)
	for _, c := range []struct {
		what   string
		change func(*board.Vote)
		code   int
	}{
		{"no learner", func(v *board.Vote) { v.Learner = "" }, 400},
		{"a learner of another shape", func(v *board.Vote) { v.Learner = strings.Repeat("g", 32) }, 400},
		{"markup for a name", func(v *board.Vote) { v.Name = "<img src=x onerror=alert(1)>" }, 400},
		{"a formula for a name", func(v *board.Vote) { v.Name = "=cmd|x" }, 400},
		{"a name that turns the line", func(v *board.Vote) { v.Name = "a\u202eb" }, 400},
		{"a name as long as a line", func(v *board.Vote) { v.Name = strings.Repeat("a", 25) }, 400},
		{"a lab that there is not", func(v *board.Vote) { v.Lab = "../x" }, 404},
		{"a round that there is not", func(v *board.Vote) { v.Round = "x" }, 400},
		{"a number beyond measure", func(v *board.Vote) { v.Number = 1e10 }, 400},
		{"a confidence that is not asked for", func(v *board.Vote) { v.Confidence = 100 }, 400},
		{"other numbers than the room's", func(v *board.Vote) { v.Settings = map[string]string{"workers": "9"} }, 409},
	} {
		v := vote(s, 1, 40)
		c.change(&v)
		refused(t, c.what, b.Vote(now, v), c.code)
	}
	for _, p := range []board.Progress{
		{Learner: id, Lab: lab, Round: labs.Question, Phase: "dance"}, {Learner: id, Lab: lab, Phase: labs.ToRun},
		{Learner: id, Lab: lab, Round: labs.Question, Phase: labs.Done}, {Learner: id, Lab: lab, Round: labs.Question, Phase: labs.ToRun, Last: "<b>"},
	} {
		refused(t, fmt.Sprint(p), b.Progress(now.Add(time.Minute), p), 400)
	}
	if v := view(t, b, now, true); v.Rounds[0].Votes != 0 {
		t.Errorf("%+v", v.Rounds)
	}
	// Who has run it knows the answer.
	later := now.Add(time.Hour)
	if err := b.Progress(later, board.Progress{Learner: id, Lab: lab, Round: labs.Question, Phase: labs.ToCheck}); err != nil {
		t.Fatal(err)
	}
	v := vote(s, 1, 10)
	v.Learner = id
	refused(t, "a vote after one's own run", b.Vote(later, v), http.StatusConflict)
}

// However many arrive, a board holds so many learners and takes so many a second, and goes on.
func TestAFloodOfVotes(t *testing.T) {
	b, now := board.New(), time.Unix(1e9, 0)
	s := standing(t, "1", board.Measured{Shown: true})
	b.Follow(s)
	codes := map[int]int{}
	for i := range 1000 {
		var r *board.Refusal
		if err := b.Vote(now.Add(time.Duration(i/250)*time.Second), vote(s, i, float64(i))); errors.As(err, &r) {
			codes[r.Code]++
		} else if err == nil {
			codes[200]++
		}
	}
	if codes[200] != 200 || codes[429] != 600 || codes[503] != 200 {
		t.Errorf("%v", codes)
	}
	v := view(t, b, now.Add(time.Minute), false)
	if r := v.Rounds[0]; r.Votes != 200 || len(r.Bars) != 12 || r.Bars[11].Count != 189 || r.Bars[11].Number != "189 other numbers" {
		t.Errorf("%d votes, %+v", r.Votes, r.Bars)
	}
	if v.Learners != nil {
		t.Error("the room sees who is where")
	}
	if text, err := json.Marshal(v); err != nil || len(text) > 8<<10 {
		t.Errorf("a view of %d bytes, %v", len(text), err)
	}
}

// Forty learners, of whom one has not moved for five minutes: the trainer sees which one, and the room how many.
func TestWhoIsStuck(t *testing.T) {
	b, begun := board.New(), time.Unix(1e9, 0)
	b.Follow(standing(t, "1", board.Measured{}))
	move := func(at time.Time, i int, phase labs.Phase) {
		p := board.Progress{Learner: fmt.Sprintf("%032x", i), Lab: lab, Round: labs.Question, Phase: phase}
		if i == 17 {
			p.Name = "Zoë"
		}
		if phase == labs.Done {
			p.Round, p.Last = "", labs.Right
		}
		if err := b.Progress(at, p); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 40 {
		move(begun, i, labs.ToPredict)
	}
	for i := range 40 {
		switch {
		case i == 17:
			move(begun.Add(4*time.Minute), i, labs.ToPredict) // says the same again
		case i < 10:
			move(begun.Add(4*time.Minute), i, labs.Done)
		default:
			move(begun.Add(4*time.Minute), i, labs.ToRun)
		}
	}
	now := begun.Add(5 * time.Minute)
	v := view(t, b, now, true)
	if l := v.Labs[0]; l.Stuck != 1 || l.Predict != 1 || l.Run != 29 || l.Done != 10 {
		t.Errorf("%+v", l)
	}
	var stuck []string
	for _, s := range v.Learners {
		if s.Stuck {
			stuck = append(stuck, s.Name)
		}
	}
	if len(v.Learners) != 40 || len(stuck) != 1 || stuck[0] != "Zoë" || v.Learners[3].Name != "learner 4" {
		t.Errorf("%d learners, stuck: %q", len(v.Learners), stuck)
	}
	var csv bytes.Buffer
	if err := b.WriteCSV(&csv); err != nil || csv.String() != "lab,round,learner,prediction,confidence,outcome,model\n" {
		t.Errorf("%q, %v", csv.String(), err)
	}
}

func TestWhoMayLookAndShare(t *testing.T) {
	b := board.New()
	s := standing(t, "1", board.Measured{Shown: true})
	b.Follow(s)
	h := b.Handler(board.Keys{Room: "ROOM", Trainer: "TRAINER"}, []string{"trainers-laptop"})
	text, err := json.Marshal(vote(s, 1, 40))
	if err != nil {
		t.Fatal(err)
	}
	good := string(text)
	room, kind := live.TokenHeader+": ROOM", "Content-Type: application/json"
	for _, c := range []struct {
		name, method, url, body string
		headers                 []string
		want                    int
	}{
		{"the page", "GET", "http://192.168.1.5:8080/", "", nil, 200},
		{"the board without a key", "GET", "http://localhost/board", "", nil, 403},
		{"the board", "GET", "http://trainers-laptop:8080/board", "", []string{room}, 200},
		{"the board for its trainer", "GET", "http://localhost/board", "", []string{live.TokenHeader + ": TRAINER"}, 200},
		{"the board under a name that was made to point here", "GET", "http://evil.example/board", "", []string{room}, 421},
		{"a lab that there is not", "GET", "http://localhost/board?lab=%3Cb%3E", "", []string{room}, 404},
		{"a vote without the code", "POST", "http://localhost/vote", good, []string{kind}, 403},
		{"a vote with another code", "POST", "http://localhost/vote", good, []string{kind, live.TokenHeader + ": ROO"}, 403},
		{"a vote under another name", "POST", "http://evil.example/vote", good, []string{kind, room}, 421},
		{"a vote by GET", "GET", "http://localhost/vote", "", []string{room}, 405},
		{"another site's vote", "POST", "http://localhost/vote", good, []string{room, kind, "Sec-Fetch-Site: cross-site"}, 403},
		{"another site's vote, of an old browser", "POST", "http://localhost/vote", good, []string{room, kind, "Origin: http://evil.example"}, 403},
		{"a form's vote", "POST", "http://localhost/vote", good, []string{room, "Content-Type: text/plain"}, 400},
		{"a field that there is not", "POST", "http://localhost/vote", `{"path": "/etc"}`, []string{room, kind}, 400},
		{"two votes", "POST", "http://localhost/vote", good + good, []string{room, kind}, 400},
		{"a vote as long as a book", "POST", "http://localhost/vote", `{"lab": "` + strings.Repeat("x", 5000) + `"}`, []string{room, kind}, 400},
		{"a number that is none", "POST", "http://localhost/vote", strings.Replace(good, "40", "1e999", 1), []string{room, kind}, 400},
		{"a verb that the board does not have", "POST", "http://localhost/reset", "{}", []string{room, kind}, 404},
		{"a vote", "POST", "http://localhost/vote", good, []string{room, kind}, 204},
	} {
		r := httptest.NewRequest(c.method, c.url, strings.NewReader(c.body))
		for _, h := range c.headers {
			name, value, _ := strings.Cut(h, ": ")
			r.Header.Set(name, value)
		}
		got := httptest.NewRecorder()
		h.ServeHTTP(got, r)
		if got.Code != c.want {
			t.Errorf("%s: %d %s, want %d", c.name, got.Code, got.Body, c.want)
		}
		if policy := got.Header().Get("Content-Security-Policy"); !strings.Contains(policy, "trusted-types 'none'") {
			t.Errorf("%s: %q", c.name, policy)
		}
		if votes := view(t, b, time.Now(), false).Rounds[0].Votes; (votes > 0) != (c.name == "a vote") {
			t.Errorf("%s: %d votes", c.name, votes)
		}
		if c.url == "http://trainers-laptop:8080/board" && strings.Contains(got.Body.String(), `"learners"`) {
			t.Errorf("%s shows learners", c.name)
		}
	}
}

// What a learner brings arrives; what a board answers is bounded and harmless, and it leads nowhere else.
func TestARoom(t *testing.T) {
	b := board.New()
	s := standing(t, "1", board.Measured{})
	b.Follow(s)
	server := httptest.NewServer(b.Handler(board.Keys{Room: "ROOM", Trainer: "TRAINER"}, nil))
	defer server.Close()
	join := func(address string) *board.Room {
		r, err := board.Join(address)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	room := join(server.URL + "/#ROOM")
	if got, err := room.Seed(t.Context(), lab); err != nil || got != seed {
		t.Errorf("%d, %v", got, err)
	}
	if err := room.Vote(t.Context(), vote(s, 1, 40)); err != nil {
		t.Error(err)
	}
	bad := vote(s, 1, 40)
	bad.Settings = nil
	refused(t, "a vote with other numbers", room.Vote(t.Context(), bad), http.StatusConflict)
	refused(t, "another code", join(server.URL+"/#OTHER").Vote(t.Context(), bad), http.StatusForbidden)

	hostile := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/vote":
			http.Redirect(w, r, server.URL+"/elsewhere", http.StatusTemporaryRedirect)
		default:
			w.WriteHeader(http.StatusTeapot)
			fmt.Fprint(w, "\x1b[2J", strings.Repeat("a", 1<<20))
		}
	}))
	defer hostile.Close()
	room = join(hostile.URL + "#X")
	refused(t, "a board that sends elsewhere", room.Vote(t.Context(), vote(s, 1, 40)), http.StatusTemporaryRedirect)
	err := room.Progress(t.Context(), board.Progress{})
	refused(t, "a board that says much", err, http.StatusTeapot)
	if text := err.Error(); len(text) > 5000 || strings.Contains(text, "\x1b") {
		t.Errorf("%d bytes: %.40q", len(text), text)
	}
	for _, address := range []string{"", "localhost:8080", "http://localhost:8080", "file:///etc/passwd#x", "http://#x", "http://a:b@c/#x",
		"http://a/?b#x", "javascript:alert(1)#x"} {
		if _, err := board.Join(address); err == nil || !strings.Contains(err.Error(), "lab board") {
			t.Errorf("%q: %v", address, err)
		}
	}
}

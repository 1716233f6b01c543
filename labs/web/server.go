package web

import (
	"embed"
	"encoding/json"
	"net/http"
	"strings"

	"coinbench/live"
)

//go:embed page
var page embed.FS

// Verb is a step that a page may take.
type Verb string

// The steps.
const (
	Predict Verb = "predict"
	Run     Verb = "run"
	Check   Verb = "check"
	Hint    Verb = "hint"
	Reset   Verb = "reset"
)

// Step is what a page asks for. Fields that its verb does not have are empty.
type Step struct {
	Lab        string `json:"lab"`
	Verb       Verb   `json:"verb"`
	Number     string `json:"number,omitempty"` // that was typed: a prediction ("": none) or a reading
	Confidence int    `json:"confidence,omitempty"`
	Evidence   string `json:"evidence,omitempty"`
	Cluster    string `json:"cluster,omitempty"`
}

// Listed is a lab of the list.
type Listed struct {
	Name     string `json:"name"`
	Title    string `json:"title"`
	Minutes  int    `json:"minutes"`
	Standing string `json:"standing"` // of the learner
}

// List are all labs.
type List struct {
	Labs  []Listed `json:"labs"`
	Score string   `json:"score"` // "": nothing was judged
	Board string   `json:"board"` // address of the room's; "": none
}

// View is a lab as its learner finds it now.
type View struct {
	Version  string   `json:"version"` // another one where anything else is another
	Title    string   `json:"title"`
	Language string   `json:"language"`
	Text     []Node   `json:"text"`
	Phase    string   `json:"phase"`
	Unit     string   `json:"unit"`
	Sealed   string   `json:"sealed"` // the prediction of the round, if there is one
	Ask      string   `json:"ask"`    // for the evidence; "": none is asked for
	Choices  []string `json:"choices"`
	Hints    bool     `json:"hints"` // there are more
	Clusters []string `json:"clusters"`
	Running  bool     `json:"running"`
	Fault    string   `json:"fault"`  // why the last run that was begun here ended early
	Live     string   `json:"live"`   // path of the page of the last run; "": there is none
	Shared   string   `json:"shared"` // what became of what is shared; "": nothing to say
	Board    string   `json:"board"`  // address of the room's; "": none
	Next     *Listed  `json:"next"`
}

// Steps are what can be done in labs. They may be taken from several goroutines.
type Steps interface {
	Labs() (List, error)
	Version(lab string) (string, error) // of its View
	View(lab string) (View, error)
	Take(s Step) error
	Watch(lab, attempt, run string) (*live.Feed, error)
}

// Handler serves the labs to those who know the token of c.
func Handler(steps Steps, c live.Config) http.Handler {
	mux := http.NewServeMux()
	live.Files(mux, page, map[string]string{
		"": "text/html; charset=utf-8", "lab.css": "text/css; charset=utf-8", "lab.js": "text/javascript; charset=utf-8"})
	live.Files(mux, live.Page(), map[string]string{
		"live.css": "text/css; charset=utf-8", "chart.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml"})
	get := func(pattern string, answer func(r *http.Request) (any, error)) {
		mux.HandleFunc("GET "+pattern, live.Locked(c.Token, func(w http.ResponseWriter, r *http.Request) {
			v, err := answer(r)
			if err != nil {
				http.Error(w, err.Error(), http.StatusNotFound)
				return
			}
			if v == nil {
				w.WriteHeader(http.StatusNoContent)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(v)
		}))
	}
	get("/labs", func(*http.Request) (any, error) { return steps.Labs() })
	get("/view", func(r *http.Request) (any, error) {
		lab := r.URL.Query().Get("lab")
		if version, err := steps.Version(lab); err != nil || version == r.URL.Query().Get("known") {
			return nil, err
		}
		return steps.View(lab)
	})
	mux.HandleFunc("POST /step", live.Locked(c.Token, func(w http.ResponseWriter, r *http.Request) {
		var s Step
		if err := live.ReadJSON(w, r, &s); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if err := steps.Take(s); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	framed := c
	framed.Framed = true // beside the steps
	mux.HandleFunc("GET /live/{lab}/{attempt}/{run}/", func(w http.ResponseWriter, r *http.Request) {
		lab, attempt, run := r.PathValue("lab"), r.PathValue("attempt"), r.PathValue("run")
		feed, err := steps.Watch(lab, attempt, run)
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		http.StripPrefix(strings.Join([]string{"/live", lab, attempt, run}, "/"), feed.Handler(framed)).ServeHTTP(w, r)
	})
	return live.Guard(c.Hosts, mux)
}

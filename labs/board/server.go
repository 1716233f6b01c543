package board

import (
	"embed"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"coinbench/live"
)

//go:embed page
var page embed.FS

// Keys open a board.
type Keys struct {
	Room    string // to look on, and to share
	Trainer string // to look on, and to see who is where
}

// Handler serves the board to those who know a key of it. hosts are names under which it may be asked, besides those of this machine.
func (b *Board) Handler(keys Keys, hosts []string) http.Handler {
	mux := http.NewServeMux()
	live.Files(mux, live.Page(), map[string]string{
		"live.css": "text/css; charset=utf-8", "chart.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml"})
	live.Files(mux, page, map[string]string{
		"": "text/html; charset=utf-8", "board.css": "text/css; charset=utf-8", "board.js": "text/javascript; charset=utf-8"})
	known := func(r *http.Request) bool { return live.Holds(r, keys.Room) || live.Holds(r, keys.Trainer) }
	mux.HandleFunc("GET /board", live.LockedBy(known, func(w http.ResponseWriter, r *http.Request) {
		v, err := b.View(time.Now(), r.URL.Query().Get("lab"), live.Holds(r, keys.Trainer))
		answer(w, v, err)
	}))
	mux.HandleFunc("GET /seed", live.Locked(keys.Room, func(w http.ResponseWriter, r *http.Request) {
		seed, err := b.Seed(r.URL.Query().Get("lab"))
		answer(w, seed, err)
	}))
	take(mux, "POST /vote", keys.Room, b.Vote)
	take(mux, "POST /progress", keys.Room, b.Progress)
	return live.Guard(hosts, mux)
}

func take[T any](mux *http.ServeMux, pattern, key string, taken func(time.Time, T) error) {
	mux.HandleFunc(pattern, live.Locked(key, func(w http.ResponseWriter, r *http.Request) {
		var v T
		if err := live.ReadJSON(w, r, &v); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer(w, nil, taken(time.Now(), v))
	}))
}

// answer writes v as JSON, nothing for nil, or why there is none.
func answer(w http.ResponseWriter, v any, err error) {
	var refused *Refusal
	switch {
	case errors.As(err, &refused):
		http.Error(w, refused.Text, refused.Code)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	case v == nil:
		w.WriteHeader(http.StatusNoContent)
	default:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
}

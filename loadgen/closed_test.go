package loadgen

import (
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"coinbench/history"
)

// firsts keeps when each request was due and sent.
type firsts struct{ due, sent []time.Duration }

func (f *firsts) Interval(history.Interval) error { return nil }

func (f *firsts) Sample(s history.Sample) error {
	f.due, f.sent = append(f.due, s.Due), append(f.sent, s.Sent)
	return nil
}

// Clients that begin one after the other are due one after the other: beginning late is what was asked for, not lag.
func TestStaggeredClientsBeginOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		player := virtual(func(w io.Writer, _ *http.Request) bool {
			time.Sleep(time.Second)
			_, err := io.WriteString(w, hello)
			return err == nil
		})
		var got firsts
		w := Workload{Targets: []Target{{Method: "GET", URL: "http://127.0.0.1/"}}, Clients: 5, Requests: 5, Stagger: 10 * time.Millisecond}
		if _, err := player.Run(t.Context(), w, time.Now(), &got); err != nil {
			t.Fatal(err)
		}
		for i := range got.due {
			want := time.Duration(i) * w.Stagger
			if got.due[i] != want || got.sent[i] != want {
				t.Errorf("client %d was due at %s and sent at %s, want %s", i, got.due[i], got.sent[i], want)
			}
		}
		if len(got.due) != 5 {
			t.Errorf("%d samples, want 5", len(got.due))
		}
		leave()
	})
}

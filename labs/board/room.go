package board

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"coinbench/internal/visible"
	"coinbench/live"
)

// Room is a board of somebody else's, from which a learner takes the room's numbers, and to which they bring their own.
type Room struct {
	Base   string // its address, without the code
	code   string
	client *http.Client
}

// maxAnswer is more than a board says.
const maxAnswer = 4 << 10

// Join reads the address that a board printed.
func Join(address string) (*Room, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Fragment == "" || u.User != nil || u.RawQuery != "" {
		return nil, fmt.Errorf("board %q: accepted: the whole address that coinbench lab board printed, such as http://192.168.1.5:8080/#CODE",
			address)
	}
	code := u.Fragment
	u.Fragment = ""
	if !strings.HasSuffix(u.Path, "/") {
		u.Path += "/"
	}
	return &Room{Base: u.String(), code: code, client: &http.Client{
		Timeout:       3 * time.Second,
		Transport:     &http.Transport{MaxIdleConns: 1, IdleConnTimeout: time.Minute}, // without a proxy: the room is near
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Page is the address at which the room's board is seen.
func (r *Room) Page() string { return r.Base + "#" + r.code }

// Seed is what the room's numbers of a lab are drawn from.
func (r *Room) Seed(ctx context.Context, lab string) (seed uint64, err error) {
	text, err := r.ask(ctx, http.MethodGet, "seed?lab="+url.QueryEscape(lab), nil)
	if err == nil {
		err = json.Unmarshal(text, &seed)
	}
	return seed, err
}

// Vote shares a prediction. A Refusal means that it does not count.
func (r *Room) Vote(ctx context.Context, v Vote) error {
	_, err := r.ask(ctx, http.MethodPost, "vote", v)
	return err
}

// Progress shares how far a learner is.
func (r *Room) Progress(ctx context.Context, p Progress) error {
	_, err := r.ask(ctx, http.MethodPost, "progress", p)
	return err
}

func (r *Room) ask(ctx context.Context, method, path string, body any) ([]byte, error) {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	q, err := http.NewRequestWithContext(ctx, method, r.Base+path, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	q.Header.Set(live.TokenHeader, r.code)
	q.Header.Set("Content-Type", "application/json")
	answer, err := r.client.Do(q)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the address, which is known
		}
		return nil, fmt.Errorf("board %s: %w", r.Base, err)
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	switch said := visible.Text(strings.TrimSpace(string(got)), visible.Nothing); {
	case err != nil:
		return nil, fmt.Errorf("board %s: %w", r.Base, err)
	case answer.StatusCode == http.StatusOK || answer.StatusCode == http.StatusNoContent:
		return got, nil
	case answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode >= 500:
		return nil, fmt.Errorf("board %s: %s", r.Base, said)
	default:
		return nil, &Refusal{answer.StatusCode, said}
	}
}

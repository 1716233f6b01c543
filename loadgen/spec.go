package loadgen

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"coinbench/history"
)

// masked is the workload as it is shown and recorded: without its secrets and its bodies. It repeats the load once they are put in.
func (w Workload) masked() Workload {
	targets := make([]Target, len(w.Targets))
	for i, t := range w.Targets {
		t.URL = history.MaskText(t.URL)
		header := t.Header
		if t.Header = nil; header != nil {
			t.Header = http.Header{}
		}
		for name, values := range header {
			for _, v := range values {
				t.Header[name] = append(t.Header[name], history.MaskHeader(name, v))
			}
		}
		if len(t.Body) > 0 { // what of it is a secret cannot be told
			t.Body, t.BodyBytes = nil, len(t.Body)
		}
		targets[i] = t
	}
	w.Targets = targets
	w.Transport.Proxy = history.MaskText(w.Transport.Proxy)
	return w
}

// maxSecretText is how much of a body is searched for secrets.
const maxSecretText = 64 << 10

// Secrets are the values that a record leaves out, for texts that may repeat them.
func (w Workload) Secrets() (s history.Secrets) {
	for _, t := range w.Targets {
		s.AddText(string(t.Body[:min(len(t.Body), maxSecretText)]))
		for name, values := range t.Header {
			for _, v := range values {
				if history.SecretName(name) {
					s.Add(v)
				}
			}
		}
	}
	for _, text := range w.urls() {
		u, err := url.Parse(text)
		if err != nil {
			continue
		}
		if password, has := u.User.Password(); has {
			s.Add(password)
			s.Add(base64.StdEncoding.EncodeToString([]byte(u.User.Username() + ":" + password)))
		}
		for name, values := range u.Query() {
			for _, v := range values {
				if parameter := "?" + name + "=x"; history.MaskText(parameter) != parameter {
					s.Add(v)
				}
			}
		}
	}
	return s
}

// Spec words the workload for a history; begin is since the history's start.
func (w Workload) Spec(begin time.Duration) (history.LoadSpec, error) {
	if err := w.Validate(); err != nil {
		return history.LoadSpec{}, err
	}
	w = w.masked()
	raw, err := json.Marshal(w)
	if err != nil {
		return history.LoadSpec{}, fmt.Errorf("load %s: %w", w.Name, err)
	}
	method := w.Targets[0].Method
	if method == "" {
		method = "GET"
	}
	return history.LoadSpec{
		Name: w.Name, Method: method, URL: w.Targets[0].URL, Closed: w.Schedule == "", Clients: w.Clients, Schedule: w.Schedule,
		Requests: w.Requests, Duration: w.Duration, Think: w.Think, Connections: w.Connections, Reuse: w.Reuse.String(),
		Patience: w.patience(),
		Begin:    begin, Workload: raw, Engine: w.Engine, ServiceOnly: w.Engine == Vegeta, ObserveOnly: w.ObserveOnly,
	}, nil
}

func (w Workload) patience() time.Duration {
	if w.Patience == 0 {
		return history.DefaultPatience
	}
	return w.Patience
}

func (r Reuse) String() string {
	if r.PerRequest {
		return "a new connection for each request"
	}
	parts := []string{"kept"}
	if r.MaxRequests > 0 {
		parts = append(parts, fmt.Sprintf("for %d requests", r.MaxRequests))
	}
	if r.MaxAge > 0 {
		parts = append(parts, fmt.Sprintf("for %v", r.MaxAge))
	}
	return strings.Join(parts, " ")
}

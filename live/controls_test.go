package live

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"coinbench/cluster"
	"coinbench/cluster/memory"
	"coinbench/history"
	"coinbench/loadgen"
	"coinbench/scenarios"
)

// playing is a session in memory, its controls and its server. It must be called within a bubble of synctest.
func playing(t *testing.T) (*Controls, http.Handler) {
	t.Helper()
	app := cluster.App{Services: []cluster.Service{{Name: "redis", Image: "redis:7", Replicas: 1}}}
	for _, name := range []string{"hasher", "rng", "webui", "worker"} {
		app.Services = append(app.Services, cluster.Service{Name: name, Image: "coinbench/" + name + ":v1", Replicas: 1})
	}
	session, s, err := scenarios.NewSession("play.yaml", []byte("name: play\nsteps:\n  - deploy: {}\n"),
		scenarios.Options{App: func(string) (cluster.App, error) { return app, nil }}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	var sink scenarios.Sink
	c := memory.New(sink.Event)
	dir := t.TempDir()
	w, err := history.Create(dir, history.Manifest{Scenario: "play", Start: time.Now()}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = scenarios.Run(t.Context(), s, scenarios.Config{Cluster: c, Sink: &sink, Writer: w, Session: session,
			Play: func(ctx context.Context, w loadgen.Workload, _ time.Time, _ loadgen.Recorder) (history.LoadEndRecord, error) {
				<-ctx.Done()
				return history.LoadEndRecord{}, ctx.Err()
			}})
	}()
	t.Cleanup(func() {
		session.End()
		<-ended
		w.Close()
	})
	feed, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	controls := &Controls{Session: session, App: s.Deployed(), Where: c, Tags: []string{"v1", "v2"}, Token: "secret", End: func() { session.End() },
		Mask: func(s string) string { return s }}
	time.Sleep(time.Second) // virtual
	return controls, feed.Handler(Config{Controls: controls, Token: "look"})
}

// send sends a command as our page does, with headers over that.
func send(h http.Handler, method, url, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, url, strings.NewReader(body))
	all := append([]string{"Content-Type", "application/json", TokenHeader, "secret", "Sec-Fetch-Site", "same-origin"}, headers...)
	for i := 0; i < len(all); i += 2 {
		r.Header.Set(all[i], all[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const scaling = `{"key":"k","verb":"scale","service":"rng","replicas":3}`

// Who may not, changes nothing: a rebound name, another site, another user, what is no command of ours.
func TestAttacksOnControls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		controls, h := playing(t)
		before := string(controls.Session.YAML())
		for _, a := range []struct {
			name, method, url, body string
			headers                 []string
			want                    int
		}{
			{"a name that was made to point here", "POST", "http://evil.example/step", scaling, nil, 421},
			{"one that ends like ours", "POST", "http://evil.localhost/step", scaling, nil, 421},
			{"another site", "POST", "http://localhost/step", scaling, []string{"Sec-Fetch-Site", "cross-site"}, 403},
			{"another port of this machine", "POST", "http://localhost/step", scaling, []string{"Sec-Fetch-Site", "same-site"}, 403},
			{"another site, of an old browser", "POST", "http://localhost/step", scaling, []string{"Sec-Fetch-Site", "", "Origin", "http://evil.example"}, 403},
			{"another site ends it", "POST", "http://localhost/end", "{}", []string{"Sec-Fetch-Site", "cross-site"}, 403},
			{"no key", "POST", "http://localhost/step", scaling, []string{TokenHeader, ""}, 403},
			{"a wrong key", "POST", "http://localhost/step", scaling, []string{TokenHeader, "secres"}, 403},
			{"a longer key", "POST", "http://localhost/step", scaling, []string{TokenHeader, "secretsecret"}, 403},
			{"the key to look on", "POST", "http://localhost/step", scaling, []string{TokenHeader, "look"}, 403},
			{"the end with the key to look on", "POST", "http://localhost/end", "{}", []string{TokenHeader, "look"}, 403},
			{"the file without a key", "GET", "http://localhost/scenario.yaml", "", []string{TokenHeader, "look"}, 403},
			{"by GET", "GET", "http://localhost/step?verb=scale", "", nil, 405},
			{"a form", "POST", "http://localhost/step", "verb=scale", []string{"Content-Type", "application/x-www-form-urlencoded"}, 400},
			{"text that is JSON", "POST", "http://localhost/step", scaling, []string{"Content-Type", "text/plain"}, 400},
			{"no JSON", "POST", "http://localhost/step", "scale", nil, 400},
			{"two at once", "POST", "http://localhost/step", scaling + scaling, nil, 400},
			{"an unknown key", "POST", "http://localhost/step", `{"key":"k","verb":"scale","service":"rng","replicas":3,"image":"evil"}`, nil, 400},
			{"too long", "POST", "http://localhost/step", `{"key":"` + strings.Repeat("k", 5000) + `"}`, nil, 400},
		} {
			time.Sleep(time.Second) // virtual
			if got := send(h, a.method, a.url, a.body, a.headers...); got.Code != a.want {
				t.Errorf("%s: %d %s, want %d", a.name, got.Code, got.Body, a.want)
			}
		}
		for _, body := range []string{
			`{"key":"k","verb":"deploy"}`, `{"key":"k","verb":"scale","service":"nothing","replicas":1}`,
			`{"key":"k","verb":"scale","service":"rng","replicas":101}`, `{"key":"k","verb":"scale","service":"rng","replicas":-1}`,
			`{"key":"k","verb":"scale","service":"rng"}`, `{"key":"","verb":"scale","service":"rng","replicas":1}`,
			`{"key":"k","verb":"update","service":"rng","version":"v3"}`, `{"key":"k","verb":"update","service":"rng","version":"v1\n  - deploy: {}"}`,
			`{"key":"k","verb":"update","service":"rng","setting":"COIN_LISTEN","value":"0"}`,
			`{"key":"k","verb":"update","service":"rng","setting":"PATH","value":"x"}`,
			`{"key":"k","verb":"update","service":"rng","setting":"COIN_DELAY","value":"1s, COIN_LISTEN: 9"}`,
			`{"key":"k","verb":"update","service":"rng","setting":"COIN_DELAY","value":"soon"}`,
			`{"key":"k","verb":"update","service":"rng","version":"v1","strategy":"anyhow"}`,
			`{"key":"k","verb":"update","service":"redis","version":"v1"}`, `{"key":"k","verb":"rollback","service":"rng"}`,
			`{"key":"k","verb":"attack","service":"rng","rate":100000}`, `{"key":"k","verb":"attack","service":"worker","rate":1}`,
			`{"key":"k","verb":"attack","service":"redis","rate":1}`, `{"key":"k","verb":"stop","load":"load-1"}`,
			`{"key":"k","verb":"stop","load":"x}\n- deploy: {"}`, `{"key":"k","verb":"kill","service":"rng","replica":7}`,
			`{"key":"k","verb":"pause","service":"rng","replica":1,"for_s":100000}`, `{"key":"k","verb":"measure"}`,
		} {
			time.Sleep(time.Second) // virtual
			got := send(h, "POST", "http://localhost/step", body)
			var told answer
			if err := json.Unmarshal(got.Body.Bytes(), &told); got.Code != 400 || err != nil || told.Error == "" {
				t.Errorf("%s: %d %s", body, got.Code, got.Body)
			}
		}
		if after := string(controls.Session.YAML()); after != before {
			t.Errorf("something was played:\n%s", after)
		}
	})
}

// The page without controls has no route of theirs.
func TestOnlyPlayHasControls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, err := history.Create(t.TempDir(), history.Manifest{Start: time.Now()}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		feed, err := Open(w.Dir(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"step", "end", "scenario.yaml"} {
			for _, method := range []string{"GET", "POST"} {
				if got := send(feed.Handler(Config{}), method, "http://localhost/"+path, "{}"); got.Code != 404 {
					t.Errorf("%s %s: %d", method, path, got.Code)
				}
			}
		}
	})
}

// Every verb of the offer is played, and the same command twice once; two that come at once are one too many.
func TestCommandsAreSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		controls, h := playing(t)
		var asked []string
		for _, c := range []struct{ body, step string }{
			{scaling, "scale: {rng: 3}"},
			{`{"key":"2","verb":"attack","service":"rng","rate":20}`, "attack: {service: rng, name: load-5, path: /32, rate: 20/s, timeout: 5s, background: true}"},
			{`{"key":"3","verb":"bench","service":"hasher","clients":2}`,
				"bench: {service: hasher, name: load-7, path: /, method: POST, body_bytes: 32, clients: 2, background: true}"},
			{`{"key":"4","verb":"update","service":"rng","version":"v2","strategy":"serial"}`, `update: {service: rng, image: "coinbench/rng:v2", strategy: serial}`},
			{`{"key":"5","verb":"update","service":"worker","setting":"COIN_THINK","value":"10ms","parallelism":2}`,
				"update: {service: worker, environment: {COIN_THINK: 10ms}, parallelism: 2}"},
			{`{"key":"6","verb":"rollback","service":"rng"}`, "rollback: {service: rng}"},
			{`{"key":"7","verb":"restart","service":"hasher"}`, "restart: {service: hasher}"},
			{`{"key":"8","verb":"kill","service":"rng","replica":2}`, "kill: {service: rng, replica: 2}"},
			{`{"key":"9","verb":"pause","service":"rng","replica":1,"for_s":2}`, "pause: {service: rng, replica: 1, for: 2s}"},
			{`{"key":"10","verb":"slow","service":"rng","replica":1,"for_s":2,"delay_ms":50}`, "slow: {service: rng, replica: 1, delay: 50ms, for: 2s}"},
			{`{"key":"11","verb":"measure","for_s":3}`, "measure: {name: window-23, for: 3s}"},
			{`{"key":"12","verb":"stop","load":"load-5"}`, "stop: {load: load-5}"},
		} {
			time.Sleep(time.Minute) // virtual
			first := send(h, "POST", "http://localhost/step", c.body)
			second := send(h, "POST", "http://localhost/step", c.body)
			other := send(h, "POST", "http://localhost/step", strings.Replace(c.body, `"key":"`, `"key":"other-`, 1))
			if first.Code != 202 || second.Body.String() != first.Body.String() || other.Code != 429 {
				t.Fatalf("%s: %d %s, %d, %d", c.body, first.Code, first.Body, second.Code, other.Code)
			}
			asked = append(asked, c.step)
		}
		time.Sleep(time.Minute) // virtual
		var played []string
		for line := range strings.Lines(string(controls.Session.YAML())) {
			if step, ok := strings.CutPrefix(strings.TrimSpace(line), "- "); ok && !strings.HasPrefix(step, "wait: ") && !strings.HasPrefix(step, "deploy: ") {
				played = append(played, step)
			}
		}
		if got, want := strings.Join(played, "\n"), strings.Join(asked, "\n"); got != want {
			t.Errorf("the file has\n%s\nwant\n%s", got, want)
		}
		if got := send(h, "POST", "http://localhost/end", "{}"); got.Code != 202 {
			t.Errorf("its end: %d", got.Code)
		}
	})
}

func FuzzReadCommand(f *testing.F) {
	f.Add([]byte(scaling))
	f.Add([]byte(`{"key":"k","verb":"update","service":"rng","setting":"COIN_DELAY","value":"1s"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequest("POST", "/step", strings.NewReader(string(body)))
		r.Header.Set("Content-Type", "application/json")
		m, err := ReadCommand(httptest.NewRecorder(), r)
		if err != nil {
			return
		}
		app := cluster.App{Services: []cluster.Service{{Name: "rng", Image: "coinbench/rng:v1", Replicas: 1}}}
		c := Controls{App: app, Where: memory.New(nil), Tags: []string{"v1"}}
		step, err := c.step(m, 7)
		if err != nil {
			return
		}
		if strings.ContainsAny(step, "\n\r") { // one item of the list, and nothing more
			t.Errorf("%q", step)
		}
		s, err := scenarios.Parse("x", []byte("name: x\nsteps:\n  - deploy: {}\n  - "+step+"\n"), scenarios.Options{App: func(string) (cluster.App, error) { return app, nil }})
		if err == nil && (len(s.Steps) != 2 || s.Steps[1].Verb != m.Verb) {
			t.Errorf("%q is %+v", step, s.Steps)
		}
	})
}

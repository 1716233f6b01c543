package web_test

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"coinbench/labs/web"
	"coinbench/live"
)

// counted are steps that do nothing but count.
type counted struct{ taken int }

func (*counted) Labs() (web.List, error)        { return web.List{}, nil }
func (*counted) Version(string) (string, error) { return "1", nil }
func (*counted) View(string) (web.View, error)  { return web.View{Version: "1"}, nil }
func (c *counted) Take(web.Step) error          { c.taken++; return nil }
func (*counted) Watch(_, _, _ string) (*live.Feed, error) {
	return nil, errors.New("there is no such run")
}

func TestWhoMayTakeAStep(t *testing.T) {
	steps := &counted{}
	h := web.Handler(steps, live.Config{Token: "secret"})
	const step = `{"lab": "x", "verb": "hint"}`
	key, kind := live.TokenHeader+": secret", "Content-Type: application/json"
	for _, c := range []struct {
		name, method, url, body string
		headers                 []string
		want                    int
	}{
		{"the page", "GET", "http://127.0.0.1:80/", "", nil, 200},
		{"a view without the key", "GET", "http://localhost/view?lab=x", "", nil, 403},
		{"a view", "GET", "http://localhost/view?lab=x", "", []string{key}, 200},
		{"a view that is known", "GET", "http://localhost/view?lab=x&known=1", "", []string{key}, 204},
		{"a name that was made to point here", "GET", "http://evil.example/view?lab=x", "", []string{key}, 421},
		{"a run that is not", "GET", "http://localhost/live/x/1/run-1/", "", nil, 404},
		{"a step without the key", "POST", "http://localhost/step", step, []string{kind}, 403},
		{"a step with another key", "POST", "http://localhost/step", step, []string{kind, live.TokenHeader + ": secre"}, 403},
		{"a step by GET", "GET", "http://localhost/step", "", []string{key}, 405},
		{"another site's step", "POST", "http://localhost/step", step, []string{key, kind, "Sec-Fetch-Site: cross-site"}, 403},
		{"another site's step, of an old browser", "POST", "http://localhost/step", step, []string{key, kind, "Origin: http://evil.example"}, 403},
		{"a form's step", "POST", "http://localhost/step", step, []string{key, "Content-Type: text/plain"}, 400},
		{"a field that there is not", "POST", "http://localhost/step", `{"lab": "x", "verb": "hint", "path": "/etc"}`, []string{key, kind}, 400},
		{"two steps", "POST", "http://localhost/step", step + step, []string{key, kind}, 400},
		{"a step as long as a book", "POST", "http://localhost/step", `{"lab": "` + strings.Repeat("x", 5000) + `"}`, []string{key, kind}, 400},
		{"a step", "POST", "http://localhost/step", step, []string{key, kind}, 204},
	} {
		r := httptest.NewRequest(c.method, c.url, strings.NewReader(c.body))
		for _, h := range c.headers {
			name, value, _ := strings.Cut(h, ": ")
			r.Header.Set(name, value)
		}
		before := steps.taken
		got := httptest.NewRecorder()
		h.ServeHTTP(got, r)
		if got.Code != c.want {
			t.Errorf("%s: %d %s, want %d", c.name, got.Code, got.Body, c.want)
		}
		if taken := steps.taken > before; taken != (c.name == "a step") {
			t.Errorf("%s: taken %t", c.name, taken)
		}
		if policy := got.Header().Get("Content-Security-Policy"); !strings.Contains(policy, "trusted-types 'none'") {
			t.Errorf("%s: %q", c.name, policy)
		}
	}
}

func TestMarkdown(t *testing.T) {
	got, err := web.Markdown("One *two* **three** `four`\nfive <script>alert(1)</script>\n\n* six\n* seven\n\n```\neight  9\n```\n")
	if err == nil {
		t.Errorf("raw HTML was taken: %v", got)
	}
	if got, err = web.Markdown("One *two* **three** `four`\nfive\n\n* six\n* seven\n\n```\neight  9\n```\n"); err != nil || len(got) != 3 {
		t.Errorf("%v, %v", got, err)
	}
}

package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Secrets are sent as given, and are in no output: neither of the terminal nor of any file.
func TestSecretsAreInNoOutput(t *testing.T) {
	const form = "user=me&password=t0pBody"
	const header, cookie, password, token, proxyPassword, inBody, inFile = "t0pHeader", "t0pCookie", "t0pPassw0rd", "t0pQuery", "t0pProxy",
		"t0pBody", "t0pFile"
	secrets := []string{header, cookie, password, token, proxyPassword, inBody, inFile, "OnQwcFBhc3N3MHJk",
		base64.StdEncoding.EncodeToString([]byte(form))}
	var got, posted atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, pass, _ := r.BasicAuth()
		sent, _ := io.ReadAll(r.Body)
		switch {
		case string(sent) == form:
			posted.Add(1)
			hijacked, _, _ := w.(http.Hijacker).Hijack()
			fmt.Fprintf(hijacked, "HTTP/1.1 200 OK\r\nyou said %s\r\n\r\n", sent)
			hijacked.Close()
		case r.Header.Get("X-Api-Key") == header && r.Header.Get("Cookie") == "id="+cookie && pass == password &&
			r.URL.Query().Get("token") == token:
			if got.Add(1)%2 == 0 {
				w.WriteHeader(http.StatusTeapot)
			}
		default:
			w.WriteHeader(http.StatusBadRequest)
		}
	}))
	defer server.Close()
	url := strings.Replace(server.URL, "//", "//user:"+password+"@", 1) + "/x?token=" + token + "&n=1"
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	headers := []string{"-H", "X-Api-Key: " + header, "-H", "Cookie: id=" + cookie}
	var said []string
	say := func(args ...string) {
		_, text := command(t, "", args...)
		said = append(said, strings.Join(args[:1], " ")+": "+text)
	}
	say(append([]string{"bench", "-n", "10", "-c", "2", "--out", at("bench"), url}, headers...)...)
	say(append([]string{"attack", "--rate", "100/s", "--requests", "10", "--out", at("attack"), "--output", at("r.json"), "--hdr",
		at("r.hgrm"), url}, headers...)...)
	say(append([]string{"attack", "--engine", "vegeta", "--rate", "100/s", "--requests", "10", "--out", at("vegeta"), url}, headers...)...)
	if got.Load() < 20 {
		t.Errorf("%d requests came with their secrets: %s", got.Load(), said)
	}
	proxy := strings.Replace(server.URL, "//", "//p:"+proxyPassword+"@", 1)
	say(append([]string{"attack", "--proxy", proxy, "--rate", "100/s", "--requests", "10", "--out", at("proxy"), "--output", at("p.csv"),
		"--format", "csv", url}, headers...)...)
	inputs := t.TempDir()
	give := func(name, text string) string {
		file := filepath.Join(inputs, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	file := give("body", form)
	say("bench", "-n", "4", "-p", file, "-T", "application/x-www-form-urlencoded", "--out", at("posted"), server.URL)
	say("attack", "--rate", "100/s", "--requests", "4", "--body", file, "--out", at("body"), "--output", at("b.gob"), "--format", "gob",
		server.URL)
	targets := give("targets", "POST "+server.URL+"\nAuthorization: Bearer "+inFile+"\n@"+file+"\n\nPOST "+server.URL+"\nX-Auth-Token: "+
		""+inFile+"\n@"+file+"\n")
	say("attack", "--rate", "100/s", "--requests", "4", "--targets", targets, "--out", at("targets"))
	say("attack", "--rate", "100/s", "--requests", "4", "--targets", give("bad", "GET "+server.URL+"\nAuthorization Bearer "+inFile+"\n"))
	say("search", "--slo", "p99<1s", "--most", "2", "--block", "100ms", "--body", file, "--out", at("search"), url)
	if posted.Load() < 12 {
		t.Errorf("%d bodies came: %s", posted.Load(), said)
	}
	say("attack", "--rate", "100/s", "--requests", "3", "http://user:"+password+"@127.0.0.1:1/?token="+token)
	say("attack", "--rate", "100/s", "--requests", "3", "--redirects", "1", "http://user:"+password+"@127.0.0.1:1/?api_key="+token)
	say("bench", "http://user:"+password+"@127.0.0.1:x/?token="+token)
	say("bench", "-H", "Authorization "+header, "http://127.0.0.1:1/")
	for _, run := range []string{"bench", "attack", "vegeta", "proxy", "posted", "body", "targets", "search"} {
		say("report", at(run))
	}
	noneIn(t, dir, 80, said, secrets)
}

// withSecrets is an app whose Redis is told secrets in every way.
const withSecrets = `
services:
  redis:
    image: redis:7
    environment:
      REDIS_PASSWORD: t0pCompose
      API_TOKEN: ${OUTER_TOKEN}
      DATABASE_URL: postgres://me:t0pDatabase@db/x
      PRIVATE_KEY: |
        t0pBlock
  hasher: {image: coinbench/hasher:v0.1, environment: {COIN_DELAY: 1ms}}
  rng: {image: coinbench/rng:v0.1, environment: {COIN_DELAY: 1ms}}
  worker: {image: coinbench/worker:v0.1}
`

const usingSecrets = `
name: secrets
app: app.yml
parameters:
  token: {default: none, doc: A secret.}
steps:
  - deploy: {worker: 1, redis: {environment: {SESSION_COOKIE: t0pStep, AUTH_TOKEN: "${token}"}}}
  - bench: {service: hasher, clients: 2, requests: 4, body: '{"password": "t0pScenario"}', path: "/?access_token=t0pPath"}
  - attack: {service: hasher, rate: 20/s, for: 1s, body: "api_key=t0pForm"}
  - update: {service: hasher, environment: {COIN_DELAY: 2ms}, order: start-first}
objectives:
  - errors == 0
`

// A run of an app that is told secrets has them in no file, no log of a replica, on no stream, and in the command line of no process.
func TestSecretsOfARunAreInNoOutput(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{"app.yml": withSecrets, "s.yaml": usingSecrets,
		"bad.yaml": strings.Replace(usingSecrets, "SESSION_COOKIE: t0pStep",
			"SESSION_COOKIE: t0pStep}}, rng: {environment: {COIN_TOKEN: t0pWrong, COIN_DELAY: 'redis://:t0pURL@x'", 1)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	secrets := []string{"t0pCompose", "t0pOuter", "t0pDatabase", "t0pBlock", "t0pStep", "t0pSet", "t0pScenario", "t0pPath", "t0pForm",
		"t0pWrong", "t0pURL",
		base64.StdEncoding.EncodeToString([]byte(`{"password": "t0pScenario"}`))}
	var said []string
	for _, cluster := range []string{"local", "sim"} {
		out := filepath.Join(dir, "runs", cluster)
		c := exec.Command("coinbench", "run", filepath.Join(dir, "s.yaml"), "--cluster", cluster, "--set", "token=t0pSet", "--out", out)
		c.Env = append(os.Environ(), "OUTER_TOKEN=t0pOuter")
		s := begin(t, out, c)
		seen := map[string]bool{}
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for running := true; running; {
			select {
			case <-s.ended:
				running = false
			case <-tick.C:
			}
			for _, pid := range descendants(s.Process.Pid) {
				if line := commandLine(pid); line != commandLine(s.Process.Pid) { // as a child's is until it begins
					seen[line] = true
				}
			}
		}
		if cluster == "local" && len(seen) < 3 {
			t.Errorf("%d command lines were seen", len(seen))
		}
		for line := range seen {
			said = append(said, "command line: "+line)
		}
		if code := s.ProcessState.ExitCode(); code != exitPass && code != exitUnmeasured { // the machine may be busy
			t.Errorf("%s: exit code %d\n%s%s", cluster, code, &s.stdout, &s.stderr)
		}
		said = append(said, "standard output: "+s.stdout.String(), "standard error: "+s.stderr.String())
	}
	for _, args := range [][]string{{"validate", filepath.Join(dir, "bad.yaml")}, {"run", filepath.Join(dir, "s.yaml"), "--set",
		"password=t0pSet"}, {"report", filepath.Join(dir, "runs", "local")}} {
		c := exec.Command("coinbench", args...)
		c.Env = append(os.Environ(), "OUTER_TOKEN=t0pOuter")
		text, _ := c.CombinedOutput()
		said = append(said, args[0]+": "+string(text))
	}
	noneIn(t, filepath.Join(dir, "runs"), 25, said, secrets)
}

func commandLine(pid int) string {
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return string(line)
}

// noneIn wants none of the secrets in what was said, and in none of the files below dir, of which there are at least a number.
func noneIn(t *testing.T, dir string, atLeast int, said, secrets []string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		b, err := os.ReadFile(path)
		said = append(said, path+": "+string(b))
		return err
	})
	if err != nil || files < atLeast {
		t.Errorf("%d files: %v", files, err)
	}
	masked := 0
	for _, text := range said {
		masked += strings.Count(text, "xxxxx")
		for _, s := range secrets {
			if i := strings.Index(text, s); i >= 0 {
				t.Errorf("%s is in %.120s: ...%s", s, text, text[max(i-60, 0):min(i+60, len(text))])
			}
		}
	}
	if masked < 20 {
		t.Errorf("only %d places show that something is masked", masked)
	}
}

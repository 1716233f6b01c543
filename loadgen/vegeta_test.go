package loadgen

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
	"pgregory.net/rapid"

	"coinbench/history"
)

func TestReadHTTPTargets(t *testing.T) {
	files := func(name string) ([]byte, error) {
		if name == "body.bin" {
			return []byte("coins"), nil
		}
		return nil, errors.New("no such file")
	}
	const text = `# two targets, and one without a line between
GET http://127.0.0.1:8001/32
X-Trace: a: b
# a comment between headers
x-trace: c

POST http://127.0.0.1:8002/
@body.bin
GET https://localhost/
HEAD http://127.0.0.1/`
	got, err := ReadHTTPTargets("f.http", strings.NewReader(text), files)
	want := []Target{
		{Method: "GET", URL: "http://127.0.0.1:8001/32", Header: http.Header{"X-Trace": {"a: b"}, "x-trace": {"c"}}},
		{Method: "POST", URL: "http://127.0.0.1:8002/", Body: []byte("coins")},
		{Method: "GET", URL: "https://localhost/"},
		{Method: "HEAD", URL: "http://127.0.0.1/"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n got %+v\nwant %+v", err, got, want)
	}
	for text, want := range map[string]string{
		"":                                       "there are no targets",
		"# nothing":                              "there are no targets",
		"get http://127.0.0.1/":                  "f.http:1:1: expected a method and a URL, found \"get http://127.0.0.1/\"; accepted:",
		"\n\nGET /path":                          "f.http:3:5: \"/path\" is not an http or https URL",
		"GET http://127.0.0.1/\nno colon":        "f.http:2:1: expected a header",
		"GET http://127.0.0.1/\n @missing":       "f.http:2:3: read the body: no such file",
		"X: y":                                   "f.http:1:1: expected a method",
		"GET http://127.0.0.1/\nX:":              "f.http:2:3: the header X has no value",
		"GET http://127.0.0.1/\nx y: z":          "f.http:2:1: \"x y\" is not a header's name",
		"GET http://127.0.0.1/\nX: a\x00":        "f.http:2:5: the header X holds \"\\x00\"",
		"GET ftp://127.0.0.1/":                   "not an http or https URL",
		"GET http://127.0.0.1/\n@body.bin\nX: y": "f.http:3:1: expected a method",
		"GET http://127.0.0.1/ HTTP/1.1\nHost: a": "f.http:1:22: a blank in the URL; accepted: a method and a URL, like GET " +
			"http://127.0.0.1:8001/: without the HTTP version",
		"\tGET\thttp://127.0.0.1/?q=a b": "f.http:1:27: a blank in the URL;",
		"GET http://127.0.0.1/\nX: y\nGET http://127.0.0.1/2": "f.http:3:1: a target right behind the headers of another one; accepted: an " +
			"empty line",
		"GET http://127.0.0.1/" + strings.Repeat("x", 6<<20):    "f.http:1:4194304: the line is longer than 4 MiB; accepted:",
		strings.Repeat("GET http://127.0.0.1/\n", maxTargets+1): "f.http:100001:1: more than 100000 targets",
	} {
		if _, err := ReadHTTPTargets("f.http", strings.NewReader(text), files); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
}

func TestReadJSONTargets(t *testing.T) {
	got, err := ReadJSONTargets("f.json", strings.NewReader(`{"method":"POST","url":"http://127.0.0.1/","body":"Y29pbnM=","header":{"A":["b"]}}

{"method":"GET","url":"http://127.0.0.1/2"}`))
	want := []Target{{Method: "POST", URL: "http://127.0.0.1/", Body: []byte("coins"), Header: http.Header{"A": {"b"}}},
		{Method: "GET", URL: "http://127.0.0.1/2"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n got %+v\nwant %+v", err, got, want)
	}
	for text, want := range map[string]string{
		"": "there are no targets", "{}": "f.json:1:1: the method is missing; accepted:", `{"method":"GET","url":"x"}`: "f.json:1:17:",
		"\n[]": "f.json:2:1: found a JSON array; accepted: an object a line",
		`{"method":"GET","url":"http://127.0.0.1/","uri":1}`:          `f.json:1:43: unknown field "uri"`,
		`{"METHOD":"GET","url":"http://127.0.0.1/"}`:                  `unknown field "METHOD"`,
		`{"method":"GET","url":3}`:                                    "f.json:1:17: url must be a string",
		`{"method":"GET","url":"http://127.0.0.1/","header":{"a":1}}`: "header must be an object of lists",
		`{"method":"GET","url":"http://127.0.0.1/","body":"%"}`:       "body must be a string in base64",
		`{"method":"GET" "url":"x"}`:                                  "f.json:1:17: the JSON is malformed",
		`{"method":"GET","url":"http://127.0.0.1/"} {}`:               "f.json:1:44: the JSON is malformed",
	} {
		if _, err := ReadJSONTargets("f.json", strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
}

// A device without an end is no body.
func TestABodyHasABound(t *testing.T) {
	if _, err := ReadBody("/dev/zero"); err == nil || !strings.Contains(err.Error(), "longer than 64 MiB") {
		t.Errorf("error %v", err)
	}
}

// What both our readers and vegeta's accept, they read alike.
func FuzzTargets(f *testing.F) {
	for _, s := range []string{
		"# c\n\nPOST http://127.0.0.1:8001/32\nX-Trace: a: b\n# c\nx-trace: c\n\nGET http://127.0.0.1/\nGET http://127.0.0.1/2\n",
		"GET http://127.0.0.1/\n \n  A :b\n\tHEAD https://localhost/?a=b#c\r\nHost: x\r\n", "GET\thttp://a/\nGET  http://a/\nGET http://a/ " +
			"HTTP/1.1",
		"GET\xa0http://a/", "GET\u00a0http://a/", "GET\u2028", "A\x85",
		`{"method":"POST","url":"http://127.0.0.1/","body":"Y29pbnM=","header":{"A":["b","c"],"a":null}}` + "\n\n" +
			`{"url":"http://a/\u00e9","method":"GET","body":null}` + "\n",
		`{"method":"GET","url":"http://a/","body":"0000","body":null}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "@") {
			return // vegeta reads files itself
		}
		same := func(format string, ours []Target, err error, targeter vegeta.Targeter) {
			theirs, refused := vegeta.ReadAllTargets(targeter)
			if err != nil {
				if text := err.Error(); len(text) < 20 || !strings.HasPrefix(text, "f:") {
					t.Errorf("%s: %q is refused without saying where and why: %v", format, text, err)
				}
				return
			}
			if refused != nil {
				return
			}
			if len(ours) != len(theirs) {
				t.Fatalf("%s: %q: %d targets, vegeta reads %d: %v", format, text, len(ours), len(theirs), theirs)
			}
			for i, a := range ours {
				b := theirs[i]
				maps.DeleteFunc(a.Header, func(_ string, vs []string) bool { return len(vs) == 0 })
				maps.DeleteFunc(b.Header, func(_ string, vs []string) bool { return len(vs) == 0 })
				if a.Method != b.Method || a.URL != b.URL || !bytes.Equal(a.Body, b.Body) || !maps.EqualFunc(a.Header, b.Header, slices.Equal) {
					t.Errorf("%s: %q: target %d is %+v, vegeta reads %+v", format, text, i+1, a, b)
				}
			}
		}
		ours, err := ReadHTTPTargets("f", strings.NewReader(text), ReadBody)
		same("http", ours, err, vegeta.NewHTTPTargeter(strings.NewReader(text), nil, nil))
		text = strings.TrimRight(text, "\n") + "\n" // vegeta does not read a last line without its end
		ours, err = ReadJSONTargets("f", strings.NewReader(text))
		same("json", ours, err, vegeta.NewJSONTargeter(strings.NewReader(text), nil, nil))
	})
}

// What is written in either format is read back as it was.
func TestResultsRoundTrip(t *testing.T) {
	word := rapid.StringMatching(`[ -~]{0,12}`)
	rapid.Check(t, func(t *rapid.T) {
		var results []Result
		for range rapid.IntRange(0, 5).Draw(t, "results") {
			r := Result{
				Attack: word.Draw(t, "attack"), Seq: rapid.Uint64().Draw(t, "seq"), Code: rapid.Uint16().Draw(t, "code"),
				Timestamp: time.Unix(0, rapid.Int64Range(0, 1<<62).Draw(t, "timestamp")).UTC(),
				Latency:   time.Duration(rapid.Int64Min(0).Draw(t, "latency")),
				BytesOut:  rapid.Uint64().Draw(t, "out"), BytesIn: rapid.Uint64().Draw(t, "in"),
				Error:  word.Draw(t, "error") + rapid.SampledFrom([]string{"", "\n", `"`, ",", "é<&>"}).Draw(t, "special"),
				Method: word.Draw(t, "method"), URL: word.Draw(t, "url"),
			}
			if rapid.Bool().Draw(t, "body?") {
				r.Body = rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(t, "body")
			}
			if rapid.Bool().Draw(t, "headers?") {
				r.Headers = http.Header{"X-Coinbench-Replica": {rapid.StringMatching(`[a-z0-9.]{1,8}`).Draw(t, "replica")},
					"Set-Cookie": {"a=b", "c=d"}}
			}
			results = append(results, r)
		}
		for _, format := range ResultFormats() {
			var b bytes.Buffer
			write, err := NewResultWriter(&b, format)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range results {
				if err := write(r); err != nil {
					t.Fatal(err)
				}
			}
			if len(results) == 0 {
				continue
			}
			read, err := NewResultReader(&b)
			if err != nil {
				t.Fatal(format, err)
			}
			for i, want := range results {
				got, err := read()
				if err != nil || !got.Equal(want) {
					t.Fatalf("%s: result %d: %v\n got %+v\nwant %+v", format, i, err, got, want)
				}
			}
			if _, err := read(); err != io.EOF {
				t.Fatalf("%s: after the last result: %v, want EOF", format, err)
			}
		}
	})
}

// A file of results that is cut anywhere is never taken for a whole one, unless it was cut between two results.
func TestResultFilesThatAreCut(t *testing.T) {
	for _, format := range ResultFormats() {
		var b bytes.Buffer
		write, err := NewResultWriter(&b, format)
		if err != nil {
			t.Fatal(err)
		}
		between := map[int]bool{}
		for i := range 3 {
			if err := write(Result{Attack: "a", Seq: uint64(i), Code: 200, Timestamp: time.Unix(1, 0), Latency: 5, Method: "GET",
				URL: "http://127.0.0.1/", Headers: http.Header{"A": {"b"}}}); err != nil {
				t.Fatal(err)
			}
			between[b.Len()] = true
		}
		for n := range b.Len() {
			read, err := NewResultReader(bytes.NewReader(b.Bytes()[:n]))
			results := 0
			for err == nil {
				if _, err = read(); err == nil {
					results++
				}
			}
			if errors.Is(err, io.EOF) && !between[n] && (format != "gob" || results > 0) {
				t.Errorf("%s cut to %d of %d bytes: %d results and no error", format, n, b.Len(), results)
			}
		}
	}
	for text, want := range map[string]string{"": "empty", "\x1f\x8b\x08": "gunzip", `{"a":1}` + "\n": "no timestamp", "\n": "no results",
		"1,2,3\n": "no results"} {
		read, err := NewResultReader(strings.NewReader(text))
		if err == nil {
			_, err = read()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// The formats are vegeta's to the letter: the order of columns and keys, units, encodings.
func TestResultFormats(t *testing.T) {
	start := time.Date(2026, 11, 20, 6, 0, 0, 0, time.UTC)
	w := Workload{Name: "demo", Targets: []Target{{URL: "http://127.0.0.1:8001/32"}, {Method: "POST", URL: "http://127.0.0.1:8002/",
		Body: []byte("coins")}}}
	ok := ResultOf(w, start, history.Sample{Seq: 4, Due: 2 * time.Second, Sent: 3 * time.Second, Done: 3100 * time.Millisecond, Status: 200,
		Bytes: 32, Replica: "rng.1"})
	bad := ResultOf(w, start, history.Sample{Seq: 5, Due: 123456789, Done: 223456789, Class: history.Dropped})
	for format, want := range map[string]string{
		"json": `{"attack":"demo","seq":4,"code":200,"timestamp":"2026-11-20T06:00:02Z","latency":1100000000,"bytes_out":0,"bytes_in":32,"error":"","body":null,"method":"GET","url":"http://127.0.0.1:8001/32","headers":{"X-Coinbench-Replica":["rng.1"]}}
{"attack":"demo","seq":5,"code":0,"timestamp":"2026-11-20T06:00:00.123456789Z","latency":100000000,"bytes_out":0,"bytes_in":0,"error":"dropped","body":null,"method":"POST","url":"http://127.0.0.1:8002/","headers":null}
`,
		"csv": `1795154402000000000,200,1100000000,0,32,,,demo,4,GET,http://127.0.0.1:8001/32,WC1Db2luYmVuY2gtUmVwbGljYTogcm5nLjENCg0K
1795154400123456789,0,100000000,0,0,dropped,,demo,5,POST,http://127.0.0.1:8002/,
`,
	} {
		var b strings.Builder
		write, err := NewResultWriter(&b, format)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(write(ok), write(bad)); err != nil {
			t.Fatal(err)
		}
		if b.String() != want {
			t.Errorf("%s:\n got %s\nwant %s", format, b.String(), want)
		}
	}
	if _, err := NewResultWriter(io.Discard, "xml"); err == nil {
		t.Error("an unknown format was accepted")
	}
}

func TestWritePercentiles(t *testing.T) {
	h := history.NewHistogram()
	for i := range int64(1000) {
		_ = h.RecordValue((i + 1) * int64(time.Millisecond))
	}
	var b strings.Builder
	if err := WritePercentiles(&b, h); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, want := range []string{"Value", "Percentile", "TotalCount", "1/(1-Percentile)", "#[Mean", "#[Max",
		"Total count    =         1000"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if !strings.Contains(text, "500.") {
		t.Errorf("the median of 1 to 1000 ms is not there:\n%s", text)
	}
}

func TestWorkloadIsPlainData(t *testing.T) {
	w := Workload{Name: "x", Targets: []Target{{Method: "POST", URL: "http://127.0.0.1/", Body: []byte{0, 1},
		Header: http.Header{"A": {"b"}}}},
		Schedule: "ramp(0/s, 5/s, 3s)", Duration: time.Second, Reuse: Reuse{MaxRequests: 3}, Expect: Expect{Status: []int{200}}}
	b, err := json.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	var again Workload
	if err := json.Unmarshal(b, &again); err != nil || !reflect.DeepEqual(w, again) {
		t.Errorf("%v\n got %+v\nwant %+v", err, again, w)
	}
}

func TestValidate(t *testing.T) {
	good := Workload{Targets: []Target{{URL: "http://127.0.0.1/"}}, Clients: 1, Requests: 1}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*Workload){
		"no target":                func(w *Workload) { w.Targets = nil },
		"target 1: \"x\"":          func(w *Workload) { w.Targets = []Target{{URL: "x"}} },
		"names no host":            func(w *Workload) { w.Targets = []Target{{URL: "http:///x"}} },
		"the port must be":         func(w *Workload) { w.Targets = []Target{{URL: "http://a:99999/"}} },
		"is not an HTTP method":    func(w *Workload) { w.Targets[0].Method = "GE T" },
		"holds a line break":       func(w *Workload) { w.Targets[0].Header = http.Header{"A": {"b\r\nC: d"}} },
		"is not a header's name":   func(w *Workload) { w.Targets[0].Header = http.Header{"A B": {"b"}} },
		"neither clients":          func(w *Workload) { w.Clients = 0 },
		"clients is -1":            func(w *Workload) { w.Clients = -1 },
		"are both set":             func(w *Workload) { w.Schedule = "5/s" },
		"schedule \"x\"":           func(w *Workload) { w.Clients, w.Schedule = 0, "x" },
		"think time belongs":       func(w *Workload) { w.Clients, w.Schedule, w.Think = 0, "5/s", 1 },
		"would never end":          func(w *Workload) { w.Requests = 0 },
		"backlog is negative":      func(w *Workload) { w.Backlog = -1 },
		"works with HTTP/1.1 only": func(w *Workload) { w.Transport.HTTP2, w.Reuse.MaxRequests = true, 1 },
		"proxy:":                   func(w *Workload) { w.Transport.Proxy = "x" },
	} {
		w := good
		w.Targets = []Target{good.Targets[0]}
		change(&w)
		if err := w.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

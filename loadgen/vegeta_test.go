package loadgen

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

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
	got, err := ReadHTTPTargets(strings.NewReader(text), files)
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
		"":                                       "there are none",
		"# nothing":                              "there are none",
		"get http://127.0.0.1/":                  "line 1: expected a method and a URL",
		"\n\nGET /path":                          "line 3:",
		"GET http://127.0.0.1/\nno colon":        "line 2: expected a header",
		"GET http://127.0.0.1/\n@missing":        "line 2: read the body: no such file",
		"X: y":                                   "line 1: expected a method",
		"GET http://127.0.0.1/\nX:":              "line 2: expected a header",
		"GET ftp://127.0.0.1/":                   "not an http or https URL",
		"GET http://127.0.0.1/\n@body.bin\nX: y": "line 3: expected a method",
	} {
		if _, err := ReadHTTPTargets(strings.NewReader(text), files); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
}

func TestReadJSONTargets(t *testing.T) {
	got, err := ReadJSONTargets(strings.NewReader(`{"method":"POST","url":"http://127.0.0.1/","body":"Y29pbnM=","header":{"A":["b"]}}

{"method":"GET","url":"http://127.0.0.1/2"}`))
	want := []Target{{Method: "POST", URL: "http://127.0.0.1/", Body: []byte("coins"), Header: http.Header{"A": {"b"}}}, {Method: "GET", URL: "http://127.0.0.1/2"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n got %+v\nwant %+v", err, got, want)
	}
	for text, want := range map[string]string{
		"": "there are none", "{}": "line 1: \"\" is not an HTTP method", `{"method":"GET","url":"x"}`: "line 1:", "\n[]": "line 2:",
		`{"method":"GET","url":"http://127.0.0.1/","uri":1}`: "unknown field",
	} {
		if _, err := ReadJSONTargets(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
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
				r.Headers = http.Header{"X-Coinbench-Replica": {rapid.StringMatching(`[a-z0-9.]{1,8}`).Draw(t, "replica")}, "Set-Cookie": {"a=b", "c=d"}}
			}
			results = append(results, r)
		}
		for _, format := range []string{"json", "csv"} {
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
			read, err := NewResultReader(&b, format)
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range results {
				got, err := read()
				if err != nil || !reflect.DeepEqual(got, want) {
					t.Fatalf("%s: result %d: %v\n got %+v\nwant %+v", format, i, err, got, want)
				}
			}
			if _, err := read(); err != io.EOF {
				t.Fatalf("%s: after the last result: %v, want EOF", format, err)
			}
		}
	})
}

// The formats are vegeta's to the letter: the order of columns and keys, units, encodings.
func TestResultFormats(t *testing.T) {
	start := time.Date(2026, 11, 20, 6, 0, 0, 0, time.UTC)
	w := Workload{Name: "demo", Targets: []Target{{URL: "http://127.0.0.1:8001/32"}, {Method: "POST", URL: "http://127.0.0.1:8002/", Body: []byte("coins")}}}
	ok := ResultOf(w, start, history.Sample{Seq: 4, Due: 2 * time.Second, Sent: 3 * time.Second, Done: 3100 * time.Millisecond, Status: 200, Bytes: 32, Replica: "rng.1"})
	bad := ResultOf(w, start, history.Sample{Seq: 5, Due: 123456789, Done: 223456789, Class: history.Dropped})
	for format, want := range map[string]string{
		"json": `{"attack":"demo","seq":4,"code":200,"timestamp":"2026-11-20T06:00:02Z","latency":1100000000,"bytes_out":0,"bytes_in":32,"error":"","body":null,"method":"GET","url":"http://127.0.0.1:8001/32","headers":{"X-Coinbench-Replica":["rng.1"]}}
{"attack":"demo","seq":5,"code":0,"timestamp":"2026-11-20T06:00:00.123456789Z","latency":100000000,"bytes_out":0,"bytes_in":0,"error":"dropped","body":null,"method":"POST","url":"http://127.0.0.1:8002/","headers":null}
`,
		"csv": `1795154402000000000,200,1100000000,0,32,,,demo,4,GET,http://127.0.0.1:8001/32,WC1Db2luYmVuY2gtUmVwbGljYTogcm5nLjENCg==
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
	if _, err := NewResultWriter(io.Discard, "gob"); err == nil {
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
	for _, want := range []string{"Value", "Percentile", "TotalCount", "1/(1-Percentile)", "#[Mean", "#[Max", "Total count    =         1000"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if !strings.Contains(text, "500.") {
		t.Errorf("the median of 1 to 1000 ms is not there:\n%s", text)
	}
}

func TestWorkloadIsPlainData(t *testing.T) {
	w := Workload{Name: "x", Targets: []Target{{Method: "POST", URL: "http://127.0.0.1/", Body: []byte{0, 1}, Header: http.Header{"A": {"b"}}}},
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

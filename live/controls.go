package live

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/goccy/go-yaml"

	"coinbench/cluster"
	"coinbench/scenarios"
	"coinbench/services/settings"
)

// Controls are what pages that know the token may have done to a run. A page names a verb, services and numbers; what it cannot name are
// images, addresses, paths and programs. Each of its commands becomes one step of a scenario, which the session reads and checks.
type Controls struct {
	Session *scenarios.Session
	App     cluster.App         // as the session deploys it
	Where   cluster.Cluster     //
	Tags    []string            // of versions
	Token   string              //
	End     func()              // ends the run
	Mask    func(string) string // hides secrets

	mu     sync.Mutex
	last   time.Time
	key    string // of the latest command
	answer answer
}

// Command is what a page asks for. Fields that its verb does not have are empty.
type Command struct {
	Key         string `json:"key"` // the same command sent twice is carried out once
	Verb        string `json:"verb"`
	Service     string `json:"service,omitempty"`
	Replicas    *int   `json:"replicas,omitempty"`
	Replica     int    `json:"replica,omitempty"`
	Version     string `json:"version,omitempty"`
	Setting     string `json:"setting,omitempty"`
	Value       string `json:"value,omitempty"`
	Strategy    string `json:"strategy,omitempty"`
	Parallelism int    `json:"parallelism,omitempty"`
	Rate        int    `json:"rate,omitempty"`    // requests a second
	Clients     int    `json:"clients,omitempty"` //
	Load        string `json:"load,omitempty"`    // its name
	ForS        int    `json:"for_s,omitempty"`
	DelayMS     int    `json:"delay_ms,omitempty"`
}

// Limits of a command.
const (
	mostReplicas = 100
	mostRate     = 5000
	mostClients  = 200
	mostForS     = 120
	mostDelayMS  = 5000
	apart        = 500 * time.Millisecond // between two commands
)

// Offer is what can be asked for.
type Offer struct {
	Services []OfferedService `json:"services"`
	Most     map[string]int   `json:"most"` // by the name of a Command's field
}

// OfferedService is a service and the verbs that it has.
type OfferedService struct {
	Name       string    `json:"name"`
	Verbs      []string  `json:"verbs"`
	Versions   []string  `json:"versions,omitempty"`
	Strategies []string  `json:"strategies,omitempty"`
	Settings   []Setting `json:"settings,omitempty"`
}

// Setting is a variable of a service that can be changed.
type Setting struct {
	Name     string `json:"name"`
	Default  string `json:"default"`
	Accepted string `json:"accepted"`
}

// Offer says what can be asked for.
func (c *Controls) Offer() Offer {
	o := Offer{Most: map[string]int{"replicas": mostReplicas, "replica": mostReplicas, "parallelism": mostReplicas, "rate": mostRate,
		"clients": mostClients, "for_s": mostForS, "delay_ms": mostDelayMS}}
	for _, s := range c.App.Services {
		o.Services = append(o.Services, c.service(s))
	}
	return o
}

func (c *Controls) service(s cluster.Service) OfferedService {
	out := OfferedService{Name: s.Name}
	can := func(verb string, able bool) {
		if able {
			out.Verbs = append(out.Verbs, verb)
		}
	}
	i := cluster.ParseImage(s.Image)
	ours := i.Coinbench() && slices.Contains(settings.Services(), i.Kind)
	_, restarts := c.Where.(cluster.Restarter)
	_, back := c.Where.(cluster.Rollbacker)
	_, kills := c.Where.(cluster.Killer)
	_, pauses := c.Where.(cluster.Pauser)
	_, slows := c.Where.(cluster.LatencyInjector)
	listens := ours && workOf(i.Kind) != ""
	can("scale", !s.Global)
	can("update", ours)
	can("rollback", ours && back)
	can("restart", restarts)
	can("attack", listens)
	can("bench", listens)
	can("kill", kills)
	can("pause", pauses)
	can("slow", slows && listens)
	if !ours {
		return out
	}
	out.Versions = c.Tags
	out.Strategies = []string{string(cluster.RollingUpdate), string(cluster.Serial), string(cluster.AllAtOnce)}
	if k, ok := c.Where.(cluster.Strategist); ok {
		for _, strategy := range k.Strategies() {
			if name := string(strategy); !slices.Contains(out.Strategies, name) {
				out.Strategies = append(out.Strategies, name)
			}
		}
	}
	for _, v := range settings.Variables(i.Kind) {
		switch v.Kind {
		case settings.KindBool, settings.KindDuration, settings.KindEnum, settings.KindInteger, settings.KindRatio:
			out.Settings = append(out.Settings, Setting{Name: v.Name, Default: v.DefaultFor(i.Kind), Accepted: v.Accepted})
		}
	}
	return out
}

var (
	plainValue = regexp.MustCompile(`^[A-Za-z0-9.µ-]{1,32}$`)
	plainName  = regexp.MustCompile(`^[A-Za-z0-9._/-]{1,80}$`)
)

// step is a command as a step of a scenario; number tells the names of loads and windows apart.
func (c *Controls) step(m Command, number int) (string, error) {
	for _, bound := range []struct {
		what        string
		value, most int
	}{{"replica", m.Replica, mostReplicas}, {"parallelism", m.Parallelism, mostReplicas}, {"rate", m.Rate, mostRate},
		{"clients", m.Clients, mostClients}, {"for_s", m.ForS, mostForS}, {"delay_ms", m.DelayMS, mostDelayMS}} {
		if bound.value < 0 || bound.value > bound.most {
			return "", fmt.Errorf("%s is %d; accepted: 1 to %d", bound.what, bound.value, bound.most)
		}
	}
	seconds := fmt.Sprintf("%ds", m.ForS)
	switch m.Verb { // those that no service is needed for
	case "stop":
		if !plainName.MatchString(m.Load) {
			return "", errors.New("no load is named")
		}
		return scenarios.Item("stop", yaml.MapSlice{{Key: "load", Value: m.Load}})
	case "measure":
		return scenarios.Item("measure", yaml.MapSlice{{Key: "name", Value: fmt.Sprintf("window-%d", number)}, {Key: "for", Value: seconds}})
	}
	service, known := c.App.Service(m.Service)
	offered := OfferedService{}
	if known {
		offered = c.service(service)
	}
	if !slices.Contains(offered.Verbs, m.Verb) {
		return "", fmt.Errorf("%q of %q cannot be asked for here", m.Verb, m.Service)
	}
	fields := yaml.MapSlice{{Key: "service", Value: service.Name}}
	set := func(key string, value any) { fields = append(fields, yaml.MapItem{Key: key, Value: value}) }
	switch m.Verb {
	case "scale":
		if m.Replicas == nil || *m.Replicas < 0 || *m.Replicas > mostReplicas {
			return "", fmt.Errorf("accepted: 0 to %d replicas", mostReplicas)
		}
		fields = yaml.MapSlice{{Key: service.Name, Value: *m.Replicas}}
	case "update":
		if m.Version != "" {
			if !slices.Contains(offered.Versions, m.Version) {
				return "", fmt.Errorf("version %q; accepted: %s", m.Version, strings.Join(offered.Versions, ", "))
			}
			set("image", tagged(service.Image, m.Version))
		}
		if m.Setting != "" {
			if !slices.ContainsFunc(offered.Settings, func(s Setting) bool { return s.Name == m.Setting }) || !plainValue.MatchString(m.Value) {
				return "", fmt.Errorf("%s=%q cannot be set here", m.Setting, m.Value)
			}
			set("environment", yaml.MapSlice{{Key: m.Setting, Value: m.Value}})
		}
		if m.Strategy != "" {
			if !slices.Contains(offered.Strategies, m.Strategy) {
				return "", fmt.Errorf("strategy %q; accepted: %s", m.Strategy, strings.Join(offered.Strategies, ", "))
			}
			set("strategy", m.Strategy)
		}
		if m.Parallelism > 0 {
			set("parallelism", m.Parallelism)
		}
	case "attack", "bench":
		set("name", fmt.Sprintf("load-%d", number))
		kind := cluster.ParseImage(service.Image).Kind
		set("path", workOf(kind))
		if settings.Method(kind) == http.MethodPost {
			set("method", http.MethodPost)
			set("body_bytes", 32)
		}
		if m.Verb == "attack" {
			set("rate", fmt.Sprintf("%d/s", m.Rate))
			set("timeout", "5s")
		} else {
			set("clients", m.Clients)
		}
		set("background", true)
	case "kill", "pause", "slow":
		set("replica", max(m.Replica, 1))
		if m.Verb == "slow" {
			set("delay", fmt.Sprintf("%dms", m.DelayMS))
		}
		if m.Verb != "kill" {
			set("for", seconds)
		}
	}
	return scenarios.Item(m.Verb, fields)
}

// workOf is the path of a request that a service does its work for; "": it has none.
func workOf(kind string) string {
	switch kind {
	case settings.RNG:
		return "/32"
	case settings.Hasher:
		return "/"
	case settings.WebUI:
		return "/json"
	}
	return ""
}

// tagged is an image with another tag.
func tagged(image, tag string) string {
	name, _, _ := strings.Cut(image, "@")
	if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, '/') {
		name = name[:colon]
	}
	return name + ":" + tag
}

// answer is what a command became: the number of the step, or why there is none.
type answer struct {
	status int
	Step   int    `json:"step,omitempty"`
	Title  string `json:"title,omitempty"`
	Error  string `json:"error,omitempty"`
}

// ask carries a command out, once.
func (c *Controls) ask(m Command) answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.Key == "" || !plainName.MatchString(m.Key) {
		return answer{status: http.StatusBadRequest, Error: "a command needs a key"}
	}
	if m.Key == c.key {
		return c.answer
	}
	if since := time.Since(c.last); since < apart {
		return answer{status: http.StatusTooManyRequests, Error: "two commands a second are the most"}
	}
	c.last = time.Now()
	yaml, err := c.step(m, c.Session.Steps()+1)
	if err != nil {
		return answer{status: http.StatusBadRequest, Error: err.Error()}
	}
	number, title, err := c.Session.Ask(yaml, "page")
	switch {
	case errors.Is(err, scenarios.ErrBusy):
		return answer{status: http.StatusConflict, Error: err.Error()}
	case err != nil:
		return answer{status: http.StatusBadRequest, Error: c.Mask(plain(err))}
	}
	c.key, c.answer = m.Key, answer{status: http.StatusAccepted, Step: number, Title: title}
	return c.answer
}

// plain are the faults of a step without the place in a file that nobody has written.
func plain(err error) string {
	var texts []string
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			texts = append(texts, plain(e))
		}
		return strings.Join(texts, "; ")
	}
	if fault := (*scenarios.Fault)(nil); errors.As(err, &fault) {
		return fault.Message
	}
	return err.Error()
}

// knows says whether a request has the token.
func (c *Controls) knows(r *http.Request) bool {
	return c != nil && Holds(r, c.Token)
}

// routes adds what changes something, each for those alone who know the token.
func (c *Controls) routes(mux *http.ServeMux) {
	mux.HandleFunc("POST /step", LockedBy(c.knows, func(w http.ResponseWriter, r *http.Request) {
		m, err := ReadCommand(w, r)
		out := answer{status: http.StatusBadRequest}
		if err != nil {
			out.Error = err.Error()
		} else {
			out = c.ask(m)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(out.status)
		_ = json.NewEncoder(w).Encode(out)
	}))
	mux.HandleFunc("POST /end", LockedBy(c.knows, func(w http.ResponseWriter, r *http.Request) {
		if _, err := ReadCommand(w, r); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusAccepted)
		c.End()
	}))
	mux.HandleFunc("GET /scenario.yaml", LockedBy(c.knows, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		w.Header().Set("Content-Disposition", `attachment; filename="play.yaml"`)
		_, _ = w.Write(c.Session.YAML())
	}))
}

// ReadCommand reads the one command that a request holds.
func ReadCommand(w http.ResponseWriter, r *http.Request) (m Command, err error) {
	err = ReadJSON(w, r, &m)
	return m, err
}

package capacity

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"coinbench/capacity/dockercoins"
	"coinbench/history"
)

// Objective is one judgement of a history, as text:
//
//	objective = measured ( op value | "within" value ".." value | op [ number "*" ] measured ) [ "±0" ]
//	measured  = metric [ "(" [ name { "," name } ] ")" ]
//	op        = "==" | "!=" | "<" | "<=" | ">" | ">="
//	name      = a window's or a load's name, or a service's: letters, digits, "_", "-", ".", "/"
//	value     = a number; for latencies a duration such as 800ms; for shares also a percentage such as 0.1%; for bottleneck a service's name
//
// e.g. hash_rate(saturated) within 9.3..10.05, hash_rate(after) >= 0.97 * hash_rate(before), errors == 0, p99(rng-bench/c50) <= 1.2s,
// bottleneck(saturated) == rng.
type Objective struct {
	Text   string
	Metric string
	Args   []string
	Op     string  // one of the operators, or "within"
	Low    float64 // the value; for within the lower end. Durations in seconds
	High   float64 // for within the upper end
	Word   string  // the value of bottleneck
	Exact  bool    // "±0": what was measured is judged as if it had no error
	Than   *Than   // what the metric is compared with, instead of a value
}

// Result is how an objective was judged.
type Result string

// The results. Unknown is never a pass.
const (
	Pass    Result = "pass"
	Fail    Result = "fail"
	Unknown Result = "unknown"
)

// Verdict is an objective, judged.
type Verdict struct {
	Objective string   `json:"objective"`
	Result    Result   `json:"result"`
	Value     *float64 `json:"value,omitempty"` // what was measured, in the metric's base unit
	Low       *float64 `json:"low,omitempty"`   // ends of its 95 % interval, where it has an error
	High      *float64 `json:"high,omitempty"`  //
	Word      string   `json:"word,omitempty"`  // what was found, where it is no number
	Unit      string   `json:"unit,omitempty"`
	Reason    string   `json:"reason"`
}

// ParseError says what is wrong with an objective, and where.
type ParseError struct {
	Text    string
	Column  int // 1-based, in characters
	Message string
}

func (e *ParseError) Error() string { return fmt.Sprintf("column %d: %s", e.Column, e.Message) }

// metric is a row of the language's table.
type metric struct {
	name string
	args []argument
	unit string // "", "s" (a duration), "share" (0 to 1) or "word"
	doc  string
	// value returns what was measured; an error says why nothing was.
	value func(a *Analysis, args []string) (float64, error)
	word  func(a *Analysis, args []string) (string, error)
	words []string // what the word may be, where unit is "word"
	// between are the bounds of what would have been measured by a generator that was never late, with requests whose answers were all waited
	// for; why says what the difference is due to. nil: there is none.
	between func(r *LoadResult, o Objective, measured float64) (low, high float64, why string)
	// estimate is the value with its error, of what was found; nil: the metric is a count or an observation, which has none.
	estimate func(a *Analysis, args []string) *Estimate
	noun     string // of what its number is, after the number: "hashes/s"; of a count in the singular
	whole    bool   // about the whole run: only a whole run can pass
	count    bool   // of things: a whole number
	signed   bool   // it may be below 0
	below1   bool   // a share that is never 1
}

type argument string

const (
	windowArg  argument = "window"
	loadArg    argument = "load"
	eitherArg  argument = "window or load"
	serviceArg argument = "service"
	rolloutArg argument = "rollout"
)

// Metric documents a metric of the objectives' language.
type Metric struct {
	Syntax string // e.g. utilisation(window, service)
	Unit   string
	Doc    string
}

// Metrics lists the metrics, in the order of the documentation.
func Metrics() []Metric {
	var all []Metric
	for _, m := range metrics() {
		unit := m.unit
		switch unit {
		case "word":
			unit = strings.Join(m.words[:len(m.words)-1], ", ") + " or " + m.words[len(m.words)-1]
		case "s":
			unit = "duration"
		case "share":
			unit = "share, 0 to 1 or in %"
		case "":
			unit = "number"
		}
		all = append(all, Metric{Syntax: m.syntax(), Unit: unit, Doc: m.doc})
	}
	return all
}

func (m metric) syntax() string {
	if len(m.args) == 0 {
		return m.name
	}
	var s []string
	for _, a := range m.args {
		s = append(s, string(a))
	}
	return m.name + "(" + strings.Join(s, ", ") + ")"
}

func metrics() []metric {
	w := func(get func(*Window) (float64, error)) func(*Analysis, []string) (float64, error) {
		return func(a *Analysis, args []string) (float64, error) {
			win, err := a.window(args[0])
			if err != nil {
				return 0, err
			}
			return get(win)
		}
	}
	l := ofLoad
	r := func(name, unit, doc string, get func(*Disturbance) (float64, error)) metric {
		return metric{name: name, args: []argument{rolloutArg}, unit: unit, doc: doc, value: func(a *Analysis, args []string) (float64, error) {
			found, err := a.rollout(args[0])
			if err != nil {
				return 0, err
			}
			return get(found)
		}}
	}
	counted := func(name, noun, doc string, get func(*Disturbance) (float64, error)) metric {
		m := r(name, "", doc, get)
		m.count, m.noun = true, noun
		return m
	}
	rate := func(name, what, noun, doc string, get func(*Window) *Estimate) metric {
		return metric{name: name, args: []argument{windowArg}, doc: doc, noun: noun,
			value: w(func(win *Window) (float64, error) {
				if e := get(win); e != nil {
					return e.Value, nil
				}
				return 0, fmt.Errorf("no %s was measured in the window: the driver's counters were not read", what)
			}),
			estimate: func(a *Analysis, args []string) *Estimate { return get(a.Window(args[0])) }}
	}
	lost := func(name, doc string, value func(*Window) *float64, err func(w, before *Window) float64) metric {
		return metric{name: name, args: []argument{windowArg}, doc: doc, signed: true, noun: "hashes",
			value: w(func(win *Window) (float64, error) {
				if v := value(win); v != nil {
					return *v, nil
				}
				return 0, errors.New("there is no window before it to compare with, or no counters were read")
			}),
			estimate: func(a *Analysis, args []string) *Estimate {
				win := a.Window(args[0])
				return a.Window(win.Baseline).HashRate.scaled(*value(win), err(win, a.Window(win.Baseline)))
			}}
	}
	return []metric{
		rate("hash_rate", "hash rate", "hashes/s", "Hashes (loops of the driver) per second in a window, from the driver's own counters.",
			func(w *Window) *Estimate { return w.HashRate }),
		rate("coin_rate", "coin rate", "coins/s", "Coins (hashes that begin with 0, one in sixteen) per second in a window.",
			func(w *Window) *Estimate { return w.CoinRate }),
		{name: "utilisation", args: []argument{windowArg, serviceArg}, unit: "share", doc: "Busy share of a service's slots in a window, 0 to 1.",
			value: func(a *Analysis, args []string) (float64, error) {
				win, err := a.window(args[0])
				if err != nil {
					return 0, err
				}
				u := win.Service(args[1])
				if u == nil {
					return 0, fmt.Errorf("no counters of %s were read in window %s", args[1], args[0])
				}
				if u.Utilisation == nil {
					return 0, fmt.Errorf("%s has no limit of concurrency, so it has no utilisation", args[1])
				}
				return *u.Utilisation, nil
			},
			estimate: func(a *Analysis, args []string) *Estimate { return a.Window(args[0]).Service(args[1]).Use }},
		{name: "bottleneck", args: []argument{windowArg}, unit: "word", words: limits(dockercoins.Roles()),
			doc: "What limits the hash rate in a window: the driver (its own loop) or a station, by name, or what else was found, its blanks " +
				"written as dashes. In a tie it is each of its causes.",
			word: func(a *Analysis, args []string) (string, error) {
				win, err := a.window(args[0])
				if err != nil {
					return "", err
				}
				if win.Bottleneck == nil {
					return "", errors.New("the window's counters do not show it: no hash was made, or nothing was read")
				}
				return win.Bottleneck.Limit, nil
			}},
		{name: "errors", whole: true, count: true, noun: "error", doc: "The driver's exceptions and the failed requests of all loads, in the " +
			"whole run.",
			value: func(a *Analysis, _ []string) (float64, error) {
				if a.Validity.Readings == 0 && a.Validity.Requests == 0 {
					return 0, errors.New("nothing was measured")
				}
				n := a.Reconciliation.Errors
				for _, l := range a.Loads {
					n += float64(l.Failed)
				}
				return n, nil
			}},
		{name: "errors", args: []argument{eitherArg}, count: true, noun: "error",
			doc: "The driver's exceptions in a window, or the failed requests of a load.",
			value: func(a *Analysis, args []string) (float64, error) {
				if a.Window(args[0]) != nil {
					win, err := a.window(args[0])
					if err != nil {
						return 0, err
					}
					if win.HashRate == nil {
						return 0, errors.New("the driver's counters were not read in the window")
					}
					return win.Errors, nil
				}
				if a.Load(args[0]) != nil {
					load, err := a.load(args[0])
					if err != nil {
						return 0, err
					}
					return load.failed()
				}
				return 0, fmt.Errorf("the run has no window and no load %q", args[0])
			}, between: failuresBetween},
		{name: "failures", args: []argument{loadArg}, count: true, noun: "failure",
			doc: "Requests of a load that failed or were dropped, and those without an answer at its end that were older than its " +
				"patience; younger ones are left out.",
			value: l((*LoadResult).failed), between: failuresBetween},
		{name: "failure_ratio", args: []argument{loadArg}, unit: "share", doc: "Share of a load's requests that are among its failures.",
			value: l(func(r *LoadResult) (float64, error) {
				n, err := r.failed()
				return n / float64(max(1, r.Requests-r.LeftOut)), err
			}),
			between: func(r *LoadResult, o Objective, x float64) (low, high float64, why string) {
				n := float64(max(1, r.Requests-r.LeftOut))
				low, _, why = failuresBetween(r, o, x*n)
				return low / n, x, why
			}},
		{name: "lost", whole: true, count: true, noun: "hash", doc: "Hashes that an exception took before they were counted, in the whole run.",
			value: func(a *Analysis, _ []string) (float64, error) {
				if !a.Reconciliation.Possible {
					return 0, errors.New(a.Reconciliation.Why)
				}
				return a.Reconciliation.Rows[0].Lost, nil
			}},
		lost("hashes_lost", "The hash rate of the window before x this window's length - the hashes done in it, those under way at its edges "+
			"by their part.",
			func(w *Window) *float64 { return w.HashesLost }, func(w, _ *Window) float64 { return w.LengthS }),
		lost("lost_to_backoff", "The hashes that the driver would have made, at the hash rate of the window before, in the time for which they "+
			"waited after errors: what the back-off costs.",
			func(w *Window) *float64 { return w.LostToBackoff }, func(w, before *Window) float64 {
				return w.SilentS / float64(max(1,
					before.workers()))
			}),
		{name: "throughput", args: []argument{loadArg}, noun: "requests/s",
			doc:   "Good requests per second of a load, from its first request to its last answer.",
			value: l(func(r *LoadResult) (float64, error) { return r.PerS, nil }), estimate: estimateOf("throughput"),
			between: func(r *LoadResult, _ Objective, x float64) (low, high float64, why string) {
				if r.Missing == 0 || r.LengthS == 0 {
					return x, x, ""
				}
				return x, x + float64(r.Missing)/r.LengthS, fmt.Sprintf("about %s of a generator that was lost are missing", count(int(r.Missing),
					"request"))
			}},
		latency("mean", "Mean", 100, func(l *Latency) float64 { return l.MeanS }),
		percentile("p50", 50), percentile("p90", 90), percentile("p95", 95), percentile("p99", 99), percentile("p99.9", 99.9),
		latency("max", "Maximum", 100, func(l *Latency) float64 { return l.MaxS }),
		{name: "availability", args: []argument{loadArg}, unit: "share", below1: true,
			doc: "What the requests of a load show of the share that is answered well, if they fail independently of each other: the lower bound " +
				"at 95 % confidence (Clopper-Pearson), 0 to 1. Zero failures of N show about 1 - 3/N; of outages only the length of the load says " +
				"something.",
			value: l(func(r *LoadResult) (float64, error) {
				if r.Available.Requests == 0 {
					return 0, errNoRequest
				}
				return r.Available.AtLeast, nil
			}),
			between: func(r *LoadResult, _ Objective, x float64) (float64, float64, string) {
				_, why := r.late(100)
				return x, NewAvailability(r.Available.Requests, r.Failed-r.sooner).AtLeast, why
			}},
		{name: "rollout", args: []argument{rolloutArg}, unit: "word", words: []string{"completed", "paused", "rolled_back"},
			doc: "How a rollout ended. One that did not complete fails the run unless an objective expects it.",
			word: func(a *Analysis, args []string) (string, error) {
				r, err := a.rollout(args[0])
				if err == nil && r.State == "" {
					err = fmt.Errorf("%s was cut off, or is no rollout", args[0])
				}
				if err == nil && r.Inconclusive {
					err = fmt.Errorf("the canary was taken back, since its watch was inconclusive: %s", r.Reason)
				}
				if err != nil {
					return "", err
				}
				return string(r.State), nil
			}},
		r("rollout_time", "s", "Time from a rollout's begin to its end.", func(r *Disturbance) (float64, error) {
			if r.DurationS == nil {
				return 0, errors.New("it has no end, or is no rollout")
			}
			return *r.DurationS, nil
		}),
		r("mixed_time", "s", "Time of a rollout with two versions in rotation.", func(r *Disturbance) (float64, error) { return r.MixedS, nil }),
		counted("least_serving", "replica", "Fewest replicas that served during a rollout or a fault: in rotation, alive, and neither frozen "+
			"nor cut off.", func(r *Disturbance) (float64, error) { return float64(r.LeastServing), nil }),
		r("extra_replica_time", "s", "Replica-seconds of a rollout beyond the replicas that it began with.",
			func(r *Disturbance) (float64, error) { return r.ExtraReplicaS, nil }),
		counted("lost_requests", "request", "Requests of all loads but those that observe only that failed because of a rollout or a fault, "+
			"as long as it was felt.", func(r *Disturbance) (float64, error) {
			n, judges := 0.0, false
			for _, l := range r.Loads {
				if !l.Observer {
					n, judges = n+float64(l.Failed), true
				}
			}
			if !judges {
				return 0, errors.New("no load that may judge it asked the service then")
			}
			return n, nil
		}),
		{name: "max_gap", args: []argument{loadArg}, unit: "s", doc: "The longest time of a load without a success.",
			value: l(func(r *LoadResult) (float64, error) {
				if r.Requests == 0 {
					return 0, errNoRequest
				}
				return r.MaxGapS, nil
			}),
			between: func(r *LoadResult, _ Objective, x float64) (float64, float64, string) {
				late, why := r.late(100)
				return max(x-late, 0), x, why
			}},
	}
}

// limits are the causes that an objective can expect, as one word each.
func limits(roles history.Roles) (words []string) {
	words = append(words, roles.Driver.Service)
	for _, r := range roles.Stations {
		words = append(words, r.Service)
	}
	for _, c := range []Cause{CauseBalancing, CausePinned, CauseReplica, CauseBackoff, CauseQueueLimit} {
		words = append(words, strings.ReplaceAll(string(c), " ", "-"))
	}
	return words
}

// ofLoad is a metric of a load that may be used.
func ofLoad(get func(*LoadResult) (float64, error)) func(*Analysis, []string) (float64, error) {
	return func(a *Analysis, args []string) (float64, error) {
		load, err := a.load(args[0])
		if err != nil {
			return 0, err
		}
		return get(load)
	}
}

// estimateOf is a number of a load with its error; nil for a load of a fixed number of requests, which are all there are.
func estimateOf(name string) func(*Analysis, []string) *Estimate {
	return func(a *Analysis, args []string) *Estimate {
		if l := a.Load(args[0]); !l.whole {
			return l.Estimates[name]
		}
		return nil
	}
}

// latency is a metric of a load's response times; beyond the percentile, 100 for the mean and the maximum, it may be a lower bound.
func latency(name, what string, percentile float64, get func(*Latency) float64) metric {
	return metric{name: name, args: []argument{loadArg}, unit: "s",
		doc: what + " of the response times (from due to done) of a load's good requests; one that was given up counts as at least its age.",
		between: func(r *LoadResult, _ Objective, x float64) (float64, float64, string) {
			if r.Response.AtLeast(percentile) {
				return x, math.Inf(1), "at least this, for some requests were given up without an answer"
			}
			late, why := r.late(percentile)
			return x - late, x, why
		},
		estimate: estimateOf(name),
		value: ofLoad(func(r *LoadResult) (float64, error) {
			if r.Response == nil && r.Engine != "" {
				return 0, fmt.Errorf("%s played the load, and counts from the moment at which a request is sent: response times are not known",
					r.Engine)
			}
			if r.Response == nil {
				return 0, errors.New("no request of the load succeeded")
			}
			return get(r.Response), nil
		})}
}

func percentile(name string, percent float64) metric {
	what := strconv.FormatFloat(percent, 'g', -1, 64) + "th percentile"
	if percent == 50 {
		what = "Median"
	}
	return latency(name, what, percent, func(l *Latency) float64 { return l.percentile(percent) })
}

// metricsNamed are the rows of a name, which may be any percentile's.
func metricsNamed(name string) (named []metric) {
	for _, m := range metrics() {
		if m.name == name {
			named = append(named, m)
		}
	}
	if number, ok := strings.CutPrefix(name, "p"); ok && named == nil {
		if p, err := strconv.ParseFloat(number, 64); err == nil && p > 0 && p < 100 && strings.Trim(number, "0123456789.") == "" {
			named = append(named, percentile(name, p))
		}
	}
	return named
}

var errNoRequest = errors.New("the load made no request of which anything is known")

// failed is the number of failures, of a load that made requests.
func (r *LoadResult) failed() (float64, error) {
	if r.Requests == r.LeftOut {
		return 0, errNoRequest
	}
	return float64(r.Failed), nil
}

func (a *Analysis) window(name string) (*Window, error) {
	w := a.Window(name)
	if w == nil {
		return nil, fmt.Errorf("the run has no window %q%s", name, known("; its windows are ", a.windowNames()))
	}
	if !w.Complete {
		return nil, fmt.Errorf("window %s was cut off", name)
	}
	return w, nil
}

func (a *Analysis) load(name string) (*LoadResult, error) {
	l := a.Load(name)
	if l == nil {
		var names []string
		for _, l := range a.Loads {
			names = append(names, l.Name)
		}
		return nil, fmt.Errorf("the run has no load %q%s", name, known("; its loads are ", names))
	}
	if !l.Complete {
		return nil, fmt.Errorf("load %s was cut off", name)
	}
	if len(l.Invalid) > 0 {
		return nil, fmt.Errorf("the numbers of load %s must not be used: %s", name, l.Invalid[0])
	}
	return l, nil
}

// failuresBetween leaves out the failures that the generator may have made itself.
func failuresBetween(r *LoadResult, _ Objective, x float64) (low, high float64, why string) {
	_, why = r.late(100)
	return x - float64(r.sooner), x, why
}

func (a *Analysis) windowNames() []string {
	var names []string
	for _, w := range a.Windows {
		names = append(names, w.Name)
	}
	return names
}

func known(lead string, names []string) string {
	if len(names) == 0 {
		return ""
	}
	return lead + strings.Join(names, ", ")
}

// ParseObjective reads an objective of a run of DockerCoins. A fault is a *ParseError.
func ParseObjective(text string) (Objective, error) {
	return ParseObjectiveOf(dockercoins.Roles(), text)
}

// ParseObjectiveOf reads an objective of a run of an app whose services have these parts. A fault is a *ParseError.
func ParseObjectiveOf(roles history.Roles, text string) (Objective, error) {
	p := &parser{text: []rune(text), roles: dockercoins.Default(roles)}
	o := Objective{Text: strings.TrimSpace(text)}
	if err := p.objective(&o); err != nil {
		return Objective{}, err
	}
	return o, nil
}

type parser struct {
	text  []rune
	pos   int
	roles history.Roles
}

func (p *parser) fail(at int, format string, args ...any) error {
	return &ParseError{Text: string(p.text), Column: at + 1, Message: fmt.Sprintf(format, args...)}
}

func (p *parser) space() {
	for p.pos < len(p.text) && unicode.IsSpace(p.text[p.pos]) {
		p.pos++
	}
}

func (p *parser) run(ok func(rune) bool) string {
	begin := p.pos
	for p.pos < len(p.text) && ok(p.text[p.pos]) {
		p.pos++
	}
	return string(p.text[begin:p.pos])
}

func inName(r rune) bool {
	return r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("_-./", r))
}

func inWord(r rune) bool {
	return r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_')
}

// subject reads a metric and its names.
func (p *parser) subject() (name string, args []string, m metric, err error) {
	p.space()
	at := p.pos
	name = p.run(func(r rune) bool { return inWord(r) || r == '.' })
	named := metricsNamed(name)
	if len(named) == 0 {
		var all []string
		for _, m := range metrics() {
			all = append(all, m.syntax())
		}
		what := "no metric"
		if name != "" {
			what = fmt.Sprintf("unknown metric %q", name)
		}
		return name, args, m, p.fail(at, "%s; accepted: %s", what, strings.Join(all, ", "))
	}
	p.space()
	open := p.pos
	if p.pos < len(p.text) && p.text[p.pos] == '(' {
		p.pos++
		for {
			p.space()
			at := p.pos
			if p.pos < len(p.text) && p.text[p.pos] == ')' && len(args) == 0 {
				p.pos++
				break
			}
			arg := p.run(inName)
			if arg == "" {
				return name, args, m, p.fail(at, "a name is missing; accepted: %s", syntaxes(named))
			}
			args = append(args, arg)
			p.space()
			if p.pos < len(p.text) && p.text[p.pos] == ',' {
				p.pos++
				continue
			}
			if p.pos < len(p.text) && p.text[p.pos] == ')' {
				p.pos++
				break
			}
			return name, args, m, p.fail(p.pos, "%s; accepted: a comma or a closing parenthesis", p.found())
		}
	}
	i := slices.IndexFunc(named, func(m metric) bool { return len(m.args) == len(args) })
	if i < 0 {
		return name, args, m, p.fail(open, "%s takes %s; accepted: %s", name, arity(named, len(args)), syntaxes(named))
	}
	return name, args, named[i], nil
}

func (p *parser) objective(o *Objective) error {
	var m metric
	var err error
	if o.Metric, o.Args, m, err = p.subject(); err != nil {
		return err
	}
	p.space()
	at := p.pos
	const operators = "==, !=, <, <=, >, >=, within"
	if word := p.run(inWord); word == "within" {
		o.Op = word
	} else if word != "" {
		return p.fail(at, "%q is no comparison; accepted: %s", word, operators)
	} else {
		o.Op = p.run(func(r rune) bool { return strings.ContainsRune("=!<>", r) })
		switch o.Op {
		case "==", "!=", "<", "<=", ">", ">=":
		case "":
			return p.fail(at, "%s; accepted: %s", p.found(), operators)
		default:
			return p.fail(at, "%q is no comparison; accepted: %s", o.Op, operators)
		}
	}
	if m.unit == "word" {
		if o.Op != "==" && o.Op != "!=" {
			return p.fail(at, "%s is compared with a name; accepted: ==, !=", m.name)
		}
		p.space()
		at := p.pos
		o.Word = p.run(inName)
		what, words := "is no value of "+m.name, m.words
		if m.name == "bottleneck" {
			what, words = "limits no hash rate", limits(p.roles)
		}
		if !slices.Contains(words, o.Word) {
			return p.fail(at, "%q %s; accepted: %s", o.Word, what, strings.Join(words, ", "))
		}
		return p.end()
	}
	p.space()
	from := p.pos
	if p.related() {
		return p.relation(o, m)
	}
	if o.Low, err = p.value(m); err != nil {
		return err
	}
	if o.Op == "within" {
		p.space()
		at := p.pos
		if dots := p.run(func(r rune) bool { return r == '.' }); dots != ".." {
			p.pos = at
			return p.fail(at, "%s; accepted: .. and the upper end, as in 9.3..10.05", p.found())
		}
		p.space()
		at = p.pos
		if o.High, err = p.value(m); err != nil {
			return err
		}
		if o.High < o.Low {
			return p.fail(at, "the range is empty: its upper end is below its lower end")
		}
	}
	if !o.possible(m) {
		return p.fail(from, "%s can never be %s %s; accepted: %s", o.Metric, o.Op, strings.TrimSpace(string(p.text[from:p.pos])), accepted(m))
	}
	o.Exact = p.exact()
	return p.end()
}

// possible says whether any value that the metric can have meets the objective: one that nothing can meet is a mistake.
func (o Objective) possible(m metric) bool {
	least, most := 0.0, math.Inf(1)
	if m.signed {
		least = math.Inf(-1)
	}
	if m.unit == "share" {
		if most = 1; m.below1 {
			most = math.Nextafter(1, 0)
		}
	}
	low, high := least, most // what meets the objective, ends included
	switch o.Op {
	case "==":
		low, high = o.Low, o.Low
	case "<":
		high = math.Nextafter(o.Low, math.Inf(-1))
	case "<=":
		high = o.Low
	case ">":
		low = math.Nextafter(o.Low, math.Inf(1))
	case ">=":
		low = o.Low
	case "within":
		low, high = o.Low, o.High
	case "!=":
		return true
	}
	low, high = max(low, least), min(high, most)
	if m.count {
		low, high = math.Ceil(low), math.Floor(high)
	}
	return low <= high
}

// exact reads ±0, which refuses that the measurement's error is taken into account.
func (p *parser) exact() bool {
	p.space()
	for _, s := range []string{"±0", "+-0"} {
		if r := []rune(s); len(p.text)-p.pos >= len(r) && string(p.text[p.pos:p.pos+len(r)]) == s {
			p.pos += len(r)
			return true
		}
	}
	return false
}

func (p *parser) found() string {
	if p.pos >= len(p.text) {
		return "the objective ends here"
	}
	return fmt.Sprintf("unexpected %q", p.text[p.pos])
}

func (p *parser) end() error {
	if p.space(); p.pos < len(p.text) {
		return p.fail(p.pos, "unexpected %q; accepted: ±0 or the end of the objective", string(p.text[p.pos:]))
	}
	return nil
}

// value reads a number or a duration; ".." ends it.
func (p *parser) value(m metric) (float64, error) {
	p.space()
	at := p.pos
	begin := p.pos
	for p.pos < len(p.text) {
		r := p.text[p.pos]
		if r == '.' && p.pos+1 < len(p.text) && p.text[p.pos+1] == '.' {
			break
		}
		sign := r == '-' || r == '+'
		if !(unicode.IsDigit(r) || r == '.' || unicode.IsLetter(r) || sign && (p.pos == begin || strings.ContainsRune("eE", p.text[p.pos-1])) ||
			r == '%') {
			break
		}
		p.pos++
	}
	text := string(p.text[begin:p.pos])
	if rest := strings.TrimLeft(string(p.text[p.pos:]), " "); m.unit == "share" && text != "" && strings.HasPrefix(rest, "%") {
		p.pos = len(p.text) - len([]rune(rest)) + 1
		text += "%"
	}
	if text == "" {
		return 0, p.fail(at, "%s; accepted: %s", p.found(), accepted(m))
	}
	if m.unit == "s" {
		d, err := time.ParseDuration(text)
		if err != nil {
			return 0, p.fail(at, "%q is no duration; accepted: %s", text, accepted(m))
		}
		return d.Seconds(), nil
	}
	number, percent := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) || percent && m.unit != "share" {
		return 0, p.fail(at, "%q is no number; accepted: %s", text, accepted(m))
	}
	if percent {
		v /= 100
	}
	return v, nil
}

// accepted says what a metric is compared with.
func accepted(m metric) string {
	switch {
	case m.below1:
		return "a share from 0 to less than 1, such as 0.999 or 99.9%"
	case m.unit == "share":
		return "a share from 0 to 1, such as 0.95 or 95%"
	case m.unit == "s":
		return "a duration such as 800ms or 1.2s"
	case m.count:
		return "a whole number, at least 0"
	case m.signed:
		return "a number such as 9.3"
	}
	return "a number such as 9.3, at least 0"
}

func syntaxes(named []metric) string {
	var s []string
	for _, m := range named {
		s = append(s, m.syntax())
	}
	return strings.Join(s, ", ")
}

func arity(named []metric, got int) string {
	var s []string
	for _, m := range named {
		s = append(s, strconv.Itoa(len(m.args)))
	}
	return strings.Join(s, " or ") + " names, not " + strconv.Itoa(got)
}

func (o Objective) metric() (metric, bool) {
	for _, m := range metricsNamed(o.Metric) {
		if len(m.args) == len(o.Args) {
			return m, true
		}
	}
	return metric{}, false
}

// Names are the names that an objective speaks of, so that they can be checked before a run.
type Names struct {
	Windows  []string // must be windows
	Loads    []string // must be loads
	Either   []string // must be one or the other
	Services []string
	Rollouts []string
}

// Names returns the names that the objective needs.
func (o Objective) Names() Names {
	var n Names
	m, ok := o.metric()
	if !ok {
		return n
	}
	n.add(m, o.Args)
	if o.Than != nil {
		n.add(o.Than.metric, o.Than.Args)
	}
	return n
}

func (n *Names) add(m metric, args []string) {
	for i, a := range m.args {
		switch a {
		case windowArg:
			n.Windows = append(n.Windows, args[i])
		case loadArg:
			n.Loads = append(n.Loads, args[i])
		case eitherArg:
			n.Either = append(n.Either, args[i])
		case serviceArg:
			n.Services = append(n.Services, args[i])
		case rolloutArg:
			n.Rollouts = append(n.Rollouts, args[i])
		}
	}
}

// Judge judges a run by the objective.
func (o Objective) Judge(a *Analysis) Verdict {
	v := Verdict{Objective: o.Text, Result: Unknown}
	m, ok := o.metric()
	if !ok {
		v.Reason = fmt.Sprintf("there is no metric %s with %d names", o.Metric, len(o.Args))
		return v
	}
	if m.word != nil {
		word, err := m.word(a, o.Args)
		if err != nil {
			v.Reason = err.Error()
			return v
		}
		v.Word, v.Reason, v.Result = word, "found "+word, Fail
		if slices.Contains(strings.Split(strings.ReplaceAll(word, " ", "-"), "+"), o.Word) == (o.Op == "==") { // a tie is each of its causes
			v.Result = Pass
		}
		return v
	}
	x, err := m.value(a, o.Args)
	if err != nil {
		v.Reason = err.Error()
		return v
	}
	v.Value = ptr(x)
	if v.Unit = m.unit; v.Unit == "share" {
		v.Unit = ""
	}
	if o.Than != nil {
		o.relate(a, m, x, &v)
		return v
	}
	v.Reason, v.Result = m.measured(x), Fail
	if load := a.Load(strings.Join(o.Args, "")); m.between != nil && load != nil {
		if low, high, why := m.between(load, o, x); low < high {
			v.Reason += ": " + why
			if !o.decided(low, high) {
				v.Result = Unknown
				return v
			}
		}
	}
	if o.holds(x) {
		v.Result = Pass
	}
	if load := a.Load(strings.Join(o.Args, "")); v.Result == Pass && load != nil && m.unit == "s" && load.missingShare() > maxMissing {
		v.Result = Unknown
		v.Reason += fmt.Sprintf(", of a load %s lower than was asked for: a generator was lost", percent(load.missingShare()))
	}
	if m.estimate != nil && !o.Exact {
		if e := m.estimate(a, o.Args); e != nil {
			v.Low, v.High = e.Low, e.High
			if open := o.undecided(m, e); open != "" {
				v.Result = Unknown
				v.Reason += open
			}
		}
	}
	// What was not reached can only make it worse for a metric of the whole run.
	if m.whole && v.Result == Pass && a.Run.Status != history.Finished {
		v.Result = Unknown
		v.Reason += " so far, in a run that is incomplete"
	}
	return v
}

// undecided says why an estimate does not decide the objective, and how long the window or load would have to be; "": it does.
func (o Objective) undecided(m metric, e *Estimate) string {
	what := m.args[0]
	if e.Low == nil && e.High == nil {
		return fmt.Sprintf(", and its error is not known: %s; ±0 after the limit judges it all the same", e.NoInterval)
	}
	limits := []float64{o.Low}
	if o.Op == "within" {
		limits = append(limits, o.High)
	}
	for _, limit := range limits {
		if e.High == nil && limit >= *e.Low {
			return fmt.Sprintf(" (at least %s): %s, and the limit %s is above that", m.format(*e.Low), e.NoInterval, m.format(limit))
		}
		if e.High == nil || limit < *e.Low || limit > *e.High || *e.Low == *e.High {
			continue
		}
		text := fmt.Sprintf(" (%s to %s): the limit %s lies within the error", m.format(*e.Low), m.format(*e.High), m.format(limit))
		if k := e.longer(limit); k < 1000 {
			return text + fmt.Sprintf("; a %s %.2g times as long would decide", what, math.Ceil(10*k)/10)
		}
		return text + fmt.Sprintf(", and no %s of reasonable length would tell them apart", what)
	}
	return ""
}

// measured says what was found, with its unit. Of an availability it is what the requests show.
func (m metric) measured(x float64) string {
	if m.below1 {
		return "at least " + m.format(x) + " is shown"
	}
	return "measured " + m.format(x)
}

// format is a value with its unit.
func (m metric) format(x float64) string {
	if m.unit == "s" {
		return FormatSeconds(x)
	}
	digits, noun := 4, m.noun
	if m.unit == "share" {
		x, digits, noun = 100*x, 6, "%" // of an availability the nines count
	}
	if m.count && x != 1 {
		noun = strings.ReplaceAll(noun+"s", "hs", "hes")
	}
	text := strconv.FormatFloat(x, 'g', digits, 64)
	if x == math.Trunc(x) && math.Abs(x) < 1e6 {
		text = strconv.FormatFloat(x, 'f', 0, 64)
	}
	return strings.TrimSuffix(text+" "+noun, " ")
}

// decided says whether the objective has one answer for all values from low to high.
func (o Objective) decided(low, high float64) bool {
	switch o.Op {
	case "==", "!=":
		return o.Low < low || o.Low > high
	case "within":
		return o.Low <= low && high <= o.High || high < o.Low || low > o.High
	}
	return o.holds(low) == o.holds(high)
}

func (o Objective) holds(x float64) bool {
	switch o.Op {
	case "==":
		return x == o.Low
	case "!=":
		return x != o.Low
	case "<":
		return x < o.Low
	case "<=":
		return x <= o.Low
	case ">":
		return x > o.Low
	case ">=":
		return x >= o.Low
	default:
		return x >= o.Low && x <= o.High
	}
}

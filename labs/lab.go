package labs

import (
	"embed"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

//go:embed *.md zh/*.md
var files embed.FS

// Lab is one file of this folder.
type Lab struct {
	Name     string              `yaml:"-"`
	Title    string              `yaml:"title"`
	Minutes  int                 `yaml:"minutes"` // with everything that is asked, for a learner
	On       []string            `yaml:"on"`      // clusters, the first is the default
	After    []string            `yaml:"after"`   // labs that come first
	Draw     map[string][]string `yaml:"draw"`    // parameters of the scenario of which each attempt has one value
	Scenario string              `yaml:"scenario"`
	Question Round               `yaml:"question"`
	Transfer Round               `yaml:"transfer"`

	Sections []Section `yaml:"-"`
}

// Round is one question with its run. A lab has two: the question, and the transfer to another setting.
type Round struct {
	Set       map[string]string `yaml:"set"` // parameters of the scenario
	Ask       string            `yaml:"ask"`
	Answer    string            `yaml:"answer"` // formula of metrics, which the run measures
	Unit      string            `yaml:"unit"`
	Band      Percent           `yaml:"band"`  // of the measured answer, within which a prediction is right
	Whole     bool              `yaml:"whole"` // the answer is a whole number, and a prediction is right or not
	Law       string            `yaml:"law"`   // formula of the settings that gives the answer before it is measured
	Wrong     []Wrong           `yaml:"wrong"`
	Holds     []string          `yaml:"holds"` // objectives without which the texts would not be true of the run
	Evidence  *Evidence         `yaml:"evidence"`
	Published []string          `yaml:"published"` // what others wrote, with the source
	Hints     []string          `yaml:"hints"`
}

// Wrong is a way of thinking that gives a wrong number.
type Wrong struct {
	Model string   `yaml:"model"` // its name, and that of its paragraph
	Says  string   `yaml:"says"`  // formula of the settings
	Upto  *float64 `yaml:"upto"`  // numbers from 0 to this are meant as well: none, or next to nothing
}

// Evidence is a question to what was seen, which is asked with the reading.
type Evidence struct {
	Ask     string   `yaml:"ask"`
	Answer  string   `yaml:"answer"` // a metric whose value is a word
	Choices []string `yaml:"choices"`
}

// Percent is a share, written as in 5%.
type Percent float64

// UnmarshalYAML reads 5%.
func (p *Percent) UnmarshalYAML(text []byte) error {
	number, ok := strings.CutSuffix(strings.Trim(strings.TrimSpace(string(text)), `"'`), "%")
	v, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || v <= 0 || v > 50 {
		return fmt.Errorf("band %s: accepted: a percentage such as 5%%", text)
	}
	*p = Percent(v / 100)
	return nil
}

// Section is a part of the text: Markdown under a heading of the second level, which ends in {#id}.
type Section struct {
	ID, Heading, Text string
}

// The rounds' names, in order.
const (
	Question = "question"
	Transfer = "transfer"
)

// RoundNames are the rounds of every lab.
func RoundNames() []string { return []string{Question, Transfer} }

// Round returns a round by its name.
func (l *Lab) Round(name string) *Round {
	if name == Transfer {
		return &l.Transfer
	}
	return &l.Question
}

// Section returns the text of a section; "" when there is none.
func (l *Lab) Section(id string) string {
	for _, s := range l.Sections {
		if s.ID == id {
			return s.Text
		}
	}
	return ""
}

// SectionHeading returns the heading of a section; "" when there is none.
func (l *Lab) SectionHeading(id string) string {
	for _, s := range l.Sections {
		if s.ID == id {
			return s.Heading
		}
	}
	return ""
}

// prefix is what the ids of a round's sections begin with.
func prefix(round string) string {
	if round == Transfer {
		return "transfer-"
	}
	return ""
}

// order is that in which a newcomer meets the labs.
func order() []string {
	return []string{"four-or-three", "ten-times-the-workers", "the-knee", "a-question-that-waits", "fifty-at-once", "widen-it",
		"nothing-happened",
		"fair-or-random", "faster-it-fails", "two-seconds", "slow-release", "zero-of-n"}

}

// Languages are those in which labs are written; the first has all of them.
func Languages() []string { return []string{"en", "zh"} }

// All are the labs that are shipped, in order, in English.
func All() ([]Lab, error) {
	var all []Lab
	for _, name := range order() {
		l, err := Load(name, "en")
		if err != nil {
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}

// Load returns a lab in a language, or in English where it is not translated.
func Load(name, language string) (Lab, error) {
	if !slices.Contains(order(), name) {
		return Lab{}, fmt.Errorf("lab %q: unknown; accepted: %s", name, strings.Join(order(), ", "))
	}
	if !slices.Contains(Languages(), language) {
		return Lab{}, fmt.Errorf("language %q: unknown; accepted: %s", language, strings.Join(Languages(), ", "))
	}
	source, err := files.ReadFile(name + ".md")
	if err != nil {
		return Lab{}, fmt.Errorf("lab %s: %w", name, err)
	}
	l, err := Parse(name, source)
	if err != nil || language == "en" {
		return l, err
	}
	if source, err = files.ReadFile(language + "/" + name + ".md"); err != nil {
		return l, nil // not translated
	}
	return l.translated(language+"/"+name, source)
}

// Parse reads a lab.
func Parse(name string, source []byte) (Lab, error) {
	l := Lab{Name: name}
	head, body, err := split(source)
	if err == nil {
		err = yaml.UnmarshalWithOptions(head, &l, yaml.Strict())
	}
	if err == nil {
		l.Sections, err = sections(body)
	}
	if err == nil {
		err = l.check()
	}
	if err != nil {
		return l, fmt.Errorf("lab %s: %w", name, err)
	}
	return l, nil
}

// words are the texts of a lab in another language; its numbers stay.
type words struct {
	Title    string     `yaml:"title"`
	Question roundWords `yaml:"question"`
	Transfer roundWords `yaml:"transfer"`
}

type roundWords struct {
	Ask      string   `yaml:"ask"`
	Unit     string   `yaml:"unit"`
	Evidence string   `yaml:"evidence"`
	Hints    []string `yaml:"hints"`
}

func (l Lab) translated(file string, source []byte) (Lab, error) {
	var w words
	head, body, err := split(source)
	if err == nil {
		err = yaml.UnmarshalWithOptions(head, &w, yaml.Strict())
	}
	own := l.Sections
	if err == nil {
		l.Sections, err = sections(body)
	}
	if err != nil {
		return l, fmt.Errorf("lab %s: %w", file, err)
	}
	id := func(s Section) string { return s.ID }
	if a, b := ids(own, id), ids(l.Sections, id); !slices.Equal(a, b) {
		return l, fmt.Errorf("lab %s: its sections are %v; accepted: those of the original, %v", file, b, a)
	}
	l.Title = w.Title
	for _, name := range RoundNames() {
		from, to := w.Question, l.Round(name)
		if name == Transfer {
			from = w.Transfer
		}
		if len(from.Hints) != len(to.Hints) || from.Ask == "" || (from.Evidence != "") != (to.Evidence != nil) {
			return l, fmt.Errorf("lab %s: %s: accepted: ask, as many hints as the original's %d, and evidence where it has one", file, name,
				len(to.Hints))
		}
		to.Ask, to.Unit, to.Hints = from.Ask, from.Unit, from.Hints
		if to.Evidence != nil {
			to.Evidence = &Evidence{Ask: from.Evidence, Answer: to.Evidence.Answer, Choices: to.Evidence.Choices}
		}
	}
	return l, nil
}

func ids[T any](all []T, id func(T) string) (list []string) {
	for _, v := range all {
		list = append(list, id(v))
	}
	return list
}

// split parts the front matter from the text.
func split(source []byte) (head []byte, body string, err error) {
	text := strings.ReplaceAll(string(source), "\r\n", "\n")
	rest, ok := strings.CutPrefix(text, "---\n")
	front, body, closed := strings.Cut(rest, "\n---\n")
	if !ok || !closed {
		return nil, "", errors.New("1:1: no front matter; accepted: YAML between two lines of ---")
	}
	return []byte(front), body, nil
}

var heading = regexp.MustCompile(`^## (.+?) \{#([a-z0-9-]+)\}$`)

// sections parts the text at its headings of the second level.
func sections(body string) (all []Section, err error) {
	for line := range strings.SplitSeq(body, "\n") {
		if strings.HasPrefix(line, "## ") {
			m := heading.FindStringSubmatch(line)
			if m == nil {
				return nil, fmt.Errorf("heading %q: accepted: ## Text {#id}", line)
			}
			all = append(all, Section{ID: m[2], Heading: m[1]})
			continue
		}
		if len(all) > 0 {
			all[len(all)-1].Text += line + "\n"
		} else if strings.TrimSpace(line) != "" {
			return nil, fmt.Errorf("text %q before the first heading; accepted: ## Text {#id}", line)
		}
	}
	for i := range all {
		all[i].Text = strings.Trim(all[i].Text, "\n")
	}
	return all, nil
}

// check holds a lab to what every lab has: a paragraph for each way of thinking, and nothing that no question leads to.
func (l *Lab) check() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if l.Title == "" || l.Minutes <= 0 || l.Scenario == "" || len(l.On) == 0 {
		fault("accepted: title, minutes, on and scenario")
	}
	want := []string{"why", "look"}
	for _, name := range RoundNames() {
		r := l.Round(name)
		if r.Ask == "" || r.Answer == "" || r.Unit == "" || len(r.Wrong) == 0 || len(r.Hints) == 0 || r.Whole == (r.Band > 0) {
			fault("%s: accepted: ask, answer, unit, wrong, hints, and either band or whole", name)
		}
		want = append(want, prefix(name)+"right")
		for _, w := range r.Wrong {
			want = append(want, prefix(name)+"wrong-"+w.Model)
		}
		want = append(want, prefix(name)+"wrong")
	}
	want = append(want, "notes")
	var have []string
	for _, s := range l.Sections {
		have = append(have, s.ID)
		if s.Text == "" {
			fault("section %s is empty", s.ID)
		}
	}
	if !slices.Equal(have, want) {
		fault("its sections are %v; accepted: %v", have, want)
	}
	return errors.Join(faults...)
}

// Settings are the parameters of the scenario in a round, with what the seed draws.
func (l *Lab) Settings(round string, seed uint64) map[string]string {
	set := map[string]string{"seed": strconv.FormatUint(seed, 10)}
	chance := rand.New(rand.NewPCG(seed, seed*0x9e3779b97f4a7c15)) // near seeds draw unlike numbers
	for _, name := range slices.Sorted(maps.Keys(l.Draw)) {
		set[name] = l.Draw[name][chance.IntN(len(l.Draw[name]))]
	}
	drawn := Numbers(set)
	for name, text := range l.Round(round).Set {
		if v, err := Eval(text, drawn, nil); err == nil && strings.ContainsAny(text, "*/+(") {
			text = Figures(v) // such as workers * 2
		}
		set[name] = text
	}
	return set
}

// Numbers are the settings that are numbers, as variables of formulas: durations in seconds.
func Numbers(settings map[string]string) map[string]float64 {
	vars := map[string]float64{}
	for name, text := range settings {
		if v, err := strconv.ParseFloat(text, 64); err == nil {
			vars[name] = v
		} else if d, err := time.ParseDuration(text); err == nil {
			vars[name] = d.Seconds()
		}
	}
	return vars
}

// Figures writes a number with three significant digits and nothing superfluous.
func Figures(v float64) string {
	if v >= 999.5 || v <= -999.5 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	short, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 3, 64), 64)
	return strconv.FormatFloat(short, 'f', -1, 64)
}

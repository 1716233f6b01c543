package reports

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"coinbench/capacity"
)

//go:embed page/page.html
var pageTemplate string

//go:embed page/page.css
var pageStyle string

//go:embed page/page.js
var pageScript string

func pages() (*template.Template, error) {
	return template.New("pages").Funcs(template.FuncMap{
		"css":    func() template.CSS { return template.CSS(pageStyle) },
		"script": func() template.JS { return template.JS(pageScript) },
		"inc":    func(i int) int { return i + 1 },
	}).Parse(pageTemplate)
}

// HTML writes the report as one page: no other file, no network, no library. Without scripts it loses its read-outs and nothing else.
func HTML(w io.Writer, a *capacity.Analysis) error { return writePage(w, "page", newPage(a)) }

// writePage writes a page by its template's name.
func writePage(w io.Writer, name string, data any) error {
	t, err := pages()
	if err != nil {
		return err
	}
	return t.ExecuteTemplate(w, name, data)
}

type page struct {
	A             *capacity.Analysis
	Title         string
	Start         string
	ValidityFacts string
	Windows       []pageWindow
	Tiles         []tile // of the loads, where no window measured the workers
	MarginNote    string
	Comparison    template.HTML
	Notes         []string
	Charts        []pageChart
	Events        template.HTML
	Happened      string // how many events
	Loads         template.HTML
	Rollouts      template.HTML
	Books         template.HTML
	Facts         []fact
	Command       string
}

type fact struct{ Name, Value string }

type pageWindow struct {
	W                 *capacity.Window
	Rate, Margin      string
	Coins             string
	Limit, LimitUpper string
	Verb              string
	First             string        // the change that promises most, in short
	Advice            template.HTML // the changes that were played
	Class             string        // of the style: the first cause of a tie
	Attained, Bound   string
	Lost              string
	LoopText          string
	StageText         string
	Stages            []stage
	Table             template.HTML
	Next              []next
}

type stage struct {
	Class, Label, Text string
	Flex               string
}

// tile is a load in a few words.
type tile struct {
	Name, Value, Unit, Text, Sub string
	Failed                       bool
}

func loadTiles(a *capacity.Analysis) (all []tile) {
	for _, s := range a.Searches {
		t := tile{Name: upperFirst(s.Label()), Value: "none", Text: upperFirst(s.Finding()), Failed: s.Level == 0,
			Sub: fmt.Sprintf("%s tested, confidence %s", plural(s.Tested, "level"), capacity.ConfidenceText(s.Confidence))}
		if s.Level > 0 {
			t.Value, t.Unit = strconv.FormatFloat(s.Level, 'g', 4, 64), searchUnit(a, s)
			if s.Level == 1 {
				t.Unit = strings.Replace(t.Unit, "clients", "client", 1)
			}
		}
		all = append(all, t)
	}
	for _, l := range a.Told() {
		if len(all) == maxDrawnLoads {
			break
		}
		if a.OfSearch(l.Name) && !a.Answers(l.Name) {
			continue
		}
		t := tile{Name: l.Name + ": " + request(l), Value: figures(l.PerS), Unit: "answered per second", Failed: l.Failed > 0,
			Sub: fmt.Sprintf("%s in %s, ", plural(int(l.Requests), "request"), capacity.FormatSeconds(l.LengthS))}
		if l.Closed {
			t.Sub += plural(l.Clients, "client")
		} else {
			t.Sub += clients(l)
		}
		switch {
		case l.Failed > 0 && l.Requests > 0:
			t.Text = fmt.Sprintf("%d of %d failed (%s)", l.Failed, l.Requests, share(l.Failed, l.Requests))
		default:
			t.Text = "none failed"
		}
		if r := cmp.Or(l.Response, l.ServiceTime); r != nil {
			t.Text += "; "
			if l.Response == nil {
				t.Text += "service time: "
			}
			var parts []string
			for _, p := range []struct {
				percentile, s float64
				within, not   string
			}{{50, r.P50S, "half", "median"}, {99, r.P99S, "99 %", "p99"}, {100, r.MaxS, "all", "slowest"}} {
				if r.AtLeast(p.percentile) {
					parts = append(parts, p.not+" ≥ "+capacity.FormatSeconds(p.s))
				} else {
					parts = append(parts, p.within+" within "+capacity.FormatSeconds(p.s))
				}
			}
			t.Text += strings.Join(parts, ", ")
		}
		all = append(all, t)
	}
	return all
}

type next struct{ Change, Limit, Bound string }

type pageChart struct {
	ID, Title, Desc string
	Legend          []legendEntry
	Steps           string
	Long            bool   // its table, which is printed in two columns
	Rows            int    // of a table that is too long to be printed
	Data            string // the file that has it
	Again           bool   // it is printed elsewhere
	Drawn           template.HTML
	Table           template.HTML
}

// newPageChart is a chart as a figure; data is the file that has its numbers.
func newPageChart(c chart, data string) pageChart {
	p := pageChart{ID: c.id, Title: c.title, Desc: c.desc, Drawn: template.HTML(c.onPage()), Data: data,
		Table: template.HTML(c.table.html(dress{})), Steps: strings.Join(c.bandList(), " · "), Long: len(c.table) > 8 && len(c.table[0]) < 8,
		Again: c.again}
	if n := len(c.table) - 1; n > maxPrintedRows {
		p.Rows = n
	}
	for _, s := range c.legend() {
		p.Legend = append(p.Legend, legendEntry{template.HTML(legendKey(s)), s.name})
	}
	return p
}

// maxPrintedRows is how many rows of a chart's table a reader on paper is shown: as many as the chart itself takes.
const maxPrintedRows = 40

type legendEntry struct {
	Key  template.HTML
	Name string
}

func newPage(a *capacity.Analysis) page {
	p := page{A: a, Title: fmt.Sprintf("%s: %s", a.Run.Scenario, a.Overall.Outcome),
		Start:   a.Run.Start.UTC().Format("2 January 2006, 15:04 UTC"),
		Command: repeatable(a.Run.Command)}
	if a.Overall.Incomplete != "" {
		p.Title = fmt.Sprintf("%s: incomplete, %s", a.Run.Scenario, a.Overall.Outcome)
	}
	v := a.Validity
	if v.Readings > 0 {
		p.ValidityFacts = fmt.Sprintf("%s of %s", plural(v.Readings, "reading"), plural(v.Tasks, "task"))
		if v.GapS > 0 {
			p.ValidityFacts += fmt.Sprintf(", at most %s s apart within a window", figures(v.GapS))
		}
		p.ValidityFacts += "; "
	}
	p.MarginNote = marginNote
	p.Tiles = loadTiles(a)
	p.ValidityFacts += fmt.Sprintf("%d requests by the generator%s.", v.Requests, lag(v))
	for _, w := range a.KeyWindows() {
		p.Windows = append(p.Windows, newPageWindow(w))
	}
	p.Comparison, p.Notes = comparisonHTML(a)
	for _, c := range charts(a) {
		p.Charts = append(p.Charts, newPageChart(c, "result.json"))
	}
	if len(a.Timeline.Marks) > 0 {
		rows := Table{{"at (s)", "what happened "}}
		for _, m := range a.Timeline.Marks {
			rows = append(rows, []string{fmt.Sprintf("%.2f", m.AtS), m.Text})
		}
		p.Events, p.Happened = template.HTML(rows.html(dress{})), plural(len(a.Timeline.Marks), "event")
	}
	if len(a.Loads) > 0 {
		answers := ""
		for _, s := range a.Searches {
			answers += "<p><b>" + template.HTMLEscapeString(s.Answer()) + "</b></p>\n"
		}
		p.Loads = template.HTML(answers + loadTable(a).html(dress{}))
	}
	p.Rollouts = template.HTML(htmlRollouts(a))
	if a.Reconciliation.Possible {
		last, store := a.Roles.Last().Service, a.Roles.Store.Service
		rows := Table{{"", last + " posts", "benches", "counted", "lost", "in flight", "residual", store, store + " − counted"}}
		rows[0][0] = "window "
		for _, e := range a.Reconciliation.Rows {
			rows = append(rows, []string{e.Name, whole(e.Posts), whole(e.BenchPosts), whole(e.Counted), whole(e.Lost), whole(e.InFlight),
				whole(e.Residual), whole(e.Stored), whole(e.StoreResidual)})
		}
		p.Books = template.HTML(rows.html(dress{}))
	}
	i := a.Run
	p.Facts = []fact{{"Scenario", i.Scenario}, {"Cluster", i.Cluster}, {"Began", i.Start.UTC().Format("2006-01-02 15:04:05 UTC")},
		{"Lasted", fmt.Sprintf("%.1f s", i.LengthS)},
		{"Ended", string(i.Status)}, {"Seed", fmt.Sprint(i.Seed)}, {"Profile", i.Profile}}
	if len(a.Windows) == 0 && i.Cluster == "none" { // a load on something that is not the app
		p.Facts = slices.DeleteFunc(p.Facts, func(f fact) bool { return f.Name == "Profile" || f.Name == "Cluster" })
	}
	var keys []string
	for k := range i.Settings {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var set []string
	for _, k := range keys {
		if v := i.Settings[k]; v != "" {
			set = append(set, k+"="+v)
		}
	}
	if len(set) > 0 {
		p.Facts = append(p.Facts, fact{"Settings", strings.Join(set, ", ")})
	}
	p.Facts = append(p.Facts, fact{"Host", host(i.Host)}, fact{"coinbench", i.Coinbench})
	return p
}

func htmlAdvice(advice []capacity.Advice) template.HTML {
	if len(advice) == 0 {
		return ""
	}
	return template.HTML(adviceRows(advice).html(dress{}))
}

func newPageWindow(w *capacity.Window) pageWindow {
	k := w.Bottleneck
	limit := windowLimit(w)
	class, _, _ := strings.Cut(strings.ReplaceAll(k.Limit, " ", "-"), "+")
	p := pageWindow{W: w, Class: class, Verb: limitVerb(k), Advice: htmlAdvice(k.Advice), Rate: figures(w.HashRate.Value),
		Coins: estimate(w.CoinRate), Limit: upperLimit(limit), LimitUpper: upperLimit(limit), Attained: percent(k.Attained),
		Bound: figures(k.BoundPerS) + " hashes/s"}
	if len(k.Advice) > 0 {
		p.First = fmt.Sprintf("%s: %s hashes/s predicted", k.Advice[0].Text, figures(k.Advice[0].PerS))
	}
	p.Margin = strings.TrimPrefix(estimate(w.HashRate), p.Rate)
	if w.Errors > 0 && w.HashesLost != nil {
		p.Lost = missing(w)
	}
	for _, n := range k.Next {
		p.Next = append(p.Next, next{n.Change, upperLimit(limitName(n.Limit, w.Config.Roles().Driver)), "at most " + figures(n.BoundPerS) +
			" hashes/s"})
	}
	if w.Loop != nil {
		p.LoopText = fmt.Sprintf("%s from hash to hash", capacity.FormatSeconds(w.Loop.TotalS))
		add := func(class, label string, seconds float64) {
			share := seconds / w.Loop.TotalS
			if share < .002 {
				return
			}
			s := stage{Class: class, Text: label + " " + capacity.FormatSeconds(seconds), Flex: fmt.Sprintf("%.4f", share)}
			switch {
			case share > .16:
				s.Label = s.Text
			case share > .075:
				s.Label = label
			}
			p.Stages = append(p.Stages, s)
		}
		rest := w.Loop.TotalS
		for _, s := range w.Loop.Stages {
			u := w.Service(s.Name)
			if u != nil && u.WaitS != nil && u.ServiceS != nil {
				add("wait", "wait for "+s.Name, *u.WaitS)
				add(s.Name, s.Name, s.PerLoopS-*u.WaitS)
			} else if s.Name == "think" {
				add("think", "think", s.PerLoopS)
			} else {
				add("other", s.Name, s.PerLoopS)
			}
			rest -= s.PerLoopS
		}
		if w.Backoffs > 0 {
			add("wait", "back-off", max(0, rest))
		}
		var texts []string
		for _, s := range p.Stages {
			texts = append(texts, s.Text)
		}
		p.StageText = "An average loop: " + strings.Join(texts, ", ")
		if len(w.Loop.Stages) == 0 {
			p.Stages = nil
		}
	}
	p.Table = useHTML(w)
	return p
}

func upperLimit(s string) string { // names of services stay as they are written
	if strings.HasPrefix(s, "the ") {
		return upperFirst(s)
	}
	return s
}

// useHTML is a window's table of use, with bars.
func useHTML(w *capacity.Window) template.HTML {
	t := useTable(w)
	busy := slices.Index(t[0], "busy")
	return template.HTML(t.html(dress{cell: func(row, column int) (string, bool) {
		v := driverShare(w)
		if row <= len(w.Services) {
			v = w.Services[row-1].Utilisation
		}
		if column != busy || v == nil {
			return "", false
		}
		class := "bar"
		if *v >= .9 {
			class = "bar hot"
		}
		return fmt.Sprintf(`<span class="%s" aria-hidden="true"><i style="width:%.1f%%"></i></span><span>%s</span>`, class,
			100*min(1, max(0, *v)), percent(*v)), true
	}}))
}

// comparisonHTML is the table of what was measured, published and bound, its kinds set apart.
func comparisonHTML(a *capacity.Analysis) (template.HTML, []string) {
	if len(a.Comparison) == 0 {
		return "", nil
	}
	t, notes := comparisonTable(a, "%s", "[%d]")
	measured, published := slices.Index(t[0], "measured"), slices.Index(t[0], "published")
	return template.HTML(t.html(dress{
		row: func(row int) string {
			if row < len(a.Comparison) && a.Comparison[row].Kind != a.Comparison[row-1].Kind {
				return "group"
			}
			return ""
		},
		cell: func(row, column int) (string, bool) {
			text := esc(t[row][column])
			switch column {
			case measured:
				return "<strong>" + text + "</strong>", true
			case published:
				return footnoteMark.ReplaceAllString(text, `<a class="ref" href="#note-$1">[$1]</a>`), true
			}
			return "", false
		},
	})), notes
}

var footnoteMark = regexp.MustCompile(`\[(\d+)\]`)

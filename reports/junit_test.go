package reports_test

import (
	"encoding/xml"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"coinbench/capacity"
	"coinbench/capacity/capacitytest"
	"coinbench/history"
	"coinbench/reports"
)

// element is what the schema says of an element. Its children come in this order.
type element struct {
	attributes map[string]string // pattern of each; all are required
	children   []string
	text       bool
}

// junitSchema is that of Ant's JUnit task, the strictest of the common dialect: what it accepts, those of Surefire and Jenkins accept too.
var junitSchema = map[string]element{
	"testsuite": {map[string]string{"name": ".+", "hostname": "[^ ]+", "timestamp": `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d`, "tests": `\d+`,
		"failures": `\d+`, "errors": `\d+`, "skipped": `\d+`, "time": `\d+\.\d+`},
		[]string{"properties", "testcase", "system-out", "system-err"}, false},
	"properties": {},
	"testcase":   {map[string]string{"name": ".+", "classname": ".+", "time": `\d+\.\d+`}, []string{"error", "failure"}, false},
	"error":      {map[string]string{"message": "(?s).+", "type": ".+"}, nil, true},
	"failure":    {map[string]string{"message": "(?s).+", "type": ".+"}, nil, true},
	"system-out": {nil, nil, true},
	"system-err": {nil, nil, true},
}

// node is any element.
type node struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Children []node     `xml:",any"`
	Text     string     `xml:",chardata"`
}

// faults is everything in which a document differs from the schema.
func (n node) faults() (all []string) {
	name := n.XMLName.Local
	e, known := junitSchema[name]
	if !known {
		return []string{"unknown element " + name}
	}
	seen := map[string]bool{}
	for _, a := range n.Attrs {
		pattern, known := e.attributes[a.Name.Local]
		if seen[a.Name.Local] = true; !known || !regexp.MustCompile("^("+pattern+")$").MatchString(a.Value) {
			all = append(all, fmt.Sprintf("%s: %s=%q", name, a.Name.Local, a.Value))
		}
	}
	for a := range e.attributes {
		if !seen[a] {
			all = append(all, name+": no "+a)
		}
	}
	at := 0
	for _, c := range n.Children {
		i := slices.Index(e.children, c.XMLName.Local)
		if i < at {
			all = append(all, fmt.Sprintf("%s: %s is not allowed there", name, c.XMLName.Local))
		}
		at = max(i, at)
		all = append(all, c.faults()...)
	}
	if !e.text && strings.TrimSpace(n.Text) != "" {
		all = append(all, name+": holds text")
	}
	if (name == "failure" || name == "error") && strings.TrimSpace(n.Text) == "" {
		all = append(all, name+": holds no text")
	}
	return all
}

func (n node) attribute(name string) string {
	i := slices.IndexFunc(n.Attrs, func(a xml.Attr) bool { return a.Name.Local == name })
	if i < 0 {
		return ""
	}
	return n.Attrs[i].Value
}

// strictJUnit reads a document and holds it to the schema, and its sums to its cases.
func strictJUnit(t *testing.T, text string) (suite node, cases []node) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(text))
	if err := d.Decode(&suite); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Token(); err != io.EOF {
		if _, err = d.Token(); err != io.EOF {
			t.Error("something follows the suite")
		}
	}
	for _, f := range suite.faults() {
		t.Error(f)
	}
	count := map[string]int{}
	sum := 0.0
	for _, c := range suite.Children {
		if c.XMLName.Local != "testcase" {
			continue
		}
		cases = append(cases, c)
		s, _ := strconv.ParseFloat(c.attribute("time"), 64)
		sum += s
		for _, outcome := range c.Children {
			count[outcome.XMLName.Local]++
		}
		if len(c.Children) > 1 {
			t.Errorf("%s has %d outcomes", c.attribute("name"), len(c.Children))
		}
	}
	for name, want := range map[string]int{"tests": len(cases), "failures": count["failure"], "errors": count["error"], "skipped": 0} {
		if got := suite.attribute(name); got != strconv.Itoa(want) {
			t.Errorf("%s is %s, and the cases make %d", name, got, want)
		}
	}
	if whole, _ := strconv.ParseFloat(suite.attribute("time"), 64); sum < whole-1e-3 || sum > whole+1e-3 {
		t.Errorf("the suite took %v s, its cases %v s", whole, sum)
	}
	return suite, cases
}

func TestJUnit(t *testing.T) {
	suite, cases := strictJUnit(t, render(t, reports.JUnit, small(t)))
	if suite.attribute("tests") != "4" || suite.attribute("failures") != "1" || suite.attribute("errors") != "1" ||
		cases[1].attribute("name") != "hash_rate(w) > 12" {
		t.Errorf("%+v", suite)
	}

	cut := capacitytest.New("cut").Bottleneck()
	cut.Status = history.Killed
	cut.Events = cut.Events[:len(cut.Events)/2]
	_, cases = strictJUnit(t, render(t, reports.JUnit, judged(t, cut, "errors == 0")))
	if cases[0].attribute("name") != "the measurement is sound" || len(cases[0].Children) != 1 {
		t.Errorf("a run that was cut off is sound: %+v", cases[0])
	}

	evil := small(t)
	evil.Run.Scenario = "a\x1b[31m<b>\x00&\"\xff"
	evil.Objectives = append(evil.Objectives, capacity.Verdict{Objective: "\x01]]>", Result: capacity.Fail, Reason: "\x1b[2J"})
	strictJUnit(t, render(t, reports.JUnit, evil))
}

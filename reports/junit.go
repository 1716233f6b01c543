package reports

import (
	"encoding/xml"
	"io"

	"coinbench/capacity"
)

type junitSuite struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Time     float64     `xml:"time,attr"`
	Started  string      `xml:"timestamp,attr"`
	Cases    []junitCase `xml:"testcase"`
	Out      string      `xml:"system-out"`
}

type junitCase struct {
	Class   string     `xml:"classname,attr"`
	Name    string     `xml:"name,attr"`
	Failure *junitText `xml:"failure,omitempty"`
	Error   *junitText `xml:"error,omitempty"`
	Out     string     `xml:"system-out,omitempty"`
}

type junitText struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
}

// JUnit writes the objectives as test cases: one that failed is a failure, one that could not be judged is an error. The first case is
// the measurement itself, so that a run that proves nothing is not green.
func JUnit(w io.Writer, a *capacity.Analysis) error {
	s := junitSuite{Name: "coinbench " + a.Run.Scenario, Time: a.Run.LengthS, Started: a.Run.Start.UTC().Format("2006-01-02T15:04:05"), Out: string(a.Overall.Outcome) + ": " + a.Overall.Why}
	class := "coinbench." + a.Run.Scenario
	sound := junitCase{Class: class, Name: "the measurement is sound"}
	if !a.Validity.OK {
		why := a.Overall.Incomplete
		for _, t := range append(append([]string(nil), a.Validity.Invalid...), a.Validity.Doubts...) {
			if why != "" {
				why += "; "
			}
			why += t
		}
		sound.Error = &junitText{Message: why, Type: "validity"}
	}
	s.Cases = append(s.Cases, sound)
	for _, v := range a.Objectives {
		c := junitCase{Class: class, Name: v.Objective}
		switch v.Result {
		case capacity.Pass:
			c.Out = v.Reason
		case capacity.Fail:
			c.Failure = &junitText{Message: v.Reason, Type: "objective"}
		default:
			c.Error = &junitText{Message: v.Reason, Type: "unknown"}
		}
		s.Cases = append(s.Cases, c)
	}
	for _, c := range s.Cases {
		s.Tests++
		if c.Failure != nil {
			s.Failures++
		}
		if c.Error != nil {
			s.Errors++
		}
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(s); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

package reports

import (
	"encoding/xml"
	"io"
	"strconv"
	"strings"

	"coinbench/capacity"
)

// junitSuite has all that the stricter of the readers want, in their order: Ant's schema knows no output of a single case.
type junitSuite struct {
	XMLName    xml.Name    `xml:"testsuite"`
	Name       string      `xml:"name,attr"`
	Host       string      `xml:"hostname,attr"`
	Tests      int         `xml:"tests,attr"`
	Failures   int         `xml:"failures,attr"`
	Errors     int         `xml:"errors,attr"`
	Skipped    int         `xml:"skipped,attr"`
	Time       seconds     `xml:"time,attr"`
	Started    string      `xml:"timestamp,attr"`
	Properties struct{}    `xml:"properties"`
	Cases      []junitCase `xml:"testcase"`
	Out        string      `xml:"system-out"`
	Err        string      `xml:"system-err"`
}

type junitCase struct {
	Class   string     `xml:"classname,attr"`
	Name    string     `xml:"name,attr"`
	Time    seconds    `xml:"time,attr"`
	Failure *junitText `xml:"failure,omitempty"`
	Error   *junitText `xml:"error,omitempty"`
}

// junitText is why a case did not pass: readers show the message, the text, or both.
type junitText struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

// seconds are written as a decimal number, never with an exponent.
type seconds float64

func (s seconds) MarshalText() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(s), 'f', 3, 64), nil
}

// JUnit writes the objectives as test cases: one that failed is a failure, one that could not be judged is an error. The first case is
// the measurement itself, so that a run that proves nothing is not green.
func JUnit(w io.Writer, a *capacity.Analysis) error {
	s := junitSuite{Name: "coinbench " + a.Run.Scenario, Host: "localhost", Time: seconds(a.Run.LengthS),
		Started: a.Run.Start.UTC().Format("2006-01-02T15:04:05")}
	said := []string{string(a.Overall.Outcome) + ": " + a.Overall.Why}
	class := "coinbench." + a.Run.Scenario
	sound := junitCase{Class: class, Name: "the measurement is sound", Time: s.Time} // all of the time: judging takes none
	if !a.Validity.OK {
		why := a.Overall.Incomplete
		for _, t := range append(append([]string(nil), a.Validity.Invalid...), a.Validity.Doubts...) {
			if why != "" {
				why += "; "
			}
			why += t
		}
		sound.Error = &junitText{why, "validity", why}
	}
	s.Cases = append(s.Cases, sound)
	for _, v := range a.Objectives {
		c := junitCase{Class: class, Name: v.Objective}
		switch v.Result {
		case capacity.Pass:
			said = append(said, "pass: "+v.Objective+": "+v.Reason)
		case capacity.Fail:
			c.Failure = &junitText{v.Reason, "objective", v.Objective + ": " + v.Reason}
		default:
			c.Error = &junitText{v.Reason, "unknown", v.Objective + ": " + v.Reason}
		}
		s.Cases = append(s.Cases, c)
	}
	s.Out = strings.Join(said, "\n")
	return s.write(w)
}

// write counts the cases and writes the suite.
func (s junitSuite) write(w io.Writer) error {
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

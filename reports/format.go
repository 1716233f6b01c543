package reports

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"coinbench/capacity"
	"coinbench/history"
	"coinbench/internal/visible"
)

// figures writes a number with about three significant digits and no exponent.
func figures(v float64) string { return visible.Figures(v) }

// whole writes a count.
func whole(v float64) string { return strconv.FormatFloat(math.Round(v), 'f', 0, 64) }

func percent(ratio float64) string {
	if v := math.Round(100 * ratio); v != 0 {
		return whole(v) + " %"
	}
	return "0 %" // not -0
}

// optional writes a number that may be absent.
func optional(v *float64, format func(float64) string) string {
	if v == nil {
		return "–"
	}
	return format(*v)
}

// marginNote says what estimate and plusMinus write. Each report says it once.
const marginNote = "± is half the width of the 95 % interval; an interval that is not symmetric is written out."

// runNote is marginNote for predictions.
const runNote = "± is half the width of the 95 % interval: of what a single run gives where it is predicted, of the mean where it is " +
	"measured."

// estimate writes a number with its interval.
func estimate(e *capacity.Estimate) string {
	switch {
	case e == nil:
		return "–"
	case e.Low != nil && !e.Symmetric():
		return fmt.Sprintf("%s (%s to %s)", figures(e.Value), figures(*e.Low), figures(*e.High))
	}
	return plusMinus(e.Value, e.Margin())
}

// plusMinus writes a number with half the width of its interval; a margin that rounds to nothing is left out.
func plusMinus(v float64, margin *float64) string {
	if margin == nil || *margin < .005 {
		return figures(v)
	}
	return figures(v) + " ± " + figures(*margin)
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return strconv.Itoa(n) + " " + word + "s"
}

// limitName is a limit in words; a tie is its causes.
func limitName(limit string, driver history.Role) string {
	causes := strings.Split(limit, "+")
	for i, c := range causes {
		if c == driver.Service {
			causes[i] = "the " + driver.Plural + "' own loop"
		}
	}
	return strings.Join(causes, " and ")
}

// windowLimit is what limits a window, in words, with the replica that is to blame.
func windowLimit(w *capacity.Window) string {
	name := limitName(w.Bottleneck.Limit, w.Config.Roles().Driver)
	if task := w.Bottleneck.Task; task != "" {
		name += " (" + task + ")"
	}
	return name
}

// limitVerb is the verb that goes with a limit.
func limitVerb(b *capacity.Bottleneck) string {
	if len(b.Tied) > 0 {
		return "limit together"
	}
	return "limits"
}

func upperFirst(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return ""
	}
	return string(unicode.ToUpper(r)) + s[n:]
}

package visible

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Figures writes a number with about three significant digits and no exponent.
func Figures(v float64) string {
	a := math.Abs(v)
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "–"
	case a == 0:
		return "0"
	case a < 9.995:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case a < 99.95:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
}

// Significant writes a number with at most n significant digits, no exponent and no zeros that say nothing.
func Significant(v float64, n int) string {
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', n, 64), 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return "–"
	}
	return strconv.FormatFloat(rounded, 'f', -1, 64)
}

// Seconds is a length of time, measured or predicted, with three significant digits and in the unit that a person would say:
// microseconds below a tenth of a millisecond, milliseconds below a second, minutes from two of them on, hours from two of them on.
func Seconds(s float64) string {
	switch a := math.Abs(s); {
	case a < 5e-7:
		return "0 ms"
	case a < 99.95e-6:
		return Figures(s*1e6) + " µs"
	case a < .9995:
		return Figures(s*1000) + " ms"
	case a < 119.5:
		return Figures(s) + " s"
	case a < 2*3600-30:
		whole := math.Round(a)
		return strings.TrimSuffix(fmt.Sprintf("%.0f min %.0f s", math.Floor(whole/60), math.Mod(whole, 60)), " 0 s")
	default:
		minutes := math.Round(a / 60)
		return strings.TrimSuffix(fmt.Sprintf("%.0f h %.0f min", math.Floor(minutes/60), math.Mod(minutes, 60)), " 0 min")
	}
}

package labs

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"strconv"
	"strings"

	"coinbench/capacity"
	"coinbench/capacity/queueing"
)

// Eval computes a formula: numbers, variables, + - * /, parentheses, the functions of this file, and metrics of package capacity's
// objectives, such as hash_rate(steady), of which metric knows the values; nil: there are none.
func Eval(text string, vars map[string]float64, metric func(string) (float64, error)) (float64, error) {
	e, err := parser.ParseExpr(text)
	if err != nil {
		return 0, fmt.Errorf("formula %q: %w", text, err)
	}
	v, err := formula{text, vars, metric}.value(e)
	if err == nil && (math.IsNaN(v) || math.IsInf(v, 0)) {
		err = fmt.Errorf("it is no number")
	}
	if err != nil {
		return 0, fmt.Errorf("formula %q: %w", text, err)
	}
	return v, nil
}

type formula struct {
	text   string
	vars   map[string]float64
	metric func(string) (float64, error)
}

func (f formula) value(e ast.Expr) (float64, error) {
	switch e := e.(type) {
	case *ast.ParenExpr:
		return f.value(e.X)
	case *ast.BasicLit:
		if e.Kind == token.INT || e.Kind == token.FLOAT {
			return strconv.ParseFloat(e.Value, 64)
		}
	case *ast.Ident:
		if v, ok := f.vars[e.Name]; ok {
			return v, nil
		}
		return 0, fmt.Errorf("there is no variable %s", e.Name)
	case *ast.UnaryExpr:
		if e.Op == token.SUB {
			x, err := f.value(e.X)
			return -x, err
		}
	case *ast.BinaryExpr:
		x, err := f.value(e.X)
		if err != nil {
			return 0, err
		}
		y, err := f.value(e.Y)
		if err != nil {
			return 0, err
		}
		switch e.Op {
		case token.ADD:
			return x + y, nil
		case token.SUB:
			return x - y, nil
		case token.MUL:
			return x * y, nil
		case token.QUO:
			return x / y, nil
		}
	case *ast.CallExpr:
		return f.call(e)
	}
	return 0, fmt.Errorf("%q is not understood", f.source(e))
}

func (f formula) source(e ast.Expr) string { return f.text[e.Pos()-1 : e.End()-1] }

func (f formula) call(e *ast.CallExpr) (float64, error) {
	name := f.source(e.Fun)
	fn, ok := functions()[name]
	if !ok {
		if f.metric == nil {
			return 0, fmt.Errorf("%s is not known before the run", f.source(e))
		}
		return f.metric(f.source(e))
	}
	var args []float64
	for _, a := range e.Args {
		v, err := f.value(a)
		if err != nil {
			return 0, err
		}
		args = append(args, v)
	}
	if fn.args > 0 && len(args) != fn.args || len(args) == 0 {
		return 0, fmt.Errorf("%s has %d arguments; accepted: %d", name, len(args), fn.args)
	}
	return fn.value(args)
}

type function struct {
	args  int // 0: any number
	value func([]float64) (float64, error)
}

// functions are what formulas may call.
func functions() map[string]function {
	one := func(f func(float64) float64) function {
		return function{1, func(a []float64) (float64, error) { return f(a[0]), nil }}
	}
	return map[string]function{
		"ceil": one(math.Ceil), "sqrt": one(math.Sqrt),
		"min": {2, func(a []float64) (float64, error) { return min(a[0], a[1]), nil }},
		"max": {2, func(a []float64) (float64, error) { return max(a[0], a[1]), nil }},
		// first(share, x1, x2, ...) is which of the numbers is the first that reaches a share of the greatest, counted from 1.
		"first": {0, func(a []float64) (float64, error) {
			greatest := 0.0
			for _, x := range a[1:] {
				greatest = max(greatest, x)
			}
			for i, x := range a[1:] {
				if x >= a[0]*greatest {
					return float64(i + 1), nil
				}
			}
			return 0, fmt.Errorf("no number reaches the share")
		}},
		// bound(workers, rng, think, delay) are the asymptotic bounds of DockerCoins in hashes/s, with rng's delay in seconds.
		"bound": {4, func(a []float64) (float64, error) {
			l, err := app(a).Asymptotic(int(a[0]))
			return l.UpperPerS, err
		}},
		// mva(workers, rng, think, delay) is mean value analysis: delays of exponential length, and rng chosen at random.
		"mva": {4, func(a []float64) (float64, error) {
			s, err := app(a).Solve(int(a[0]))
			return s.RatePerS, err
		}},
		// unproved(n) is the share of failures that n requests without one do not exclude, at 95 % confidence.
		"unproved": one(func(n float64) float64 { return 1 - capacity.NewAvailability(int64(n), 0).AtLeast }),
	}
}

const (
	hasherS     = .1 // hasher's delay
	hasherSlots = 20
)

// app is DockerCoins as a closed network. Asymptotic adds up the replicas of a station that is split, for each has its part of the demand.
func app(a []float64) queueing.Network {
	rng := queueing.Station{Name: "rng", DemandS: a[3], Servers: 1}
	return queueing.Network{ThinkS: a[2], Stations: append(rng.Split(int(a[1])), queueing.Station{Name: "hasher", DemandS: hasherS,
		Servers: hasherSlots})}
}

// Fill puts the values of formulas into a text: ${workers / 0.3}.
func Fill(text string, vars map[string]float64, metric func(string) (float64, error)) (string, error) {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(text, "${")
		b.WriteString(before)
		if !ok {
			return b.String(), nil
		}
		expression, after, closed := strings.Cut(rest, "}")
		if !closed {
			return "", fmt.Errorf("${%s: accepted: a closing brace", rest)
		}
		v, err := Eval(expression, vars, metric)
		if err != nil {
			return "", err
		}
		b.WriteString(Figures(v))
		text = after
	}
}

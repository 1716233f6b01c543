package settings

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fault is one thing that is wrong with an environment.
type Fault struct {
	Variable string // its name; "" when the service is unknown
	Value    string
	Problem  string // such as "not a duration"
	Accepted string // the accepted values; "" when Problem says all
}

// Error says `COIN_DELAY="fast": not a duration; accepted: a duration such as 100ms, at least 0s`.
func (f *Fault) Error() string {
	s := f.Problem
	if f.Variable != "" {
		s = fmt.Sprintf("%s=%q: %s", f.Variable, f.Value, f.Problem)
	}
	if f.Accepted != "" {
		s += "; accepted: " + f.Accepted
	}
	return s
}

// Check says whether a service would start with an environment. Its error is that of Parse.
func Check(service string, env map[string]string) error {
	_, err := Parse(service, env)
	return err
}

// Parse returns the settings of a service in an environment. Variables that do not begin with Prefix are nobody's
// business here; one that does and that the service does not have is a fault, for a setting without effect misleads.
// The error joins every Fault, in the order of the table, unknown variables last.
func Parse(service string, env map[string]string) (Settings, error) {
	if !slices.Contains(Services(), service) {
		return Settings{}, &Fault{Problem: fmt.Sprintf("unknown service %q", service), Accepted: strings.Join(Services(), ", ")}
	}
	s := Settings{Service: service}
	variables := Variables(service)
	known := map[string]bool{}
	var faults []error
	for _, v := range variables {
		known[v.Name] = true
		value, set := env[v.Name]
		if !set {
			value = v.DefaultFor(service)
		}
		if err := v.parse(&s, value); err != nil {
			faults = append(faults, &Fault{Variable: v.Name, Value: value, Problem: err.Error(), Accepted: v.Accepted})
		}
	}
	if len(faults) == 0 { // combinations of broken values would only repeat the faults
		faults = s.combinations(env)
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if strings.HasPrefix(name, Prefix) && !known[name] {
			faults = append(faults, unknown(service, name, env[name]))
		}
	}
	if len(faults) > 0 {
		return Settings{}, errors.Join(faults...)
	}
	return s, nil
}

// combinations finds values that are fine alone and make no sense together.
func (s *Settings) combinations(env map[string]string) []error {
	var faults []error
	fault := func(name, problem string) {
		value, set := env[name]
		if !set {
			for _, v := range Variables(s.Service) {
				if v.Name == name {
					value = v.DefaultFor(s.Service)
				}
			}
		}
		faults = append(faults, &Fault{Variable: name, Value: value, Problem: problem})
	}
	if s.Accept == Serial && s.Concurrency != 1 {
		fault("COIN_CONCURRENCY", "a serial server serves one request at a time; set COIN_ACCEPT=pool as well")
	}
	switch s.Distribution {
	case Constant, Exponential:
		if s.Jitter != 0 {
			fault("COIN_DELAY_JITTER", fmt.Sprintf("a delay that is %s has no jitter; set COIN_DELAY_DISTRIBUTION=uniform or normal as well",
				s.Distribution))
		}
	case Uniform:
		if s.Jitter > s.Delay {
			fault("COIN_DELAY_JITTER", fmt.Sprintf("larger than the delay of %s, so that some delays would be negative", s.Delay))
		}
	}
	return faults
}

// unknown says what to write instead of a name that the service does not have.
func unknown(service, name, value string) error {
	all := table()
	for _, v := range all {
		if v.Name == name {
			return &Fault{Variable: name, Value: value, Problem: fmt.Sprintf("%s has no such setting; it belongs to %s", service,
				strings.Join(v.Services, ", "))}
		}
	}
	nearest := slices.MinFunc(all, func(a, b Variable) int {
		return cmp.Or(cmp.Compare(Distance(a.Name, name), Distance(b.Name, name)), belongs(b, service)-belongs(a, service))
	})
	problem := fmt.Sprintf("unknown setting; did you mean %s?", nearest.Name)
	if !nearest.Has(service) {
		problem = fmt.Sprintf("unknown setting; did you mean %s, which belongs to %s?", nearest.Name, strings.Join(nearest.Services, ", "))
	}
	return &Fault{Variable: name, Value: value, Problem: problem}
}

// belongs is 1 for a variable of the service, and otherwise 0.
func belongs(v Variable, service string) int {
	if v.Has(service) {
		return 1
	}
	return 0
}

// Distance is the number of letters to insert, remove or replace to make b of a (Levenshtein).
func Distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// The parsers below turn the text of a variable into a field. Each takes the field's place in Settings.

type field[T any] func(*Settings) *T
type parser = func(*Settings, string) error

func duration(f field[time.Duration]) parser {
	return func(s *Settings, text string) error {
		d, err := time.ParseDuration(text)
		switch {
		case err != nil:
			return errors.New("not a duration")
		case d < 0:
			return errors.New("a negative duration")
		}
		*f(s) = d
		return nil
	}
}

func enum[T ~string](f field[T], values ...T) parser {
	return func(s *Settings, text string) error {
		if !slices.Contains(values, T(text)) {
			return errors.New("not one of the accepted values")
		}
		*f(s) = T(text)
		return nil
	}
}

func integer(f field[int], least, most int) parser {
	return func(s *Settings, text string) error {
		n, err := strconv.Atoi(text)
		switch {
		case err != nil:
			return errors.New("not a whole number")
		case n < least || n > most:
			return errors.New("out of range")
		}
		*f(s) = n
		return nil
	}
}

func status(f field[int]) parser { return integer(f, 400, 599) }

func seed(f field[uint64]) parser {
	return func(s *Settings, text string) error {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return errors.New("not a whole number of at least 0")
		}
		*f(s) = n
		return nil
	}
}

func ratio(f field[float64]) parser {
	return func(s *Settings, text string) error {
		x, err := strconv.ParseFloat(text, 64)
		switch {
		case err != nil || math.IsNaN(x):
			return errors.New("not a number")
		case x < 0 || x > 1:
			return errors.New("out of range")
		}
		*f(s) = x
		return nil
	}
}

func boolean(f field[bool]) parser {
	return func(s *Settings, text string) error {
		if text != "true" && text != "false" {
			return errors.New("neither true nor false")
		}
		*f(s) = text == "true"
		return nil
	}
}

func size(f field[int64]) parser {
	return func(s *Settings, text string) error {
		number, unit := text, int64(1)
		for suffix, factor := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
			if n, ok := strings.CutSuffix(text, suffix); ok {
				number, unit = n, factor
			}
		}
		n, err := strconv.ParseInt(number, 10, 64)
		switch {
		case err != nil:
			return errors.New("not a size")
		case n < 1 || n > (1<<30)/unit:
			return errors.New("out of range")
		}
		*f(s) = n * unit
		return nil
	}
}

func text(f field[string]) parser {
	return func(s *Settings, text string) error {
		switch {
		case len(text) > 128:
			return errors.New("too long")
		case strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }):
			return errors.New("holds a space or a character that is not printable ASCII") // it becomes an HTTP header
		}
		*f(s) = text
		return nil
	}
}

// listen is an address to bind: the host may be absent, the port may be 0.
func listen(f field[string]) parser {
	return func(s *Settings, text string) error {
		if _, err := splitAddress(text, 0); err != nil {
			return err
		}
		*f(s) = text
		return nil
	}
}

// dial is an address to connect to.
func dial(f field[string]) parser {
	return func(s *Settings, text string) error {
		host, err := splitAddress(text, 1)
		switch {
		case err != nil:
			return err
		case host == "":
			return errors.New("an address without a host")
		}
		*f(s) = text
		return nil
	}
}

// addresses is a list of addresses to connect to.
func addresses(f field[[]string]) parser {
	return func(s *Settings, text string) error {
		var list []string
		for _, address := range strings.Split(text, ",") {
			host, err := splitAddress(address, 1)
			switch {
			case err != nil:
				return fmt.Errorf("%q: %w", address, err)
			case host == "":
				return errors.New("an address without a host")
			case slices.Contains(list, address):
				return fmt.Errorf("%q is given twice", address)
			}
			list = append(list, address)
		}
		*f(s) = list
		return nil
	}
}

func splitAddress(text string, leastPort int) (host string, err error) {
	colon := strings.LastIndexByte(text, ':')
	if colon < 0 {
		return "", errors.New("not an address")
	}
	host, portText := text[:colon], text[colon+1:]
	if inner, ok := strings.CutPrefix(host, "["); ok && strings.HasSuffix(inner, "]") { // IPv6
		host = strings.TrimSuffix(inner, "]")
	} else if strings.ContainsAny(host, ":[]") {
		return "", errors.New("not an address")
	}
	port, err := strconv.Atoi(portText)
	if err != nil || port < leastPort || port > 65535 {
		return "", fmt.Errorf("port %q is not a number from %d to 65535", portText, leastPort)
	}
	return host, nil
}

// base is the URL of a service, to which a path is added.
func base(f field[string]) parser {
	return func(s *Settings, text string) error {
		u, err := url.Parse(text)
		switch {
		case err != nil || u.Scheme != "http" || u.Hostname() == "":
			return errors.New("not a URL that begins with http:// and a host")
		case u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
			return errors.New("a URL with more than a host and a port")
		}
		*f(s) = "http://" + u.Host
		return nil
	}
}

func hosts(f field[map[string]string]) parser {
	return func(s *Settings, text string) error {
		found := map[string]string{}
		if text == "" {
			return nil
		}
		for pair := range strings.SplitSeq(text, ",") {
			from, to, ok := strings.Cut(pair, "=")
			if !ok {
				return fmt.Errorf("%q is not NAME:PORT=HOST:PORT", pair)
			}
			for _, address := range []string{from, to} {
				if host, err := splitAddress(address, 1); err != nil || host == "" {
					return fmt.Errorf("%q is not HOST:PORT", address)
				}
			}
			if _, twice := found[from]; twice {
				return fmt.Errorf("%q is there twice", from)
			}
			found[from] = to
		}
		*f(s) = found
		return nil
	}
}

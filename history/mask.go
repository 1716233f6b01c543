package history

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Masked is what records and reports show instead of a secret: what was sent is not kept.
const Masked = "xxxxx"

var (
	secretParts = []string{"token", "secret", "passw", "passphrase", "pwd", "apikey", "accesskey", "privatekey", "credential", "authorization", "cookie", "signature"}
	secretWords = []string{"key", "sig", "auth", "pass", "session", "sessionid", "jwt"} // as a whole, and only in queries

	userInfo   = regexp.MustCompile(`(://[^/?#:@\s"']*:)[^/?#\s"']*@`)
	parameter  = regexp.MustCompile(`([?&;])([^=&;?#\s"']+)=([^&;#\s"']+)`)
	assignment = regexp.MustCompile(`([A-Za-z_][A-Za-z0-9_.-]*)(["']?[ \t]*[:=][ \t]*)("[^"\n]*"|'[^'\n]*'|[^\s,}\]#{\[|>&"'][^\n,}\]#]*)`)
	argument   = regexp.MustCompile(`^([A-Za-z0-9_.-]+)=`)
)

// SecretName tells whether what goes by a name is a secret: the header Authorization, the variable REDIS_PASSWORD, the parameter api_key.
func SecretName(name string) bool {
	name = plainName(name)
	return slices.ContainsFunc(secretParts, func(part string) bool { return strings.Contains(name, part) })
}

func plainName(name string) string {
	return strings.NewReplacer("_", "", "-", "", ".", "").Replace(strings.ToLower(name))
}

// MaskText masks in a text the passwords of URLs and those of their parameters that are secrets.
func MaskText(text string) string {
	if !strings.ContainsAny(text, "@=") {
		return text
	}
	text = userInfo.ReplaceAllString(text, "${1}"+Masked+"@")
	return parameter.ReplaceAllStringFunc(text, func(m string) string {
		parts := parameter.FindStringSubmatch(m)
		name, err := url.QueryUnescape(parts[2])
		if err != nil {
			name = parts[2]
		}
		if !SecretName(name) && !slices.Contains(secretWords, plainName(name)) {
			return m
		}
		return parts[1] + parts[2] + "=" + Masked
	})
}

// MaskHeader is a header's value as it is shown.
func MaskHeader(name, value string) string {
	if SecretName(name) {
		return Masked
	}
	return MaskText(value)
}

// MaskArgs are the arguments of a command as they are shown: with Masked in the place of secret headers, variables, and what
// MaskText masks. They repeat the command once the secrets are put in.
func MaskArgs(args []string) []string {
	out := slices.Clone(args)
	for i, a := range out {
		flag := ""
		for _, prefix := range []string{"--header=", "--env=", "--set=", "-H"} {
			if rest, found := strings.CutPrefix(a, prefix); found {
				flag, a = prefix, rest
				break
			}
		}
		header := strings.HasPrefix(flag, "--header") || flag == "-H" || (i > 0 && (out[i-1] == "-H" || out[i-1] == "--header"))
		if name, _, found := strings.Cut(a, ":"); header && found && SecretName(name) {
			out[i] = flag + name + ": " + Masked
			continue
		}
		if m := argument.FindStringSubmatch(a); m != nil && SecretName(m[1]) {
			out[i] = flag + m[0] + Masked
			continue
		}
		out[i] = flag + MaskText(a)
	}
	return out
}

// maskValues masks the values of names that are secrets, env.NAME among them.
func maskValues(values map[string]string) map[string]string {
	if values == nil {
		return nil
	}
	out := make(map[string]string, len(values))
	for k, v := range values {
		if out[k] = MaskText(v); v != "" && SecretName(k) {
			out[k] = Masked
		}
	}
	return out
}

// maskYAML masks the values of keys and variables that are secrets in a text of YAML, in place: its lines stay where they are.
func maskYAML(text []byte) []byte {
	masked := assignment.ReplaceAllStringFunc(string(text), func(m string) string {
		parts := assignment.FindStringSubmatch(m)
		if !SecretName(parts[1]) || strings.HasPrefix(parts[3], "$") {
			return m
		}
		return parts[1] + parts[2] + Masked
	})
	return []byte(MaskText(masked))
}

// Secrets are the values themselves, to be masked wherever a text repeats them.
type Secrets []string

// Add adds a value, and each word of it: of "Bearer abc" also abc.
func (s *Secrets) Add(value string) {
	for _, v := range append(strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(" \t;,=", r) }), value) {
		if len(v) >= 4 && !slices.Contains([]string{"Bearer", "Basic", "Digest", "Negotiate"}, v) && !slices.Contains(*s, v) {
			*s = append(*s, v)
		}
	}
	slices.SortFunc(*s, func(a, b string) int { return len(b) - len(a) }) // the whole before its words
}

// Mask masks them in a text, and what MaskText does.
func (s Secrets) Mask(text string) string {
	for _, v := range s {
		text = strings.ReplaceAll(text, v, Masked)
	}
	return MaskText(text)
}

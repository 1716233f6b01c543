package history

import (
	"cmp"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Masked is what records and reports show instead of a secret: what was sent is not kept.
const Masked = "xxxxx"

var (
	secretParts = []string{"token", "secret", "passw", "passphrase", "requirepass", "masterauth", "pwd", "apikey", "accesskey", "privatekey",
		"credential", "authorization", "cookie", "signature"}
	secretWords = []string{"key", "sig", "auth", "pass", "session", "sessionid", "jwt"} // as a whole, and only in queries

	userInfo   = regexp.MustCompile(`(://[^/?#:@\s"']*:)[^/?#\s"']*@`)
	parameter  = regexp.MustCompile(`([?&;])([^=&;?#\s"']+)=([^&;#\s"']+)`)
	argument   = regexp.MustCompile(`^([A-Za-z0-9_.-]+)=`)
	nextInForm = regexp.MustCompile(`[&;] ?[A-Za-z0-9_.%-]+=`)

	// A name with its value, in YAML, JSON, a list of variables or a form: NAME: value, "NAME": "value", NAME=value.
	assignment = regexp.MustCompile(`([A-Za-z_][A-Za-z0-9_.-]*)(\\?["']?[ \t]*[:=][ \t]*(?:[&!]\S+[ \t]+)*)` +
		`("(?:[^"\\\n]|\\.)*"|'(?:[^'\n]|'')*'|\\"(?:[^"\\\n]|\\[^"\n])*\\"|[^\s,}\]#{\[|>"'][^\n]*)`)
	// An option with its value, in a command or a list of its words: --password value, "--requirepass", "value".
	option = regexp.MustCompile(`(^|[\s"'\[,])(--?)([A-Za-z][A-Za-z0-9-]*)(["']?,?[ \t]+["']?)([^\s"',\]\-][^\s"',\]]*)`)
	// A key whose value is a block of lines below it: NAME: |
	block = regexp.MustCompile(`^([ \t-]*)["']?([A-Za-z_][A-Za-z0-9_.-]*)["']?[ \t]*:[ \t]*(?:[&!]\S+[ \t]+)*[|>][-+0-9]*[ \t]*(?:#.*)?$`)
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
	masked, _ := maskURLs(text)
	return masked
}

func maskURLs(text string) (masked string, secrets []string) {
	if !strings.ContainsAny(text, "@=") {
		return text, nil
	}
	text = userInfo.ReplaceAllStringFunc(text, func(m string) string {
		begin := userInfo.FindStringSubmatch(m)[1]
		secrets = append(secrets, strings.TrimSuffix(m[len(begin):], "@"))
		return begin + Masked + "@"
	})
	text = parameter.ReplaceAllStringFunc(text, func(m string) string {
		parts := parameter.FindStringSubmatch(m)
		name, err := url.QueryUnescape(parts[2])
		if err != nil {
			name = parts[2]
		}
		if !SecretName(name) && !slices.Contains(secretWords, plainName(name)) {
			return m
		}
		secrets = append(secrets, parts[3])
		return parts[1] + parts[2] + "=" + Masked
	})
	return text, secrets
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
	masked, _ := maskArgs(args)
	return masked
}

func maskArgs(args []string) (masked, secrets []string) {
	masked = slices.Clone(args)
	for i, a := range masked {
		flag := ""
		for _, prefix := range []string{"--header=", "--env=", "--set=", "-H"} {
			if rest, found := strings.CutPrefix(a, prefix); found {
				flag, a = prefix, rest
				break
			}
		}
		header := strings.HasPrefix(flag, "--header") || flag == "-H" || (i > 0 && (args[i-1] == "-H" || args[i-1] == "--header"))
		if name, value, found := strings.Cut(a, ":"); header && found && SecretName(name) {
			masked[i], secrets = flag+name+": "+Masked, append(secrets, strings.TrimSpace(value))
			continue
		}
		if m := argument.FindStringSubmatch(a); m != nil && SecretName(m[1]) {
			masked[i], secrets = flag+m[0]+Masked, append(secrets, a[len(m[0]):])
			continue
		}
		text, found := maskValuesIn(a)
		masked[i], secrets = flag+text, append(secrets, found...)
	}
	return masked, secrets
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
	masked, _ := maskValuesIn(string(text))
	return []byte(masked)
}

// maskValuesIn masks what a text of YAML, JSON or a form assigns to names that are secrets, and the passwords of URLs; it returns what
// they were.
func maskValuesIn(text string) (masked string, secrets []string) {
	lines := strings.SplitAfter(text, "\n")
	depth := 0  // of braces and brackets, in which a value ends at a comma
	below := -1 // the indentation of a secret whose value is the block below it; -1: none
	for i, line := range lines {
		bare := strings.TrimRight(line, "\r\n")
		end := line[len(bare):]
		indent := len(bare) - len(strings.TrimLeft(bare, " \t"))
		if below >= 0 && (indent > below || indent == len(bare)) {
			if indent < len(bare) {
				secrets = append(secrets, strings.TrimSpace(bare))
				lines[i] = bare[:indent] + Masked + end
			}
			continue
		}
		below = -1
		if m := block.FindStringSubmatch(bare); m != nil && SecretName(m[2]) {
			below = len(m[1])
			continue
		}
		var found []string
		bare, found = maskLine(bare, depth)
		secrets = append(secrets, found...)
		lines[i] = bare + end
		depth = max(depth+nesting(line), 0)
	}
	masked, found := maskURLs(strings.Join(lines, ""))
	return masked, append(secrets, found...)
}

// nesting is how many more braces and brackets a text opens than it closes.
func nesting(text string) (n int) {
	for _, c := range text {
		switch c {
		case '{', '[':
			n++
		case '}', ']':
			n--
		}
	}
	return n
}

// maskLine masks the secrets of one line, which begins within a number of braces.
func maskLine(line string, depth int) (masked string, secrets []string) {
	var done strings.Builder
	for {
		at := assignment.FindStringSubmatchIndex(line)
		if at == nil {
			break
		}
		name, sign, value := line[at[2]:at[3]], line[at[4]:at[5]], line[at[6]:at[7]]
		done.WriteString(line[:at[6]])
		line = line[at[6]:] // another name may be within the value
		if !SecretName(name) || strings.HasPrefix(strings.Trim(value, `"'`), "$") || strings.HasPrefix(value, Masked) {
			continue
		}
		if quoted := strings.IndexByte(`"'\`, value[0]) >= 0 && len(value) > 1; !quoted || (value[0] == '\\' && value[1] != '"') {
			value = value[:valueEnd(done.String(), value, depth, strings.Contains(sign, "="))]
		}
		secrets = append(secrets, strings.Trim(value, `"'\`))
		done.WriteString(Masked)
		line = line[len(value):]
	}
	return option.ReplaceAllStringFunc(done.String()+line, func(m string) string {
		parts := option.FindStringSubmatch(m)
		if !SecretName(parts[3]) || strings.HasPrefix(parts[5], "$") || parts[5] == Masked {
			return m
		}
		secrets = append(secrets, parts[5])
		return parts[1] + parts[2] + parts[3] + parts[4] + Masked
	}), secrets
}

// valueEnd is where a value without quotes of its own ends: at a comment, within quotes at the closing one, within braces at a comma,
// in a form at the next name.
func valueEnd(before, value string, depth int, form bool) int {
	end := len(value)
	cut := func(i int) {
		if i >= 0 {
			end = min(end, i)
		}
	}
	var quote rune
	for _, c := range before {
		switch {
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case c == quote:
			quote = 0
		}
	}
	if quote != 0 {
		cut(strings.IndexRune(value, quote))
	} else {
		cut(strings.Index(value, " #"))
		if depth+nesting(before) > 0 {
			cut(strings.IndexAny(value, ",}]"))
		}
	}
	if at := nextInForm.FindStringIndex(value); form && at != nil {
		cut(at[0])
	}
	return len(strings.TrimRight(value[:end], " \t"))
}

// Secrets are the values themselves, to be masked wherever a text repeats them: the longest first, for the whole comes before its words.
type Secrets []string

// Add adds a value, and each word of it: of "Bearer abc" also abc.
func (s *Secrets) Add(value string) {
	for _, v := range append(strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(" \t;,=", r) }), value) {
		if len(v) < 4 || v == Masked || slices.Contains([]string{"Bearer", "Basic", "Digest", "Negotiate"}, v) {
			continue
		}
		if i, known := s.find(v); !known {
			*s = slices.Insert(*s, i, v)
		}
	}
}

func (s Secrets) find(value string) (int, bool) {
	return slices.BinarySearchFunc(s, value, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
}

// AddText adds what a text of YAML, JSON or a form assigns to names that are secrets, and the passwords of its URLs.
func (s *Secrets) AddText(text string) {
	_, found := maskValuesIn(text)
	s.addAll(found)
}

// AddArgs adds the secrets of a command's arguments: those of headers, variables and URLs.
func (s *Secrets) AddArgs(args []string) {
	_, found := maskArgs(args)
	s.addAll(found)
}

// AddValues adds the values of names that are secrets.
func (s *Secrets) AddValues(values map[string]string) {
	for name, v := range values {
		if SecretName(name) {
			s.Add(v)
		}
		_, found := maskURLs(v)
		s.addAll(found)
	}
}

func (s *Secrets) addAll(values []string) {
	for _, v := range values {
		s.Add(v)
		if plain, err := url.QueryUnescape(v); err == nil && plain != v {
			s.Add(plain)
		}
	}
}

// Mask masks them in a text, and what MaskText does.
func (s Secrets) Mask(text string) string {
	for _, v := range s {
		text = strings.ReplaceAll(text, v, Masked)
	}
	return MaskText(text)
}

// values masks the values of names that are secrets, and in others what repeats one: not where a name of the app happens to be one.
func (s Secrets) values(values map[string]string) map[string]string {
	out := maskValues(values)
	for k, v := range out {
		if _, whole := s.find(v); !whole {
			out[k] = s.Mask(v)
		}
	}
	return out
}

package history

import (
	"slices"
	"strings"
	"testing"
)

func TestMaskText(t *testing.T) {
	for text, want := range map[string]string{
		"http://u:p%40ss:w@a:81/x?y=z":                       "http://u:xxxxx@a:81/x?y=z",
		"http://a/?token=t0p&n=1&api_key=k&X-Api-Key=l#f":    "http://a/?token=xxxxx&n=1&api_key=xxxxx&X-Api-Key=xxxxx#f",
		"http://a/?access%5Ftoken=t&key=k;sig=s&keyboard=no": "http://a/?access%5Ftoken=xxxxx&key=xxxxx;sig=xxxxx&keyboard=no",
		`parse "http://u:secret@a:x/": invalid port`:         `parse "http://u:xxxxx@a:x/": invalid port`,
		"http://127.0.0.1:8001/32":                           "http://127.0.0.1:8001/32",
		"socks5://me:pw@127.0.0.1:1 and http://b:c@d":        "socks5://me:xxxxx@127.0.0.1:1 and http://b:xxxxx@d",
	} {
		if got := MaskText(text); got != want {
			t.Errorf("%s became %s, want %s", text, got, want)
		}
		if got := MaskText(want); got != want {
			t.Errorf("%s became %s the second time", want, got)
		}
	}
}

func TestMaskArgs(t *testing.T) {
	got := MaskArgs([]string{"attack", "-H", "Authorization: Bearer s", "-HCookie: a=s", "--header=X-Api-Key: s", "-H", "Accept: x", "--set",
		"token=s",
		"--env=DB_PASSWORD=s", "--rate", "5/s", "http://u:s@a/?token=s", "--proxy=http://u:s@b"})
	want := []string{"attack", "-H", "Authorization: xxxxx", "-HCookie: xxxxx", "--header=X-Api-Key: xxxxx", "-H", "Accept: x", "--set",
		"token=xxxxx",
		"--env=DB_PASSWORD=xxxxx", "--rate", "5/s", "http://u:xxxxx@a/?token=xxxxx", "--proxy=http://u:xxxxx@b"}
	if !slices.Equal(got, want) {
		t.Errorf("\n got %q\nwant %q", got, want)
	}
}

func TestMaskYAML(t *testing.T) {
	const text = `steps:
  - deploy: {rng: 1, env: {API_TOKEN: s3cret, "DB_PASSWORD": 's3cret', MODE: x}}
  - attack:
      path: /x?token=s3cret
environment:
  - REDIS_PASSWORD=s3cret
  - PLAIN=kept
password: "s3cret" # why
secrets: [a]
secret: ${FROM_OUTSIDE}
`
	got := string(maskYAML([]byte(text)))
	if strings.Contains(got, "s3cret") || strings.Count(got, "\n") != strings.Count(text, "\n") {
		t.Errorf("masked:\n%s", got)
	}
	for _, want := range []string{"rng: 1", "MODE: x}}", "PLAIN=kept", "secrets: [a]", "${FROM_OUTSIDE}", "# why"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

// Every way to write a value in YAML, JSON, a form or a command: none of the value is left, all of the rest is, and Secrets knows it.
func TestMaskValues(t *testing.T) {
	for text, want := range map[string]string{
		"PASSWORD: s3,c}r]et # why":                                     "PASSWORD: xxxxx # why",
		"a: {PASSWORD: s3cret, b: c}":                                   "a: {PASSWORD: xxxxx, b: c}",
		"a: {\n  PASSWORD: s3cret, b: c}\nTOKEN: s3,cret":               "a: {\n  PASSWORD: xxxxx, b: c}\nTOKEN: xxxxx",
		`PASSWORD: "s3\"cret"`:                                          "PASSWORD: xxxxx",
		`PASSWORD: 's3''cret'`:                                          "PASSWORD: xxxxx",
		"PASSWORD: &p s3cret":                                           "PASSWORD: &p xxxxx",
		"PASSWORD: !!str s3cret":                                        "PASSWORD: !!str xxxxx",
		"- PASSWORD=s3cr&et":                                            "- PASSWORD=xxxxx",
		`- "PASSWORD=s3cret"`:                                           `- "PASSWORD=xxxxx"`,
		"a:\n  PASSWORD: |-\n    s3cret\n\n    s3cret too\n  b: c\n":    "a:\n  PASSWORD: |-\n    xxxxx\n\n    xxxxx\n  b: c\n",
		"body: '{\"password\": \"s3cret\", \"n\": 1}'":                  "body: '{\"password\": xxxxx, \"n\": 1}'",
		`body: "{\"password\": \"s3cret\", \"n\": 1}"`:                  `body: "{\"password\": xxxxx, \"n\": 1}"`,
		"body: user=me&password=s3cret&n=1":                             "body: user=me&password=xxxxx&n=1",
		`H: "Authorization: Bearer s3cret"`:                             `H: "Authorization: xxxxx"`,
		"command: redis-server --requirepass s3cret --port 1":           "command: redis-server --requirepass xxxxx --port 1",
		`command: ["redis-server", "--requirepass", "s3cret", "--aof"]`: `command: ["redis-server", "--requirepass", "xxxxx", "--aof"]`,
		"command: x --api-token=s3cret -v":                              "command: x --api-token=xxxxx",
		"REDIS_URL: redis://:s3cret@redis:6379/0":                       "REDIS_URL: redis://:xxxxx@redis:6379/0",
		`PASSWORD: "${PASSWORD}"`:                                       `PASSWORD: "${PASSWORD}"`,
		"PASSWORD: ${PASSWORD}":                                         "PASSWORD: ${PASSWORD}",
		"secrets: [a]\ntoken:\n  - a":                                   "secrets: [a]\ntoken:\n  - a",
	} {
		got := string(maskYAML([]byte(text)))
		if got != want {
			t.Errorf("%s became\n%s, want\n%s", text, got, want)
		}
		if again := string(maskYAML([]byte(got))); again != got {
			t.Errorf("%s became %s the second time", got, again)
		}
		var s Secrets
		s.AddText(text)
		if left := s.Mask(text); strings.Contains(left, "s3") {
			t.Errorf("%q of %s leave %s", s, text, left)
		}
	}
}

func TestSecretsAreMaskedWhereverTheyAre(t *testing.T) {
	var s Secrets
	s.Add("Bearer t0psecret")
	s.Add("id=abcd; theme=dark")
	if got := s.Mask("it said Bearer t0psecret, t0psecret and abcd"); got != "it said xxxxx, xxxxx and xxxxx" {
		t.Error(got)
	}
}

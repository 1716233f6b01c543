package labs

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	notProse = regexp.MustCompile("(?s)```.*?```|\\$\\{[^}]*\\}|`[^`]*`|\\{#[^}]*\\}")
	prose    = regexp.MustCompile(`[A-Za-z]+(?:'[a-z]+)?`)
)

// Every word of the English texts is in testdata/words.txt. What hunspell's American dictionary does not know of that list was read: names,
// words of the app, and British spellings. A new word is added by hand, by somebody who looks it up.
func TestSpelling(t *testing.T) {
	list, err := os.ReadFile("testdata/words.txt")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, word := range strings.Fields(string(list)) {
		known[word] = true
	}
	if len(known) < 1000 {
		t.Fatalf("only %d words are known", len(known))
	}
	var unknown []string
	used := map[string]bool{}
	for _, name := range order() {
		source, err := files.ReadFile(name + ".md")
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range prose.FindAllString(notProse.ReplaceAllString(string(source), " "), -1) {
			word = strings.ToLower(word)
			used[word] = true
			if !known[word] && !slices.Contains(unknown, word) {
				unknown = append(unknown, word)
			}
		}
	}
	if len(unknown) > 0 {
		t.Errorf("words that are not in testdata/words.txt: is each spelled right? %s", strings.Join(unknown, " "))
	}
	for word := range known {
		if !used[word] {
			t.Errorf("testdata/words.txt: no text has %q any more: take it out", word)
		}
	}
}

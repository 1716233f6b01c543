package reports

import (
	"regexp"
	"strings"
)

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// repeatable is a command as it can be pasted into a shell, again and again: the folder that it recorded in is not written over, so that
// the time is appended to its name.
func repeatable(command []string) string {
	words := make([]string, len(command))
	for i, word := range command {
		dir, joined := strings.CutPrefix(word, "--out=")
		switch {
		case joined:
			words[i] = "--out=" + anew(dir)
		case i > 0 && command[i-1] == "--out":
			words[i] = anew(word)
		default:
			words[i] = quoted(word)
		}
	}
	return strings.Join(words, " ")
}

func anew(dir string) string { return quoted(strings.TrimRight(dir, "/")) + "-$(date +%s)" }

// quoted is a word for a POSIX shell.
func quoted(word string) string {
	if plainWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

package live

import (
	"crypto/subtle"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
)

// Page are the files of the live page, for pages that look like it.
func Page() embed.FS { return page }

// Files serves files of a folder named page, by their names and with their content types; "" is index.html.
func Files(mux *http.ServeMux, from embed.FS, types map[string]string) {
	for name, contentType := range types {
		pattern, file := "GET /"+name, "page/"+name
		if name == "" {
			pattern, file = "GET /{$}", "page/index.html"
		}
		b, err := from.ReadFile(file)
		if err != nil {
			panic(err) // the names are those of the embedded files
		}
		mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.Header().Set("Cache-Control", "no-cache")
			w.Write(b)
		})
	}
}

// Locked answers those alone who know a token; "": everybody. Nothing that it answers is kept.
func Locked(token string, h http.HandlerFunc) http.HandlerFunc {
	return LockedBy(func(r *http.Request) bool { return token == "" || Holds(r, token) }, h)
}

// LockedBy answers 403 to requests that knows does not let in.
func LockedBy(knows func(*http.Request) bool, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if !knows(r) {
			http.Error(w, "open the whole address that coinbench printed: what follows its # is the key", http.StatusForbidden)
			return
		}
		h(w, r)
	}
}

// Holds says whether a request has the token.
func Holds(r *http.Request, token string) bool {
	return subtle.ConstantTimeCompare([]byte(r.Header.Get(TokenHeader)), []byte(token)) == 1
}

// maxBody is more than any command of a page takes.
const maxBody = 4 << 10

// ReadJSON reads the one value that a request holds, which may have no field that it does not know.
func ReadJSON(w http.ResponseWriter, r *http.Request, to any) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return fmt.Errorf("content type %q; accepted: application/json", r.Header.Get("Content-Type"))
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		return fmt.Errorf("read the command: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("read the command: something follows it")
	}
	return nil
}

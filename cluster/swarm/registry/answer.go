package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"syscall"
)

// answer holds a response back until it is known to be true.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func newAnswer() *answer { return &answer{header: http.Header{}, status: http.StatusOK} }

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }

func (a *answer) copyTo(w http.ResponseWriter) {
	maps.Copy(w.Header(), a.header)
	w.WriteHeader(a.status)
	w.Write(a.body.Bytes())
}

// fail answers for the registry's own failures.
func fail(w http.ResponseWriter, err error) {
	if errors.Is(err, syscall.ENOSPC) {
		refuse(w, http.StatusInsufficientStorage, "DENIED", err.Error()+": free some space where the registry keeps its data")
		return
	}
	refuse(w, http.StatusInternalServerError, "UNKNOWN", err.Error())
}

// refuse answers in the error format of the distribution specification.
func refuse(w http.ResponseWriter, status int, code, message string) {
	type problem struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string][]problem{"errors": {{code, message}}})
}

package scenarios

import (
	"math/rand/v2"
	"net/http"
	"slices"

	"coinbench/loadgen"
)

// Request is what a load asks a service for.
type Request struct {
	// Name of the load, which objectives use; the loads of a bench are called NAME/cCLIENTS, and those by which a search finds its level
	// NAME/LEVEL. Default: the service's name.
	Name string `json:"name"`
	// The service that is asked.
	Service string `json:"service" jsonschema:"required"`
	// The port that is asked. Default: the one on which the service listens, as far as that is known.
	Port int `json:"port" jsonschema:"minimum=1,maximum=65535"`
	// Path of the request.
	Path string `json:"path" jsonschema:"default=/"`
	// Default: GET, or POST where there is a body.
	Method string `json:"method" jsonschema:"enum=GET,enum=HEAD,enum=POST,enum=PUT,enum=PATCH,enum=DELETE,enum=OPTIONS"`
	// Body of the request.
	Body string `json:"body"`
	// Length of a body of random bytes, the same in each request.
	BodyBytes int `json:"body_bytes"`
	// Content type of the body.
	Type string `json:"type" jsonschema:"default=application/octet-stream"`
}

const mostBodyBytes = 64 << 20

func (r *Request) name() string {
	if r.Name != "" {
		return r.Name
	}
	return r.Service
}

func (r *Request) method() string {
	switch {
	case r.Method != "":
		return r.Method
	case r.Body != "" || r.BodyBytes > 0:
		return http.MethodPost
	}
	return http.MethodGet
}

func (r *Request) check(p *plan) {
	p.port(r.Service, &r.Service)
	p.portOf(r.Service, &r.Port)
	p.path(&r.Path)
	methods := []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions}
	if r.Method != "" && !slices.Contains(methods, r.Method) {
		p.wrong(&r.Method, "%s", unknown("method", r.Method, methods))
	}
	if r.Body != "" && r.BodyBytes > 0 {
		p.wrong(&r.BodyBytes, "body and body_bytes; accepted: one of them")
	}
	if r.BodyBytes > mostBodyBytes {
		p.wrong(&r.BodyBytes, "body_bytes is %d; accepted: at most %d", r.BodyBytes, mostBodyBytes)
	}
}

// target is the request to a URL.
func (r *Request) target(url string, seed uint64) loadgen.Target {
	t := loadgen.Target{Method: r.method(), URL: url, Body: r.body(seed)}
	if t.Body != nil {
		t.Header = http.Header{"Content-Type": {r.Type}}
	}
	return t
}

// body is the text of the scenario, or bytes that depend on the seed alone.
func (r *Request) body(seed uint64) []byte {
	if r.BodyBytes == 0 {
		if r.Body == "" {
			return nil
		}
		return []byte(r.Body)
	}
	body := make([]byte, r.BodyBytes)
	source := rand.New(rand.NewPCG(seed, uint64(r.BodyBytes)))
	for i := range body {
		body[i] = byte(source.Uint32())
	}
	return body
}

package history

import "strconv"

// Roles say what part each service of an app plays in a unit of work. The analysis of a run speaks of them, and of no service by its name.
// The zero value is that of a run whose app has no roles, or was recorded before there were any.
type Roles struct {
	Driver   Role   `json:"driver"`         // its replicas loop: each loop is a unit of work
	Stations []Role `json:"stations"`       // that a loop visits, in their order; the answer of the last completes the unit
	Store    Role   `json:"store,omitzero"` // where units are counted; without a service there is none
	Unit     Word   `json:"unit"`           // of work
	Share    Share  `json:"share,omitzero"` // what some units are besides
}

// Role is one service's part.
type Role struct {
	Service string `json:"service"`
	Program string `json:"program"` // that it runs, after which its settings and the driver's stages are named
	Plural  string `json:"plural"`  // of its replicas
}

// Count says such as "1 worker" or "10 workers".
func (r Role) Count(n int) string {
	if n == 1 {
		return "1 " + r.Service
	}
	return strconv.Itoa(n) + " " + r.Plural
}

// Word is a noun.
type Word struct {
	One  string `json:"one"`
	Many string `json:"many"`
}

// Share is a kind of unit that is one in a number, by chance.
type Share struct {
	Word
	In int `json:"in"` // 16: one unit in sixteen; 0: there is none
}

// Station returns the station that is a service, and whether there is one.
func (r Roles) Station(service string) (Role, bool) {
	for _, s := range r.Stations {
		if s.Service == service {
			return s, true
		}
	}
	return Role{}, false
}

// Last is the station whose answer completes a unit of work.
func (r Roles) Last() Role {
	if len(r.Stations) == 0 {
		return Role{}
	}
	return r.Stations[len(r.Stations)-1]
}

// Of returns the part of a service, and whether it has one.
func (r Roles) Of(service string) (Role, bool) {
	for _, p := range []Role{r.Driver, r.Store} {
		if p.Service == service && service != "" {
			return p, true
		}
	}
	return r.Station(service)
}

// None says whether no service has a part.
func (r Roles) None() bool { return r.Driver.Service == "" }

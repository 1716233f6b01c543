// Package event has what the events of a run say: a type for each kind of them, and the one codec between these types and the strings of
// a record.
package event

import (
	"strings"
	"time"
)

// Kind is a kind of events, as a record spells it: "task.started".
type Kind string

// Payload is what an event says: one of the types below. The key of a field is its name in the record; a key that ends in a star begins
// the names of all that the field holds.
type Payload interface{ Kind() Kind }

// Of the run itself.
type (
	RunBegin struct {
		Scenario   string            `key:"scenario"`
		Steps      int               `key:"steps"`
		Settings   map[string]string `key:"set.*"`
		Objectives []string          `key:"objective.*"` // by which the run is judged
		Unmet      string            `key:"unmet"`       // why it does not pass where it was played, as its scenario says
	}
	RunEnd struct {
		Status string `key:"status"` // a history.RunStatus
		Error  string `key:"error"`
	}
	StepBegin struct {
		Verb        string `key:"verb"`
		Title       string `key:"title"`
		Disturbance string `key:"disturbance"` // the name of what it does to the replicas of the event's service
		By          string `key:"by"`          // who asked for it while the run went on; "": the scenario
	}
	StepEnd struct {
		Verb  string `key:"verb"`
		Error string `key:"error"`
	}
	// WindowBegin opens a measurement: the counters between it and its end belong together.
	WindowBegin struct {
		Name     string         `key:"name"`
		Profile  string         `key:"profile"`
		Replicas map[string]int `key:"replicas.*"` // that are in force, by service
	}
	WindowEnd struct {
		Name string `key:"name"`
	}
	LoadBegin struct {
		Name string `key:"name"`
	}
	LoadEnd struct {
		Name  string `key:"name"`
		Error string `key:"error"`
	}
	SearchEnd struct {
		Name       string  `key:"name"`
		SLO        string  `key:"slo"`
		Level      float64 `key:"level"`      // 0: none met it
		Above      float64 `key:"above"`      // 0: none missed it
		Confidence float64 `key:"confidence"` // that both are right
		Tested     int     `key:"tested"`     // levels
		Stopped    string  `key:"stopped"`    // why it had not both
	}
	// Warning is something that the reader of the report must know.
	Warning struct {
		Message string `key:"message"`
	}
)

// InForce is what holds for a service from an event on.
type InForce struct {
	Image       string            `key:"image"`
	Replicas    int               `key:"replicas"`
	Balance     string            `key:"balance"`
	Environment map[string]string `key:"env.*"`
	Endpoint    string            `key:"endpoint"`  // of a Swarm: vip or dnsrr
	Published   string            `key:"published"` // of a Swarm: addresses
	DNS         map[string]string `key:"dns.*"`     // of a Swarm: the addresses of each name
}

// Of a service.
type (
	ServiceDeployed struct{ InForce }
	ServiceUpdated  struct{ InForce }
	ServiceScaled   struct {
		From int               `key:"from"`
		To   int               `key:"to"`
		DNS  map[string]string `key:"dns.*"`
	}
	ServiceRemoved struct{}
)

// Outcome is what became of a rollout.
type Outcome string

// The outcomes of a rollout.
const (
	Completed  Outcome = "completed"
	Paused     Outcome = "paused"
	RolledBack Outcome = "rolled_back"
)

// Words are the outcome in words: "rolled back".
func (o Outcome) Words() string { return strings.ReplaceAll(string(o), "_", " ") }

// Verdict is what a canary's requests say.
type Verdict string

// The verdicts on a canary. All but CanaryOn take it back.
const (
	CanaryOn      Verdict = "on"           // not shown to be worse, and what the watch excludes is enough
	CanaryBack    Verdict = "back"         // shown to be worse
	CanaryUnknown Verdict = "inconclusive" // the watch excludes too little
)

// The two sets of a blue-green rollout.
const (
	Blue  = "blue"  // the old one
	Green = "green" // the new one
)

// Of a rollout of a service.
type (
	RolloutBegin struct {
		Strategy    string        `key:"strategy"`
		Parallelism int           `key:"parallelism"` // 0: all at once
		Delay       time.Duration `key:"delay"`
		Order       string        `key:"order"`
		Tasks       int           `key:"tasks"` // that are to be replaced
		Rollback    bool          `key:"rollback,omitempty"`
	}
	// RolloutSlot is where the rollout turns to a slot.
	RolloutSlot struct {
		Slot int `key:"slot"`
	}
	// RolloutSwitch is where all connections begin to go to the other set: Green, or Blue when it is undone.
	RolloutSwitch struct {
		To string `key:"to"`
	}
	RolloutEnd struct {
		Outcome Outcome `key:"state"`
		Reason  string  `key:"reason"`
	}
	RolloutJudged struct {
		Verdict Verdict `key:"verdict"`
		Reason  string  `key:"reason"`
	}
)

// Of a task.
type (
	// TaskPulled is where its image is there.
	TaskPulled struct {
		Node string `key:"node"`
	}
	TaskStarted struct {
		Version   string `key:"version"`
		Image     string `key:"image"`
		PID       int    `key:"pid,omitempty"` // of a process of this machine
		Address   string `key:"address"`
		Node      string `key:"node"`
		Container string `key:"container"`
	}
	TaskHealthy   struct{}
	TaskUnhealthy struct {
		Error string `key:"error"`
	}
	TaskJoined   struct{} // in rotation from here
	TaskLeft     struct{} // out of rotation from here
	TaskStopping struct{} // told to stop
	TaskGone     struct {
		Exit  string `key:"exit"`
		Error string `key:"error"` // "": it was told to go
		Node  string `key:"node"`
	}
	TaskKilled struct { // a fault that the scenario asked for, as the three that follow
		Down       time.Duration `key:"down"`
		InRotation bool          `key:"in_rotation"`
	}
	TaskPaused struct {
		For time.Duration `key:"for"`
	}
	TaskSlowed struct {
		For   time.Duration `key:"for"`
		Delay time.Duration `key:"delay"`
	}
	TaskCut struct { // its node was cut off from the others
		For  time.Duration `key:"for"`
		Node string        `key:"node"`
	}
	TaskRecovered struct{} // of a pause, a slowness or a cut
	// ConnectionFailed is a connection to the task that the balancer could not bring to an end.
	ConnectionFailed struct {
		Why string `key:"why"` // refused, reset or closed (without an answer)
	}
)

// Of a node.
type (
	// NodeDown is where the cluster does not hear of it any more.
	NodeDown struct {
		Node string `key:"node"`
	}
	NodeReady struct {
		Node string `key:"node"`
	}
	// NodeCut is a fault that the scenario asked for: nothing comes to the node or from it.
	NodeCut struct {
		Node string        `key:"node"`
		For  time.Duration `key:"for"`
	}
	NodeMended struct { // of a cut
		Node string `key:"node"`
	}
	NodeDrained struct { // it takes no tasks from here
		Node string `key:"node"`
	}
	NodeActivated struct { // it does again
		Node string `key:"node"`
	}
)

// Unknown is an event of a kind that this version does not know.
type Unknown struct {
	Name   Kind
	Detail map[string]string
}

func (RunBegin) Kind() Kind         { return "run.begin" }
func (RunEnd) Kind() Kind           { return "run.end" }
func (StepBegin) Kind() Kind        { return "step.begin" }
func (StepEnd) Kind() Kind          { return "step.end" }
func (WindowBegin) Kind() Kind      { return "window.begin" }
func (WindowEnd) Kind() Kind        { return "window.end" }
func (LoadBegin) Kind() Kind        { return "load.begin" }
func (LoadEnd) Kind() Kind          { return "load.end" }
func (SearchEnd) Kind() Kind        { return "search.end" }
func (Warning) Kind() Kind          { return "warning" }
func (ServiceDeployed) Kind() Kind  { return "service.deployed" }
func (ServiceUpdated) Kind() Kind   { return "service.updated" }
func (ServiceScaled) Kind() Kind    { return "service.scaled" }
func (ServiceRemoved) Kind() Kind   { return "service.removed" }
func (RolloutBegin) Kind() Kind     { return "rollout.begin" }
func (RolloutSlot) Kind() Kind      { return "rollout.slot" }
func (RolloutSwitch) Kind() Kind    { return "rollout.switch" }
func (RolloutEnd) Kind() Kind       { return "rollout.end" }
func (RolloutJudged) Kind() Kind    { return "rollout.judged" }
func (TaskPulled) Kind() Kind       { return "task.pulled" }
func (TaskStarted) Kind() Kind      { return "task.started" }
func (TaskHealthy) Kind() Kind      { return "task.healthy" }
func (TaskUnhealthy) Kind() Kind    { return "task.unhealthy" }
func (TaskJoined) Kind() Kind       { return "task.joined" }
func (TaskLeft) Kind() Kind         { return "task.left" }
func (TaskStopping) Kind() Kind     { return "task.stopping" }
func (TaskGone) Kind() Kind         { return "task.gone" }
func (TaskKilled) Kind() Kind       { return "task.killed" }
func (TaskPaused) Kind() Kind       { return "task.paused" }
func (TaskSlowed) Kind() Kind       { return "task.slowed" }
func (TaskCut) Kind() Kind          { return "task.cut" }
func (TaskRecovered) Kind() Kind    { return "task.recovered" }
func (ConnectionFailed) Kind() Kind { return "connection.failed" }
func (NodeDown) Kind() Kind         { return "node.down" }
func (NodeReady) Kind() Kind        { return "node.ready" }
func (NodeCut) Kind() Kind          { return "node.cut" }
func (NodeMended) Kind() Kind       { return "node.mended" }
func (NodeDrained) Kind() Kind      { return "node.drained" }
func (NodeActivated) Kind() Kind    { return "node.activated" }
func (u Unknown) Kind() Kind        { return u.Name }

// Kinds are an empty payload of each known kind.
func Kinds() []Payload {
	return []Payload{RunBegin{}, RunEnd{}, StepBegin{}, StepEnd{}, WindowBegin{}, WindowEnd{}, LoadBegin{}, LoadEnd{}, SearchEnd{}, Warning{},
		ServiceDeployed{}, ServiceUpdated{}, ServiceScaled{}, ServiceRemoved{},
		RolloutBegin{}, RolloutSlot{}, RolloutSwitch{}, RolloutEnd{}, RolloutJudged{},
		TaskPulled{}, TaskStarted{}, TaskHealthy{}, TaskUnhealthy{}, TaskJoined{}, TaskLeft{}, TaskStopping{}, TaskGone{},
		TaskKilled{}, TaskPaused{}, TaskSlowed{}, TaskCut{}, TaskRecovered{}, ConnectionFailed{},
		NodeDown{}, NodeReady{}, NodeCut{}, NodeMended{}, NodeDrained{}, NodeActivated{}}
}

// OfReplicas says whether an event is of a task or of a rollout, which are what a disturbance of a service consists of.
func (k Kind) OfReplicas() bool {
	return strings.HasPrefix(string(k), "task.") || strings.HasPrefix(string(k), "rollout.")
}

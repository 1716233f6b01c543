package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"coinbench/capacity/gate"
	"coinbench/cluster"
	"coinbench/scenarios"
	"coinbench/services/settings"
)

// sideFlags say what one side of a gate is.
type sideFlags struct {
	name string   // base or head
	tag  string   // of the app's images
	sets []string // parameters of the scenario
	file string   // a Compose file
}

func (f *sideFlags) add(c *cobra.Command, name string) {
	f.name = name
	c.Flags().StringVar(&f.tag, name, "", name+": the `tag` of the app's images; or a revision of coinbench's sources: git:REV, anchor (what "+
		"was released or accepted last), or . for the working tree, which makes the other side one, too")
	c.Flags().StringArrayVar(&f.sets, name+"-set", nil, name+": a parameter of the scenario, as `key=value`; may be repeated")
	c.Flags().StringVar(&f.file, name+"-file", "", name+": a Compose `file`")
}

func (f sideFlags) empty() bool { return f.tag == "" && f.file == "" && len(f.sets) == 0 }

// text names the side as it was asked for.
func (f sideFlags) text() string {
	parts := slices.Clone(f.sets)
	for _, s := range []string{f.file, f.tag} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	if len(parts) == 0 {
		return "as the scenario has it"
	}
	return strings.Join(parts, " ")
}

// sides says whether two sides are named that differ in one thing.
func (f gateFlags) sides(kind gate.Kind) error {
	const accepted = "accepted: --base TAG --head TAG, --base-set KEY=VALUE --head-set KEY=VALUE, or --base-file FILE --head-file FILE"
	if kind != gate.Compare {
		return nil // head is made of base
	}
	ways := 0
	for _, asked := range []bool{f.base.tag != "" || f.head.tag != "", f.base.file != "" || f.head.file != "",
		len(f.base.sets)+len(f.head.sets) > 0} {
		if asked {
			ways++
		}
	}
	switch {
	case f.head.empty():
		return errors.New("nothing says what head is; " + accepted)
	case ways > 1:
		return errors.New("base and head differ in several things, and a loss could not be blamed on one; " + accepted)
	case f.base.empty() && len(f.head.sets) == 0:
		return fmt.Errorf("nothing says what base is; %s", accepted)
	}
	return nil
}

// side is one of the two, ready to be deployed.
type side struct {
	text     string
	scenario scenarios.Scenario // a block
	part     string             // of the scenario: the name of its window or rollout
	rollout  string             // the service whose rollout it is; "": it is a window
	said     string             // its steps
	added    map[string]float64 // to what is measured of a metric, for a self-test
	digest   string
	where    clusterFlags
	commit   string // of a revision
	parents  []string
}

// subject is the side as it is stored; mask takes secrets out of a text.
func (s side) subject(mask func(string) string) gate.Subject {
	return gate.Subject{Text: mask(s.text), Digest: s.digest, Commit: s.commit, Parents: s.parents}
}

// read makes the block of a side.
func (f sideFlags) read(p process, g gateFlags, window string) (side, error) {
	whole, err := loadScenarioOf(p, g.scenario, append(slices.Clone(g.sets), f.sets...), nil, f.file)
	if err != nil {
		return side{}, fmt.Errorf("%s: %w", f.name, err)
	}
	block, err := whole.Block(window, g.settle, g.block, g.windows())
	if err != nil {
		return side{}, err
	}
	made := side{text: f.text(), scenario: block.Scenario, part: block.Name, where: g.where}
	if block.Rollout {
		made.rollout, made.said = block.Service, block.Said
	}
	switch {
	case f.tag == "":
	case g.areRevisions():
		r, err := g.revision(p, f.tag, block.Scenario.Name)
		if err != nil {
			return side{}, fmt.Errorf("--%s %s: %w", f.name, f.tag, err)
		}
		if made, err = made.of(context.Background(), r); err != nil {
			return side{}, fmt.Errorf("--%s %s: %w", f.name, f.tag, err)
		}
	default:
		if err := tagged(&made.scenario.App, f.tag); err != nil {
			return side{}, fmt.Errorf("--%s %s: %w", f.name, f.tag, err)
		}
	}
	return made, made.identify()
}

// deployed is everything that the side deploys besides its binary or images.
func (s *side) deployed() any {
	if s.said == "" {
		return s.scenario.App.Services
	}
	return []any{s.scenario.App.Services, s.said}
}

// identify makes the digest of everything that the side deploys and plays.
func (s *side) identify() error {
	if s.where.name == "swarm" {
		found, err := s.where.imageDigests(s.scenario.App)
		s.digest = digest(s.deployed(), found)
		return err
	}
	binary, err := s.where.binary, error(nil) // which the local and the simulated cluster play
	if binary == "" {
		if binary, err = os.Executable(); err != nil {
			return unmeasured(fmt.Errorf("find coinbench's own binary: %w", err))
		}
	}
	of, err := fileDigest(binary)
	s.digest = digest(s.deployed(), of)
	return err
}

// fileDigest is that of a file.
func fileDigest(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", unmeasured(fmt.Errorf("read a binary: %w", err))
	}
	defer file.Close()
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return "", unmeasured(fmt.Errorf("read a binary: %w", err))
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// tagged gives the app's own images another tag.
func tagged(app *cluster.App, tag string) error {
	found := false
	for i := range app.Services {
		s := &app.Services[i]
		image := cluster.ParseImage(s.Image)
		if !image.Coinbench() {
			continue
		}
		found = true
		name := strings.TrimSuffix(s.Image, ":"+image.Tag) + ":" + tag
		if err := cluster.CheckImage(name); err != nil {
			return err
		}
		s.Image = name
	}
	if !found {
		return errors.New("the app has no image of coinbench's own; accepted: --base-file and --head-file")
	}
	return nil
}

// worse is the side with the loss injected that is to be detected of each metric: all times of its services' own work are longer, requests
// fail, and to the counts of what was lost that much is added after the measurement.
func (s side) worse(metrics []gate.Metric, rule gate.Rule) (side, error) {
	s.scenario.App.Services = slices.Clone(s.scenario.App.Services)
	s.added = map[string]float64{}
	times, failures, digests := 0.0, 0.0, []any{s.digest}
	for _, m := range metrics {
		loss := m.Rule(rule).Detect
		switch {
		case !m.Difference:
			times = max(times, loss)
		case m.Unit == gate.Share:
			failures = max(failures, loss)
		default:
			s.added[m.Name] = loss
			s.text += fmt.Sprintf(", %s added to %s", m.Amount(loss), m.Name)
			digests = append(digests, m.Name, loss)
		}
	}
	var err error
	if times > 0 {
		s, err = s.slower(times)
	}
	if err == nil && failures > 0 {
		s, err = s.failing(failures)
	}
	if err != nil {
		return side{}, err
	}
	if err = s.identify(); err == nil && len(s.added) > 0 {
		s.digest = digest(append(digests, s.digest)...)
	}
	return s, err
}

// failing is the side whose service that is rolled out fails a share of its requests.
func (s side) failing(share float64) (side, error) {
	for i := range s.scenario.App.Services {
		service := &s.scenario.App.Services[i]
		if image := cluster.ParseImage(service.Image); service.Name != s.rollout || !image.Coinbench() {
			continue
		}
		service.Environment = service.Effective()
		if service.Environment == nil {
			service.Environment = map[string]string{}
		}
		const name = "COIN_ERROR_RATE"
		was, err := strconv.ParseFloat(cmp.Or(service.Environment[name], "0"), 64)
		if err != nil {
			return side{}, fmt.Errorf("have %s fail requests: %s: %w", service.Name, name, err)
		}
		service.Environment[name] = fmt.Sprint(min(1, was+share))
		s.text = fmt.Sprintf("%s, failing %s of %s's requests", s.text, gate.Percent(share), service.Name)
		return s, nil
	}
	return side{}, fmt.Errorf("%s is no service of coinbench's own, so that no failure can be injected", s.rollout)
}

// slower is the side with a loss of hash rate injected: all times of its services' own work are longer.
func (s side) slower(loss float64) (side, error) {
	found := false
	for i := range s.scenario.App.Services {
		service := &s.scenario.App.Services[i]
		image := cluster.ParseImage(service.Image)
		if !image.Coinbench() {
			continue
		}
		env, err := settings.Slower(image.Kind, service.Effective(), 1/(1-loss))
		if err != nil {
			return side{}, fmt.Errorf("slow %s down: %w", service.Name, err)
		}
		found = found || !maps.Equal(env, service.Effective())
		service.Environment = env
	}
	if !found {
		return side{}, errors.New("the app has no time of its own that could be made longer, so that no loss can be injected")
	}
	s.text = fmt.Sprintf("%s, slower by %s", s.text, gate.Percent(loss))
	return s, nil
}

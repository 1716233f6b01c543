package cluster

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"coinbench/history"
)

// The keys under a service's labels that say its part in a unit of work. They do not depend on where the app is deployed; BalanceLabel and
// GatewayLabel do, and are under deploy.labels.
const (
	RoleLabel   = "coinbench.role"   // driver, station or store
	VisitLabel  = "coinbench.visit"  // of a station: its place in the driver's loop, from 1
	PluralLabel = "coinbench.plural" // of its replicas; otherwise the service's name with an s
	UnitLabel   = "coinbench.unit"   // of the driver: a unit of work, as "hash, hashes"
	ShareLabel  = "coinbench.share"  // of the driver: what one unit in a number is besides, as "coin, coins, 16"
)

const (
	labelPrefix = "coinbench."

	driverRole  = "driver"
	stationRole = "station"
	storeRole   = "store"
)

// The length is checked apart: a regexp that counts holds the letters of all scripts forty times, which every process would pay for.
var word = regexp.MustCompile(`^[\pL\pN][\pL\pN _-]*$`)

// isWord says whether a text can be a unit's name.
func isWord(text string) bool { return len([]rune(text)) <= 40 && word.MatchString(text) }

// roles reads the labels of all services; without a role among them an app has none.
func roles(app App, labels map[string]map[string]string) (history.Roles, error) {
	var r history.Roles
	var faults []error
	var visits []int
	named := map[string]string{} // the service that has a part that is there once
	any := false
	for _, s := range app.Services {
		of := labels[s.Name]
		fault := func(key, problem, accepted string) {
			faults = append(faults, app.Fault([]string{"services", s.Name, "labels", key}, problem, accepted))
		}
		part := of[RoleLabel]
		any = any || part != ""
		if !slices.Contains([]string{"", driverRole, stationRole, storeRole}, part) {
			fault(RoleLabel, fmt.Sprintf("role %q", part), "driver, station or store")
			continue
		}
		for _, l := range []struct{ key, part string }{{VisitLabel, stationRole}, {UnitLabel, driverRole}, {ShareLabel, driverRole}} {
			if _, set := of[l.key]; set && part != l.part {
				fault(l.key, fmt.Sprintf("%s of a service that is no %s", l.key, l.part), "the label "+RoleLabel+": "+l.part+", or none of this one")
			}
		}
		for _, key := range slices.Sorted(maps.Keys(of)) {
			switch {
			case !strings.HasPrefix(key, labelPrefix):
			case key == BalanceLabel || key == GatewayLabel:
				fault(key, key+" under labels has no effect", "the same under deploy.labels")
			case !slices.Contains([]string{RoleLabel, VisitLabel, PluralLabel, UnitLabel, ShareLabel}, key):
				fault(key, "unknown label "+key, strings.Join([]string{RoleLabel, VisitLabel, PluralLabel, UnitLabel, ShareLabel}, ", "))
			}
		}
		role := history.Role{Service: s.Name, Program: cmp.Or(ParseImage(s.Image).Kind, s.Name), Plural: strings.TrimSuffix(s.Name, "s") + "s"}
		if plural, set := of[PluralLabel]; set {
			if role.Plural = plural; !isWord(plural) {
				fault(PluralLabel, fmt.Sprintf("plural %q", plural), "a noun, such as "+s.Name+"s")
			}
		}
		if other := named[part]; other != "" && part != stationRole {
			fault(RoleLabel, fmt.Sprintf("a second %s, besides %s", part, other), "one "+part)
			continue
		}
		named[part] = s.Name
		switch part {
		case "":
			delete(named, part)
		case driverRole:
			r.Driver = role
			r.Unit = history.Word{One: "unit of work", Many: "units of work"}
			if text, set := of[UnitLabel]; set {
				words := list(text)
				if len(words) != 2 || !isWord(words[0]) || !isWord(words[1]) {
					fault(UnitLabel, fmt.Sprintf("unit %q", text), `one and many, such as "hash, hashes"`)
				} else {
					r.Unit = history.Word{One: words[0], Many: words[1]}
				}
			}
			if text, set := of[ShareLabel]; set {
				words := list(text)
				in := 0
				if len(words) == 3 {
					in, _ = strconv.Atoi(words[2])
				}
				if in < 2 || !isWord(words[0]) || !isWord(words[1]) {
					fault(ShareLabel, fmt.Sprintf("share %q", text),
						`one, many, and in how many units there is one, at least 2, such as "coin, coins, 16"`)
				} else {
					r.Share = history.Share{Word: history.Word{One: words[0], Many: words[1]}, In: in}
				}
			}
		case stationRole:
			text, set := of[VisitLabel]
			visit, err := strconv.Atoi(text)
			switch {
			case !set:
				fault(RoleLabel, "a station without "+VisitLabel, VisitLabel+": its place in the driver's loop, from 1")
			case err != nil || visit < 1:
				fault(VisitLabel, fmt.Sprintf("visit %q", text), "the station's place in the driver's loop, a whole number from 1")
			case slices.Contains(visits, visit):
				other := r.Stations[slices.Index(visits, visit)].Service
				fault(VisitLabel, fmt.Sprintf("visit %d, as %s has it", visit, other), "another place in the driver's loop")
			default:
				at, _ := slices.BinarySearch(visits, visit)
				visits, r.Stations = slices.Insert(visits, at, visit), slices.Insert(r.Stations, at, role)
			}
		case storeRole:
			r.Store = role
		}
	}
	if any && len(faults) == 0 {
		if r.Driver.Service == "" {
			faults = append(faults, app.Fault([]string{"services"}, "roles without a driver", "a service with the label "+RoleLabel+": driver"))
		}
		if len(r.Stations) == 0 {
			faults = append(faults, app.Fault([]string{"services"}, "roles without a station", "a service with the label "+RoleLabel+": station"))
		}
	}
	return r, errors.Join(faults...)
}

// list splits a text at its commas.
func list(text string) []string {
	words := strings.Split(text, ",")
	for i := range words {
		words[i] = strings.TrimSpace(words[i])
	}
	return words
}

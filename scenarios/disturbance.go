package scenarios

import (
	"fmt"
	"maps"
	"net"
	"strconv"

	coins "coinbench/capacity/dockercoins"
	"coinbench/cluster"
	"coinbench/services/settings"
)

// disturbing is a step that does something to the replicas of a service, of which a report says what its users felt.
type disturbing interface {
	disturbs() (name, service string)
}

// disturbance gives a disturbance its name, which must stand once: that of the service, with a number from the second one on.
func (p *plan) disturbance(name *string, service string) {
	if *name == "" {
		*name = service
		for n := 2; p.disturbances[*name] != (place{}); n++ {
			*name = fmt.Sprintf("%s-%d", service, n)
		}
	}
	p.named("rollout", p.disturbances, *name, name)
}

// image reports a text that names no image, or that of another service.
func (p *plan) image(service cluster.Service, image *string) {
	if err := cluster.CheckImage(*image); err != nil {
		p.wrong(image, "%v", err)
		return
	}
	was, _, ours := cluster.OwnImage(service.Image)
	if is, _, ok := cluster.OwnImage(*image); ours && ok && is != was {
		p.wrong(image, "image %s is another service than %s; accepted: another tag of coinbench/%s", *image, service.Image, was)
	}
}

// portOf reports a port that is none, or another than the one on which a service of ours listens.
func (p *plan) portOf(service string, port *int) {
	if _, written := p.at[port]; !written && *port == 0 {
		return
	}
	if *port < 1 || *port > 65535 {
		p.wrong(port, "port is %d; accepted: 1 to 65535", *port)
		return
	}
	for _, s := range p.app.Services {
		i := cluster.ParseImage(s.Image)
		if s.Name != service || !i.Coinbench() {
			continue
		}
		env := settings.TagDefaults(i.Kind, i.Tag)
		if env == nil {
			env = map[string]string{}
		}
		maps.Copy(env, s.Environment)
		set, err := settings.Parse(i.Kind, env)
		if err != nil { // which is said elsewhere
			continue
		}
		if _, listens, _ := net.SplitHostPort(set.Listen); listens != strconv.Itoa(*port) {
			p.wrong(port, "port is %d, but %s listens on %s; accepted: no port, or %s", *port, service, listens, listens)
		}
	}
}

// port reports a service that nobody can connect to, or not by HTTP.
func (p *plan) port(service string, pointer any) {
	roles := coins.Default(p.app.Roles)
	for _, s := range p.app.Services {
		i := cluster.ParseImage(s.Image) // the store's image is the one that is known and not coinbench's
		if s.Name == service && (i.Kind != "" && !i.Coinbench() || service == roles.Store.Service) {
			p.wrong(pointer, "%s does not speak HTTP; accepted: a service that does", service)
		}
	}
	if service == roles.Driver.Service {
		p.wrong(pointer, "no client connects to %s; accepted: a service with a port", service)
	}
}

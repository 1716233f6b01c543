package loadgen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// Lookup resolves a host's name to addresses; net.DefaultResolver.LookupHost is one.
type Lookup func(ctx context.Context, host string) ([]string, error)

// CheckTargets refuses a workload that would send load where it must not: each target, and the proxy if there is one, must
// be loopback by every address that its name has, or its host must be in allowed (names or addresses, without port).
// A name that cannot be resolved is refused as well. A nil lookup is the system's.
func CheckTargets(ctx context.Context, w Workload, allowed []string, lookup Lookup) error {
	if lookup == nil {
		lookup = net.DefaultResolver.LookupHost
	}
	urls := make([]string, 0, len(w.Targets)+1)
	for _, t := range w.Targets {
		urls = append(urls, t.URL)
	}
	if w.Transport.Proxy != "" {
		urls = append(urls, w.Transport.Proxy)
	}
	verdicts := map[string]error{}
	var errs []error
	for _, text := range urls {
		u, err := parseAnyURL(text)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		host := strings.ToLower(u.Hostname())
		if _, known := verdicts[host]; known {
			continue
		}
		verdicts[host] = checkHost(ctx, host, allowed, lookup)
		errs = append(errs, verdicts[host])
	}
	return errors.Join(errs...)
}

func checkHost(ctx context.Context, host string, allowed []string, lookup Lookup) error {
	for _, a := range allowed {
		if strings.EqualFold(strings.Trim(a, "[]"), host) {
			return nil
		}
	}
	refuse := func(why string) error {
		return fmt.Errorf("refuse to send load to %s: %s; only load on systems that are yours to load: name it with --allow %s", host, why, host)
	}
	addresses := []string{host}
	if _, err := netip.ParseAddr(host); err != nil {
		if addresses, err = lookup(ctx, host); err != nil {
			return refuse(fmt.Sprintf("its name cannot be resolved (%v)", err))
		}
		if len(addresses) == 0 {
			return refuse("its name has no address")
		}
	}
	for _, a := range addresses {
		if ip, err := netip.ParseAddr(a); err != nil || !ip.Unmap().IsLoopback() {
			if a == host {
				return refuse("it is not a loopback address")
			}
			return refuse("its address " + a + " is not loopback")
		}
	}
	return nil
}

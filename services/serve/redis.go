package serve

import (
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"coinbench/services/settings"
)

// Redis are the options of a client of the app's Redis that hides no fault: it tries nothing again, and sends nothing by itself.
func Redis(s settings.Settings, p Process) redis.Options {
	return redis.Options{Addr: s.Redis, Dialer: Dialer(s, p), Protocol: 2, DisableIdentity: true, MaxRetries: -1, DialerRetries: 1,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}}
}

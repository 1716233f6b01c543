package des

import (
	"strings"
	"testing"
	"time"

	"coinbench/history/event"
	"coinbench/services/settings"
)

// A check queues behind the service's work. With 15 clients on one rng of 100 ms it waits 1.4 s of the 1 s that it may: three checks, one
// second and one interval each, and the task is told to stop. With ten it waits 0.9 s, and nothing happens.
func TestACheckQueuesBehindTheWork(t *testing.T) {
	check := &Check{Interval: time.Second, Timeout: time.Second, Retries: 3, Stop: Stop{Grace: 10 * time.Second}, Restart: 5 * time.Second}
	for clients, want := range map[int]string{
		10: "0s task.started\n1.00005s task.healthy\n1.00005s task.joined\n",
		// Checks are sent at 2.00005 s, 4.00005 s and 6.00005 s. It then serves the 14 that it has; the three checks that gave up have taken it
		// 50 us each.
		15: "0s task.started\n1.00005s task.healthy\n1.00005s task.joined\n" +
			"7.00005s task.unhealthy\n7.00005s task.left\n7.00005s task.stopping\n8.40015s task.gone\n",
	} {
		s, events := one(t, settings.RNG, 1, nil, func(v *Service) { v.Check = check })
		s.RunUntil(1500 * time.Millisecond)
		if _, err := s.StartLoad(Load{Name: "users", Targets: []Target{{Service: settings.RNG}}, Clients: clients,
			Duration: 6500 * time.Millisecond, PerRequest: true, Recorder: &recorder{}}); err != nil {
			t.Fatal(err)
		}
		s.RunUntil(13 * time.Second)
		expect(t, kinds(*events, "rng.1#1"), want)
		s.RunUntil(20 * time.Second)
		successor := kinds(*events, "rng.1#2")
		if clients == 10 && successor != "" || clients == 15 && !strings.HasPrefix(successor, "13.40015s task.started\n14.4002s task.healthy\n") {
			t.Errorf("%d clients, the successor:\n%s", clients, successor)
		}
	}
}

// What a task answers while it boots counts only after the start period, and not once it has been healthy.
func TestACheckBearsTheStartPeriod(t *testing.T) {
	boots := map[string]string{"COIN_BOOT_DELAY": "2500ms", "COIN_BOOT_MODE": "503"}
	for period, want := range map[time.Duration]string{
		3 * time.Second: "0s task.started\n3.00015s task.healthy\n3.00015s task.joined\n",
		0:               "0s task.started\n1.00005s task.unhealthy\n1.00005s task.stopping\n1.00005s task.gone\n",
	} {
		s, events := one(t, settings.Hasher, 1, boots, func(v *Service) {
			v.Check = &Check{Interval: time.Second, Timeout: time.Second, StartPeriod: period, Retries: 1, Restart: -1}
		})
		s.RunUntil(4 * time.Second)
		got := kinds(*events, "hasher.1#1")
		got = got[:min(len(got), len(want))]
		expect(t, got, want)
		if period == 0 {
			for _, e := range *events {
				if p, ok := e.Payload.(event.TaskUnhealthy); ok && p.Error != "health check: status 503" {
					t.Errorf("the error is %q", p.Error)
				}
			}
			s.RunUntil(time.Minute)
			if list := kinds(*events, "hasher.1#2"); list != "" {
				t.Errorf("a successor, where there is to be none:\n%s", list)
			}
		}
	}
}

// A task that failed and is stopping has no successor any more once it is scaled away.
func TestACheckIsForgottenByScaling(t *testing.T) {
	s, events := one(t, settings.Hasher, 2, map[string]string{"COIN_ERROR_RATE": "1", "COIN_ON_SIGTERM": "ignore"}, func(v *Service) {
		v.Check = &Check{Interval: time.Second, Timeout: time.Second, Retries: 1, Stop: Stop{Grace: 3 * time.Second}, Restart: time.Second}
	})
	s.RunUntil(2 * time.Second)
	if err := s.Scale(settings.Hasher, 1, Stop{}); err != nil {
		t.Fatal(err)
	}
	s.RunUntil(6 * time.Second)
	if got := kinds(*events, "hasher.1#2"); !strings.HasPrefix(got, "5.00") {
		t.Errorf("the successor of the one that stays:\n%s", got)
	}
	if got := kinds(*events, "hasher.2#2"); got != "" {
		t.Errorf("a successor of the one that was scaled away:\n%s", got)
	}
}

func TestACheckThatCannotBe(t *testing.T) {
	good := Check{Interval: time.Second, Timeout: time.Second, Retries: 1}
	for text, c := range map[string]struct {
		service string
		change  func(*Check)
	}{
		"that answers requests": {settings.Worker, func(*Check) {}},
		"more than 0s":          {settings.RNG, func(c *Check) { c.Interval = 0 }},
		"at least 1":            {settings.RNG, func(c *Check) { c.Retries = 0 }},
	} {
		check := good
		c.change(&check)
		if err := New(Config{}).AddService(Service{Settings: parse(t, c.service, nil), Check: &check}); err == nil ||
			!strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

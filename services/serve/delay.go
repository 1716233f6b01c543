package serve

import (
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"coinbench/services/settings"
)

// chance is a source of random numbers that requests share.
type chance struct {
	mu sync.Mutex
	r  *rand.Rand
}

func newChance(seed, stream uint64) *chance { return &chance{r: rand.New(rand.NewPCG(seed, stream))} }

func (c *chance) draw(f func(*rand.Rand) float64) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return f(c.r)
}

// Delay returns the function that passes the time of one request's work, as the settings say.
func Delay(s settings.Settings, p Process) func() {
	c := newChance(seed(s, p), 1)
	return func() { p.Sleep(drawDelay(s, c)) }
}

func drawDelay(s settings.Settings, c *chance) time.Duration {
	mean, jitter := float64(s.Delay), float64(s.Jitter)
	switch s.Distribution {
	case settings.Uniform:
		return time.Duration(c.draw(func(r *rand.Rand) float64 { return mean + jitter*(2*r.Float64()-1) }))
	case settings.Exponential:
		return time.Duration(c.draw(func(r *rand.Rand) float64 { return mean * r.ExpFloat64() }))
	case settings.Normal:
		return time.Duration(math.Max(0, c.draw(func(r *rand.Rand) float64 { return mean + jitter*r.NormFloat64() })))
	default:
		return s.Delay
	}
}

package loadgen

import "time"

// phase is what a client waits for, no longer than to an instant.
type phase uint8

const (
	thinking   phase = iota // the end of its think time
	connecting              // the connection
	heading                 // the header of the answer
	bodying                 // its body
	phaseCount
)

// deadlines are the instants by which clients of a loop wait for one kind of thing. Each kind has one length, so the one
// that was added last ends last, and a list in the order of adding is in the order of ending too.
type deadlines struct {
	first, last *client
}

// add lets c wait until at; it must wait for nothing else.
func (d *deadlines) add(c *client, at time.Duration) {
	c.until, c.waits = at, d
	c.before, c.behind = d.last, nil
	if d.last != nil {
		d.last.behind = c
	} else {
		d.first = c
	}
	d.last = c
}

// forget ends c's waiting, if it waits.
func (c *client) forget() {
	d := c.waits
	if d == nil {
		return
	}
	if c.before != nil {
		c.before.behind = c.behind
	} else {
		d.first = c.behind
	}
	if c.behind != nil {
		c.behind.before = c.before
	} else {
		d.last = c.before
	}
	c.before, c.behind, c.waits = nil, nil, nil
}

// passed takes a client out whose instant has come, if there is one.
func (d *deadlines) passed(now time.Duration) *client {
	c := d.first
	if c == nil || c.until > now {
		return nil
	}
	c.forget()
	return c
}

package callback

import (
	"sync/atomic"
	"time"
)

const (
	// failuresToOpen is as of the API's own circuit breakers.
	failuresToOpen = 3
	// firstWait is for how long nobody calls after a failure, twice as long after each further one, and mostWait at most: below
	// the 20 s within which the API looks at a host by itself.
	firstWait, mostWait = time.Second, 10 * time.Second
)

// States are those of a circuit breaker: calls are made; one is tried; nobody calls for now.
func States() []string { return []string{"closed", "half-open", "open"} }

// circuit is a circuit breaker of one caller, which makes one call after the other. Others may ask for its state.
type circuit struct {
	failures int
	state    atomic.Int32
}

// State returns one of States.
func (c *circuit) State() string { return States()[c.state.Load()] }

// trying is before a call.
func (c *circuit) trying() {
	if c.failures >= failuresToOpen {
		c.state.Store(1)
	}
}

// succeeded is after a call that was answered.
func (c *circuit) succeeded() {
	c.failures = 0
	c.state.Store(0)
}

// failed is after any other, and returns for how long to wait.
func (c *circuit) failed() time.Duration {
	wait := mostWait
	if c.failures < 4 {
		wait = min(firstWait<<c.failures, mostWait)
	}
	c.failures++
	if c.failures >= failuresToOpen {
		c.state.Store(2)
	}
	return jittered(wait)
}

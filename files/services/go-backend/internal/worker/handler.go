// Package worker serves NIC queues: a thread of its own for each takes packets off an AF_XDP socket in batches, lets a
// handler say what becomes of them, and accounts for every one.
package worker

import (
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
)

// Handler says what becomes of packets. It runs on one worker's thread at a time. docs/handlers.md shows how to add one.
type Handler interface {
	// Name is the handler's in the inventory and in metrics.
	Name() string
	// Reasons names why it drops packets, in metrics; Drop(i) is for the i-th.
	Reasons() []string
	// Handle sets the Verdict of each packet of a batch. What it allocates, every batch pays for.
	Handle(packets []Packet)
}

// stage is a handler at work, and what became of the packets that it was given.
type stage struct {
	handler  Handler
	verdicts [int(firstReason) + MaxReasons]atomic.Uint64
	bytes    atomic.Uint64
}

// formerStage is one whose handler was changed for another.
type formerStage struct {
	*stage
	turns uint64 // that the worker had taken by then
}

func newStage(handler Handler) (*stage, error) {
	if n := len(handler.Reasons()); n > MaxReasons {
		return nil, fmt.Errorf("handler %s: %d reasons to drop, %d are possible", handler.Name(), n, MaxReasons)
	}
	return &stage{handler: handler}, nil
}

// Counts is what became of the packets that a handler was given. Every packet is in exactly one of Consumed, Sent,
// Forwarded and Dropped.
type Counts struct {
	Handler                   string
	Packets, Bytes            uint64
	Consumed, Sent, Forwarded uint64
	// Dropped is by reason: the handler's own, "panic", and "stopped" for what came too late for a worker that ends.
	Dropped map[string]uint64
}

func (s *stage) counts() Counts {
	c := Counts{Handler: s.handler.Name(), Bytes: s.bytes.Load(), Dropped: make(map[string]uint64)}
	c.Consumed, c.Sent, c.Forwarded = s.verdicts[Consume].Load(), s.verdicts[Send].Load(), s.verdicts[Forward].Load()
	c.Dropped["panic"], c.Dropped["stopped"] = s.verdicts[panicked].Load(), s.verdicts[stopped].Load()
	for i, reason := range s.handler.Reasons() {
		c.Dropped[reason] = s.verdicts[Drop(i)].Load()
	}
	c.Packets = c.Consumed + c.Sent + c.Forwarded
	for _, n := range c.Dropped {
		c.Packets += n
	}
	return c
}

// Merge adds up the counts of handlers of one name, and sorts them by it.
func Merge(all []Counts) []Counts {
	byName := make(map[string]Counts)
	for _, one := range all {
		sum, there := byName[one.Handler]
		if !there {
			sum = Counts{Handler: one.Handler, Dropped: make(map[string]uint64)}
		}
		sum.Packets, sum.Bytes = sum.Packets+one.Packets, sum.Bytes+one.Bytes
		sum.Consumed, sum.Sent, sum.Forwarded = sum.Consumed+one.Consumed, sum.Sent+one.Sent, sum.Forwarded+one.Forwarded
		for reason, n := range one.Dropped {
			sum.Dropped[reason] += n
		}
		byName[one.Handler] = sum
	}
	var merged []Counts
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		merged = append(merged, byName[name])
	}
	return merged
}

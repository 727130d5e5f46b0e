package xsk

import (
	"errors"
	"fmt"
	"math/bits"
	"time"
)

// Mode is how packets come from the driver to the socket.
type Mode int

// Modes, from what is requested to what was obtained.
const (
	// Auto is zero-copy where the driver has it, else copy.
	Auto Mode = iota
	// ZeroCopy lets the NIC read and write the UMEM.
	ZeroCopy
	// Copy lets the kernel copy each packet, from the driver's memory.
	Copy
	// Generic lets it copy each packet from a socket buffer, which the driver has made first. It is obtained where the XDP
	// program runs in generic mode, and never requested.
	Generic
)

// String is the mode's name in messages and metrics.
func (m Mode) String() string { return [...]string{"auto", "zero-copy", "copy", "generic"}[m] }

// Config says which queue to serve, and how.
type Config struct {
	// Interface and Queue name the queue.
	Interface string
	Queue     int
	// Rx, Tx and Fill are entries of the rings, powers of two; the completion ring has as many as the tx ring. Zero is
	// 2048, 2048 and twice Rx. Fill must cover the NIC's own rx ring too in zero-copy mode.
	Rx, Tx, Fill uint32
	// Mode is Auto, ZeroCopy or Copy.
	Mode Mode
	// Generic accepts an interface whose XDP program runs in generic mode.
	Generic bool
	// MultiBuffer takes packets longer than a frame, in several (kernel 6.6).
	MultiBuffer bool
	// BusyPoll lets this socket's calls do the driver's work instead of interrupts.
	BusyPoll BusyPoll
}

// BusyPoll is preferred busy polling (kernel 5.11). It takes effect where the NIC defers interrupts: napi_defer_hard_irqs
// and gro_flush_timeout are not 0.
type BusyPoll struct {
	// Time is how long a call looks for packets; zero is no busy polling.
	Time time.Duration
	// Budget is how many packets a call handles; zero is 64.
	Budget int
}

// Limits of the kernel.
const (
	maxRing    = 1 << 15
	maxBudget  = 1<<16 - 1
	ethernet   = 14 + 4 // header and one VLAN tag
	MaxBuffers = 18     // of a packet (MAX_SKB_FRAGS and the first)
)

// complete fills in what was left to us.
func (c Config) complete() Config {
	if c.Rx == 0 {
		c.Rx = 2048
	}
	if c.Tx == 0 {
		c.Tx = 2048
	}
	if c.Fill == 0 {
		c.Fill = 2 * c.Rx
	}
	if c.BusyPoll.Budget == 0 {
		c.BusyPoll.Budget = 64
	}
	return c
}

// Frames is how many a socket of this config may hold at once, and so what its pool must have.
func (c Config) Frames() int {
	c = c.complete()
	return int(c.Fill) + int(c.Tx)
}

// faults are all that is wrong with something.
type faults []error

func (f *faults) add(format string, arguments ...any) {
	*f = append(*f, fmt.Errorf(format, arguments...))
}

// Check returns everything that is wrong with a config whatever the NIC is.
func (c Config) Check() error {
	c = c.complete()
	var found faults
	for _, ring := range []struct {
		name    string
		entries uint32
	}{{"rx", c.Rx}, {"tx", c.Tx}, {"fill", c.Fill}} {
		if ring.entries > maxRing || bits.OnesCount32(ring.entries) != 1 {
			found.add("%s ring of %d entries: a power of two up to %d is possible", ring.name, ring.entries, maxRing)
		} else if c.MultiBuffer && ring.entries < MaxBuffers {
			found.add("%s ring of %d entries: a packet of %d frames has to fit", ring.name, ring.entries, MaxBuffers)
		}
	}
	if c.Fill < c.Rx {
		found.add("fill ring of %d entries: the rx ring of %d must find a frame for each", c.Fill, c.Rx)
	}
	if c.Mode < Auto || c.Mode > Copy {
		found.add("mode %d: auto, zero-copy or copy can be requested", c.Mode)
	}
	if c.BusyPoll.Time < 0 || c.BusyPoll.Time > time.Second || c.BusyPoll.Time%time.Microsecond != 0 {
		found.add("busy polling for %v: whole microseconds up to a second are possible", c.BusyPoll.Time)
	}
	if c.BusyPoll.Budget < 1 || c.BusyPoll.Budget > maxBudget {
		found.add("busy polling of %d packets: 1 to %d are possible", c.BusyPoll.Budget, maxBudget)
	}
	return errors.Join(found...)
}

// Suits returns everything about a NIC that a config cannot do with, where a frame has room for so many bytes.
func (c Config) Suits(nic *NIC, room int) error {
	var found faults
	if c.Queue < 0 || c.Queue >= nic.Queues {
		found.add("it has %d queues, 0 to %d: give it more channels (role nic), or serve fewer", nic.Queues, nic.Queues-1)
	}
	if c.Mode == ZeroCopy && nic.Features != nil && !nic.Features.ZeroCopy {
		found.add("its driver has no zero-copy mode: request auto or copy")
	}
	if nic.Generic && !c.Generic {
		found.add("its XDP program runs in generic mode, where every packet is copied twice: attach it natively, or accept generic mode")
	}
	if longest := nic.MTU + ethernet; longest > room && !c.MultiBuffer {
		found.add("MTU %d: packets of %d bytes do not fit into the %d that a frame has room for: request multi-buffer frames, or "+
			"lower the MTU", nic.MTU, longest, room)
	} else if longest > room*MaxBuffers {
		found.add("MTU %d: packets of %d bytes do not fit into the %d frames of %d bytes that one can have",
			nic.MTU, longest, MaxBuffers, room)
	}
	return errors.Join(found...)
}

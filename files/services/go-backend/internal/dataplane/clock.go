package dataplane

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Clock turns the kernel's jiffies into moments. They are the time that the program has for nothing.
type Clock struct {
	now     time.Time
	jiffies uint64
	tick    time.Duration
}

// NewClock reads the kernel's clocks.
func NewClock() (Clock, error) {
	var resolution, monotonic unix.Timespec
	// The coarse clocks advance with the tick, so that their resolution is its length.
	if err := unix.ClockGetres(unix.CLOCK_MONOTONIC_COARSE, &resolution); err != nil {
		return Clock{}, fmt.Errorf("read the length of a tick: %w", err)
	}
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &monotonic); err != nil {
		return Clock{}, fmt.Errorf("read the monotonic clock: %w", err)
	}
	tick := time.Duration(resolution.Nano())
	// They begin five minutes before 32 bits of them overflow (INITIAL_JIFFIES in include/linux/jiffies.h).
	perSecond := uint64((time.Second + tick/2) / tick)
	jiffies := 1<<32 - 300*perSecond + uint64(monotonic.Nano())/uint64(tick)
	return Clock{now: time.Now(), jiffies: jiffies, tick: tick}, nil
}

// Time returns the moment of a value of jiffies, to the second, so that two readings of the clocks agree.
func (c Clock) Time(jiffies uint64) time.Time {
	// A packet may have come since the clock was read.
	if jiffies >= c.jiffies {
		return c.now.Round(time.Second)
	}
	return c.now.Add(-time.Duration(c.jiffies-jiffies) * c.tick).Round(time.Second)
}

package capture

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"tripod/go-backend/internal/cbpf"
)

// Config says what to capture.
type Config struct {
	// Filter is an expression in tcpdump's language; the empty one takes every packet.
	Filter string
	// Packets, Bytes and Duration end a capture, whichever is reached first: packets and bytes of the stream. 0 is 10,000,
	// 64 MiB and a minute.
	Packets, Bytes uint64
	Duration       time.Duration
	// Most is how many bytes of a packet are taken; 0 is all.
	Most int
}

// Limits.
const (
	maxPackets  = 1 << 32
	maxBytes    = 16 << 30
	minBytes    = 4 << 10
	maxDuration = 24 * time.Hour
	minMost     = 14
	maxMost     = 256 << 10
)

// Result is how a capture ended.
type Result struct {
	// Packets and Bytes are of the stream.
	Packets, Bytes uint64
	// Seen is packets that the workers were given meanwhile, and Missed those that met the filter and were lost to the
	// capture as its reader was too slow.
	Seen, Missed uint64
	// Ended says why: "packets", "bytes", "time", or "stopped" with the context.
	Ended string
}

func (c Config) complete() Config {
	if c.Packets == 0 {
		c.Packets = 10_000
	}
	if c.Bytes == 0 {
		c.Bytes = 64 << 20
	}
	if c.Duration == 0 {
		c.Duration = time.Minute
	}
	if c.Most == 0 {
		c.Most = maxMost
	}
	return c
}

// Validate returns everything that is wrong.
func (c Config) Validate() error {
	_, err := c.compile()
	return err
}

func (c Config) compile() (cbpf.Program, error) {
	c = c.complete()
	var faults []error
	fault := func(format string, arguments ...any) {
		faults = append(faults, fmt.Errorf("capture: "+format, arguments...))
	}
	if c.Packets > maxPackets {
		fault("%d packets: up to %d are possible", c.Packets, uint64(maxPackets))
	}
	if c.Bytes < minBytes || c.Bytes > maxBytes {
		fault("%d bytes: %d to %d are possible", c.Bytes, minBytes, uint64(maxBytes))
	}
	if c.Duration < 0 || c.Duration > maxDuration {
		fault("for %v: up to %v is possible", c.Duration, maxDuration)
	}
	if c.Most < minMost || c.Most > maxMost {
		fault("%d bytes of a packet: %d to %d are possible", c.Most, minMost, maxMost)
	}
	program, err := cbpf.Compile(c.Filter, maxMost)
	if err != nil {
		fault("%w", err)
	}
	return program, errors.Join(faults...)
}

// every is how long what was copied waits at most.
const every = 5 * time.Millisecond

// Run captures what some queues' workers are given, until a limit is reached or the context ends, and writes it as it comes.
// Packets of a queue are in order; of several, nearly. A queue that somebody else captures from is refused. On an error of
// the writer the capture ends with it; what became of packets does not depend on the capture in any case.
func Run(ctx context.Context, config Config, taps []*Tap, to io.Writer) (Result, error) {
	program, err := config.compile()
	if err != nil {
		return Result{}, err
	}
	if len(taps) == 0 {
		return Result{}, errors.New("capture: there is no queue to capture from")
	}
	config = config.complete()
	c := &capture{config: config, memory: make([]byte, config.Most), delivered: make([]uint64, len(taps))}
	c.to = bufio.NewWriterSize(&counting{to, &c.Bytes}, 64<<10)
	defer c.detach(taps)
	for _, tap := range taps {
		feed := newFeed(program, config.Most)
		if !tap.feed.CompareAndSwap(nil, feed) {
			return Result{}, fmt.Errorf("capture: somebody captures from %s already: one capture at a time is possible", tap.name)
		}
		c.feeds = append(c.feeds, feed)
	}
	err = c.run(ctx, taps)
	for _, feed := range c.feeds {
		c.Seen += feed.seen.Load()
		c.Missed += feed.missed.Load()
	}
	return c.Result, err
}

// capture is one that goes on.
type capture struct {
	Result
	config    Config
	to        *bufio.Writer
	planned   uint64 // bytes, with those that wait in to
	feeds     []*feed
	delivered []uint64 // by queue
	memory    []byte   // of a packet
	block     []byte
}

// counting counts what a writer has taken.
type counting struct {
	to io.Writer
	n  *uint64
}

func (c *counting) Write(bytes []byte) (int, error) {
	n, err := c.to.Write(bytes)
	*c.n += uint64(n)
	return n, err
}

// detach takes away the feeds that are this capture's.
func (c *capture) detach(taps []*Tap) {
	for i, feed := range c.feeds {
		taps[i].feed.CompareAndSwap(feed, nil)
	}
}

func (c *capture) run(ctx context.Context, taps []*Tap) error {
	head := section()
	for _, tap := range taps {
		head = append(head, description(tap.name, c.config.Filter, c.config.Most)...)
	}
	if err := c.write(head); err != nil {
		return err
	}
	deadline := time.NewTimer(c.config.Duration)
	defer deadline.Stop()
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for c.Ended == "" {
		ended := ""
		select {
		case <-ctx.Done():
			ended = "stopped"
		case <-deadline.C:
			ended = "time"
		case <-ticker.C:
		}
		// What was copied before the end is of the capture.
		if err := c.drain(); err != nil {
			return err
		}
		if c.Ended == "" {
			c.Ended = ended
		}
	}
	c.detach(taps)
	now := uint64(time.Now().UnixNano())
	for i, feed := range c.feeds {
		if err := c.write(statistics(i, now, feed.seen.Load(), feed.missed.Load(), c.delivered[i])); err != nil {
			return err
		}
	}
	return c.flush()
}

// drain writes what is there, as far as the limits allow.
func (c *capture) drain() error {
	// Room is kept for the statistics behind, which are of a fixed length.
	reserve := uint64(len(c.feeds) * len(statistics(0, 0, 0, 0, 0)))
	for i, feed := range c.feeds {
		for c.Packets < c.config.Packets {
			record, ok := feed.next(c.memory)
			if !ok {
				break
			}
			c.block = packet(c.block, i, record)
			if c.planned+uint64(len(c.block))+reserve > c.config.Bytes {
				c.Ended = "bytes"
				return c.flush()
			}
			if err := c.write(c.block); err != nil {
				return err
			}
			c.Packets++
			c.delivered[i]++
		}
	}
	if c.Packets == c.config.Packets {
		c.Ended = "packets"
	}
	return c.flush()
}

func (c *capture) write(bytes []byte) error {
	c.planned += uint64(len(bytes))
	if _, err := c.to.Write(bytes); err != nil {
		return fmt.Errorf("capture: write: %w", err)
	}
	return nil
}

func (c *capture) flush() error {
	if err := c.to.Flush(); err != nil {
		return fmt.Errorf("capture: write: %w", err)
	}
	return nil
}

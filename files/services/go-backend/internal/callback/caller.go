// Package callback calls the API. Nothing here is waited for by anybody: a start does not depend on it, and neither do packets.
package callback

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"tripod/go-backend/gen/tripodv1"
	"tripod/go-backend/internal/rescue"
)

const (
	// startedTimeout has room for the API to give a policy back, for which it waits for the host's agent.
	startedTimeout = 30 * time.Second
	// An API that does not answer this in time is away, also while nothing is to be told.
	aliveEvery, aliveTimeout = 20 * time.Second, 5 * time.Second
	// droppedEvery is how often packets are handed on, and droppedTimeout for how long the API may write them down.
	droppedEvery, droppedTimeout = time.Second, 3 * time.Second
	// maxAnswer is far above any answer (bytes).
	maxAnswer = 64 << 10
	// bootID is the kernel's name of this boot.
	bootID = "/proc/sys/kernel/random/boot_id"
)

// Caller tells one API that this service is there: when it begins, and whenever that API is met again.
type Caller struct {
	target, version, boot string
	connection            *grpc.ClientConn
	client                tripodv1.CallbackServiceClient
	log                   *slog.Logger
	circuit               circuit
	told                  atomic.Uint64
	failed                atomic.Uint64
	pending               pending
	said                  string
}

// New returns a caller of the API at host:port, which is not connected to before Run.
func New(target, version string, who credentials.TransportCredentials, log *slog.Logger) (*Caller, error) {
	// Names are looked up by nobody: the target is an address.
	connection, err := grpc.NewClient("passthrough:///"+target,
		grpc.WithTransportCredentials(who), grpc.WithNoProxy(), grpc.WithIdleTimeout(0),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: aliveEvery, Timeout: aliveTimeout, PermitWithoutStream: true}))
	if err != nil {
		return nil, fmt.Errorf("callbacks to %s: %w", target, err)
	}
	boot, err := os.ReadFile(bootID)
	if err != nil {
		log.Warn("the boot has no name", "error", err)
	}
	return &Caller{
		target: target, version: version, boot: strings.TrimSpace(string(boot)),
		connection: connection, client: tripodv1.NewCallbackServiceClient(connection), log: log.With("api", target),
	}, nil
}

// Target is whom it calls.
func (c *Caller) Target() string { return c.target }

// State is its circuit breaker's, one of States.
func (c *Caller) State() string { return c.circuit.State() }

// Counts returns how often the API was told, and how often it could not be.
func (c *Caller) Counts() (told, failed uint64) { return c.told.Load(), c.failed.Load() }

// Dropped hands on packets that were dropped, the oldest first, and how many more there were. It never waits.
func (c *Caller) Dropped(packets []*tripodv1.DroppedPacket, lost uint64) {
	c.pending.add(packets, lost)
}

// Packets returns how many packets the API was told of, and of how many it will never be.
func (c *Caller) Packets() (told, lost uint64) { return c.pending.counts() }

// Run calls until the context ends.
func (c *Caller) Run(ctx context.Context) {
	defer c.connection.Close()
	for ctx.Err() == nil {
		err := rescue.Do("callback", func() error { return c.started(ctx) })
		if err == nil {
			c.told.Add(1)
			err = rescue.Do("callback", func() error { return c.handOn(ctx) })
		}
		switch {
		case ctx.Err() != nil:
		case err != nil:
			c.failed.Add(1)
			c.tell(err)
			sleep(ctx, c.circuit.failed())
		default:
			// Whatever ended the connection may take a moment, and all hosts see it at once.
			sleep(ctx, jittered(firstWait))
		}
	}
}

// started tells that this service is there.
func (c *Caller) started(ctx context.Context) error {
	c.circuit.trying()
	ctx, cancel := context.WithTimeout(ctx, startedTimeout)
	defer cancel()
	// The circuit breaker alone says when it is tried again.
	c.connection.ResetConnectBackoff()
	answer, err := c.client.Started(ctx, &tripodv1.StartedRequest{BootId: c.boot, Version: c.version})
	if err != nil {
		return err
	}
	c.log.Info("the API has looked at this host", "given_back", answer.GetGivenBack())
	return nil
}

// handOn hands on packets until the connection is no more, or a call fails.
func (c *Caller) handOn(ctx context.Context) error {
	for c.connection.GetState() == connectivity.Ready {
		if batch := c.pending.batch(); batch != nil {
			if err := c.dropped(ctx, batch); err != nil {
				return err
			}
		}
		// Not before: where the one call is answered and the other refused, it is to be tried less and less often.
		c.circuit.succeeded()
		c.said = ""
		until, cancel := context.WithTimeout(ctx, droppedEvery)
		c.connection.WaitForStateChange(until, connectivity.Ready)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
	}
	return nil
}

func (c *Caller) dropped(ctx context.Context, batch *tripodv1.DroppedRequest) error {
	ctx, cancel := context.WithTimeout(ctx, droppedTimeout)
	defer cancel()
	_, err := c.client.Dropped(ctx, batch)
	c.pending.over(batch, err == nil)
	return err
}

// tell logs why a call failed, once for as long as it stays the same.
func (c *Caller) tell(err error) {
	if reason := err.Error(); reason != c.said {
		c.said = reason
		c.log.Warn("the API cannot be called", "error", err)
	}
}

func sleep(ctx context.Context, duration time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(duration):
	}
}

// jittered returns half of a duration or more, by chance, so that hosts do not come at once.
func jittered(duration time.Duration) time.Duration {
	return duration/2 + rand.N(duration/2+1)
}

package xsk_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf/link"

	"tripod/go-backend/internal/bpftest"
	"tripod/go-backend/internal/xsk"
)

func TestWhatCannotBeServedIsRefusedWithNothingLeft(t *testing.T) {
	h, b := bpftest.NewHost(t), newBench(t, 4096)
	name := h.AddNIC(2, 1500)
	h.Redirect(name, link.XDPDriverMode)
	taken := b.open(small(name, 0))
	other := newBench(t, 4096)
	before := bpftest.Descriptors(t)
	for what, one := range map[string]struct {
		bench  *bench
		config xsk.Config
		says   []string
	}{
		"queue out of range":  {b, small(name, 2), []string{"queue 2 of " + name, "it has 2 queues, 0 to 1"}},
		"negative queue":      {b, small(name, -1), []string{"it has 2 queues"}},
		"NIC not there":       {b, small("tripod-none", 0), []string{"NIC tripod-none is not there"}},
		"same process":        {b, small(name, 0), []string{"device or resource busy", "another AF_XDP socket serves this queue"}},
		"second instance":     {other, small(name, 0), []string{"device or resource busy", "another AF_XDP socket serves this queue"}},
		"odd rings":           {other, xsk.Config{Interface: name, Queue: 1, Rx: 100}, []string{"rx ring of 100 entries"}},
		"more than the pool":  {other, xsk.Config{Interface: name, Queue: 1}, []string{"pool of 192 frames", "6144 more are needed"}},
		"several at once":     {other, xsk.Config{Interface: name, Queue: 9, Rx: 100, BusyPoll: xsk.BusyPoll{Time: time.Minute}}, []string{"it has 2 queues", "rx ring", "busy polling"}},
		"more than it can be": {other, xsk.Config{Interface: name, Queue: 1, BusyPoll: xsk.BusyPoll{Time: time.Minute}}, []string{"busy polling for 1m0s"}},
	} {
		t.Run(what, func(t *testing.T) {
			pool := one.bench.pool(192)
			_, err := one.bench.group.Open(one.config, pool)
			if err == nil {
				t.Fatal("it was opened")
			}
			for _, words := range one.says {
				if !strings.Contains(err.Error(), words) {
					t.Errorf("%q does not say %q", err, words)
				}
			}
			if pool.Len() != pool.Size() || pool.Claim(pool.Size()) != nil {
				t.Errorf("%d of %d frames are free", pool.Len(), pool.Size())
			}
			if after := bpftest.Descriptors(t); after != before {
				t.Errorf("%d descriptors, %d before", after, before)
			}
		})
	}
	if err := taken.Close(); err != nil {
		t.Error(err)
	}
}

func TestASecondSocketIsNotPutInTheFirstOnesPlace(t *testing.T) {
	h, b := bpftest.NewHost(t), newBench(t, 1024)
	first, second := h.AddInterface(), h.AddInterface()
	program := h.Redirect(first, link.XDPDriverMode)
	b.listen(b.open(small(first, 0)), program)
	err := b.open(small(second, 0)).Listen(program.Sockets)
	if !errors.Is(err, xsk.ErrBusy) || !strings.Contains(err.Error(), "listen to queue 0 of "+second) {
		t.Errorf("got %v", err)
	}
}

// TestAQueueIsFreeAgainAtOnce closes under traffic: whatever stays mapped, or a frame that is lost, shows in the next round.
func TestAQueueIsFreeAgainAtOnce(t *testing.T) {
	const rounds, each = 20, 30
	h, b := bpftest.NewHost(t), newBench(t, 1024)
	name := h.AddInterface()
	program := h.Redirect(name, link.XDPDriverMode)
	pool, send, frame := b.pool(small(name, 0).Frames()), h.Sender(name), numbered(1, 20)
	batch := make([]xsk.Desc, 64)
	var received, dropped uint64
	for range rounds {
		socket, err := b.group.Open(small(name, 0), pool)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 2 * each {
			if i == each/2 {
				b.listen(socket, program)
			}
			send(frame)
			if i == each+each/2 {
				if err := socket.Ignore(program.Sockets); err != nil {
					t.Fatal(err)
				}
			}
		}
		// veth receives on the sender's CPU; the last may still be on its way.
		for quiet := 0; quiet < 5; quiet++ {
			if err := socket.Wait(2 * time.Millisecond); err != nil {
				t.Fatal(err)
			}
			n := socket.Receive(batch)
			for _, d := range batch[:n] {
				pool.PutOne(d.Addr)
			}
			if received += uint64(n); n > 0 {
				quiet = 0
			}
			socket.Refill()
		}
		statistics, err := socket.Statistics()
		if err != nil {
			t.Fatal(err)
		}
		dropped += statistics.Dropped + statistics.RingFull
		if err := socket.Close(); err != nil {
			t.Fatal(err)
		}
		if pool.Len() != pool.Size() {
			t.Fatalf("%d of %d frames are free", pool.Len(), pool.Size())
		}
	}
	if sum := received + dropped + program.Passed(); sum != rounds*2*each || received == 0 || program.Passed() == 0 {
		t.Errorf("%d sent = %d received + %d dropped + %d passed?", rounds*2*each, received, dropped, program.Passed())
	}
}

func TestAFloodIsDroppedByNameAndRingsGoOn(t *testing.T) {
	const flood = 1000
	h, b := bpftest.NewHost(t), newBench(t, 256)
	name := h.AddInterface()
	program := h.Redirect(name, link.XDPDriverMode)
	socket := b.open(small(name, 0))
	b.listen(socket, program)
	h.Send(name, numbered(1, 20), flood)
	eventually(t, func() bool { return program.Redirected() == flood })
	if levels := socket.Levels(); levels.Rx != 64 {
		t.Errorf("levels %+v", levels)
	}
	for _, d := range b.receive(socket, 64) {
		socket.Pool().PutOne(d.Addr)
	}
	socket.Refill()
	statistics, err := socket.Statistics()
	if err != nil || 64+statistics.RingFull+statistics.Dropped != flood || statistics.RingFull == 0 {
		t.Errorf("%+v, %v", statistics, err)
	}
	// As much again, taken off in time.
	for range 10 {
		h.Send(name, numbered(2, 20), 60)
		for _, d := range b.receive(socket, 60) {
			socket.Pool().PutOne(d.Addr)
		}
		socket.Refill()
	}
	if again, err := socket.Statistics(); err != nil || again.RingFull != statistics.RingFull || again.Dropped != statistics.Dropped {
		t.Errorf("%+v, %v", again, err)
	}
}

func TestANICThatIsDownIsWaitedForAndOneThatIsGoneIsLeft(t *testing.T) {
	h, b := bpftest.NewHost(t), newBench(t, 1024)
	name := h.AddInterface()
	program := h.Redirect(name, link.XDPDriverMode)
	socket := b.open(small(name, 0))
	b.listen(socket, program)
	h.Send(name, numbered(1, 20), 8)
	packets := b.receive(socket, 8)
	h.SetUp(name, false)
	if n := socket.Transmit(packets); n != 8 {
		t.Fatalf("%d were taken", n)
	}
	if err := socket.Wake(); !errors.Is(err, xsk.ErrDown) {
		t.Errorf("down: %v", err)
	}
	if err := socket.Wait(time.Millisecond); !errors.Is(err, xsk.ErrDown) {
		t.Errorf("down: %v", err)
	}
	h.SetUp(name, true)
	wire := h.Wire(name)
	b.transmit(socket, nil)
	for range 8 {
		wire.Next()
	}
	h.RemoveInterface(name)
	if err := socket.Wait(time.Millisecond); !errors.Is(err, xsk.ErrGone) {
		t.Errorf("gone: %v", err)
	}
	if err := socket.Close(); err != nil || socket.Pool().Len() != socket.Pool().Size() {
		t.Errorf("close: %v, %d frames free", err, socket.Pool().Len())
	}
	if err := socket.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
}

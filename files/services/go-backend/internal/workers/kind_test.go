package workers

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"tripod/go-backend/internal/bpftest"
	"tripod/go-backend/internal/dataplane"
	"tripod/go-backend/internal/worker"
	"tripod/go-backend/internal/xsk"
)

// TestForwardHasThePeersQueueToo sends a packet through a worker from one NIC to the other, and back.
func TestForwardHasThePeersQueueToo(t *testing.T) {
	s := newScene(t)
	near, far := s.nic(1), s.nic(1)
	forward := values{
		"name": "edge", "nic": near, "handler": "forward", "options": values{
			"peer": far, "near": values{"next_hop": "02:00:00:00:00:0a"}, "far": values{"next_hop": "02:00:00:00:00:0b"},
		},
	}
	s.write(forward)
	m := s.manager()
	s.reload(m)
	for _, way := range []struct{ from, to, hop string }{{near, far, "02:00:00:00:00:0b"}, {far, near, "02:00:00:00:00:0a"}} {
		wire := s.host.Wire(way.to)
		nic, err := xsk.LookUp(way.from)
		if err != nil {
			t.Fatal(err)
		}
		packet := withIPSum(frame)
		copy(packet, nic.Address[:])
		s.host.Send(way.from, packet, 1)
		hop, _ := net.ParseMAC(way.hop)
		if got := wire.Next(); !bytes.Equal(got[:6], hop) || got[22] != packet[22]-1 {
			t.Errorf("from %s came % x", way.from, got)
		}
	}
	stats, err := m.Stats("edge")
	if err != nil || len(stats) != 2 {
		t.Fatal(stats, err)
	}
	var forwarded uint64
	for _, one := range stats {
		for _, counts := range one.Handlers {
			forwarded += counts.Forwarded
		}
	}
	if forwarded != 2 {
		t.Errorf("%d forwarded: %+v", forwarded, stats)
	}
	s.write(forward, values{"name": "other", "nic": far, "handler": "sink"})
	if err := m.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "queue 0 of "+far+` is worker "edge"'s`) {
		t.Errorf("the peer's queue was given to another: %v", err)
	}
	// Without a peer its queue is free for another.
	s.write(values{"name": "edge", "nic": near, "handler": "sink"}, values{"name": "other", "nic": far, "handler": "sink"})
	s.reload(m)
	if err := m.tend(t.Context()); err != nil || m.Err() != nil {
		t.Error(err, m.Err())
	}
}

// withIPSum is a copy whose IPv4 header has its checksum.
func withIPSum(frame []byte) []byte {
	packet := bytes.Clone(frame)
	header := packet[14:34]
	sum := uint32(0)
	for i := 0; i < len(header); i += 2 {
		sum += uint32(header[i])<<8 | uint32(header[i+1])
	}
	sum = sum>>16 + sum&0xffff
	sum = ^(sum>>16 + sum)
	header[10], header[11] = byte(sum>>8), byte(sum)
	return packet
}

// TestBalanceTellsOfItsBackends has backends that nobody asks, and keeps them over a change that is not theirs.
func TestBalanceTellsOfItsBackends(t *testing.T) {
	s := newScene(t)
	name := s.nic(2)
	edge := func(watchdog int, backends ...string) values {
		var all []values
		for _, address := range backends {
			all = append(all, values{"name": "at" + address, "address": address})
		}
		return values{
			"name": "edge", "nic": name, "queues": []int{0, 1}, "handler": "balance", "watchdog_ms": watchdog, "options": values{
				"addresses": []string{"198.51.100.1"}, "sources": []string{"192.0.2.9"}, "backends": all,
				"health_check": "tcp", "health_port": 9, "health_interval_ms": 100, "health_timeout_ms": 100,
			},
		}
	}
	s.write(edge(20_000, "127.0.0.2", "127.0.0.3"))
	err := s.manager().Reload(t.Context())
	if err == nil || !strings.Contains(err.Error(), "options of handler balance: ") {
		t.Errorf("loopback was taken: %v", err)
	}
	s.write(edge(20_000, "192.0.2.1", "192.0.2.2"))
	m := s.manager()
	s.reload(m)
	balancer := m.entries["edge"].unit.service.balancer
	found, err := m.Backends("edge")
	if err != nil || len(found["edge"]) != 2 || found["edge"][0].Alive || found["edge"][0].Fault == "" {
		t.Errorf("%+v, %v", found, err)
	}
	s.write(edge(30_000, "192.0.2.1", "192.0.2.2"))
	s.reload(m)
	if m.entries["edge"].unit.service.balancer != balancer {
		t.Error("another watchdog made another balancer")
	}
	s.write(edge(30_000, "192.0.2.1"))
	s.reload(m)
	if found, err = m.Backends(""); err != nil || len(found["edge"]) != 1 {
		t.Errorf("%+v, %v", found, err)
	}
	if _, err := m.Backends("x"); err == nil {
		t.Error("a worker that is not there has backends")
	}
	if err := m.Err(); err != nil {
		t.Error(err)
	}
}

// stallingScene is a worker that is diverted after a second, as its handler waits for the channel to be closed.
func stallingScene(t *testing.T) (s *scene, name string, m *Manager, release chan struct{}) {
	t.Helper()
	release = make(chan struct{})
	kinds["stalling"] = plain(stalling{release})
	t.Cleanup(func() { delete(kinds, "stalling") })
	s = newScene(t)
	name = s.nic(1)
	s.write(values{"name": "edge", "nic": name, "handler": "stalling", "watchdog_ms": 1000})
	m = s.manager()
	s.reload(m)
	return s, name, m, release
}

// TestAStalledWorkerIsUnhealthy sends what its handler does not come back from.
func TestAStalledWorkerIsUnhealthy(t *testing.T) {
	s, name, m, release := stallingScene(t)
	s.host.Send(name, frame, 1)
	eventually(t, func() bool { return m.Err() != nil })
	if err := m.Err(); !strings.Contains(err.Error(), "worker edge: queue 0 stalls") {
		t.Errorf("got %v", err)
	}
	s.host.Send(name, frame, 2)
	if passed, _ := s.judged(name); passed != 2 {
		t.Errorf("%d packets passed", passed)
	}
	// Who waited for it to end would wait as long as the handler does.
	for what, err := range map[string]error{"stop": m.Stop("edge"), "round": m.tend(t.Context())} {
		if err == nil || !strings.Contains(err.Error(), "queue 0 stalls") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := m.Start(t.Context(), "edge"); err != nil {
		t.Error(err)
	}
	s.write(values{"name": "edge", "nic": name, "handler": "stalling", "batch": 32})
	if err := m.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "queue 0 stalls") {
		t.Errorf("reload: %v", err)
	}
	unit := m.entries["edge"].unit
	close(release)
	// A machine that is busy enough lets it stall once more after it has resumed.
	eventually(t, func() bool {
		return m.tend(t.Context()) == nil && m.Err() == nil && m.entries["edge"].unit != unit
	})
	if stats, err := m.Stats("edge"); err != nil || stats[0].Latencies.Total < 500*time.Millisecond {
		t.Errorf("%+v, %v", stats, err)
	}
}

// TestAWorkerThatStallsWhileItEndsHoldsNobodyUp stops it before anybody knows that its handler does not return.
func TestAWorkerThatStallsWhileItEndsHoldsNobodyUp(t *testing.T) {
	s, name, m, release := stallingScene(t)
	s.host.Send(name, frame, 1)
	eventually(t, func() bool { return m.entries["edge"].unit.queues[0].thread.Socket().Levels().Rx == 0 })
	stopped := make(chan error)
	go func() { stopped <- m.Stop("edge") }()
	select {
	case err := <-stopped:
		if err == nil || !strings.Contains(err.Error(), "queue 0 stalls") {
			t.Errorf("got %v", err)
		}
	case <-time.After(bpftest.Patience):
		t.Error("it is waited for")
	}
	close(release)
	eventually(t, func() bool { return m.entries["edge"].unit.broken() })
	if err := m.tend(t.Context()); err != nil || m.entries["edge"].unit != nil {
		t.Errorf("it did not end: %v", err)
	}
	if handled, _ := account(t, m, name); handled != 1 {
		t.Errorf("%d handled", handled)
	}
}

// TestAReloadWhileAWorkerStallsLetsItGoOn gives the worker more time while its packets go to the stack.
func TestAReloadWhileAWorkerStallsLetsItGoOn(t *testing.T) {
	s, name, m, release := stallingScene(t)
	unit := m.entries["edge"].unit
	s.host.Send(name, frame, 1)
	eventually(t, func() bool { return unit.stalls() != nil })
	s.write(values{"name": "edge", "nic": name, "handler": "stalling", "watchdog_ms": 2000})
	s.reload(m)
	if m.entries["edge"].unit != unit {
		t.Fatal("another watchdog made other sockets")
	}
	close(release)
	eventually(t, func() bool { return unit.stalls() == nil })
	s.host.Send(name, frame, 3)
	eventually(t, func() bool { return m.Err() == nil })
	if err := m.Stop("edge"); err != nil {
		t.Error(err)
	}
}

// TestAWorkerThatIsAboutToGoHasItsName looks in the middle of a reload, when the file does not have it any more.
func TestAWorkerThatIsAboutToGoHasItsName(t *testing.T) {
	m := New(dataplane.NewRoot("/nonexistent"), "", slog.New(slog.DiscardHandler))
	m.entries["edge"] = &entry{fault: errors.New("its NIC is not there")}
	if all := m.List(); len(all) != 1 || all[0].Name != "edge" {
		t.Errorf("%+v", all)
	}
}

func TestARingThatStandsStillIsSaid(t *testing.T) {
	for name, one := range map[string]struct {
		before, now progress
		says        string
	}{
		"first look":    {progress{}, progress{rx: 3}, ""},
		"goes on":       {progress{inspections: 1, rx: 3, packets: 5}, progress{rx: 3, packets: 9}, ""},
		"rx":            {progress{inspections: 1, rx: 3, packets: 5}, progress{rx: 7, packets: 5}, "its rx ring stands still with 7"},
		"tx":            {progress{inspections: 1, tx: 4, turns: 1}, progress{tx: 4, turns: 9}, "its tx ring stands still with 4"},
		"tx of stalled": {progress{inspections: 1, tx: 4, turns: 1}, progress{tx: 4, turns: 1}, ""},
		"nothing to do": {progress{inspections: 1, turns: 1}, progress{turns: 9}, ""},
	} {
		if got := one.now.after(one.before).stuck; !strings.HasPrefix(got, one.says) || (got == "") != (one.says == "") {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// stalling is a handler that waits.
type stalling struct{ release <-chan struct{} }

func (stalling) Name() string             { return "stalling" }
func (stalling) Reasons() []string        { return nil }
func (s stalling) Handle([]worker.Packet) { <-s.release }

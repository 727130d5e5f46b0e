package workers

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"tripod/go-backend/internal/worker"
)

func TestTheFileSaysWhoHasAQueuesPackets(t *testing.T) {
	s := newScene(t)
	name := s.nic(2)
	s.write(values{"name": "edge", "nic": name, "queues": []int{0, 1}, "handler": "reflect"})
	m := s.manager()
	if err := m.Err(); err != nil || len(m.List()) != 0 || m.Digest() != "" {
		t.Fatal(err, m.List())
	}
	wire := s.host.Wire(name)
	s.reload(m)
	s.host.Send(name, frame, 20)
	for range 20 {
		wire.Next()
	}
	status, err := m.Get("edge")
	if err != nil || status.State != Running || status.NIC != name || status.Handler != "reflect" || len(status.Queues) != 2 ||
		status.Queues[1].Queue != 1 || !strings.Contains(status.Memory, "pages of") {
		t.Errorf("%+v, %v", status, err)
	}
	stats, err := m.Stats("edge")
	if err != nil || len(stats) != 2 || stats[0].Live == nil || stats[0].Live.Frames != 384 || len(m.Digest()) != 64 {
		t.Fatalf("%+v, %v", stats, err)
	}
	if handled, _ := account(t, m, name); handled != 20 {
		t.Errorf("%d handled", handled)
	}
	if err := m.Err(); err != nil {
		t.Error(err)
	}
	m.Close()
	if handled, _ := account(t, m, name); handled != 20 {
		t.Errorf("%d handled after the end", handled)
	}
	s.host.Send(name, frame, 3)
	if passed, _ := s.judged(name); passed != 3 {
		t.Errorf("%d passed", passed)
	}
	if err := m.Reload(t.Context()); err == nil {
		t.Error("a manager that was closed started workers")
	}
}

// TestWhatChangesForOneIsNothingForOthers reloads, moves, stops and starts one worker under traffic, beside another.
func TestWhatChangesForOneIsNothingForOthers(t *testing.T) {
	s := newScene(t)
	quiet, busy := s.nic(1), s.nic(1)
	cpus, err := worker.AllowedCPUs()
	if err != nil {
		t.Fatal(err)
	}
	other := func(change values) {
		one := values{"name": "busy", "nic": busy, "handler": "sink"}
		for key, value := range change {
			one[key] = value
		}
		s.write(values{"name": "quiet", "nic": quiet, "handler": "sink"}, one)
	}
	other(nil)
	m := s.manager()
	s.reload(m)
	before := m.entries["quiet"].unit
	flows := map[string]*traffic{quiet: s.traffic(quiet), busy: s.traffic(busy)}
	batch := worker.DefaultBatch
	for round := range 20 {
		unit := m.entries["busy"].unit
		// In place.
		other(values{"handler": []string{"reflect", "sink"}[round%2], "cpus": []int{cpus[round%len(cpus)]}, "batch": batch})
		s.reload(m)
		if err := m.Move("busy", []int{cpus[(round+1)%len(cpus)]}); err != nil {
			t.Fatal(err)
		}
		if m.entries["busy"].unit != unit {
			t.Fatal("a change of the handler closed the sockets")
		}
		if passed, _ := s.judged(busy); round == 0 && passed != 0 {
			t.Errorf("%d packets passed to the stack", passed)
		}
		// With its sockets.
		switch round % 3 {
		case 0:
			batch++
			other(values{"batch": batch})
			s.reload(m)
			if m.entries["busy"].unit == unit {
				t.Fatal("the batch is the same")
			}
		case 1:
			if err := errors.Join(m.Stop("busy"), m.Start(t.Context(), "busy")); err != nil {
				t.Fatal(err)
			}
		case 2:
			s.write(values{"name": "quiet", "nic": quiet, "handler": "sink"})
			s.reload(m)
			other(values{"batch": batch})
			s.reload(m)
		}
	}
	if m.entries["quiet"].unit != before {
		t.Error("the other worker was started anew")
	}
	time.Sleep(20 * time.Millisecond)
	for name, flow := range flows {
		sent := flow.stop()
		eventually(t, func() bool { passed, redirected := s.judged(name); return passed+redirected == sent })
		passed, _ := s.judged(name)
		var handled, kernel uint64
		eventually(t, func() bool {
			handled, kernel = account(t, m, name)
			return handled+kernel+passed == sent
		})
		if name == quiet && passed != 0 || name == busy && passed == 0 {
			t.Errorf("%d of %d packets passed to the stack", passed, sent)
		}
		t.Logf("%d sent = %d handled + %d dropped by the kernel + %d passed", sent, handled, kernel, passed)
	}
}

// TestUpgradesAccountForEveryPacket starts a second instance while the first still serves, which ends.
func TestUpgradesAccountForEveryPacket(t *testing.T) {
	s := newScene(t)
	name := s.nic(1)
	s.write(values{"name": "edge", "nic": name, "handler": "sink"})
	m := s.manager()
	s.reload(m)
	second := s.manager()
	if err := second.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "another AF_XDP socket serves this queue") {
		t.Fatalf("got %v", err)
	}
	if err := second.Err(); err == nil || !strings.Contains(err.Error(), "worker edge: open queue 0 of "+name) {
		t.Errorf("health: %v", err)
	}
	if status, err := second.Get("edge"); err != nil || status.State != Failed || len(status.Queues) != 0 {
		t.Errorf("%+v, %v", status, err)
	}
	flow := s.traffic(name)
	var handled, kernel uint64
	leave := func() {
		m.Close()
		h, k := account(t, m, name)
		handled, kernel = handled+h, kernel+k
	}
	for range 20 {
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			leave()
		}()
		next := s.manager()
		// It may come before the queue is free, and is tried again then.
		_ = next.Reload(t.Context())
		<-ended
		if err := next.tend(t.Context()); err != nil {
			t.Fatal(err)
		}
		m = next
	}
	time.Sleep(20 * time.Millisecond)
	sent := flow.stop()
	leave()
	passed, redirected := s.judged(name)
	if passed+redirected != sent || handled+kernel+passed != sent || handled == 0 {
		t.Errorf("%d sent = %d handled + %d dropped by the kernel + %d passed?", sent, handled, kernel, passed)
	}
}

// TestAWorkerThatRunsStaysWhereItsSuccessorCannot has a reload that the host cannot meet.
func TestAWorkerThatRunsStaysWhereItsSuccessorCannot(t *testing.T) {
	s := newScene(t)
	name := s.nic(1)
	s.write(values{"name": "edge", "nic": name, "handler": "sink"})
	m := s.manager()
	s.reload(m)
	unit := m.entries["edge"].unit
	s.write(values{"name": "edge", "nic": name, "handler": "sink", "queues": []int{0, 1}})
	if err := m.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "it stays as it was: queue 1 of "+name) {
		t.Errorf("got %v", err)
	}
	if err := m.tend(t.Context()); err == nil {
		t.Error("the next round forgot it")
	}
	s.write(values{"name": "edge", "nic": name, "handler": "sink"})
	s.reload(m)
	if err := m.Err(); err != nil {
		t.Errorf("what was taken back is still said: %v", err)
	}
	if err := os.WriteFile(s.path, []byte(`{"workers": [{"name": "edge"}, {"name": "7"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	digest := m.Digest()
	if err := m.Reload(t.Context()); err == nil || !strings.Contains(m.Err().Error(), `worker 2, "7": its name must begin`) {
		t.Errorf("got %v, %v", err, m.Err())
	}
	if m.entries["edge"].unit != unit || m.Digest() == digest {
		t.Error("the worker was started anew, or the file was not read")
	}
	s.host.Send(name, frame, 5)
	eventually(t, func() bool { handled, _ := account(t, m, name); return handled == 5 })
	for _, err := range []error{m.Stop("x"), m.Start(t.Context(), "x"), m.Move("x", nil)} {
		if !errors.Is(err, ErrUnknown) {
			t.Errorf("got %v", err)
		}
	}
	for _, cpus := range [][]int{nil, {1000}, {0, 0}} {
		if err := m.Move("edge", cpus); !errors.Is(err, ErrInvalid) {
			t.Errorf("%v: got %v", cpus, err)
		}
	}
	if err := m.Stop("edge"); err != nil || m.entries["edge"].status().State != Stopped {
		t.Error(err, m.entries["edge"].status())
	}
	if err := m.Move("edge", []int{0}); err == nil {
		t.Error("a stopped worker moved")
	}
}

// TestWorkersComeBack loses the program, its pins and the NIC.
func TestWorkersComeBack(t *testing.T) {
	s := newScene(t)
	name := s.nic(1)
	s.write(values{"name": "edge", "nic": name, "handler": "sink"})
	m := s.manager()
	s.reload(m)
	serves := func(when string, more uint64) {
		t.Helper()
		before, _ := account(t, m, name)
		if err := m.tend(t.Context()); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		if err := m.Err(); err != nil {
			t.Errorf("%s: %v", when, err)
		}
		s.host.Send(name, frame, int(more))
		eventually(t, func() bool { now, _ := account(t, m, name); return now == before+more })
	}
	serves("at first", 3)
	s.host.DropLink(name)
	_ = m.tend(t.Context())
	if err := m.Err(); err == nil || !strings.Contains(err.Error(), "runs no XDP program") {
		t.Errorf("without a program: %v", err)
	}
	s.attach(name)
	serves("attached again, with the maps of before", 4)
	s.host.Detach(name)
	s.attach(name)
	serves("attached anew, with maps of its own", 5)
	s.host.RemoveInterface(name)
	eventually(t, func() bool { return m.entries["edge"].unit.broken() })
	if err := m.tend(t.Context()); err == nil || !strings.Contains(err.Error(), "NIC "+name+" is not there") {
		t.Errorf("without the NIC: %v", err)
	}
}

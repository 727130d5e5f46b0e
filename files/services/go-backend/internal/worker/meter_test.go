package worker_test

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tripod/go-backend/internal/handlers"
	"tripod/go-backend/internal/worker"
)

// TestAWorkerMeasuresItself lets a handler take its time.
func TestAWorkerMeasuresItself(t *testing.T) {
	s := newScene(t)
	const pause = 3 * time.Millisecond
	w := s.start(odd{func([]worker.Packet) { time.Sleep(pause) }})
	time.Sleep(200 * time.Millisecond)
	if busy := w.Busy(); busy > 100*time.Millisecond {
		t.Errorf("%v of work without a packet", busy)
	}
	const packets = 5
	for n := range uint64(packets) {
		s.send(frame)
		eventually(t, func() bool { handled, _, _, _ := total(w); return handled == n+1 })
	}
	latencies := w.Latencies()
	var batches uint64
	for i, n := range latencies.Batches {
		if bound := latencies.Bound(i); n > 0 && bound != 0 && bound < pause {
			t.Errorf("%d batches took %v at most", n, bound)
		}
		batches += n
	}
	if batches != packets || latencies.Total < packets*pause || w.Busy() < packets*pause {
		t.Errorf("%d batches took %v, the worker %v", batches, latencies.Total, w.Busy())
	}
	eventually(t, func() bool {
		all, free, lost := w.Frames()
		return all == s.pool.Size() && free == all-256 && lost == 0
	})
	for i, before := range latencies.Batches {
		twice := latencies
		twice.Add(latencies)
		if twice.Batches[i] != 2*before || twice.Total != 2*latencies.Total {
			t.Errorf("%+v is not twice %+v", twice, latencies)
		}
	}
	s.stop(w)
	busy := w.Busy()
	time.Sleep(20 * time.Millisecond)
	if w.Busy() != busy {
		t.Error("a worker that ended works on")
	}
}

// TestBusyTimeNeverRunsBackwards reads while the worker falls asleep and wakes up.
func TestBusyTimeNeverRunsBackwards(t *testing.T) {
	s := newScene(t)
	w := s.start(handlers.Sink{})
	defer s.stop(w)
	var last time.Duration
	for began := time.Now(); time.Since(began) < 300*time.Millisecond; {
		s.send(frame)
		now := w.Busy()
		if now < last {
			t.Fatalf("%v, then %v", last, now)
		}
		last = now
	}
}

// TestAWorkerMovesUnderTraffic has its thread on one CPU after the other.
func TestAWorkerMovesUnderTraffic(t *testing.T) {
	cpus, err := worker.AllowedCPUs()
	if err != nil {
		t.Fatal(err)
	}
	s := newScene(t)
	on := make(chan unix.CPUSet, 1)
	w := s.start(odd{func([]worker.Packet) {
		var set unix.CPUSet
		_ = unix.SchedGetaffinity(0, &set)
		on <- set
	}})
	for _, cpu := range cpus {
		if err := w.Move(cpu); err != nil {
			t.Fatal(err)
		}
		s.send(frame)
		if set := <-on; set.Count() != 1 || !set.IsSet(cpu) {
			t.Errorf("moved to CPU %d, runs on %v", cpu, set)
		}
	}
	if err := w.Move(1000); err == nil {
		t.Error("it moved to CPU 1000")
	}
	s.stop(w)
	if err := w.Move(cpus[0]); err == nil {
		t.Error("a worker that ended moved")
	}
}

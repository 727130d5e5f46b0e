package worker_test

import (
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tripod/go-backend/internal/bpftest"
	"tripod/go-backend/internal/handlers"
	"tripod/go-backend/internal/worker"
)

func TestAStalledWorkersPacketsGoToTheStack(t *testing.T) {
	s := newScene(t)
	release := make(chan struct{})
	w := s.start(odd{func([]worker.Packet) { <-release }})
	stalled, resumed := make(chan error, 1), make(chan error, 1)
	const limit = time.Second
	// A limit that a busy machine keeps.
	go worker.Watchdog{
		Limit:   limit,
		Stalled: func(_ *worker.Worker, err error) { stalled <- err },
		Resumed: func(_ *worker.Worker, err error) { resumed <- err },
	}.Watch(t.Context(), w)
	time.Sleep(3 * limit / 2)
	select {
	case <-stalled:
		t.Fatal("an idle worker is taken for a stalled one")
	default:
	}
	began := time.Now()
	s.send(frame)
	if err := <-stalled; err != nil || time.Since(began) < limit*9/10 {
		t.Errorf("stalled after %v: %v", time.Since(began), err)
	}
	s.send(frame)
	eventually(t, func() bool { return s.program.Passed() == 1 })
	close(release)
	if err := <-resumed; err != nil {
		t.Error(err)
	}
	s.send(frame)
	eventually(t, func() bool { packets, _, _, _ := total(w); return packets == 2 })
	s.stop(w)
}

// TestAWorkerThatStallsAtItsEndIsLookedAt has a handler that does not return from what is left in the ring.
func TestAWorkerThatStallsAtItsEndIsLookedAt(t *testing.T) {
	s := newScene(t)
	entered, release := make(chan struct{}, 100), make(chan struct{})
	w := s.start(odd{func([]worker.Packet) { entered <- struct{}{}; <-release }})
	s.send(frame)
	<-entered
	s.send(frame)
	eventually(t, func() bool { return w.Socket().Levels().Rx == 1 })
	ended := make(chan error)
	go func() { ended <- w.Stop() }()
	release <- struct{}{}
	// The second is handled after the worker was stopped.
	<-entered
	looked := make(chan struct{})
	go func() {
		defer close(looked)
		_, _ = w.Statistics()
		_, _, _, _ = total(w)
		_ = w.Busy()
	}()
	select {
	case <-looked:
	case <-time.After(bpftest.Patience):
		t.Error("whoever looks at it waits for its handler")
	}
	close(release)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestWhatTheKernelRefusesIsTriedAgain has every other call that wakes the socket fail.
func TestWhatTheKernelRefusesIsTriedAgain(t *testing.T) {
	s := newScene(t)
	wire := s.host.Wire(s.name)
	refusals := bpftest.Refusals{Answer: func(n uint64) unix.Errno {
		return []unix.Errno{unix.ENOBUFS, 0, unix.EAGAIN, 0, unix.EBUSY, 0}[n%6]
	}}
	begin := sync.OnceFunc(func() {
		if err := refusals.OnThisThread(); err != nil {
			t.Error(err)
		}
	})
	w := s.start(odd{func(packets []worker.Packet) {
		begin()
		handlers.Reflect{}.Handle(packets)
	}})
	const packets = 50
	for range packets {
		s.send(frame)
		wire.Next()
	}
	s.stop(w)
	if refused := refusals.Refused(); refused < packets/4 || w.Socket().Retries() < refused {
		t.Errorf("%d calls were refused, %d tried again", refused, w.Socket().Retries())
	}
}

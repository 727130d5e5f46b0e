package workers

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tripod/go-backend/internal/bpftest"
	"tripod/go-backend/internal/dataplane"
)

func TestMain(m *testing.M) { bpftest.Main(m) }

var frame = bpftest.UDP("192.0.2.1", 30)

// values are a worker in the file. Its rings are small, and its watchdog is one that a busy machine does not wake.
type values map[string]any

// scene is a host with NICs whose UDP goes to workers, and a file of workers.
type scene struct {
	t    *testing.T
	host *bpftest.Host
	path string
	root dataplane.Root
}

func newScene(t *testing.T) *scene {
	t.Helper()
	h := bpftest.NewHost(t)
	return &scene{t: t, host: h, path: filepath.Join(t.TempDir(), "workers.json"), root: dataplane.NewRoot(h.Root)}
}

// nic is an interface with so many queues.
func (s *scene) nic(queues int) string {
	s.t.Helper()
	name := s.host.AddNIC(queues, 1500)
	s.attach(name)
	return name
}

func (s *scene) attach(name string) {
	s.t.Helper()
	s.host.Attach(name, nil)
	s.host.SetPolicy(name, bpftest.NewPolicy().Service(9, bpftest.ActionAFXDP))
}

func (s *scene) write(workers ...values) {
	s.t.Helper()
	for _, one := range workers {
		for key, value := range (values{"rx_ring": 128, "tx_ring": 128, "queues": []int{0}, "watchdog_ms": 20_000}) {
			if _, given := one[key]; !given {
				one[key] = value
			}
		}
	}
	content, err := json.Marshal(map[string]any{"workers": workers})
	if err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(s.path, content, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) manager() *Manager {
	m := New(s.root, s.path, slog.New(slog.DiscardHandler))
	s.t.Cleanup(m.Close)
	return m
}

func (s *scene) reload(m *Manager) {
	s.t.Helper()
	if err := m.Reload(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// judged is how many packets the program of an interface has passed to the stack and given to sockets.
func (s *scene) judged(name string) (passed, redirected uint64) {
	s.t.Helper()
	attached, err := s.root.Interface(s.t.Context(), name)
	if err != nil {
		s.t.Fatal(err)
	}
	counts, err := attached.Counters()
	if err != nil {
		s.t.Fatal(err)
	}
	const pass, redirect = 2, 4
	for _, count := range counts {
		switch count.Verdict {
		case pass:
			passed += count.Packets
		case redirect:
			redirected += count.Packets
		}
	}
	return passed, redirected
}

// traffic sends to an interface until it is stopped, and tells how many.
type traffic struct {
	stopping atomic.Bool
	sent     atomic.Uint64
	done     sync.WaitGroup
}

func (s *scene) traffic(name string) *traffic {
	s.t.Helper()
	send, f := s.host.Sender(name), &traffic{}
	f.done.Add(1)
	go func() {
		defer f.done.Done()
		for !f.stopping.Load() {
			send(frame)
			f.sent.Add(1)
			// Others need the CPUs too.
			if f.sent.Load()%16 == 0 {
				time.Sleep(100 * time.Microsecond)
			}
		}
	}()
	s.t.Cleanup(func() { f.stop() })
	return f
}

func (f *traffic) stop() uint64 {
	f.stopping.Store(true)
	f.done.Wait()
	return f.sent.Load()
}

// account adds up what workers of a NIC have handled, and what the kernel could not give them.
func account(t *testing.T, m *Manager, nic string) (handled, kernel uint64) {
	t.Helper()
	all, err := m.Stats("")
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range all {
		if one.NIC != nic {
			continue
		}
		for _, counts := range one.Handlers {
			sum := counts.Consumed + counts.Sent + counts.Forwarded
			for _, n := range counts.Dropped {
				sum += n
			}
			if sum != counts.Packets {
				t.Errorf("%d packets: %+v", sum, counts)
			}
			handled += counts.Packets
		}
		kernel += one.Kernel.Dropped + one.Kernel.RingFull
	}
	return handled, kernel
}

var eventually = bpftest.Eventually

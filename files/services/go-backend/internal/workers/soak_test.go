package workers

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tripod/go-backend/internal/bpftest"
	"tripod/go-backend/internal/capture"
	"tripod/go-backend/internal/worker"
	"tripod/go-backend/internal/xsk"
)

// soakVariable is how long the soak goes on, such as 10m.
const soakVariable = "TRIPOD_SOAK"

// faulty is a handler that panics, waits, and gives packets a verdict; the kernel refuses some calls of its threads.
type faulty struct {
	*adversity
	verdict worker.Verdict
}

// adversity is what faulty handlers meet.
type adversity struct {
	fail     func(...any)
	batches  atomic.Uint64
	refusals bpftest.Refusals
}

func newAdversity(t *testing.T) *adversity {
	return &adversity{fail: t.Error, refusals: bpftest.Refusals{Answer: func(uint64) unix.Errno {
		return []unix.Errno{unix.ENOBUFS, unix.EAGAIN, 0, 0, 0, 0}[rand.IntN(6)]
	}}}
}

func (faulty) Name() string      { return "faulty" }
func (faulty) Reasons() []string { return nil }

func (f faulty) Handle(packets []worker.Packet) {
	// What a thread needs for that shows whether it is so.
	if begun, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); begun == 0 || err != nil {
		if err := errors.Join(err, f.refusals.OnThisThread()); err != nil {
			f.fail(err)
		}
	}
	switch n := f.batches.Add(1); {
	case n%97 == 0:
		panic("on purpose")
	case n%31 == 0:
		time.Sleep(30 * time.Millisecond) // until the rx ring is full
	}
	for i := range packets {
		packets[i].Verdict = f.verdict
	}
}

// kind is one that a worker can have, with a peer or without.
func (f faulty) kind(options json.RawMessage) (kind, error) {
	var given struct {
		Peer string `json:"peer"`
	}
	return kind{peer: given.Peer, serve: func(queues int, _, _ *xsk.NIC, _ *slog.Logger) (*service, error) {
		return repeated(queues, func() (worker.Handler, error) { return f, nil })
	}}, decode(options, &given)
}

// held is what a process has that could grow.
type held struct{ descriptors, threads, goroutines, heap int }

func look(t *testing.T) held {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return held{bpftest.Descriptors(t), len(tasks), runtime.NumGoroutine(), int(memory.HeapAlloc)}
}

// growth tells whether there is more than a runtime keeps in reserve, threads and a heap of some megabytes before it collects,
// and the refusals of two threads, which begin with their first packet.
func (h held) growth(first held) bool {
	return h.descriptors > first.descriptors+2 || h.threads > first.threads+8 || h.goroutines > first.goroutines+4 ||
		h.heap > first.heap+4<<20
}

// soak is two workers that meet faults: edge answers, pair forwards to a peer.
type soak struct {
	*scene
	*adversity
	m               *Manager
	edge, near, far string
	cpus            []int
}

// TestNothingGrowsOverFaults goes on for seconds, or as long as the variable says: under traffic and in an order left to chance,
// NICs and a peer's go down, rings fill, handlers panic and are late, the kernel refuses calls, and workers are changed, moved,
// stopped and captured from.
func TestNothingGrowsOverFaults(t *testing.T) {
	length := 3 * time.Second
	if text := os.Getenv(soakVariable); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	cpus, err := worker.AllowedCPUs()
	if err != nil {
		t.Fatal(err)
	}
	s := &soak{scene: newScene(t), adversity: newAdversity(t), cpus: cpus}
	kinds["faulty"] = faulty{s.adversity, worker.Send}.kind
	kinds["faulty-pair"] = faulty{s.adversity, worker.Forward}.kind
	defer delete(kinds, "faulty")
	defer delete(kinds, "faulty-pair")
	s.edge, s.near, s.far = s.nic(1), s.nic(1), s.nic(1)
	var missing missing
	s.m = New(s.root, s.path, slog.New(slog.NewTextHandler(&missing, nil)))
	defer s.m.Close()
	s.become("faulty", 64)
	flows := []*traffic{s.traffic(s.edge), s.traffic(s.near)}
	faults := s.faults()
	for round := range faults {
		s.meet(faults[round], round)
	}
	first, rounds := s.look(), 0
	for began := time.Now(); time.Since(began) < length || rounds < 2*len(faults); rounds++ {
		s.meet(faults[rand.IntN(len(faults))], rounds)
	}
	last := s.look()
	for deadline := time.Now().Add(bpftest.Patience); last.growth(first) && time.Now().Before(deadline); last = s.look() {
		time.Sleep(100 * time.Millisecond) // what has ended may be on its way
	}
	if last.growth(first) {
		t.Errorf("%+v, then %+v", first, last)
	}
	for _, flow := range flows {
		flow.stop()
	}
	s.m.Close()
	t.Logf("%v, %d rounds, %d packets; %+v, then %+v", length, rounds, flows[0].sent.Load()+flows[1].sent.Load(), first, last)
	s.judgeAll()
	if len(missing.lines) > 0 {
		t.Error(missing.lines)
	}
}

// missing keeps what a log says of frames that are missing when a worker ends.
type missing struct {
	lock  sync.Mutex
	lines []string
}

func (m *missing) Write(line []byte) (int, error) {
	m.lock.Lock()
	defer m.lock.Unlock()
	if bytes.Contains(line, []byte("are missing")) {
		m.lines = append(m.lines, string(line))
	}
	return len(line), nil
}

// become changes the workers.
func (s *soak) become(handler string, batch int) {
	s.write(values{"name": "edge", "nic": s.edge, "handler": handler, "batch": batch},
		values{"name": "pair", "nic": s.near, "handler": "faulty-pair", "options": values{"peer": s.far}})
	s.reload(s.m)
}

// meet lets one fault happen, and everything be as desired after it.
func (s *soak) meet(fault func(round int), round int) {
	s.t.Helper()
	fault(round)
	if err := s.m.tend(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// look takes stock, always in the same state.
func (s *soak) look() held {
	s.become("faulty", 64)
	eventually(s.t, func() bool { _ = s.m.tend(s.t.Context()); return s.m.Err() == nil })
	return look(s.t)
}

func (s *soak) faults() []func(round int) {
	down := func(name string, until func() bool) {
		s.host.SetUp(name, false)
		eventually(s.t, until)
		s.host.SetUp(name, true)
	}
	return []func(round int){
		func(int) { s.become("sink", 64) },
		func(round int) { s.become("faulty", 32+round%32) },
		func(round int) {
			if err := s.m.Move("edge", []int{s.cpus[round%len(s.cpus)]}); err != nil {
				s.t.Error(err)
			}
		},
		func(int) {
			began := time.Now()
			down(s.edge, func() bool { return time.Since(began) > 30*time.Millisecond })
		},
		// Until there is no room to send by it, and the other side's packets have to wait.
		func(int) {
			peer := s.m.entries["pair"].unit.queues[0].thread.Peer()
			down(s.far, func() bool { return peer.Levels().Tx == 128 })
		},
		func(int) {
			_ = s.m.Stop("edge")
			if err := s.m.Start(s.t.Context(), "edge"); err != nil {
				s.t.Error(err)
			}
		},
		func(int) {
			result, err := s.m.Capture(s.t.Context(), "edge", capture.Config{Duration: 20 * time.Millisecond}, io.Discard)
			if err != nil {
				s.t.Error(result, err)
			}
		},
	}
}

// judgeAll says whether what was to be met was met.
func (s *soak) judgeAll() {
	all, err := s.m.Stats("")
	if err != nil {
		s.t.Fatal(err)
	}
	var packets, panics, full, retries uint64
	for _, one := range all {
		full, retries = full+one.Kernel.RingFull, retries+one.Retries
		for _, counts := range one.Handlers {
			packets, panics = packets+counts.Packets, panics+counts.Dropped["panic"]
		}
	}
	s.t.Logf("%d packets handled, %d dropped for a panic, %d found a ring full, %d calls refused on purpose and %d in all",
		packets, panics, full, s.refusals.Refused(), retries)
	if packets == 0 || panics == 0 || full == 0 || s.refusals.Refused() == 0 || retries < s.refusals.Refused() {
		s.t.Error("a fault was not met")
	}
}

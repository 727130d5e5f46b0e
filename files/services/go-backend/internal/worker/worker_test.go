package worker_test

import (
	"bytes"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cilium/ebpf/link"

	"tripod/go-backend/internal/bpftest"
	"tripod/go-backend/internal/handlers"
	"tripod/go-backend/internal/umem"
	"tripod/go-backend/internal/worker"
	"tripod/go-backend/internal/xsk"
)

func TestMain(m *testing.M) { bpftest.Main(m) }

// scene is a NIC whose packets a worker can have.
type scene struct {
	t       *testing.T
	host    *bpftest.Host
	name    string
	program *bpftest.Redirect
	area    *umem.Area
	pool    *umem.Pool
	group   *xsk.Group
	log     *slog.Logger
	send    func([]byte)
	workers []*worker.Worker
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{t: t, host: bpftest.NewHost(t), log: slog.New(slog.DiscardHandler)}
	s.name = s.host.AddInterface()
	s.program = s.host.Redirect(s.name, link.XDPDriverMode)
	s.send = s.host.Sender(s.name)
	area, err := umem.New(umem.Config{Frames: 512, FrameSize: 4096, Node: umem.AnyNode})
	if err != nil {
		t.Fatal(err)
	}
	s.area = area
	if s.pool, err = area.Pool(512); err != nil {
		t.Fatal(err)
	}
	s.group = xsk.NewGroup(area, s.log)
	t.Cleanup(func() {
		for _, w := range s.workers {
			_ = w.Stop()
		}
		if err := errors.Join(s.group.Close(), area.Close()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *scene) socket() *xsk.Socket {
	s.t.Helper()
	socket, err := s.group.Open(xsk.Config{Interface: s.name, Rx: 128, Tx: 128, Fill: 256}, s.pool)
	if err != nil {
		s.t.Fatal(err)
	}
	return socket
}

func (s *scene) config(handler worker.Handler) worker.Config {
	s.t.Helper()
	return worker.Config{Socket: s.socket(), Sockets: s.program.Sockets, Handler: handler, CPU: worker.AnyCPU, Log: s.log}
}

func (s *scene) start(handler worker.Handler) *worker.Worker {
	s.t.Helper()
	return s.run(s.config(handler))
}

func (s *scene) run(config worker.Config) *worker.Worker {
	s.t.Helper()
	w, err := worker.Start(config)
	if err != nil {
		s.t.Fatal(err)
	}
	s.workers = append(s.workers, w)
	return w
}

func (s *scene) stop(w *worker.Worker) {
	s.t.Helper()
	if err := w.Stop(); err != nil {
		s.t.Error(err)
	}
	if s.pool.Len() != s.pool.Size() {
		s.t.Errorf("%d of %d frames are free", s.pool.Len(), s.pool.Size())
	}
}

var eventually = bpftest.Eventually

// total is of all handlers that a worker had.
func total(w *worker.Worker) (packets, consumed, sent, dropped uint64) {
	for _, counts := range w.Counts() {
		packets, consumed, sent = packets+counts.Packets, consumed+counts.Consumed, sent+counts.Sent
		for _, n := range counts.Dropped {
			dropped += n
		}
	}
	return packets, consumed, sent, dropped
}

var frame = bpftest.UDP("192.0.2.1", 30)

func TestAWorkerHandlesAndAccounts(t *testing.T) {
	s := newScene(t)
	wire := s.host.Wire(s.name)
	cpus, err := worker.AllowedCPUs()
	if err != nil || len(cpus) == 0 {
		t.Fatal(cpus, err)
	}
	config := s.config(handlers.Reflect{})
	config.CPU = cpus[len(cpus)-1]
	w := s.run(config)
	group := bytes.Clone(frame)
	group[6] |= 1
	for sent := uint64(0); sent < 200; {
		// Fewer at once than the rx ring holds.
		for range 20 {
			s.send(frame)
			s.send(group)
			sent += 2
		}
		eventually(t, func() bool { packets, _, _, _ := total(w); return packets == sent })
	}
	expected := bytes.Clone(frame)
	copy(expected, frame[6:12])
	copy(expected[6:], frame[:6])
	for range 100 {
		if got := wire.Next(); !bytes.Equal(got, expected) {
			t.Fatalf("sent % x", got)
		}
	}
	counts := w.Counts()
	if len(counts) != 1 || counts[0].Handler != "reflect" || counts[0].Sent != 100 || counts[0].Dropped["group_source"] != 100 ||
		counts[0].Bytes != uint64(200*len(frame)) {
		t.Errorf("%+v", counts)
	}
	s.stop(w)
	s.send(frame)
	eventually(t, func() bool { return s.program.Passed() == 1 })
	if statistics, err := w.Statistics(); err != nil || statistics.Dropped != 0 || w.Socket().Levels() != (xsk.Levels{}) {
		t.Errorf("after the end: %+v, %v, %+v", statistics, err, w.Socket().Levels())
	}
}

func TestNoPacketIsLostUnaccountedOverRestartsAndHandlers(t *testing.T) {
	s := newScene(t)
	var stop atomic.Bool
	var sent atomic.Uint64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for !stop.Load() {
			s.send(frame)
			sent.Add(1)
		}
	}()
	var handled, kernel uint64
	for range 20 {
		w := s.start(handlers.Sink{})
		for range 2 {
			time.Sleep(5 * time.Millisecond)
			if err := errors.Join(w.Use(handlers.Reflect{}), w.Use(handlers.Sink{})); err != nil {
				t.Fatal(err)
			}
		}
		s.stop(w)
		packets, consumed, reflected, dropped := total(w)
		if packets != consumed+reflected+dropped || len(w.Counts()) > 5 {
			t.Errorf("%d packets: %+v", packets, w.Counts())
		}
		statistics, err := w.Statistics()
		if err != nil {
			t.Fatal(err)
		}
		handled += packets
		kernel += statistics.Dropped + statistics.RingFull
	}
	stop.Store(true)
	<-done
	eventually(t, func() bool { return sent.Load() == s.program.Passed()+s.program.Redirected() })
	if passed := s.program.Passed(); handled+kernel+passed != sent.Load() || handled == 0 {
		t.Errorf("%d sent = %d handled + %d dropped by the kernel + %d passed?", sent.Load(), handled, kernel, passed)
	}
}

// TestAChangeOfTheHandlerTakesNoMemoryForGood has many, and packets of before each.
func TestAChangeOfTheHandlerTakesNoMemoryForGood(t *testing.T) {
	s := newScene(t)
	w := s.start(handlers.Sink{})
	const changes = 50
	for n := range uint64(changes) {
		s.send(frame)
		eventually(t, func() bool { packets, _, _, _ := total(w); return packets == n+1 })
		turns := w.Turns()
		eventually(t, func() bool { return w.Turns() > turns })
		if err := w.Use([]worker.Handler{handlers.Reflect{}, handlers.Sink{}}[n%2]); err != nil {
			t.Fatal(err)
		}
	}
	counts := w.Counts()
	if len(counts) > 4 || counts[len(counts)-1].Handler != "sink" {
		t.Errorf("%d: %+v", len(counts), counts)
	}
	if _, consumed, sent, _ := total(w); consumed != changes/2 || sent != changes/2 {
		t.Errorf("%d consumed, %d sent", consumed, sent)
	}
	s.stop(w)
}

// odd is a handler that does what it is told.
type odd struct{ handle func([]worker.Packet) }

func (odd) Name() string                     { return "odd" }
func (odd) Reasons() []string                { return []string{"first"} }
func (o odd) Handle(packets []worker.Packet) { o.handle(packets) }

func TestWhatAHandlerDoesWrongIsDroppedByName(t *testing.T) {
	s := newScene(t)
	wire := s.host.Wire(s.name)
	for name, handle := range map[string]func(*worker.Packet){
		"panic":         func(*worker.Packet) { panic("on purpose") },
		"index":         func(p *worker.Packet) { p.Data = p.Data[:5000] },
		"no verdict":    func(p *worker.Packet) { p.Verdict = worker.Drop(worker.MaxReasons) },
		"the panic's":   func(p *worker.Packet) { p.Verdict = worker.Drop(0) - 1 },
		"empty":         func(p *worker.Packet) { p.Data, p.Verdict = p.Data[:0], worker.Send },
		"none":          func(p *worker.Packet) { p.Data, p.Verdict = nil, worker.Send },
		"other memory":  func(p *worker.Packet) { p.Data, p.Verdict = bytes.Clone(p.Data), worker.Send },
		"another frame": func(p *worker.Packet) { p.Data, p.Verdict = s.area.Bytes(4096+300, 60), worker.Send },
	} {
		w := s.start(odd{func(packets []worker.Packet) {
			for i := range packets {
				handle(&packets[i])
			}
		}})
		s.send(frame)
		eventually(t, func() bool { packets, _, _, _ := total(w); return packets == 1 })
		if err := w.Use(handlers.Sink{}); err != nil {
			t.Fatal(err)
		}
		s.send(frame)
		eventually(t, func() bool { _, consumed, _, _ := total(w); return consumed == 1 })
		if counts := w.Counts()[0]; counts.Dropped["panic"] != 1 {
			t.Errorf("%s: %+v", name, counts)
		}
		s.stop(w)
	}
	if !wire.Empty() {
		t.Error("something was sent")
	}
}

func TestAPacketCanBeCutAndGrowAtBothEnds(t *testing.T) {
	s := newScene(t)
	wire := s.host.Wire(s.name)
	w := s.start(odd{func(packets []worker.Packet) {
		for i := range packets {
			p := &packets[i]
			if p.Prepend(-1) || p.Prepend(256) || p.Buffers() != 1 || p.Length() != len(p.Data) || &p.Buffer(0)[0] != &p.Data[0] {
				return
			}
			p.Data = p.Data[14:] // cut
			if !p.Prepend(14 + 100) {
				return
			}
			copy(p.Data, "grown")
			p.Data = append(p.Data, "tail"...)
			p.Verdict = worker.Send
		}
	}})
	defer s.stop(w)
	s.send(frame)
	got := wire.Next()
	if len(got) != 100+len(frame)+4 || !bytes.HasPrefix(got, []byte("grown")) || !bytes.HasSuffix(got, append(frame[14:], "tail"...)) {
		t.Errorf("sent % x", got)
	}
}

func TestWorkersThatCannotStart(t *testing.T) {
	s := newScene(t)
	first := s.start(handlers.Sink{})
	defer s.stop(first)
	cpus, err := worker.AllowedCPUs()
	if err != nil {
		t.Fatal(err)
	}
	for name, one := range map[string]struct {
		change func(*worker.Config)
		says   string
	}{
		"CPU":     {func(c *worker.Config) { c.CPU = 1000 }, "run on CPU 1000: invalid argument: this process may use "},
		"batch":   {func(c *worker.Config) { c.Batch = 3 }, "batch of 3: 18 to 4096"},
		"reasons": {func(c *worker.Config) { c.Handler = talkative{} }, "handler talkative: 17 reasons"},
		"second":  {func(*worker.Config) {}, "another AF_XDP socket serves this queue"},
	} {
		config := worker.Config{
			Socket: first.Socket(), Sockets: s.program.Sockets, Handler: handlers.Sink{}, CPU: worker.AnyCPU, Log: s.log,
		}
		if name == "second" {
			other := newScene(t)
			config.Socket = other.socket()
		}
		one.change(&config)
		if _, err := worker.Start(config); err == nil || !strings.Contains(err.Error(), one.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if again, err := worker.AllowedCPUs(); err != nil || !slices.Equal(again, cpus) {
		t.Errorf("%v are allowed, then %v: %v", cpus, again, err)
	}
	if err := first.Use(talkative{}); err == nil {
		t.Error("a handler of too many reasons was taken")
	}
}

type talkative struct{ handlers.Sink }

func (talkative) Name() string      { return "talkative" }
func (talkative) Reasons() []string { return make([]string, 17) }

func TestAWorkerEndsWhereItsNICGoes(t *testing.T) {
	s := newScene(t)
	w := s.start(handlers.Sink{})
	s.host.SetUp(s.name, false)
	time.Sleep(100 * time.Millisecond)
	s.host.SetUp(s.name, true)
	// Until the other end has noticed that the link is up, what it sends is lost.
	eventually(t, func() bool { s.send(frame); packets, _, _, _ := total(w); return packets > 0 })
	s.host.RemoveInterface(s.name)
	if err := w.Wait(); !errors.Is(err, xsk.ErrGone) {
		t.Errorf("got %v", err)
	}
}

func TestAWorkerDoesNotAllocate(t *testing.T) {
	s := newScene(t)
	w := s.start(handlers.Reflect{})
	defer s.stop(w)
	before := w.Turns()
	allocations := testing.AllocsPerRun(100, func() {
		s.send(frame)
		time.Sleep(time.Millisecond)
	})
	packets, _, _, _ := total(w)
	if allocations != 0 || packets < 50 || w.Turns() == before {
		t.Errorf("%v allocations a packet, of %d", allocations, packets)
	}
}

package samples

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"tripod/go-backend/gen/tripodv1"
	"tripod/go-backend/internal/agent"
	"tripod/go-backend/internal/agent/agenttest"
	"tripod/go-backend/internal/bpftest"
	"tripod/go-backend/internal/dataplane"
	"tripod/go-backend/internal/object"
)

func TestMain(m *testing.M) { bpftest.Main(m) }

// scene is an interface that drops a list, and its watcher.
type scene struct {
	*testing.T
	host    *bpftest.Host
	name    string
	watcher *Watcher
	packets []*tripodv1.DroppedPacket
	lost    uint64
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{T: t, host: bpftest.NewHost(t)}
	s.name = s.host.AddInterface()
	s.attach()
	client := agenttest.Listen(t, func(map[string]any) string {
		return fmt.Sprintf(`{"id": 1, "ok": true, "result": {"interfaces": {%q: [{"slot": 7, "part": "list", "id": "bogons"}]}}}`+"\n", s.name)
	})
	s.watcher = NewWatcher(dataplane.NewRoot(s.host.Root), object.Open(bpftest.Object(t)), agent.NewNames(client), slog.New(slog.DiscardHandler))
	t.Cleanup(func() { s.watcher.release(s.name) })
	s.look()
	return s
}

func (s *scene) attach() {
	s.host.Attach(s.name, nil)
	s.host.SetPolicy(s.name, bpftest.NewPolicy().
		List(7, bpftest.ActionDrop, "192.0.0.0/16").List(8, bpftest.ActionDrop, "2001:db8::/22").ObservedList(9, bpftest.ActionDrop, "198.51.0.0/16"))
	s.host.Tap(s.name, 0)
}

// export lets the kernel write over what is there, as the host's agent does once it has read it.
func (s *scene) export() {
	s.Helper()
	m, err := ebpf.LoadPinnedMap(s.host.Map(s.name, object.SamplesName), nil)
	s.must(err)
	defer m.Close()
	page := os.Getpagesize()
	consumer, err := unix.Mmap(m.FD(), 0, page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	s.must(err)
	defer unix.Munmap(consumer)
	producer, err := unix.Mmap(m.FD(), int64(page), page, unix.PROT_READ, unix.MAP_SHARED)
	s.must(err)
	defer unix.Munmap(producer)
	*(*uint64)(unsafe.Pointer(&consumer[0])) = *(*uint64)(unsafe.Pointer(&producer[0]))
}

func (s *scene) send(frame []byte, n int) {
	s.Helper()
	s.host.Send(s.name, frame, n)
}

func (s *scene) look() {
	s.watcher.look(s.Context(), func(packets []*tripodv1.DroppedPacket, lost uint64) {
		s.packets, s.lost = append(s.packets, packets...), s.lost+lost
	})
}

// expect looks until so many came, or were lost.
func (s *scene) expect(n int) {
	s.Helper()
	for began := time.Now(); len(s.packets)+int(s.lost) < n; time.Sleep(10 * time.Millisecond) {
		if s.look(); time.Since(began) > 2*time.Second {
			break
		}
	}
	if got := len(s.packets) + int(s.lost); got != n {
		s.Fatalf("%d packets and %d lost, want %d in all", len(s.packets), s.lost, n)
	}
}

func (s *scene) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func TestWhatIsDroppedIsToldWithWhoDecided(t *testing.T) {
	s := newScene(t)
	before := time.Now().Add(-time.Second)
	s.send(bpftest.UDP("192.0.2.1", 20), 2)
	s.send(bpftest.UDP("203.0.113.1", 20), 5) // passes
	s.send(bpftest.UDP("2001:db8::1", 0), 1)
	s.send(bpftest.UDP("198.51.2.3", 0), 1) // would have been dropped
	s.expect(4)
	first, six, observed := s.packets[0], s.packets[2], s.packets[3]
	if first.GetVerdict() != "drop" || first.GetReason() != "list_drop" || first.GetPart() != "list:bogons" || first.GetWould() != "" ||
		first.GetInterface() != s.name || first.GetLength() != 14+20+8+20 || netip.AddrFrom4([4]byte(first.GetSource())).String() != "192.0.2.1" ||
		first.GetProtocol() != 17 || first.GetSourcePort() != 1024 || first.GetDestinationPort() != 53 || first.Vlan != nil {
		t.Errorf("told %v", first)
	}
	if moment := first.GetTime().AsTime(); moment.Before(before) || moment.After(time.Now().Add(time.Second)) {
		t.Errorf("it came at %s", moment)
	}
	if six.GetPart() != "slot:8" || len(six.GetSource()) != 16 {
		t.Errorf("told %v", six)
	}
	if observed.GetVerdict() != "pass" || observed.GetWould() != "drop" || observed.GetWouldPart() != "slot:9" || observed.GetPart() != "" {
		t.Errorf("told %v", observed)
	}
	s.look()
	s.expect(4)
}

func TestSoManyOfALookAreHandedOnAndTheOthersCounted(t *testing.T) {
	s := newScene(t)
	s.send(bpftest.UDP("192.0.2.1", 0), 250)
	// All at once, as within a second.
	time.Sleep(100 * time.Millisecond)
	s.expect(250)
	if len(s.packets) != perInterface {
		t.Errorf("%d are handed on", len(s.packets))
	}
}

func TestWhatTheKernelWroteOverIsLost(t *testing.T) {
	s := newScene(t)
	const chunks, each = 4, 1500
	for range chunks {
		s.send(bpftest.UDP("192.0.2.1", 0), each)
		time.Sleep(50 * time.Millisecond)
		s.export()
	}
	s.expect(chunks * each)
	if len(s.packets) != perInterface {
		t.Errorf("%d are handed on", len(s.packets))
	}
}

func TestASampleOfAPersonsIsNobodyElses(t *testing.T) {
	s := newScene(t)
	s.host.Tap(s.name, 1)
	s.send(bpftest.UDP("192.0.2.1", 0), 3)
	time.Sleep(50 * time.Millisecond)
	s.expect(0)
	s.host.Tap(s.name, 0)
	s.send(bpftest.UDP("192.0.2.1", 0), 1)
	s.expect(1)
}

func TestTheRingOfANewProgramIsReadInThePlaceOfTheFormer(t *testing.T) {
	s := newScene(t)
	for number := range 3 {
		s.host.Detach(s.name)
		s.look()
		if len(s.watcher.rings) != 0 {
			t.Error("the former ring is held")
		}
		s.attach()
		s.look()
		s.send(bpftest.UDP("192.0.2.1", 0), 2)
		s.expect(2 * (number + 1))
	}
	s.host.Detach(s.name)
	s.look()
	mapped, err := os.ReadFile("/proc/self/maps")
	s.must(err)
	for _, line := range strings.Split(string(mapped), "\n") {
		var begin, end uint64
		// The test's own programs have other maps in memory.
		_, _ = fmt.Sscanf(line, "%x-%x", &begin, &end)
		if strings.Contains(line, "bpf-map") && end-begin > 1<<20 {
			t.Errorf("a ring is mapped yet: %s", line)
		}
	}
}

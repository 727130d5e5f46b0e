package workers

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"tripod/go-backend/internal/bpftest"
	"tripod/go-backend/internal/object"
)

// repin pins the map at a path as an interface's map of sockets; none where the path is empty.
func (s *scene) repin(name, from string) {
	s.t.Helper()
	path := s.host.Map(name, object.SocketsName)
	if from == "" {
		if err := os.Remove(path); err != nil {
			s.t.Fatal(err)
		}
		return
	}
	pinned, err := ebpf.LoadPinnedMap(from, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	defer pinned.Close()
	// Which is not known to be pinned, and so not moved.
	other, err := pinned.Clone()
	if err != nil {
		s.t.Fatal(err)
	}
	defer other.Close()
	if err := errors.Join(os.Remove(path), other.Pin(path)); err != nil {
		s.t.Fatal(err)
	}
}

// TestWhatTheHostLacksIsSaid has each worker fail at something, leave nothing behind, and go on when it is mended.
func TestWhatTheHostLacksIsSaid(t *testing.T) {
	s := newScene(t)
	name, bare, stale, many := s.nic(2), s.host.AddInterface(), s.nic(1), s.nic(65)
	s.host.DropLink(stale)
	// Pins: of release 1.0.0, of nothing, of another's map, of a map of another kind.
	earlier, unpinned, others, strange := s.host.AddInterface(), s.nic(1), s.nic(1), s.nic(1)
	s.host.AttachEarlier(earlier)
	s.repin(unpinned, "")
	s.repin(others, s.host.Map(name, object.SocketsName))
	s.repin(strange, s.host.Map(strange, "policy"))
	for what, one := range map[string]struct {
		worker values
		says   string
	}{
		"no NIC":         {values{"nic": "absent0"}, "NIC absent0 is not there"},
		"a queue":        {values{"queues": []int{0, 2}}, "it has 2 queues, 0 to 1"},
		"no program":     {values{"nic": bare}, "no program of ours is attached"},
		"no link":        {values{"nic": stale}, "it runs no XDP program"},
		"earlier pins":   {values{"nic": earlier}, "maps/" + object.SocketsName},
		"no pin":         {values{"nic": unpinned}, "open pin " + s.host.Map(unpinned, object.SocketsName)},
		"another's pin":  {values{"nic": others}, "does not use"},
		"another kind":   {values{"nic": strange}, "is a map of type ArrayOfMaps: attach the program again"},
		"no place":       {values{"nic": many, "queues": []int{64}}, "queues 0 to 63 have a place in the program's map"},
		"CPU":            {values{"cpus": []int{1000}}, "CPU 1000 is not in this process's cpuset"},
		"huge pages":     {values{"hugepages": "1G", "node": 0}, "UMEM of"},
		"a node":         {values{"node": 1000}, "node 1000"},
		"zero-copy":      {values{"mode": "zero-copy"}, "zero-copy"},
		"two at once":    {values{"nic": "absent0", "cpus": []int{1000}}, "CPU 1000"},
		"the MTU's room": {values{"frame_size": 2048, "headroom": 300}, "do not fit"},
	} {
		whole := values{"name": "edge", "nic": name, "handler": "sink"}
		for key, value := range one.worker {
			whole[key] = value
		}
		s.write(whole)
		m := s.manager()
		descriptors := bpftest.Descriptors(t)
		err := m.Reload(t.Context())
		if err == nil || !strings.HasPrefix(err.Error(), "worker edge: ") || !strings.Contains(err.Error(), one.says) {
			t.Errorf("%s: got %v", what, err)
		}
		if m.Err() == nil || m.Err().Error() != err.Error() {
			t.Errorf("%s: health says %v", what, m.Err())
		}
		if now := bpftest.Descriptors(t); now != descriptors {
			t.Errorf("%s: %d descriptors, then %d", what, descriptors, now)
		}
		s.write(values{"name": "edge", "nic": name, "handler": "sink"})
		s.reload(m)
		m.Close()
	}
}

package worker_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf/link"

	"tripod/go-backend/internal/handlers"
	"tripod/go-backend/internal/worker"
	"tripod/go-backend/internal/xsk"
)

// addPeer gives a scene's worker another NIC, and returns its name.
func (s *scene) addPeer(config *worker.Config) string {
	s.t.Helper()
	name := s.host.AddInterface()
	config.PeerSockets = s.host.Redirect(name, link.XDPDriverMode).Sockets
	var err error
	if config.Peer, err = s.group.Open(xsk.Config{Interface: name, Rx: 64, Tx: 32, Fill: 64}, s.pool); err != nil {
		s.t.Fatal(err)
	}
	return name
}

// across forwards every packet.
func across(packets []worker.Packet) {
	for i := range packets {
		packets[i].Data[14] = byte(packets[i].Port)
		packets[i].Verdict = worker.Forward
	}
}

func TestPacketsChangeSidesWithoutACopy(t *testing.T) {
	s := newScene(t)
	config := s.config(odd{across})
	far := s.addPeer(&config)
	near, wires := s.name, s.host.Wire(far)
	back := s.host.Wire(near)
	sendFar := s.host.Sender(far)
	w := s.run(config)
	for range 50 { // more than the peer's ring
		s.send(frame)
		if got := wires.Next(); !bytes.Equal(got, changed(frame, 0)) {
			t.Fatalf("got % x", got)
		}
		sendFar(frame)
		if got := back.Next(); !bytes.Equal(got, changed(frame, 1)) {
			t.Fatalf("got % x", got)
		}
	}
	counts := w.Counts()[0]
	if counts.Forwarded != 100 || counts.Packets != 100 || w.Peer() != config.Peer {
		t.Errorf("%+v", counts)
	}
	if statistics, err := w.PeerStatistics(); err != nil || statistics.Dropped != 0 {
		t.Errorf("%+v, %v", statistics, err)
	}
	s.stop(w)
}

func changed(frame []byte, port byte) []byte {
	frame = bytes.Clone(frame)
	frame[14] = port
	return frame
}

func TestAPeerThatIsDownStopsNothingForGood(t *testing.T) {
	s := newScene(t)
	config := s.config(odd{across})
	far := s.addPeer(&config)
	wire := s.host.Wire(far)
	w := s.run(config)
	s.host.SetUp(far, false)
	for range 100 {
		s.send(frame)
	}
	s.host.SetUp(far, true)
	before := w.Counts()[0].Forwarded
	eventually(t, func() bool { s.send(frame); return w.Counts()[0].Forwarded > before+200 })
	wire.Next()
	s.stop(w)
}

func TestWhatCannotBeForwardedIsDroppedByName(t *testing.T) {
	s := newScene(t)
	w := s.start(odd{across})
	s.send(frame)
	eventually(t, func() bool { return w.Counts()[0].Dropped["panic"] == 1 })
	s.stop(w)
	config := s.config(handlers.Sink{})
	config.Peer = config.Socket
	if _, err := worker.Start(config); err == nil || !strings.Contains(err.Error(), "its own peer") {
		t.Error(err)
	}
	config.Peer = newScene(t).socket()
	if _, err := worker.Start(config); err == nil || !strings.Contains(err.Error(), "from one pool") {
		t.Error(err)
	}
}

func TestAFloodOnOneSideStarvesNotTheOther(t *testing.T) {
	s := newScene(t)
	release := make(chan struct{})
	var ports []int // of batches, one after another
	config := s.config(odd{func(packets []worker.Packet) {
		<-release
		ports = append(ports, packets[0].Port)
	}})
	config.Batch = 18
	far := s.addPeer(&config)
	w := s.run(config)
	for range 120 { // some batches, and fewer than the ring has place for
		s.send(frame)
	}
	s.host.Sender(far)(frame)
	eventually(t, func() bool { return w.Peer().Levels().Rx == 1 })
	close(release)
	eventually(t, func() bool { packets, _, _, _ := total(w); return packets == 121 })
	s.stop(w)
	// The first batch was taken before, and another may come first.
	if at := slices.Index(ports, 1); at < 0 || at > 2 {
		t.Errorf("the peer's packet was in batch %d of %v", at, ports)
	}
}

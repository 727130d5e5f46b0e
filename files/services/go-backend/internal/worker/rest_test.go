package worker

import (
	"log/slog"
	"testing"
	"time"

	"tripod/go-backend/internal/bpftest"
	"tripod/go-backend/internal/umem"
	"tripod/go-backend/internal/xsk"
)

func TestANapGathersABatchOrIsNone(t *testing.T) {
	const us = time.Microsecond
	for name, one := range map[string]struct {
		nap, passed time.Duration
		gathered    int
		naps        bool
	}{
		"nothing comes":              {50 * us, 20 * time.Millisecond, 0, false},
		"a batch now and then":       {50 * us, 640 * us, 64, false},
		"just too few":               {50 * us, 51 * us, 64, false},
		"a handful every 20 µs":      {50 * us, 20 * us, 64, true},
		"as many as in a nap":        {50 * us, 60 * us, 200, true},
		"a ring that is soon full":   {0, 20 * us, 64, false},
		"no time at all":             {50 * us, 0, 64, true},
		"a short ring at great rate": {20 * us, 10 * us, 64, true},
	} {
		r := rests{nap: one.nap, began: time.Second, gathered: one.gathered}
		now := time.Second + one.passed
		if nap := r.next(now, 64); nap != 0 && nap != one.nap || (nap != 0) != one.naps {
			t.Errorf("%s: %v", name, nap)
		}
		// The next counts from here.
		if nap := r.next(now+time.Second, 64); nap != 0 || r.began != now+time.Second {
			t.Errorf("%s: then %v", name, nap)
		}
	}
}

func TestANapLeavesRoomInTheRings(t *testing.T) {
	h := bpftest.NewHost(t)
	name := h.AddNIC(3, 1500)
	area, err := umem.New(umem.Config{Frames: 10_000, FrameSize: 4096, Node: umem.AnyNode})
	if err != nil {
		t.Fatal(err)
	}
	group := xsk.NewGroup(area, slog.New(slog.DiscardHandler))
	defer area.Close()
	defer group.Close()
	open := func(config xsk.Config) *xsk.Socket {
		pool, err := area.Pool(config.Frames())
		if err != nil {
			t.Fatal(err)
		}
		socket, err := group.Open(config, pool)
		if err != nil {
			t.Fatal(err)
		}
		return socket
	}
	long := open(xsk.Config{Interface: name, Tx: 128})
	middle := open(xsk.Config{Interface: name, Queue: 1, Rx: 1024, Tx: 128})
	short := open(xsk.Config{Interface: name, Queue: 2, Rx: 512, Tx: 128})
	for _, one := range []struct {
		socket, peer *xsk.Socket
		nap          time.Duration
	}{
		{long, nil, longestNap},
		{middle, nil, 1024 * perPacket},
		{long, middle, 1024 * perPacket},
		{short, nil, 0},
		{long, short, 0},
	} {
		if nap := (Config{Socket: one.socket, Peer: one.peer, Batch: DefaultBatch}).nap(); nap != one.nap {
			t.Errorf("rings of %d: a nap of %v, expected %v", one.socket.Config().Rx, nap, one.nap)
		}
	}
}

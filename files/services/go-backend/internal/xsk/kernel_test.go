package xsk_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf/link"

	"tripod/go-backend/internal/bpftest"
	"tripod/go-backend/internal/umem"
	"tripod/go-backend/internal/xsk"
)

func TestPacketsAreReceivedAndSentAsTheyAre(t *testing.T) {
	h, b := bpftest.NewHost(t), newBench(t, 1024)
	name := h.AddInterface()
	program, wire := h.Redirect(name, link.XDPDriverMode), h.Wire(name)
	socket := b.open(small(name, 0))
	if socket.Mode() != xsk.Copy {
		t.Errorf("mode %s", socket.Mode())
	}
	h.Send(name, numbered(0, 20), 3)
	b.listen(socket, program)
	for i := range 50 {
		h.Send(name, numbered(i, 20+i), 1)
	}
	packets := b.receive(socket, 50)
	for i, d := range packets {
		got, expected := b.area.Bytes(d.Addr, d.Len), numbered(i, 20+i)
		if !bytes.Equal(got, expected) {
			t.Errorf("packet %d: % x", i, got)
		}
		got[0] ^= 0xff
	}
	if !wire.Empty() {
		t.Error("something was sent before it was to be")
	}
	b.transmit(socket, packets)
	for i := range packets {
		expected := numbered(i, 20+i)
		expected[0] ^= 0xff
		if got := wire.Next(); !bytes.Equal(got, expected) {
			t.Errorf("packet %d was sent as % x", i, got)
		}
	}
	statistics, err := socket.Statistics()
	if err != nil || program.Passed() != 3 || program.Redirected() != 50 || statistics.Dropped+statistics.RingFull != 0 {
		t.Errorf("%d passed, %d redirected, %+v, %v", program.Passed(), program.Redirected(), statistics, err)
	}
	if err := socket.Close(); err != nil || socket.Pool().Len() != socket.Pool().Size() {
		t.Errorf("after close: %v, %d of %d frames free", err, socket.Pool().Len(), socket.Pool().Size())
	}
	h.Send(name, numbered(0, 20), 1)
	eventually(t, func() bool { return program.Passed() == 4 })
}

func TestNothingIsSentUntilTheKernelIsWoken(t *testing.T) {
	h, b := bpftest.NewHost(t), newBench(t, 256)
	name := h.AddInterface()
	h.Redirect(name, link.XDPDriverMode)
	wire, socket := h.Wire(name), b.open(small(name, 0))
	var frames [1]uint64
	socket.Pool().Take(frames[:])
	packet := xsk.Desc{Addr: b.area.Start(frames[0]), Len: 62}
	copy(b.area.Bytes(packet.Addr, packet.Len), numbered(7, 20))
	if n := socket.Transmit([]xsk.Desc{packet}); n != 1 || !socket.Unsent() {
		t.Fatalf("%d taken", n)
	}
	time.Sleep(20 * time.Millisecond)
	if !wire.Empty() || socket.Levels().Tx != 1 {
		t.Errorf("it was sent: %+v", socket.Levels())
	}
	if err := socket.Wake(); err != nil {
		t.Fatal(err)
	}
	if got := wire.Next(); !bytes.Equal(got, numbered(7, 20)) || socket.Unsent() {
		t.Errorf("got % x, %+v", got, socket.Levels())
	}
}

func TestModesAreObtainedOrRefusedByName(t *testing.T) {
	h := bpftest.NewHost(t)
	for name, one := range map[string]struct {
		attach   link.XDPAttachFlags
		config   xsk.Config
		obtained xsk.Mode
		says     string
	}{
		"auto":            {link.XDPDriverMode, xsk.Config{}, xsk.Copy, ""},
		"copy":            {link.XDPDriverMode, xsk.Config{Mode: xsk.Copy}, xsk.Copy, ""},
		"zero-copy":       {link.XDPDriverMode, xsk.Config{Mode: xsk.ZeroCopy}, 0, "no zero-copy mode"},
		"generic":         {link.XDPGenericMode, xsk.Config{Generic: true}, xsk.Generic, ""},
		"generic refused": {link.XDPGenericMode, xsk.Config{}, 0, "runs in generic mode"},
	} {
		t.Run(name, func(t *testing.T) {
			b, nic := newBench(t, 256), h.AddInterface()
			program := h.Redirect(nic, one.attach)
			config := small(nic, 0)
			config.Mode, config.Generic = one.config.Mode, one.config.Generic
			if one.says != "" {
				_, err := b.group.Open(config, b.pool(config.Frames()))
				if err == nil || !strings.Contains(err.Error(), one.says) || !strings.Contains(err.Error(), "queue 0 of "+nic) {
					t.Errorf("got %v", err)
				}
				return
			}
			socket := b.open(config)
			if socket.Mode() != one.obtained {
				t.Errorf("obtained %s", socket.Mode())
			}
			b.listen(socket, program)
			h.Send(nic, numbered(1, 30), 5)
			b.receive(socket, 5)
		})
	}
}

func TestANICIsLookedUp(t *testing.T) {
	h := bpftest.NewHost(t)
	name := h.AddNIC(3, 2000)
	nic, err := xsk.LookUp(name)
	if err != nil {
		t.Fatal(err)
	}
	if nic.Name != name || nic.Queues != 3 || nic.MTU != 2000 || nic.Node != umem.AnyNode || nic.Program || nic.Address == [6]byte{} {
		t.Errorf("got %+v", nic)
	}
	// veth has no sockets of its own; a kernel of 6.8 or newer says so, and one before 6.3 tells of no NIC.
	if xsk.KernelBefore(6, 3) {
		if nic.Features != nil {
			t.Errorf("features %+v", nic.Features)
		}
	} else if nic.Features == nil || *nic.Features != (xsk.Features{ZeroCopyPieces: 1}) {
		t.Errorf("features %+v", nic.Features)
	}
	h.Redirect(name, link.XDPGenericMode)
	if nic, err = xsk.LookUp(name); err != nil || !nic.Program || !nic.Generic {
		t.Errorf("got %+v, %v", nic, err)
	}
}

func TestQueuesAndNICsShareAUMEM(t *testing.T) {
	h, b := bpftest.NewHost(t), newBench(t, 1024)
	first, second := h.AddNIC(2, 1500), h.AddInterface()
	one, two := h.Redirect(first, link.XDPDriverMode), h.Redirect(second, link.XDPDriverMode)
	pool := b.pool(3 * small("", 0).Frames())
	var sockets []*xsk.Socket
	for _, config := range []xsk.Config{small(first, 0), small(first, 1), small(second, 0)} {
		socket, err := b.group.Open(config, pool)
		if err != nil {
			t.Fatal(err)
		}
		sockets = append(sockets, socket)
	}
	for _, socket := range sockets {
		if err := socket.Listen(map[bool]*bpftest.Redirect{true: one, false: two}[socket.NIC().Name == first].Sockets); err != nil {
			t.Fatal(err)
		}
	}
	const flows = 60
	for i := range flows {
		h.Send(first, numbered(i, 20), 1)
	}
	h.Send(second, numbered(200, 20), 7)
	var batch [64]xsk.Desc
	got := make([]int, 3)
	seen := map[uint32]bool{}
	for deadline := time.Now().Add(bpftest.Patience); got[0]+got[1] < flows || got[2] < 7; {
		for i, socket := range sockets {
			n := socket.Receive(batch[:])
			for _, d := range batch[:n] {
				seen[binary.BigEndian.Uint32(b.area.Bytes(d.Addr, d.Len)[44:])] = true
				pool.PutOne(d.Addr)
			}
			got[i] += n
			socket.Refill()
		}
		if time.Now().After(deadline) {
			t.Fatalf("got %v", got)
		}
	}
	if got[0] == 0 || got[1] == 0 || got[0]+got[1] != flows || got[2] != 7 || len(seen) != flows+1 {
		t.Errorf("got %v packets, %d kinds", got, len(seen))
	}
	// A frame that one NIC received leaves by another without being copied.
	wire := h.Wire(second)
	h.Send(first, numbered(99, 20), 1)
	var packet [64]xsk.Desc
	for deadline := time.Now().Add(bpftest.Patience); sockets[0].Receive(packet[:])+sockets[1].Receive(packet[:]) == 0; {
		if time.Now().After(deadline) {
			t.Fatal("nothing came")
		}
	}
	b.transmit(sockets[2], packet[:1])
	if sent := wire.Next(); !bytes.Equal(sent, numbered(99, 20)) {
		t.Errorf("sent % x", sent)
	}
	// The first socket brought the UMEM; the others live on without it, and another can come.
	if err := sockets[0].Close(); err != nil {
		t.Fatal(err)
	}
	again, err := b.group.Open(small(first, 0), pool)
	if err != nil {
		t.Fatal(err)
	}
	config := small(second, 0)
	config.MultiBuffer, config.Mode = true, xsk.ZeroCopy
	_, err = b.group.Open(config, pool)
	says := []string{"multi-buffer frames are for both", "in copy mode: zero-copy mode needs"}
	if !xsk.KernelBefore(6, 3) { // where that is known in advance
		says = append(says, "no zero-copy mode")
	}
	for _, words := range says {
		if err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%v does not say %q", err, words)
		}
	}
	_, err = b.group.Open(small(h.AddInterface(), 0), pool)
	if err == nil || !strings.Contains(err.Error(), "576 are claimed") {
		t.Errorf("more frames than the pool has: %v", err)
	}
	for _, socket := range append(sockets, again) {
		if err := socket.Close(); err != nil {
			t.Error(err)
		}
	}
	if pool.Len() != pool.Size() {
		t.Errorf("%d of %d frames are back", pool.Len(), pool.Size())
	}
}

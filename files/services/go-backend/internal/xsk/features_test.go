package xsk_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"tripod/go-backend/internal/bpftest"
	"tripod/go-backend/internal/xsk"
)

func TestPacketsLongerThanAFrameComeInSeveral(t *testing.T) {
	h, b := bpftest.NewHost(t), newBench(t, 1024)
	name := h.AddNIC(1, 9000)
	program, wire := h.Redirect(name, link.XDPDriverMode), h.Wire(name)
	config := small(name, 0)
	if _, err := b.group.Open(config, b.pool(config.Frames())); err == nil || !strings.Contains(err.Error(), "MTU 9000") {
		t.Errorf("without multi-buffer frames: %v", err)
	}
	config.MultiBuffer = true
	if xsk.KernelBefore(6, 6) {
		if _, err := b.group.Open(config, b.pool(config.Frames())); err == nil || !strings.Contains(err.Error(), "need kernel 6.6") {
			t.Errorf("multi-buffer frames: %v", err)
		}
		return
	}
	socket := b.open(config)
	b.listen(socket, program)
	long := numbered(1, 9000-28)
	for i := range long[50:] {
		long[50+i] = byte(i * i)
	}
	h.Send(name, long, 1)
	h.Send(name, numbered(2, 20), 1)
	pieces := b.receive(socket, 4)
	var got []byte
	for i, d := range pieces[:3] {
		if contd := d.Options&unix.XDP_PKT_CONTD != 0; contd != (i < 2) {
			t.Errorf("piece %d has options %d", i, d.Options)
		}
		got = append(got, b.area.Bytes(d.Addr, d.Len)...)
	}
	if !bytes.Equal(got, long) || !bytes.Equal(b.area.Bytes(pieces[3].Addr, pieces[3].Len), numbered(2, 20)) {
		t.Errorf("%d bytes came in %+v", len(got), pieces)
	}
	b.transmit(socket, pieces)
	if sent := wire.Next(); !bytes.Equal(sent, long) {
		t.Errorf("%d bytes were sent", len(sent))
	}
	if sent := wire.Next(); !bytes.Equal(sent, numbered(2, 20)) {
		t.Errorf("%d bytes were sent", len(sent))
	}
}

func TestTheChecksumIsCompletedByWhoeverCan(t *testing.T) {
	h, b := bpftest.NewHost(t), newBench(t, 256)
	name := h.AddInterface()
	h.Redirect(name, link.XDPDriverMode)
	h.SumInSoftware(name)
	wire, socket := h.Wire(name), b.open(small(name, 0))
	if socket.Offloads() == xsk.KernelBefore(6, 8) {
		t.Errorf("left to the kernel or the NIC: %t", socket.Offloads())
	}
	var frames [1]uint64
	socket.Pool().Take(frames[:])
	frame := numbered(7, 21)
	packet := xsk.Desc{Addr: b.area.Start(frames[0]), Len: uint32(len(frame))}
	copy(b.area.Bytes(packet.Addr, packet.Len), frame)
	socket.Checksum(&packet, 34, 6)
	b.transmit(socket, []xsk.Desc{packet})
	sent := wire.Next()
	var sum uint32
	for odd := append(sent[34:], 0); len(odd) >= 2; odd = odd[2:] {
		sum += uint32(binary.BigEndian.Uint16(odd))
	}
	if sum = sum&0xffff + sum>>16; sum != 0xffff || bytes.Equal(sent, frame) {
		t.Errorf("the datagram's words add up to %x: % x", sum, sent)
	}
}

func TestBusyPollingIsSetAndReceives(t *testing.T) {
	h, b := bpftest.NewHost(t), newBench(t, 256)
	name := h.AddInterface()
	program := h.Redirect(name, link.XDPDriverMode)
	for setting, value := range map[string]string{"napi_defer_hard_irqs": "2", "gro_flush_timeout": "200000"} {
		if err := os.WriteFile("/sys/class/net/"+name+"/"+setting, []byte(value), 0); err != nil {
			t.Fatal(err)
		}
	}
	config := small(name, 0)
	config.BusyPoll = xsk.BusyPoll{Time: 20 * time.Microsecond, Budget: 32}
	socket := b.open(config)
	for option, expected := range map[int]int{unix.SO_PREFER_BUSY_POLL: 1, unix.SO_BUSY_POLL: 20} {
		if got := socket.Option(t, option); got != expected {
			t.Errorf("option %d is %d", option, got)
		}
	}
	b.listen(socket, program)
	h.Send(name, numbered(1, 20), 10)
	var batch [64]xsk.Desc
	for n, deadline := 0, time.Now().Add(bpftest.Patience); n < 10; n += socket.Receive(batch[:]) {
		if err := socket.Wake(); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d packets came", n)
		}
	}
}

func TestNoPacketCostsAnAllocation(t *testing.T) {
	h, b := bpftest.NewHost(t), newBench(t, 256)
	name := h.AddInterface()
	program := h.Redirect(name, link.XDPDriverMode)
	socket := b.open(small(name, 0))
	b.listen(socket, program)
	frame, batch, packets := numbered(1, 20), make([]xsk.Desc, 64), 0
	send := h.Sender(name)
	allocations := testing.AllocsPerRun(200, func() {
		send(frame)
		socket.Reclaim()
		n := socket.Receive(batch)
		socket.Transmit(batch[:n])
		socket.Refill()
		_ = socket.Wake()
		_ = socket.Wait(time.Millisecond)
		packets += n
	})
	if allocations != 0 || packets < 100 {
		t.Errorf("%v allocations a packet, of %d", allocations, packets)
	}
}

func ExampleMode() {
	fmt.Println(xsk.Auto, xsk.ZeroCopy, xsk.Copy, xsk.Generic)
	// Output: auto zero-copy copy generic
}

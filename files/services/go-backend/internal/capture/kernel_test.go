package capture_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"log/slog"
	"testing"
	"time"

	"github.com/cilium/ebpf/link"

	"tripod/go-backend/internal/bpftest"
	"tripod/go-backend/internal/capture"
	"tripod/go-backend/internal/handlers"
	"tripod/go-backend/internal/umem"
	"tripod/go-backend/internal/worker"
	"tripod/go-backend/internal/xsk"
)

func TestMain(m *testing.M) { bpftest.Main(m) }

// TestAWorkersPacketsAreCaptured sends packets of one and of several frames past a worker, half of which are to be taken.
func TestAWorkersPacketsAreCaptured(t *testing.T) {
	h := bpftest.NewHost(t)
	name := h.AddNIC(1, 9000)
	program := h.Redirect(name, link.XDPDriverMode)
	area, err := umem.New(umem.Config{Frames: 512, FrameSize: 4096, Node: umem.AnyNode})
	if err != nil {
		t.Fatal(err)
	}
	defer area.Close()
	pool, err := area.Pool(512)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	socket, err := xsk.NewGroup(area, log).Open(xsk.Config{Interface: name, Rx: 128, Tx: 128, Fill: 256, MultiBuffer: true}, pool)
	if err != nil {
		t.Fatal(err)
	}
	tap := capture.NewTap(handlers.Sink{}, name, 0)
	w, err := worker.Start(worker.Config{Socket: socket, Sockets: program.Sockets, Handler: tap, CPU: worker.AnyCPU, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	const packets = 40
	var expected [][]byte
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var stream bytes.Buffer
	done := make(chan capture.Result)
	go func() {
		result, err := capture.Run(ctx, capture.Config{Filter: "udp dst port 53 and greater 100", Packets: packets}, []*capture.Tap{tap}, &stream)
		if err != nil {
			t.Error(err)
		}
		done <- result
	}()
	var result capture.Result
	send := h.Sender(name)
	for ended := false; !ended; {
		number := len(expected)
		frame := bpftest.UDP("192.0.2.1", 60+number%4*2000)
		binary.BigEndian.PutUint32(frame[44:], uint32(number))
		send(bpftest.UDP("192.0.2.1", 20))
		send(frame)
		expected = append(expected, frame)
		select {
		case result = <-done:
			ended = true
		case <-time.After(2 * time.Millisecond):
		}
	}
	if err := w.Stop(); err != nil {
		t.Error(err)
	}
	if result.Packets != packets || result.Ended != "packets" || result.Missed != 0 {
		t.Errorf("%+v", result)
	}
	// The capture began with some packet, and has all from there on, as they were sent.
	rest := stream.Bytes()
	number := -1
	for n := 0; len(rest) > 0; {
		kind, length := binary.LittleEndian.Uint32(rest), binary.LittleEndian.Uint32(rest[4:])
		if kind == 6 {
			taken := binary.LittleEndian.Uint32(rest[20:])
			data := rest[28 : 28+taken]
			if number < 0 {
				number = int(binary.BigEndian.Uint32(data[44:]))
			}
			if !bytes.Equal(data, expected[number+n]) {
				t.Fatalf("packet %d: %d bytes, %d were sent", n, len(data), len(expected[number+n]))
			}
			n++
		}
		rest = rest[length:]
	}
}

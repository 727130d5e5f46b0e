package xsk_test

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"testing"
	"time"

	"tripod/go-backend/internal/bpftest"
	"tripod/go-backend/internal/umem"
	"tripod/go-backend/internal/xsk"
)

func TestMain(m *testing.M) { bpftest.Main(m) }

// small rings fill up soon.
func small(name string, queue int) xsk.Config {
	return xsk.Config{Interface: name, Queue: queue, Rx: 64, Tx: 64, Fill: 128}
}

// bench is memory, and the sockets of a test that share it.
type bench struct {
	t     *testing.T
	area  *umem.Area
	group *xsk.Group
}

func newBench(t *testing.T, frames int) *bench {
	t.Helper()
	area, err := umem.New(umem.Config{Frames: frames, FrameSize: 4096, Node: umem.AnyNode})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, area: area, group: xsk.NewGroup(area, slog.New(slog.DiscardHandler))}
	t.Cleanup(func() {
		if err := errors.Join(b.group.Close(), area.Close()); err != nil {
			t.Error(err)
		}
	})
	return b
}

func (b *bench) pool(frames int) *umem.Pool {
	b.t.Helper()
	pool, err := b.area.Pool(frames)
	if err != nil {
		b.t.Fatal(err)
	}
	return pool
}

func (b *bench) open(config xsk.Config) *xsk.Socket {
	b.t.Helper()
	socket, err := b.group.Open(config, b.pool(config.Frames()))
	if err != nil {
		b.t.Fatal(err)
	}
	return socket
}

func (b *bench) listen(socket *xsk.Socket, program *bpftest.Redirect) {
	b.t.Helper()
	if err := socket.Listen(program.Sockets); err != nil {
		b.t.Fatal(err)
	}
}

// receive waits for so many entries, and checks that every frame is somewhere.
func (b *bench) receive(socket *xsk.Socket, entries int) []xsk.Desc {
	b.t.Helper()
	var all []xsk.Desc
	batch := make([]xsk.Desc, 64)
	for deadline := time.Now().Add(bpftest.Patience); len(all) < entries; {
		if err := socket.Wait(10 * time.Millisecond); err != nil {
			b.t.Fatal(err)
		}
		n := socket.Receive(batch)
		all = append(all, batch[:n]...)
		socket.Refill()
		receiving, sending := socket.Held()
		if free := socket.Pool().Len(); free+receiving+sending+len(all) != socket.Pool().Size() {
			b.t.Fatalf("%d free, %d to receive, %d to send, %d in hand of %d", free, receiving, sending, len(all), socket.Pool().Size())
		}
		if time.Now().After(deadline) {
			statistics, err := socket.Statistics()
			b.t.Fatalf("%d entries of %d came: %+v, %+v, %v", len(all), entries, socket.Levels(), statistics, err)
		}
	}
	return all
}

// transmit gives packets to the kernel and waits until their frames are back.
func (b *bench) transmit(socket *xsk.Socket, packets []xsk.Desc) {
	b.t.Helper()
	if n := socket.Transmit(packets); n != len(packets) {
		b.t.Fatalf("%d entries of %d were taken", n, len(packets))
	}
	for deadline := time.Now().Add(bpftest.Patience); ; time.Sleep(time.Millisecond) {
		if err := socket.Wake(); err != nil {
			b.t.Fatal(err)
		}
		socket.Reclaim()
		if _, sending := socket.Held(); sending == 0 {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("frames do not come back: %+v", socket.Levels())
		}
	}
}

var eventually = bpftest.Eventually

// numbered is a frame of its own content.
func numbered(number, payload int) []byte {
	frame := bpftest.UDP("192.0.2.1", payload)
	binary.BigEndian.PutUint16(frame[34:], uint16(1024+number)) // source port, so that flows go to all queues
	binary.BigEndian.PutUint32(frame[44:], uint32(number))
	return frame
}

package capture

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"

	"tripod/go-backend/internal/handlers"
	"tripod/go-backend/internal/umem"
	"tripod/go-backend/internal/worker"
	"tripod/go-backend/internal/worker/workertest"
	"tripod/go-backend/internal/xsk"
)

// captured is what a stream says.
type captured struct {
	names, filters []string
	packets        []piece
	statistics     []map[uint16]uint64
}

type piece struct {
	queue    int
	at       time.Time
	original int
	data     []byte
}

// parse reads a stream by the format's words, block by block.
func parse(t testing.TB, stream []byte) (c captured) {
	t.Helper()
	number := binary.LittleEndian.Uint32
	for first := true; len(stream) > 0; first = false {
		kind, length := number(stream), int(number(stream[4:]))
		if length%4 != 0 || length > len(stream) || int(number(stream[length-4:])) != length || first != (kind == 0x0a0d0d0a) {
			t.Fatalf("block %x of %d bytes, %d are there", kind, length, len(stream))
		}
		body := stream[8 : length-4]
		stream = stream[length:]
		switch kind {
		case 0x0a0d0d0a:
			if number(body) != 0x1a2b3c4d || number(body[4:]) != 1 {
				t.Fatalf("section % x", body)
			}
		case 1:
			if number(body) != 1 {
				t.Fatalf("link %d", number(body))
			}
			found := options(body[8:])
			if string(found[9]) != "\x09" {
				t.Errorf("times of 10^-%v s", found[9])
			}
			c.names = append(c.names, string(found[2]))
			c.filters = append(c.filters, strings.TrimPrefix(string(found[11]), "\x00"))
		case 5:
			counts := make(map[uint16]uint64)
			for code, value := range options(body[12:]) {
				if len(value) == 8 {
					counts[code] = binary.LittleEndian.Uint64(value)
				}
			}
			c.statistics = append(c.statistics, counts)
		case 6:
			at := uint64(number(body[4:]))<<32 | uint64(number(body[8:]))
			taken := int(number(body[12:]))
			if (taken+3)&^3 != len(body)-20 {
				t.Fatalf("%d bytes in %d", taken, len(body)-20)
			}
			c.packets = append(c.packets, piece{int(number(body)), time.Unix(0, int64(at)), int(number(body[16:])), body[20 : 20+taken]})
		default:
			t.Fatalf("block %x", kind)
		}
	}
	return c
}

func options(bytes []byte) map[uint16][]byte {
	found := make(map[uint16][]byte)
	for len(bytes) >= 4 {
		code, length := binary.LittleEndian.Uint16(bytes), int(binary.LittleEndian.Uint16(bytes[2:]))
		found[code] = bytes[4 : 4+length]
		bytes = bytes[4+(length+3)&^3:]
	}
	return found
}

func frame(port uint16, payload string) []byte {
	return workertest.IPv4([]byte{192, 0, 2, 1}, []byte{192, 0, 2, 2}, 17, workertest.UDP(port, 9, payload))
}

// give lets a tap have frames as one batch.
func give(t testing.TB, tap *Tap, frames ...[]byte) {
	t.Helper()
	packets := make([]worker.Packet, len(frames))
	for i, one := range frames {
		packets[i] = workertest.Packet(t, 0, one)
	}
	tap.Handle(packets)
	for i := range packets {
		if packets[i].Verdict != worker.Send {
			t.Fatalf("verdict %d", packets[i].Verdict)
		}
	}
}

// started captures until finish is called, or a limit is reached.
func started(t testing.TB, config Config, taps ...*Tap) (finish func() (Result, captured)) {
	t.Helper()
	var stream bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	type end struct {
		Result
		error
	}
	done := make(chan end, 1)
	go func() {
		result, err := Run(ctx, config, taps, &stream)
		done <- end{result, err}
	}()
	for _, tap := range taps {
		for tap.feed.Load() == nil {
			time.Sleep(time.Millisecond)
		}
	}
	return func() (Result, captured) {
		t.Helper()
		cancel()
		got := <-done
		if got.error != nil || got.Bytes != uint64(stream.Len()) {
			t.Fatalf("%+v, of %d bytes", got, stream.Len())
		}
		for _, tap := range taps {
			if tap.feed.Load() != nil {
				t.Error("it goes on")
			}
		}
		return got.Result, parse(t, stream.Bytes())
	}
}

func TestACaptureHasWhatMeetsItsFilter(t *testing.T) {
	first, second := NewTap(handlers.Reflect{}, "nic", 0), NewTap(handlers.Reflect{}, "nic", 1)
	if first.Name() != "reflect" || len(first.Reasons()) != 2 {
		t.Error("a tap is not what it is on")
	}
	began := time.Now()
	give(t, first, frame(80, "before"))
	finish := started(t, Config{Filter: "udp src port 80", Most: 48}, first, second)
	give(t, first, frame(80, "first"), frame(81, "not"), frame(80, "longer than is taken"))
	give(t, second, frame(80, "second"))
	result, got := finish()
	give(t, first, frame(80, "after"))
	if result.Packets != 3 || result.Seen != 4 || result.Missed != 0 || result.Ended != "stopped" {
		t.Errorf("%+v", result)
	}
	if strings.Join(got.names, ", ") != "nic queue 0, nic queue 1" || got.filters[1] != "udp src port 80" || len(got.packets) != 3 {
		t.Fatalf("%+v", got)
	}
	for i, expected := range []piece{
		{0, began, 47, frame(80, "first")}, {0, began, 62, frame(80, "longer than is taken")[:48]}, {1, began, 48, frame(80, "second")},
	} {
		one := got.packets[i]
		if one.queue != expected.queue || one.original != expected.original || !bytes.Equal(one.data, expected.data) ||
			one.at.Before(began) || one.at.After(time.Now()) {
			t.Errorf("packet %d: %+v, expected %+v", i, one, expected)
		}
	}
	if counts := got.statistics; len(counts) != 2 || counts[0][4] != 3 || counts[0][8] != 2 || counts[1][8] != 1 || counts[1][5] != 0 {
		t.Errorf("%v", counts)
	}
}

func TestLimitsEndACapture(t *testing.T) {
	for name, one := range map[string]struct {
		config Config
		ended  string
		most   uint64
	}{
		"packets": {Config{Packets: 7}, "packets", 7},
		"bytes":   {Config{Bytes: 5000}, "bytes", 100},
		"time":    {Config{Duration: 30 * time.Millisecond}, "time", 1000},
	} {
		tap := NewTap(handlers.Reflect{}, "nic", 0)
		finish := started(t, one.config, tap)
		for deadline := time.Now().Add(20 * time.Second); tap.feed.Load() != nil && time.Now().Before(deadline); {
			give(t, tap, frame(1, "x"))
			time.Sleep(time.Millisecond)
		}
		result, got := finish()
		if result.Ended != one.ended || result.Packets > one.most || int(result.Packets) != len(got.packets) ||
			result.Bytes > one.config.complete().Bytes || len(got.statistics) != 1 {
			t.Errorf("%s: %+v, %d packets", name, result, len(got.packets))
		}
		if one.ended == "packets" && result.Packets != one.most {
			t.Errorf("%+v", result)
		}
	}
}

// slow takes nothing until it may.
type slow struct{ may chan struct{} }

func (s slow) Write(b []byte) (int, error) { <-s.may; return len(b), nil }

func TestASlowReaderMissesPacketsAndStopsNothing(t *testing.T) {
	tap := NewTap(handlers.Reflect{}, "nic", 0)
	reader := slow{make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan Result)
	go func() {
		result, err := Run(ctx, Config{Packets: 1 << 20}, []*Tap{tap}, reader)
		if err != nil {
			t.Error(err)
		}
		done <- result
	}()
	for tap.feed.Load() == nil {
		time.Sleep(time.Millisecond)
	}
	feed := tap.feed.Load()
	if _, err := Run(t.Context(), Config{}, []*Tap{NewTap(handlers.Sink{}, "other", 0), tap}, reader); err == nil ||
		!strings.Contains(err.Error(), "somebody captures from nic queue 0 already") {
		t.Error(err)
	}
	if tap.feed.Load() != feed {
		t.Error("a second capture took the first one's place")
	}
	packets, given := make([]worker.Packet, 64), uint64(0)
	for feed.missed.Load() == 0 {
		for i := range packets {
			packets[i] = worker.Packet{Data: frame(1, strings.Repeat("x", 1400))}
		}
		tap.Handle(packets)
		given += 64
	}
	close(reader.may)
	cancel()
	if result := <-done; result.Seen != given || result.Missed == 0 || result.Packets+result.Missed != given {
		t.Errorf("%+v, of %d", result, given)
	}
}

func TestARecordGoesOverTheRingsEnd(t *testing.T) {
	f := newFeed(nil, maxMost)
	memory := make([]byte, maxMost)
	for i := range 10_000 {
		data := bytes.Repeat([]byte{byte(i)}, 900+i%700)
		f.take([]worker.Packet{{Data: data}})
		r, ok := f.next(memory)
		if !ok || !bytes.Equal(r.data, data) || int(r.original) != len(data) {
			t.Fatalf("record %d: %t, %d bytes", i, ok, len(r.data))
		}
	}
	if _, ok := f.next(memory); ok || f.missed.Load() != 0 {
		t.Error("there is more than there was")
	}
}

func TestAPacketOfSeveralBuffersIsWhole(t *testing.T) {
	area, err := umem.New(umem.Config{Frames: 2, FrameSize: 2048, Node: umem.AnyNode})
	if err != nil {
		t.Fatal(err)
	}
	defer area.Close()
	entries := []xsk.Desc{{Addr: area.Start(0), Len: 1700}, {Addr: area.Start(2048), Len: 900}}
	expected := []byte{}
	for i, entry := range entries {
		piece := area.Bytes(entry.Addr, entry.Len)
		copy(piece, bytes.Repeat([]byte{byte('a' + i)}, len(piece)))
		expected = append(expected, piece...)
	}
	var p worker.Packet
	p.Set(area, 0, entries)
	f := newFeed(nil, maxMost)
	f.take([]worker.Packet{p})
	if r, ok := f.next(make([]byte, maxMost)); !ok || !bytes.Equal(r.data, expected) {
		t.Errorf("%t, %d bytes of %d", ok, len(r.data), len(expected))
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("gone away") }

func TestCapturesThatCannotBe(t *testing.T) {
	tap := NewTap(handlers.Sink{}, "nic", 0)
	bad := Config{Filter: "host x", Packets: 1 << 33, Bytes: 10, Duration: 48 * time.Hour, Most: 5}
	_, err := Run(t.Context(), bad, []*Tap{tap}, &bytes.Buffer{})
	for _, says := range []string{
		`character 6, "x": an address is expected`, "8589934592 packets: up to", "10 bytes: 4096 to", "for 48h0m0s", "5 bytes of a packet: 14 to",
	} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q is not in %v", says, err)
		}
	}
	if _, err := Run(t.Context(), Config{}, nil, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "no queue") {
		t.Error(err)
	}
	if _, err := Run(t.Context(), Config{}, []*Tap{tap}, broken{}); err == nil || !strings.Contains(err.Error(), "gone away") {
		t.Error(err)
	}
	if tap.feed.Load() != nil {
		t.Error("something is left behind")
	}
}

func TestATapDoesNotAllocate(t *testing.T) {
	tap := NewTap(handlers.Sink{}, "nic", 0)
	packets := []worker.Packet{workertest.Packet(t, 0, frame(80, "x")), workertest.Packet(t, 0, frame(81, "x"))}
	if n := testing.AllocsPerRun(100, func() { tap.Handle(packets) }); n != 0 {
		t.Errorf("%v allocations without a capture", n)
	}
	f := newFeed(must(Config{Filter: "port 80 or port 81"}.compile()), 64)
	tap.feed.Store(f)
	if n := testing.AllocsPerRun(100, func() { tap.Handle(packets) }); n != 0 || f.head.Load() == 0 {
		t.Errorf("%v allocations with one", n)
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

package xsk

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"tripod/go-backend/internal/umem"
)

// The fake kernel has its own view of the rings, in memory that the race detector watches, and moves the indices that are
// the kernel's. Whatever a socket reads or writes without an index to order it is a race then.
const (
	fakeRing   = 32
	fakeFill   = 2 * fakeRing // so that the rx ring fills up before the kernel is out of frames
	fakeFrames = 4 * fakeRing
	frameSize  = 2048
)

// layout is as the kernel lays rings out: each index in a cache line of its own.
var layout = unix.XDPRingOffset{Producer: 0, Consumer: 64, Flags: 128, Desc: 192}

// shared is one ring as the kernel sees it.
type shared[T uint64 | Desc] struct {
	producer, consumer, flags *atomic.Uint32
	entries                   []T
}

// at is the entry that an index stands for.
func (s *shared[T]) at(index uint32) *T { return &s.entries[index%uint32(len(s.entries))] }

func newShared[T uint64 | Desc](t *testing.T, size int) (shared[T], ring[T]) {
	t.Helper()
	var entry T
	words := make([]uint64, 192/8+size*int(unsafe.Sizeof(entry))/8)
	memory := unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), len(words)*8)
	ours, err := newRing[T](memory, layout, uint32(size))
	if err != nil {
		t.Fatal(err)
	}
	return shared[T]{
		producer: (*atomic.Uint32)(unsafe.Pointer(&memory[0])),
		consumer: (*atomic.Uint32)(unsafe.Pointer(&memory[64])),
		flags:    (*atomic.Uint32)(unsafe.Pointer(&memory[128])),
		entries:  unsafe.Slice((*T)(unsafe.Pointer(&memory[192])), size),
	}, ours
}

type fakeKernel struct {
	fill, completion shared[uint64]
	rx, tx           shared[Desc]
	// contents are the frames' bytes, one word each.
	contents [fakeFrames]uint64
	wake     chan struct{}
	faults   atomic.Int64
}

func newFake(t *testing.T) (*fakeKernel, *Socket) {
	t.Helper()
	area, err := umem.New(umem.Config{Frames: fakeFrames, FrameSize: frameSize, Node: umem.AnyNode})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { area.Close() })
	pool, err := area.Pool(fakeFrames)
	if err != nil {
		t.Fatal(err)
	}
	k := &fakeKernel{wake: make(chan struct{}, 1)}
	s := &Socket{config: Config{Rx: fakeRing, Tx: fakeRing, Fill: fakeFill}, nic: &NIC{}, group: &Group{}, area: area, pool: pool, fd: -1}
	k.fill, s.fill.ring = newShared[uint64](t, fakeFill)
	k.completion, s.completion.ring = newShared[uint64](t, fakeRing)
	k.rx, s.rx.ring = newShared[Desc](t, fakeRing)
	k.tx, s.tx.ring = newShared[Desc](t, fakeRing)
	return k, s
}

// receive writes packets into frames of the fill ring, numbered from 0 on, and passes them on in batches of up to 5.
func (k *fakeKernel) receive(packets int) {
	var filled, received uint32
	for n := 0; n < packets; {
		batch := 0
		for ; batch < 5 && n < packets; batch++ {
			if filled == k.fill.producer.Load() || received-k.rx.consumer.Load() == fakeRing {
				break
			}
			frame := *k.fill.at(filled)
			k.contents[frame/frameSize] = uint64(n)
			*k.rx.at(received) = Desc{Addr: frame + umem.KernelHeadroom, Len: 64}
			filled, received, n = filled+1, received+1, n+1
		}
		k.rx.producer.Store(received)
		k.fill.consumer.Store(filled)
		if batch == 0 {
			// No sleep: what is published too early is to be seen too early.
			runtime.Gosched()
		}
	}
}

// send takes packets off the tx ring and sleeps as a driver does where there are none, until it is woken.
func (k *fakeKernel) send(packets int) {
	var sent, completed uint32
	for n := 0; n < packets; {
		if sent == k.tx.producer.Load() {
			k.tx.flags.Store(unix.XDP_RING_NEED_WAKEUP)
			if sent == k.tx.producer.Load() {
				<-k.wake
			}
			k.tx.flags.Store(0)
			continue
		}
		packet := *k.tx.at(sent)
		if k.contents[packet.Addr/frameSize] != uint64(n) {
			k.faults.Add(1)
		}
		*k.completion.at(completed) = packet.Addr
		sent, completed, n = sent+1, completed+1, n+1
		// The frame's completion may be seen before the entry is free, as in copy mode.
		k.completion.producer.Store(completed)
		k.tx.consumer.Store(sent)
	}
}

func TestEveryPacketGoesThroughAllFourRingsInOrder(t *testing.T) {
	const packets = 5000
	k, s := newFake(t)
	go k.receive(packets)
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		k.send(packets)
	}()
	var batch [7]Desc
	deadline := time.Now().Add(2 * time.Minute)
	for next := uint64(0); next < packets; {
		s.Reclaim()
		s.Refill()
		n := s.Receive(batch[:min(len(batch), s.Room())])
		for _, d := range batch[:n] {
			if got := k.contents[d.Addr/frameSize]; got != next {
				t.Fatalf("packet %d came as %d", next, got)
			}
			next++
		}
		if sent := s.Transmit(batch[:n]); sent != n {
			t.Fatalf("%d entries of %d were taken, where there was room", sent, n)
		}
		if n > 0 && s.tx.needsWakeup() {
			select {
			case k.wake <- struct{}{}:
			default:
			}
		}
		receiving, sending := s.Held()
		if receiving > fakeFill || sending > fakeRing || s.pool.Len()+receiving+sending != fakeFrames {
			t.Fatalf("%d free, %d to receive, %d to send", s.pool.Len(), receiving, sending)
		}
		if time.Now().After(deadline) {
			t.Fatalf("stuck at packet %d: %+v", next, s.Levels())
		}
	}
	select {
	case <-finished:
	case <-time.After(time.Minute):
		t.Fatalf("the kernel was not woken: %+v", s.Levels())
	}
	s.Reclaim()
	if _, sending := s.Held(); sending != 0 || k.faults.Load() != 0 {
		t.Errorf("%d frames did not come back, %d packets were not what was sent", sending, k.faults.Load())
	}
}

func TestRingsGoOnPastTheEndOfTheirIndices(t *testing.T) {
	k, s := newFake(t)
	start := ^uint32(0) - 2
	for _, index := range []*atomic.Uint32{k.tx.producer, k.tx.consumer, k.completion.producer, k.completion.consumer} {
		index.Store(start)
	}
	s.tx.local, s.tx.seen, s.completion.local, s.completion.seen = start, start, start, start
	var frames [fakeRing + 1]uint64
	s.pool.Take(frames[:])
	var packets [fakeRing + 1]Desc
	for i := range packets {
		packets[i] = Desc{Addr: frames[i], Len: 60}
	}
	if n := s.Transmit(packets[:]); n != fakeRing {
		t.Fatalf("%d entries of %d were taken", n, fakeRing)
	}
	for i := range uint32(fakeRing) {
		packet := *k.tx.at(start + i)
		if packet.Addr != frames[i] {
			t.Errorf("entry %d is %+v", i, packet)
		}
		*k.completion.at(start + i) = packet.Addr
	}
	k.tx.consumer.Store(start + fakeRing)
	if s.Transmit(packets[fakeRing:]) != 0 {
		t.Error("more frames are sent than the completion ring has place for")
	}
	k.completion.producer.Store(start + fakeRing)
	if n := s.Reclaim(); n != fakeRing || s.pool.Len() != fakeFrames-1 {
		t.Errorf("%d frames came back, %d are free", n, s.pool.Len())
	}
	if s.Transmit(packets[fakeRing:]) != 1 {
		t.Error("there is no room after all came back")
	}
}

func TestAPacketOfSeveralBuffersIsNeverParted(t *testing.T) {
	k, s := newFake(t)
	const contd = unix.XDP_PKT_CONTD
	for i, options := range []uint32{0, contd, contd, 0, contd, 0} {
		k.rx.entries[i] = Desc{Addr: uint64(i) * frameSize, Len: 1, Options: options}
	}
	k.rx.producer.Store(6)
	var dst [5]Desc
	if n := s.Receive(dst[:3]); n != 1 {
		t.Errorf("%d entries for 3 places", n)
	}
	if n := s.Receive(dst[:4]); n != 3 || dst[2].Addr != 3*frameSize {
		t.Errorf("%d entries for 4 places: %+v", n, dst)
	}
	if n := s.Receive(dst[:]); n != 2 {
		t.Errorf("%d entries for 5 places", n)
	}
	// One place is left.
	s.tx.local = fakeRing - 1
	k.tx.producer.Store(fakeRing - 1)
	two := []Desc{{Addr: 0, Len: 1, Options: contd}, {Addr: frameSize, Len: 1}}
	if n := s.Transmit(two); n != 0 {
		t.Errorf("%d entries were sent", n)
	}
	if n := s.Transmit(two[1:]); n != 1 {
		t.Errorf("%d entries were sent", n)
	}
}

func TestWhatTheKernelWouldKeepForeverIsNotSent(t *testing.T) {
	_, s := newFake(t)
	s.group.metadata = MetadataSize
	long := make([]Desc, MaxBuffers+1)
	for i := range long {
		long[i] = Desc{Addr: 256, Len: 1, Options: unix.XDP_PKT_CONTD}
	}
	for name, packets := range map[string][]Desc{
		"empty":                 {{Addr: 256}},
		"over its frame's end":  {{Addr: 2047, Len: 2}},
		"behind the area":       {{Addr: fakeFrames * frameSize, Len: 60}},
		"no room for metadata":  {{Addr: 2048 + 23, Len: 60}},
		"unknown options":       {{Addr: 256, Len: 60, Options: 4}},
		"of too many buffers":   long,
		"a bad one behind good": {{Addr: 256, Len: 60}, {Addr: 256}},
	} {
		func() {
			defer func() {
				if recover() == nil || s.tx.local != 0 {
					t.Errorf("%s: no panic, or %d were sent", name, s.tx.local)
				}
			}()
			s.Transmit(packets)
		}()
	}
}

func TestNoRingIsLaidOverLessMemory(t *testing.T) {
	if _, err := newRing[Desc](make([]byte, 192+16*fakeRing-1), layout, fakeRing); err == nil {
		t.Error("it was")
	}
}

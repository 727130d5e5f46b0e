package worker

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Batches that took a handler up to 1<<i times shortest are in bucket i; the last has those that took longer.
const (
	shortest = 128 * time.Nanosecond
	buckets  = 24
)

// meter is how a worker spends its time, and where its frames are. Its thread alone writes it, and reads the clock only around
// a batch and a sleep.
type meter struct {
	began time.Time
	// state is, while the worker is awake, how long it has slept, in ns, and while it sleeps -1 less the time that it has worked.
	state atomic.Int64
	// told is the longest time that anybody was told: between looking at the clock and writing down that it sleeps a worker is
	// still awake to others, whose clock is later then.
	told    atomic.Int64
	batches [buckets + 1]atomic.Uint64
	handled atomic.Int64 // ns in the handler
	free    atomic.Int64
	lost    atomic.Int64
}

// Latencies are how long a handler took for its batches.
type Latencies struct {
	// Batches are by time: Batches[i] took at most Bound(i), and longer than the bound before.
	Batches [buckets + 1]uint64
	// Total is of all.
	Total time.Duration
}

// Bound is the longest time of a bucket; of the last there is none, and 0 is returned.
func (Latencies) Bound(bucket int) time.Duration {
	if bucket >= buckets {
		return 0
	}
	return shortest << bucket
}

// Add adds what another worker of the queue has measured.
func (l *Latencies) Add(other Latencies) {
	for i, n := range other.Batches {
		l.Batches[i] += n
	}
	l.Total += other.Total
}

// sleep measures what a worker does instead of working.
func (m *meter) sleep(f func() error) error {
	worked := int64(time.Since(m.began)) - m.state.Load()
	m.state.Store(-1 - worked)
	err := f()
	m.state.Store(int64(time.Since(m.began)) - worked)
	return err
}

// busy is how long it has worked; it never runs backwards.
func (m *meter) busy() time.Duration {
	now := int64(m.worked())
	for {
		told := m.told.Load()
		if now <= told {
			return time.Duration(told)
		}
		if m.told.CompareAndSwap(told, now) {
			return time.Duration(now)
		}
	}
}

func (m *meter) worked() time.Duration {
	for {
		state, now := m.state.Load(), time.Since(m.began)
		if state < 0 {
			return time.Duration(-1 - state)
		}
		if m.state.Load() == state {
			return now - time.Duration(state)
		}
	}
}

// batch measures one call of the handler, that began so long after the worker.
func (m *meter) batch(from time.Duration) {
	took := time.Since(m.began) - from
	m.handled.Add(int64(took))
	m.batches[min(buckets, bits.Len64(uint64((took-1)/shortest)))].Add(1)
}

// count looks where the frames are.
func (w *Worker) count() {
	pool := w.config.Socket.Pool()
	held := 0
	for i := range w.ports {
		receiving, sending := w.ports[i].socket.Held()
		held += receiving + sending
	}
	w.meter.free.Store(int64(pool.Len()))
	w.meter.lost.Store(int64(pool.Size() - pool.Len() - held))
}

// Busy is how long the worker's thread has worked instead of slept.
func (w *Worker) Busy() time.Duration {
	w.lock.Lock()
	defer w.lock.Unlock()
	if w.ended {
		return w.busy
	}
	return w.meter.busy()
}

// Latencies are of all handlers that the worker had.
func (w *Worker) Latencies() Latencies {
	l := Latencies{Total: time.Duration(w.meter.handled.Load())}
	for i := range l.Batches {
		l.Batches[i] = w.meter.batches[i].Load()
	}
	return l
}

// Frames are those of the worker's pool: all, free, and lost to anybody, which is a defect. They are as they were when the
// worker last came to look: when it had nothing to do, or some hundred turns ago.
func (w *Worker) Frames() (all, free, lost int) {
	return w.config.Socket.Pool().Size(), int(w.meter.free.Load()), int(w.meter.lost.Load())
}

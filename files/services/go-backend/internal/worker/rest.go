package worker

import (
	"time"

	"golang.org/x/sys/unix"
)

// idle is how long a worker sleeps at most, so that its turns go on where no packet comes.
const idle = 20 * time.Millisecond

// A worker that waits for packets is woken by the kernel's next handful, on the CPU that receives, where a wake-up costs as much
// as some packets do. Where so many come that a nap gathers a batch, it naps instead: packets wait a little longer, and
// whoever sends them is not held up. A nap is as long as the rings have room for at the rate of the fastest NIC with one queue.
const (
	longestNap  = 50 * time.Microsecond
	shortestNap = 20 * time.Microsecond // less is not worth a timer
	perPacket   = 25 * time.Nanosecond
)

// rests is how a worker sleeps.
type rests struct {
	nap      time.Duration // 0 is none
	began    time.Duration // the last rest, after the worker
	gathered int           // packets since then
}

// nap is how long a worker may nap; busy polling receives in calls alone.
func (c Config) nap() time.Duration {
	nap := longestNap
	for _, one := range c.ports() {
		config := one.socket.Config()
		if config.BusyPoll.Time > 0 {
			return 0
		}
		nap = min(nap, time.Duration(config.Rx)*perPacket)
	}
	if nap < shortestNap {
		return 0
	}
	return nap
}

// next is how long to nap now, so long after the worker began; 0 is to wait for packets instead.
func (r *rests) next(now time.Duration, batch int) time.Duration {
	passed := max(now-r.began, 1)
	expected := time.Duration(r.gathered) * r.nap / passed
	r.began, r.gathered = now, 0
	if int(expected) < batch {
		return 0
	}
	return r.nap
}

// rest sleeps until packets come, or naps.
func (w *Worker) rest() error {
	nap := w.rests.next(time.Since(w.meter.began), w.config.Batch)
	if nap == 0 {
		return w.config.Socket.WaitWith(w.config.Peer, idle)
	}
	timeout := unix.NsecToTimespec(nap.Nanoseconds())
	_ = unix.Nanosleep(&timeout, nil) // a signal ends it sooner
	return nil
}

// wakeOnTime makes the thread's naps as long as they are said to be: the kernel adds 50 µs otherwise.
func wakeOnTime() error { return unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) }

func pause() error {
	time.Sleep(idle)
	return nil
}

package worker

import (
	"context"
	"time"
)

// Watchdog diverts a queue's packets to the kernel's stack while its worker stalls: in a handler that does not return, say.
type Watchdog struct {
	// Limit is how long a worker may take for a turn; 0 is 100 ms. Below twice a worker's sleep nothing lives.
	Limit time.Duration
	// Diverted says that the packets go to the stack already, by a watchdog of before.
	Diverted bool
	// Stalled and Resumed are called after packets were diverted, and after they come to the worker again, with what went
	// wrong in that. Either may be nil.
	Stalled, Resumed func(*Worker, error)
}

// Watch looks after a worker until it or the context ends.
func (d Watchdog) Watch(ctx context.Context, w *Worker) {
	if d.Limit == 0 {
		d.Limit = 100 * time.Millisecond
	}
	ticker := time.NewTicker(d.Limit / 5)
	defer ticker.Stop()
	turns, since, diverted := w.Turns(), time.Now(), d.Diverted
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.Finished():
			return
		case <-ticker.C:
		}
		now := w.Turns()
		switch {
		case now != turns:
			turns, since = now, time.Now()
			if diverted && !w.stopping.Load() {
				diverted = false
				call(d.Resumed, w, w.Listen())
			}
		case !diverted && time.Since(since) >= d.Limit:
			diverted = true
			call(d.Stalled, w, w.Divert())
		}
	}
}

func call(hook func(*Worker, error), w *Worker, err error) {
	if hook != nil {
		hook(w, err)
	}
}

// Package history keeps what the counters were: the readings of the last minutes, and what was counted in steps of three
// lengths. All of it is bounded, whoever asks and however slowly.
package history

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"tripod/go-backend/gen/tripodv1"
)

// Kept is how many readings are kept: five minutes of one a second.
const Kept = 300

// Readings are the last ones. Those who wait for the next share them, and have no queue of their own that could grow.
type Readings struct {
	process string

	mu     sync.Mutex
	kept   []*tripodv1.Reading
	next   uint64
	came   chan struct{}
	closed bool
}

// NewReadings returns none, under a name that no other process has.
func NewReadings() *Readings {
	return &Readings{process: strconv.FormatInt(time.Now().UnixNano(), 36), came: make(chan struct{})}
}

// Add keeps a reading, which nobody changes any more, and wakes those who wait.
func (r *Readings) Add(stats *tripodv1.StatsResponse) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.kept) == Kept {
		r.kept = slices.Delete(r.kept, 0, 1)
	}
	r.kept = append(r.kept, &tripodv1.Reading{Id: r.process + "-" + strconv.FormatUint(r.next, 10), Stats: stats})
	r.next++
	r.wake()
}

// Close wakes those who wait, now and later: no more will come.
func (r *Readings) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.wake()
}

func (r *Readings) wake() {
	close(r.came)
	r.came = make(chan struct{})
	if r.closed {
		close(r.came)
	}
}

// After returns what came after a reading, or all for none, whether some of that is lost, and what is closed once there is more.
func (r *Readings) After(id string) (found []*tripodv1.Reading, lost bool, came <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if id == "" {
		return slices.Clone(r.kept), false, r.came
	}
	first := r.next - uint64(len(r.kept))
	process, number, _ := strings.Cut(id, "-")
	last, err := strconv.ParseUint(number, 10, 64)
	if err != nil || process != r.process || last >= r.next || last+1 < first {
		return slices.Clone(r.kept), true, r.came
	}
	return slices.Clone(r.kept[last+1-first:]), false, r.came
}

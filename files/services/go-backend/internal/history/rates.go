package history

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"tripod/go-backend/gen/tripodv1"
)

// How much there is at most: 64 pairs on all interfaces together take 22 MB, 32 interfaces 3 MB.
const (
	MostPairs      = 64
	MostInterfaces = 32
)

// regular is how long after a reading the next one is due (milliseconds).
const regular = 1000

// usual is up to how long after a reading the next one comes (milliseconds). What was counted between two that lie further apart
// belongs to a step only where both are within it, but for half a regular interval: to spread it over several would be to make up
// what each of them had.
const usual = 1500

// clockSlack is by how much the clock may differ from the time that passed (milliseconds). Beyond it, it was set.
const clockSlack = 500

// pair is what packets are counted by.
type pair struct {
	verdict tripodv1.Verdict
	reason  string
}

type amount struct{ packets, bytes uint64 }

// column has a value for each step, by resolution.
type column[V uint32 | amount] map[tripodv1.Resolution][]V

func newColumn[V uint32 | amount]() column[V] {
	made := make(column[V])
	for resolution, length := range Resolutions {
		made[resolution] = make([]V, length.Steps)
	}
	return made
}

// track is what is kept of one interface.
type track struct {
	known column[uint32]
	pairs map[pair]column[amount]
	// last are its counters as they were read at a moment; nil where the interface was not in the last reading.
	last map[pair]amount
	at   time.Time
}

// Rates are what was counted, by interface, verdict and reason, in steps of each resolution.
type Rates struct {
	mu         sync.Mutex
	steps      map[tripodv1.Resolution]*steps
	interfaces map[string]*track
	leftOut    map[string]int
}

// NewRates returns none.
func NewRates() *Rates {
	made := &Rates{
		steps: make(map[tripodv1.Resolution]*steps), interfaces: make(map[string]*track), leftOut: make(map[string]int),
	}
	for resolution, length := range Resolutions {
		one := newSteps(length)
		made.steps[resolution] = &one
	}
	return made
}

// Add takes a reading of all counters, which was made at a moment.
func (r *Rates) Add(stats *tripodv1.StatsResponse, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for resolution := range r.steps {
		// A step in which nothing can be read is a gap, and no step that is not there.
		r.advance(resolution, at.UnixMilli()-regular/2)
	}
	present := make(map[string]bool)
	for _, one := range stats.GetInterfaces() {
		present[one.GetName()] = true
	}
	clear(r.leftOut)
	for _, one := range stats.GetInterfaces() {
		r.take(one, at, present)
	}
	for name, track := range r.interfaces {
		if !present[name] {
			// Its counters may be others when it comes back.
			track.last = nil
		}
	}
}

// advance makes the step of a moment the newest one, unless it is already.
func (r *Rates) advance(resolution tripodv1.Resolution, moment int64) {
	steps := r.steps[resolution]
	number := steps.number(moment)
	if number == steps.head && steps.first <= steps.head {
		return
	}
	steps.move(number, func(place int) {
		for _, track := range r.interfaces {
			track.known[resolution][place] = 0
			for _, pair := range track.pairs {
				pair[resolution][place] = amount{}
			}
		}
	})
}

// take adds what one interface has counted since the reading before.
func (r *Rates) take(stats *tripodv1.InterfaceStats, at time.Time, present map[string]bool) {
	name := stats.GetName()
	found := r.interfaces[name]
	if found == nil {
		if len(r.interfaces) == MostInterfaces && !r.makeRoom(present) {
			r.leftOut[name] = len(stats.GetCounters())
			return
		}
		found = &track{known: newColumn[uint32](), pairs: make(map[pair]column[amount])}
		r.interfaces[name] = found
	}
	now := make(map[pair]amount, len(stats.GetCounters()))
	for _, counter := range stats.GetCounters() {
		now[pair{counter.GetVerdict(), counter.GetReason()}] = amount{counter.GetPackets(), counter.GetBytes()}
	}
	before, since := found.last, found.at
	found.last, found.at = now, at
	if before == nil || wasReset(before, now) {
		return
	}
	passed := at.Sub(since).Milliseconds()
	from, to := since.UnixMilli(), at.UnixMilli()
	if passed <= 0 || max(to-from-passed, passed-(to-from)) > clockSlack {
		return
	}
	met := r.counted(found, name, before, now, present)
	for resolution, steps := range r.steps {
		number := steps.number((from + to) / 2)
		if passed > usual && steps.number(from+regular/2) != steps.number(to-regular/2) {
			continue
		}
		if number < steps.first || number > steps.head {
			continue
		}
		place := steps.place(number)
		found.known[resolution][place] += uint32(passed)
		for _, one := range met {
			value := &one.column[resolution][place]
			value.packets += one.packets
			value.bytes += one.bytes
		}
	}
}

// counted is what a pair has counted between two readings, and where that is kept.
type counted struct {
	column column[amount]
	amount
}

// counted returns what the pairs of an interface have counted between two readings.
func (r *Rates) counted(found *track, name string, before, now map[pair]amount, present map[string]bool) []counted {
	var all []counted
	for key, value := range now {
		more := amount{value.packets - before[key].packets, value.bytes - before[key].bytes}
		if more == (amount{}) {
			continue
		}
		kept, ok := found.pairs[key]
		if !ok {
			if r.pairs() >= MostPairs && !r.makeRoom(present) {
				r.leftOut[name]++
				continue
			}
			kept = newColumn[amount]()
			found.pairs[key] = kept
		}
		all = append(all, counted{kept, more})
	}
	return all
}

// wasReset tells whether counters were made anew between two readings: then what came before is not known.
func wasReset(before, now map[pair]amount) bool {
	for key, old := range before {
		if value := now[key]; value.packets < old.packets || value.bytes < old.bytes {
			return true
		}
	}
	return false
}

func (r *Rates) pairs() (count int) {
	for _, track := range r.interfaces {
		count += len(track.pairs)
	}
	return count
}

// makeRoom forgets the interface that has been away longest, and tells whether there was one.
func (r *Rates) makeRoom(present map[string]bool) bool {
	oldest := ""
	for name, track := range r.interfaces {
		if !present[name] && (oldest == "" || track.at.Before(r.interfaces[oldest].at)) {
			oldest = name
		}
	}
	delete(r.interfaces, oldest)
	return oldest != ""
}

// Get returns the last steps of a resolution, all of them for 0.
func (r *Rates) Get(resolution tripodv1.Resolution, most int) *tripodv1.GetRatesResponse {
	r.mu.Lock()
	defer r.mu.Unlock()
	steps := r.steps[resolution]
	response := &tripodv1.GetRatesResponse{StepSeconds: uint32(steps.Seconds)}
	for _, pairs := range r.leftOut {
		response.LeftOut += uint32(pairs)
	}
	count := steps.count()
	if count <= 0 {
		return response
	}
	if most > 0 {
		count = min(count, most)
	}
	first := steps.head - int64(count) + 1
	begin := first * steps.Seconds
	response.Begin = &begin
	for _, name := range slices.Sorted(maps.Keys(r.interfaces)) {
		if one := r.interfaces[name].of(resolution, steps, first, count); one != nil {
			one.Name = name
			response.Interfaces = append(response.Interfaces, one)
		}
	}
	return response
}

// of returns what is kept of steps; nil where the interface was not read in any of them.
func (t *track) of(resolution tripodv1.Resolution, steps *steps, first int64, count int) *tripodv1.InterfaceRates {
	made := &tripodv1.InterfaceRates{KnownMs: make([]uint32, count)}
	read := false
	for i := range count {
		made.KnownMs[i] = t.known[resolution][steps.place(first+int64(i))]
		read = read || made.KnownMs[i] > 0
	}
	if !read {
		return nil
	}
	keys := slices.SortedFunc(maps.Keys(t.pairs), func(one, other pair) int {
		if one.verdict != other.verdict {
			return int(one.verdict) - int(other.verdict)
		}
		return strings.Compare(one.reason, other.reason)
	})
	for _, key := range keys {
		values := t.pairs[key][resolution]
		rates := &tripodv1.Rates{
			Verdict: key.verdict, Reason: key.reason, Packets: make([]uint64, count), Bytes: make([]uint64, count),
		}
		met := false
		for i := range count {
			value := values[steps.place(first+int64(i))]
			rates.Packets[i], rates.Bytes[i] = value.packets, value.bytes
			met = met || value.packets > 0
		}
		if met {
			made.Rates = append(made.Rates, rates)
		}
	}
	return made
}

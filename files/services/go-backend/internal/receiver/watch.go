package main

import (
	"runtime"
	"strings"
	"time"

	"tripod/go-backend/internal/worker"
)

const watchVariable = "RECEIVER_WATCH"

// pace is how often garbage is collected. More often, and collections would be so many beside the batches that one of a thousand
// has to meet one, whatever it costs there; a process that allocates as the service does has them seconds apart.
const pace = 250 * time.Millisecond

// late is how many batches there were, and how long one took that one of a thousand took longer than, in ns, as the bound of its
// bucket; -1 where there is none.
func late(latencies worker.Latencies) (all uint64, longer int64) {
	var seen uint64
	for _, n := range latencies.Batches {
		all += n
	}
	for bucket, n := range latencies.Batches {
		if seen += n; seen*1000 >= all*999 {
			if bound := latencies.Bound(bucket); bound > 0 {
				return all, bound.Nanoseconds()
			}
		}
	}
	return all, -1
}

// longest is the longest pause of the collections after the first ones, in ns; the runtime knows of the last 256.
func longest(stats *runtime.MemStats, first uint32) uint64 {
	var found uint64
	for n := max(first, stats.NumGC-min(stats.NumGC, uint32(len(stats.PauseNs)))); n < stats.NumGC; n++ {
		found = max(found, stats.PauseNs[n%uint32(len(stats.PauseNs))])
	}
	return found
}

var garbage []*[64]byte

// collect makes garbage of some megabytes and has it collected, again and again.
func collect() {
	for range time.Tick(pace) {
		garbage = garbage[:0]
		for range 50_000 {
			garbage = append(garbage, new([64]byte))
		}
		runtime.GC()
	}
}

// allocations returns what tells who has allocated since, and how often, this package left out; nothing where that is not watched.
func allocations(watch string) func() map[string]int64 {
	if watch != "heap" {
		return func() map[string]int64 { return nil }
	}
	before := profile()
	return func() map[string]int64 {
		sites := make(map[string]int64)
		for site, n := range profile() {
			if more := n - before[site]; more > 0 && !strings.HasPrefix(site, "main.") {
				sites[site] = more
			}
		}
		return sites
	}
}

// profile is allocations since the start by the functions that are not the runtime's.
func profile() map[string]int64 {
	runtime.GC() // the profile is as of the last two
	runtime.GC()
	records := make([]runtime.MemProfileRecord, 10_000)
	n, ok := runtime.MemProfile(records, true)
	if !ok {
		panic("the heap profile is longer than expected")
	}
	sites := make(map[string]int64)
	for i := range records[:n] {
		frames := runtime.CallersFrames(records[i].Stack())
		for {
			frame, more := frames.Next()
			if !more || !strings.HasPrefix(frame.Function, "runtime.") {
				sites[frame.Function] += records[i].AllocObjects
				break
			}
		}
	}
	return sites
}

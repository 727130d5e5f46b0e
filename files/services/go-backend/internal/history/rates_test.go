package history_test

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"tripod/go-backend/gen/tripodv1"
	"tripod/go-backend/internal/history"
)

const (
	second      = tripodv1.Resolution_RESOLUTION_SECOND
	tenSeconds  = tripodv1.Resolution_RESOLUTION_TEN_SECONDS
	fiveMinutes = tripodv1.Resolution_RESOLUTION_FIVE_MINUTES
)

// began is on a step of all resolutions.
var began = time.Unix(1_800_000_000, 0)

func reading(name string, packets uint64) *tripodv1.StatsResponse {
	return &tripodv1.StatsResponse{Interfaces: []*tripodv1.InterfaceStats{{
		Name: name,
		Counters: []*tripodv1.Counter{
			{Verdict: tripodv1.Verdict_VERDICT_DROP, Reason: "list_drop", Packets: packets, Bytes: 100 * packets},
		},
	}}}
}

// after returns a moment a little after seconds, as a reading is.
func after(seconds float64) time.Time {
	return began.Add(time.Duration(seconds*1e9) + 3*time.Millisecond)
}

// drops returns the packets of each step, -1 for a gap.
func drops(t *testing.T, r *history.Rates, resolution tripodv1.Resolution, steps int) (found []int64) {
	t.Helper()
	got := r.Get(resolution, steps)
	if len(got.GetInterfaces()) == 0 {
		return nil
	}
	one := got.GetInterfaces()[0]
	for i, known := range one.GetKnownMs() {
		switch {
		case known == 0:
			found = append(found, -1)
		case len(one.GetRates()) == 0:
			found = append(found, 0)
		default:
			found = append(found, int64(one.GetRates()[0].GetPackets()[i]))
			if one.GetRates()[0].GetBytes()[i] != 100*one.GetRates()[0].GetPackets()[i] {
				t.Errorf("bytes of another step: %v", one.GetRates()[0])
			}
		}
	}
	return found
}

func expect(t *testing.T, what string, got []int64, want ...int64) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestEachSecondHasWhatWasCountedInIt(t *testing.T) {
	r := history.NewRates()
	total := uint64(1000)
	for i := range 31 {
		r.Add(reading("ens1", total), after(float64(i)))
		total += uint64(i + 1)
	}
	expect(t, "seconds", drops(t, r, second, 4), 27, 28, 29, 30)
	expect(t, "ten seconds", drops(t, r, tenSeconds, 0), -1, 55, 155, 255)
	expect(t, "five minutes", drops(t, r, fiveMinutes, 0), -1, 465)
	got := r.Get(second, 4)
	if got.GetBegin() != began.Unix()+26 || got.GetStepSeconds() != 1 || got.GetInterfaces()[0].GetKnownMs()[0] != 1000 {
		t.Errorf("got %v", got)
	}
}

func TestWhatIsNotKnownIsAGapAndNoZero(t *testing.T) {
	r := history.NewRates()
	at := func(seconds float64, packets uint64) { r.Add(reading("ens1", packets), after(seconds)) }
	at(0, 10)
	at(1, 11)
	at(2, 11)
	// Nothing for four seconds: which of them had the 8 packets is not known, and in those ten seconds there were 9 all the same.
	at(6, 19)
	at(7, 20)
	expect(t, "late", drops(t, r, second, 7), 1, 0, -1, -1, -1, -1, 1)
	expect(t, "late", drops(t, r, tenSeconds, 1), 10)
	// The counters are made anew.
	at(8, 5)
	at(9, 7)
	expect(t, "reset", drops(t, r, second, 3), 1, -1, 2)
	// The interface is away, and what it counts when it is back may be from the beginning.
	r.Add(&tripodv1.StatsResponse{}, after(10))
	at(11, 50)
	at(12, 52)
	expect(t, "away", drops(t, r, second, 4), 2, -1, -1, 2)
	// A clock that was set forward, and back: the time that passed is another than the clock's.
	r.Add(reading("ens1", 53), after(12).Add(10*time.Minute))
	expect(t, "forward", drops(t, r, second, 2))
	at(14, 60)
	at(15, 61)
	expect(t, "back", drops(t, r, second, 4), 2, -1, -1, 1)
}

func TestEachResolutionKeepsItsStepsAndNoMore(t *testing.T) {
	for _, one := range []struct {
		resolution tripodv1.Resolution
		every      int
	}{{second, 1}, {tenSeconds, 5}, {fiveMinutes, 60}} {
		length := history.Resolutions[one.resolution]
		r := history.NewRates()
		last := (length.Steps + 7) * int(length.Seconds)
		for at := 0; at <= last; at += one.every {
			r.Add(reading("ens1", uint64(at)), after(float64(at)))
		}
		got := drops(t, r, one.resolution, 0)
		if len(got) != length.Steps || slices.Min(got) != length.Seconds || slices.Max(got) != length.Seconds {
			t.Errorf("%s: %d steps from %d to %d", one.resolution, len(got), slices.Min(got), slices.Max(got))
		}
		if begin := r.Get(one.resolution, 0).GetBegin(); begin != began.Unix()+7*length.Seconds {
			t.Errorf("%s: begins %d after the first reading", one.resolution, begin-began.Unix())
		}
		// A year without a reading leaves nothing.
		r.Add(reading("ens1", 0), after(float64(last)+366*86400))
		if got := drops(t, r, one.resolution, 0); len(got) != 0 {
			t.Errorf("%s: %d steps are left", one.resolution, len(got))
		}
	}
}

// many returns a reading of interfaces with counters.
func many(interfaces, counters int, packets uint64) *tripodv1.StatsResponse {
	made := &tripodv1.StatsResponse{}
	for i := range interfaces {
		one := &tripodv1.InterfaceStats{Name: fmt.Sprintf("ens%d", i)}
		for j := range counters {
			one.Counters = append(one.Counters, &tripodv1.Counter{Reason: fmt.Sprintf("reason_%d", j), Packets: packets, Bytes: packets})
		}
		made.Interfaces = append(made.Interfaces, one)
	}
	return made
}

func heap() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

func TestMemoryIsBoundedHoweverManyCountersThereAre(t *testing.T) {
	before := heap()
	r := history.NewRates()
	for i := range 50 {
		r.Add(many(40, 100, uint64(i)), after(float64(i)))
	}
	got := r.Get(second, 1)
	if len(got.GetInterfaces()) != history.MostInterfaces || got.GetLeftOut() == 0 {
		t.Errorf("%d interfaces, %d left out", len(got.GetInterfaces()), got.GetLeftOut())
	}
	pairs := 0
	for _, one := range got.GetInterfaces() {
		pairs += len(one.GetRates())
	}
	if pairs != history.MostPairs {
		t.Errorf("%d pairs", pairs)
	}
	taken := heap() - before
	t.Logf("%d bytes", taken)
	if taken > 30<<20 {
		t.Errorf("took %d bytes", taken)
	}
	runtime.KeepAlive(r)
}

func TestWhoIsGoneMakesRoom(t *testing.T) {
	r := history.NewRates()
	for i := range 3 * history.MostInterfaces {
		name := fmt.Sprintf("veth%d", i)
		for j := range 3 {
			r.Add(reading(name, uint64(j)), after(float64(3*i+j)))
		}
	}
	got := r.Get(second, 0)
	if len(got.GetInterfaces()) != history.MostInterfaces || got.GetLeftOut() != 0 {
		t.Errorf("%d interfaces, %d left out", len(got.GetInterfaces()), got.GetLeftOut())
	}
}

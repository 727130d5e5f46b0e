package balance

import (
	"fmt"
	"math"
	"net/netip"
	"testing"
)

func backends(number int) []Backend {
	all := make([]Backend, number)
	for i := range all {
		all[i] = Backend{Name: fmt.Sprint("b", i), Address: netip.AddrFrom4([4]byte{10, 0, 0, byte(10 + i)}), Weight: 1}
	}
	return all
}

func all(number int) []bool {
	alive := make([]bool, number)
	for i := range alive {
		alive[i] = true
	}
	return alive
}

func TestOnlyTheFlowsOfABackendThatGoesMove(t *testing.T) {
	known, alive := backends(10), all(10)
	var before, after table
	before.fill(known, alive)
	for gone := range known {
		alive[gone] = false
		after.fill(known, alive)
		moved := 0
		for slot := range before {
			if before[slot] == after[slot] {
				continue
			}
			if moved++; before[slot] != uint16(gone) {
				t.Fatalf("slot %d went from %d to %d, as %d is gone", slot, before[slot], after[slot], gone)
			}
		}
		if share := before.shares(10)[gone]; moved != share {
			t.Errorf("%d slots moved of a share of %d", moved, share)
		}
		for i, share := range after.shares(10) {
			if i != gone && math.Abs(float64(share)/slots*9-1) > 0.05 {
				t.Errorf("without %d, %d has %d slots", gone, i, share)
			}
		}
		alive[gone] = true
		after.fill(known, alive)
		if after != before {
			t.Errorf("with %d back, it is another table", gone)
		}
	}
}

func TestANewBackendTakesItsShareAlone(t *testing.T) {
	var before, after table
	before.fill(backends(9), all(9))
	after.fill(backends(10), all(10))
	moved := 0
	for slot := range before {
		if before[slot] != after[slot] {
			if moved++; after[slot] != 9 {
				t.Fatalf("slot %d went to %d", slot, after[slot])
			}
		}
	}
	if share := float64(moved) / slots; share > 0.12 || share < 0.08 {
		t.Errorf("%v of all slots moved", share)
	}
}

func TestSharesFollowWeights(t *testing.T) {
	known := backends(4)
	total := 0
	for i := range known {
		known[i].Weight = i + 1
		total += i + 1
	}
	var have table
	have.fill(known, all(4))
	for i, share := range have.shares(4) {
		if expected := float64(known[i].Weight) / float64(total); math.Abs(float64(share)/slots/expected-1) > 0.05 {
			t.Errorf("weight %d of %d has %d slots of %d", known[i].Weight, total, share, slots)
		}
	}
}

func TestOneWeightIsAsGoodAsAnother(t *testing.T) {
	var ones, sevens table
	known := backends(5)
	ones.fill(known, all(5))
	for i := range known {
		known[i].Weight = 7
	}
	// One that gets nothing makes the others' weights count.
	sevens.fill(append(known, Backend{Address: netip.MustParseAddr("fd00::1"), Weight: 1}), append(all(5), false))
	if ones != sevens {
		t.Error("with other weights that are equal, it is another table")
	}
}

func TestATableIsTheSameInAnyOrderAndOfAnyName(t *testing.T) {
	known := backends(5)
	var one, other table
	one.fill(known, all(5))
	turned := make([]Backend, 5)
	for i, backend := range known {
		backend.Name = "another"
		turned[4-i] = backend
	}
	other.fill(turned, all(5))
	for slot := range one {
		if one[slot] != 4-other[slot] {
			t.Fatalf("slot %d: %d, and %d of those turned round", slot, one[slot], other[slot])
		}
	}
}

func TestNobodyLives(t *testing.T) {
	var have table
	have.fill(backends(3), make([]bool, 3))
	for slot, owner := range have {
		if owner != none {
			t.Fatalf("slot %d has %d", slot, owner)
		}
	}
}

func TestFlowsAreSpreadEvenly(t *testing.T) {
	// Of one client, whose ports differ; as many as slots, so that each has one on average.
	counts := make([]int, 16)
	for port := range uint32(1 << 16) {
		counts[flow([]byte{10, 0, 0, 1}, []byte{192, 0, 2, 1}, 6, port<<16|80)%16]++
	}
	for bucket, n := range counts {
		if math.Abs(float64(n)/4096-1) > 0.08 {
			t.Errorf("bucket %d has %d of 65536 flows", bucket, n)
		}
	}
}

func BenchmarkFill(b *testing.B) {
	var have table
	known := backends(10)
	for b.Loop() {
		have.fill(known, all(10))
	}
}

package umem_test

import (
	"slices"
	"strings"
	"testing"
)

func TestPoolsHaveEveryFrameOnce(t *testing.T) {
	area := open(t, config())
	first, err := area.Pool(1000)
	if err != nil {
		t.Fatal(err)
	}
	second, err := area.Pool(frames - 1000)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := area.Pool(1); err == nil || !strings.Contains(err.Error(), "0 left of 1538") {
		t.Errorf("got %v", err)
	}
	all := make([]uint64, frames)
	n := first.Take(all)
	n += second.Take(all[n:])
	if n != frames || first.Len() != 0 || second.Len() != 0 || first.Size() != 1000 {
		t.Fatalf("%d frames, %d and %d left, size %d", n, first.Len(), second.Len(), first.Size())
	}
	slices.Sort(all)
	for i, frame := range all {
		if frame != uint64(i)*4096 {
			t.Fatalf("frame %d is at %d", i, frame)
		}
	}
}

func TestAPoolTakesFramesBackByAnyPlaceInThem(t *testing.T) {
	area := open(t, config())
	pool, err := area.Pool(4)
	if err != nil {
		t.Fatal(err)
	}
	var got [8]uint64
	if n := pool.Take(got[:]); n != 4 || pool.Take(got[:]) != 0 {
		t.Fatalf("took %d", n)
	}
	pool.Put([]uint64{got[0] + 256, got[1] + 4095})
	pool.PutOne(got[2] + 1)
	pool.PutOne(got[3])
	if pool.Len() != 4 {
		t.Errorf("%d are free", pool.Len())
	}
	again := got
	pool.Take(again[:])
	if again[0] != got[0] || again[3] != got[3] {
		t.Errorf("got %v, then %v", got, again)
	}
}

func TestMoreFramesThanThereAreArePutBackWithAPanic(t *testing.T) {
	pool, err := open(t, config()).Pool(4)
	if err != nil {
		t.Fatal(err)
	}
	for name, put := range map[string]func(){
		"one":  func() { pool.PutOne(0) },
		"some": func() { pool.Put([]uint64{0, 4096}) },
	} {
		func() {
			defer func() {
				if recover() == nil || pool.Len() != 4 {
					t.Errorf("%s: no panic, or %d free", name, pool.Len())
				}
			}()
			put()
		}()
	}
}

func TestAPoolNeverAllocates(t *testing.T) {
	pool, err := open(t, config()).Pool(frames)
	if err != nil {
		t.Fatal(err)
	}
	var batch [64]uint64
	if n := testing.AllocsPerRun(1000, func() { pool.Put(batch[:pool.Take(batch[:])]) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

package bpftest

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// ReserveHugePages reserves more huge pages of a size, in bytes, on NUMA node 0 until the test ends. It skips or fails the
// test where they are not to be had.
func ReserveHugePages(t testing.TB, size uint, count int) {
	t.Helper()
	if missing != nil {
		Unavailable(t, missing)
	}
	path := fmt.Sprintf("/sys/devices/system/node/node0/hugepages/hugepages-%dkB/nr_hugepages", size>>10)
	before := readCount(t, path)
	set := func(n int) { _ = os.WriteFile(path, []byte(strconv.Itoa(n)), 0) }
	t.Cleanup(func() { set(before) })
	set(before + count)
	if now := readCount(t, path); now < before+count {
		Unavailable(t, fmt.Errorf("%d of %d huge pages of %d bytes could be reserved", now-before, count, size))
	}
}

func readCount(t testing.TB, path string) int {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		Unavailable(t, err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

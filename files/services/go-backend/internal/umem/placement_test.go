package umem

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Recorded on Linux 6.12 with two NUMA nodes, the huge one bound.
const recorded = `55d0c0000000 default file=/usr/bin/x mapped=3 N0=3 kernelpagesize_kB=4
7f0000000000 bind:1 file=/anon_hugepage\040(deleted) huge anon=3 dirty=3 N1=3 kernelpagesize_kB=2048
7f0040000000 default anon=9 dirty=9 active=0 N0=4 N1=5 kernelpagesize_kB=4
7f0050000000 default
`

func TestNumaMapsAreRead(t *testing.T) {
	for address, expected := range map[uint64]Placement{
		0x7f0000000000: {"bind:1", 2 << 20, map[int]int{1: 3}},
		0x7f0000200000: {"bind:1", 2 << 20, map[int]int{1: 3}},
		0x7f0040001000: {"default", 4096, map[int]int{0: 4, 1: 5}},
		0x7f0050000000: {"default", 0, map[int]int{}},
	} {
		got, err := parsePlacement(strings.NewReader(recorded), address)
		if err != nil || got.Policy != expected.Policy || got.PageSize != expected.PageSize || !maps.Equal(got.Pages, expected.Pages) {
			t.Errorf("%x: got %v, %v", address, got, err)
		}
	}
	if _, err := parsePlacement(strings.NewReader(recorded), 0x1000); err == nil {
		t.Error("an address before all was found")
	}
}

func TestWhatIsNotAsRequestedIsSaid(t *testing.T) {
	for _, one := range []struct {
		have  Placement
		size  int
		pages PageSize
		node  int
		says  string
	}{
		{Placement{"bind:1", 2 << 20, map[int]int{1: 3}}, 6 << 20, Huge2M, 1, ""},
		{Placement{"default", 2 << 20, map[int]int{0: 1, 1: 2}}, 6 << 20, Huge2M, AnyNode, ""},
		{Placement{"default", 2 << 20, map[int]int{0: 1, 1: 2}}, 6 << 20, Huge2M, 1, "1 of its pages are on NUMA node 0 instead of 1"},
		{Placement{"bind:1", 4096, map[int]int{1: 3}}, 6 << 20, Huge2M, 1, "pages of 4096 bytes"},
		{Placement{"bind:1", 4096, map[int]int{1: 3}}, 4 * 4096, 0, 1, "3 of its 4 pages are present"},
		{Placement{"default", 0, nil}, 4096, 0, AnyNode, "0 of its"},
	} {
		err := one.have.satisfies(one.size, one.pages, one.node)
		if (err == nil) != (one.says == "") || err != nil && !strings.Contains(err.Error(), one.says) {
			t.Errorf("%v: got %v, expected %q", one.have, err, one.says)
		}
	}
}

func TestAShortageNamesNodeAndCount(t *testing.T) {
	root := t.TempDir()
	directory := filepath.Join(root, "devices/system/node/node1/hugepages/hugepages-2048kB")
	if err := os.MkdirAll(directory, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(directory, "free_hugepages"), []byte("3\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := shortage(root, 64<<20, Huge2M, 1); !strings.Contains(got, "32 pages are needed, NUMA node 1 has 3 free ones") {
		t.Errorf("got %q", got)
	}
	if got := shortage(root, 64<<20, Huge2M, AnyNode); !strings.Contains(got, "this host has no known free ones") {
		t.Errorf("got %q", got)
	}
	if got := shortage(root, 64<<20, 0, 1); got != "" {
		t.Errorf("ordinary pages: %q", got)
	}
}

func TestPageSizesAsPeopleWriteThem(t *testing.T) {
	for size, text := range map[PageSize]string{0: "4 KiB", Huge2M: "2 MiB", Huge1G: "1 GiB"} {
		if size.String() != text && size.huge() || size == 0 && os.Getpagesize() == 4096 && size.String() != text {
			t.Errorf("got %s", size)
		}
	}
}

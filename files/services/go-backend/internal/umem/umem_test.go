package umem_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"tripod/go-backend/internal/bpftest"
	"tripod/go-backend/internal/umem"
)

func TestMain(m *testing.M) { bpftest.Main(m) }

// frames is an unlikely number, so that its mapping is known from others.
const frames = 3*512 + 2

func config() umem.Config {
	return umem.Config{Frames: frames, FrameSize: 4096, Node: umem.AnyNode}
}

// mappings counts mappings of this process that have a size.
func mappings(t *testing.T, size int) int {
	t.Helper()
	file, err := os.Open("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	count := 0
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var from, to uint64
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x", &from, &to); err != nil {
			t.Fatal(err)
		}
		if to-from == uint64(size) {
			count++
		}
	}
	return count
}

func open(t *testing.T, c umem.Config) *umem.Area {
	t.Helper()
	area, err := umem.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := area.Close(); err != nil {
			t.Error(err)
		}
	})
	return area
}

func TestConfigsThatAreRefused(t *testing.T) {
	for name, one := range map[string]struct {
		change func(*umem.Config)
		says   []string
	}{
		"no frames":          {func(c *umem.Config) { c.Frames = 0 }, []string{"UMEM of 0 frames", "1 to 16777216"}},
		"frame size 3000":    {func(c *umem.Config) { c.FrameSize = 3000 }, []string{"frame size 3000", "2048 or 4096", "multi-buffer"}},
		"frame size 8192":    {func(c *umem.Config) { c.FrameSize = 8192 }, []string{"frame size 8192", "2048 or 4096"}},
		"frame size 1024":    {func(c *umem.Config) { c.FrameSize = 1024 }, []string{"frame size 1024"}},
		"headroom too large": {func(c *umem.Config) { c.Headroom = 3900 }, []string{"headroom 3900", "0 to 2542 bytes", "frame of 4096"}},
		"headroom negative":  {func(c *umem.Config) { c.Headroom = -1 }, []string{"headroom -1"}},
		"odd pages":          {func(c *umem.Config) { c.Pages = 5000 }, []string{"pages of 5000 bytes", "2 MiB", "1 GiB"}},
		"odd node":           {func(c *umem.Config) { c.Node = -2 }, []string{"NUMA node -2"}},
		"all at once":        {func(c *umem.Config) { *c = umem.Config{Pages: 1, Node: 5000} }, []string{"0 frames", "frame size 0", "pages of 1", "node 5000"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := config()
			one.change(&c)
			area, err := umem.New(c)
			if err == nil {
				area.Close()
				t.Fatal("it was taken")
			}
			for _, words := range one.says {
				if !strings.Contains(err.Error(), words) {
					t.Errorf("%q does not say %q", err, words)
				}
			}
			if left := mappings(t, frames*4096); left != 0 {
				t.Errorf("%d mappings are left", left)
			}
		})
	}
}

// needsBinding is for tests that a container without SYS_NICE cannot run.
func needsBinding(t *testing.T) {
	t.Helper()
	c := config()
	c.Node = 0
	area := open(t, c)
	if area.Placement().Policy != "bind:0" {
		bpftest.Unavailable(t, errors.New("binding memory to a NUMA node is denied to this process"))
	}
	if err := area.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAnAbsentNodeIsRefused(t *testing.T) {
	needsBinding(t)
	c := config()
	c.Node = 900
	_, err := umem.New(c)
	for _, words := range []string{"UMEM of 6299648 bytes in pages of 4 KiB", "bind to NUMA node 900", "has the nodes 0"} {
		if err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%v does not say %q", err, words)
		}
	}
	if left := mappings(t, frames*4096); left != 0 {
		t.Errorf("%d mappings are left", left)
	}
}

func TestEveryPageIsOnTheNode(t *testing.T) {
	needsBinding(t)
	c := config()
	c.Node = 0
	area := open(t, c)
	placement := area.Placement()
	if placement.Policy != "bind:0" || placement.Pages[0] < frames || len(placement.Pages) != 1 {
		t.Errorf("got %v", placement)
	}
	if err := area.Close(); err != nil || mappings(t, frames*4096) != 0 {
		t.Errorf("after close: %v, %d mappings", err, mappings(t, frames*4096))
	}
	if err := area.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
}

func TestHugePagesAreProvenByNumaMaps(t *testing.T) {
	needsBinding(t)
	bpftest.ReserveHugePages(t, uint(umem.Huge2M), 4)
	c := config()
	c.Pages, c.Node = umem.Huge2M, 0
	area := open(t, c)
	// Three pages and two frames more.
	if got := area.Placement(); got.Policy != "bind:0" || got.PageSize != 2<<20 || got.Pages[0] != 4 || len(got.Pages) != 1 {
		t.Errorf("got %v", got)
	}
	if area.FellBack() != nil {
		t.Errorf("fell back: %v", area.FellBack())
	}
	text, err := os.ReadFile("/proc/self/numa_maps")
	if err != nil || !strings.Contains(string(text), "bind:0 anon=4 dirty=4 active=0 N0=4 kernelpagesize_kB=2048") &&
		!strings.Contains(string(text), "huge anon=4 dirty=4 N0=4 kernelpagesize_kB=2048") {
		t.Errorf("numa_maps: %v\n%s", err, text)
	}
}

func TestTooFewHugePages(t *testing.T) {
	// More than any machine of these tests has, so nothing needs to be taken away from it.
	c := umem.Config{Frames: 1 << 22, FrameSize: 4096, Pages: umem.Huge1G, Node: 0}
	_, err := umem.New(c)
	if err == nil {
		t.Fatal("it was taken")
	}
	for _, words := range []string{"pages of 1 GiB", "16 pages are needed", "NUMA node 0 has ", " free ones", "role hugepages"} {
		if !strings.Contains(err.Error(), words) {
			t.Errorf("%q does not say %q", err, words)
		}
	}
	if left := mappings(t, 16<<30); left != 0 {
		t.Errorf("%d mappings are left", left)
	}
}

func TestFallbackIsTakenOnlyWhereItIsAllowed(t *testing.T) {
	needsBinding(t)
	for name, c := range map[string]umem.Config{
		"pages": {Frames: frames, FrameSize: 2048, Pages: umem.Huge1G, Node: 0, Fallback: true},
		"node":  {Frames: frames, FrameSize: 2048, Node: 900, Fallback: true},
	} {
		t.Run(name, func(t *testing.T) {
			area := open(t, c)
			if area.FellBack() == nil || area.Placement().PageSize != os.Getpagesize() {
				t.Errorf("got %v for %v", area.Placement(), area.FellBack())
			}
			// Pages of another size are no reason to leave the node.
			if policy := area.Placement().Policy; name == "pages" && policy != "bind:0" {
				t.Errorf("policy %s", policy)
			}
		})
	}
}

func TestBytesEndWithTheirFrame(t *testing.T) {
	c := config()
	c.Headroom = 64
	area := open(t, c)
	start := area.Start(5*4096 + 17)
	if start != 5*4096+256+64 || area.Room() != 4096-256-64 {
		t.Fatalf("start %d, room %d", start, area.Room())
	}
	bytes := area.Bytes(start, 60)
	if len(bytes) != 60 || cap(bytes) != area.Room() {
		t.Errorf("length %d, capacity %d", len(bytes), cap(bytes))
	}
	bytes[0] = 7
	if area.Memory()[start] != 7 || area.Frame(start) != 5*4096 {
		t.Error("it is other memory")
	}
}

package workers

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tripod/go-backend/internal/umem"
	"tripod/go-backend/internal/xsk"
)

func TestAFileOfWorkersIsRead(t *testing.T) {
	specs, err := parse([]byte(`{"workers": [
		{"name": "b", "nic": "eth1", "queues": [3], "handler": "echo", "options": {"addresses": ["192.0.2.1", "2001:db8::1"]},
		 "cpus": [1], "mode": "copy", "hugepages": "2M", "node": 1, "rx_ring": 64, "tx_ring": 64, "busy_poll_us": 50},
		{"name": "a", "nic": "eth0", "queues": [0, 1], "handler": "sink", "options": null}]}`))
	if err != nil || len(specs) != 2 {
		t.Fatal(specs, err)
	}
	a, b := specs[0], specs[1]
	if a.Name != "a" || a.FrameSize != 4096 || a.FrameCount != 4096+2048 || a.Batch != 64 || a.WatchdogMs != 100 {
		t.Errorf("defaults: %+v", a)
	}
	memory, socket := b.memory(1), b.socket(3)
	if memory.Pages != umem.Huge2M || memory.Node != 1 || memory.Frames != 192 || socket.Mode != xsk.Copy ||
		socket.BusyPoll.Time.Microseconds() != 50 || socket.Queue != 3 || socket.Interface != "eth1" {
		t.Errorf("%+v, %+v", memory, socket)
	}
	if specs, err := parse([]byte(`{"workers": []}`)); err != nil || len(specs) != 0 {
		t.Error("no workers:", specs, err)
	}
}

// TestWhatTheRoleWritesIsRead reads a file with every key and every handler, as the module afxdp_workers renders it.
func TestWhatTheRoleWritesIsRead(t *testing.T) {
	specs, _, err := Read("testdata/workers.json")
	if err != nil {
		t.Fatal(err)
	}
	var handlers []string
	for _, spec := range specs {
		handlers = append(handlers, spec.Handler)
	}
	slices.Sort(handlers)
	if known := slices.Sorted(maps.Keys(kinds)); !slices.Equal(slices.Compact(handlers), known) {
		t.Errorf("it has %v, there are %v", handlers, known)
	}
}

func TestEverythingThatIsWrongWithAFileIsSaidAtOnce(t *testing.T) {
	worker := func(members string) string {
		return `{"workers": [{"name": "edge", "nic": "eth0", "queues": [0], "handler": "sink"` + members + `}]}`
	}
	for name, one := range map[string]struct {
		file string
		says []string
	}{
		"empty":          {``, []string{"EOF"}},
		"two values":     {`{} {}`, []string{"something follows"}},
		"unknown at top": {`{"worker": []}`, []string{`unknown field "worker"`}},
		"nothing":        {`{"workers": [{}]}`, []string{"name must begin", "nic is missing", "queues is empty", `handler ""`}},
		"unknown": {
			worker(`, "cpu": 1`), []string{`worker 1, "edge": json: unknown field "cpu"`},
		},
		"kind of value":  {worker(`, "batch": "many"`), []string{"batch"}},
		"handler":        {`{"workers": [{"name": "e", "nic": "n", "queues": [0], "handler": "mirror"}]}`, []string{`handler "mirror": there are `, "echo", "sink"}},
		"queues":         {worker(`, "queues": [0, 0, -1]`), []string{"queue 0: each", "queue -1: each"}},
		"CPUs":           {worker(`, "cpus": [0, 1]`), []string{"2 CPUs for 1 queues"}},
		"mode":           {worker(`, "mode": "fast"`), []string{`mode "fast": auto`}},
		"frame size":     {worker(`, "frame_size": 3000`), []string{"frame size 3000: the kernel takes 2048 or 4096"}},
		"headroom":       {worker(`, "headroom": 4000`), []string{"headroom 4000"}},
		"frames":         {worker(`, "frame_count": 100`), []string{"frame_count 100: its rings hold up to 6144"}},
		"pages":          {worker(`, "hugepages": "4K"`), []string{`hugepages "4K": 2M, 1G`}},
		"node":           {worker(`, "node": -2`), []string{"NUMA node -2"}},
		"rings":          {worker(`, "rx_ring": 1000`), []string{"rx ring of 1000"}},
		"batch":          {worker(`, "batch": 3`), []string{"batch of 3"}},
		"watchdog":       {worker(`, "watchdog_ms": 5`), []string{"watchdog_ms 5: 50 to"}},
		"busy polling":   {worker(`, "busy_poll_us": 2000000`), []string{"busy polling for 2s"}},
		"options":        {worker(`, "options": {"a": 1}`), []string{`options of handler sink: json: unknown field "a"`}},
		"several faults": {worker(`, "batch": 3, "mode": "fast", "watchdog_ms": 5`), []string{"batch of 3", "mode", "watchdog_ms"}},
		"two workers": {`{"workers": [
			{"name": "e", "nic": "n", "queues": [0, 1], "handler": "sink"}, {"name": "e", "nic": "n", "queues": [2], "handler": "sink"},
			{"name": "f", "nic": "n", "queues": [1], "handler": "sink"}]}`,
			[]string{`worker 2, "e": there is another`, `worker 3, "f": queue 1 of n is worker "e"'s`}},
		"no address":    {`{"workers": [{"name": "e", "nic": "n", "queues": [0], "handler": "echo"}]}`, []string{"options of handler echo: addresses is empty"}},
		"bad address":   {`{"workers": [{"name": "e", "nic": "n", "queues": [0], "handler": "echo", "options": {"addresses": ["x"]}}]}`, []string{"options of handler echo", `"x"`}},
		"group address": {`{"workers": [{"name": "e", "nic": "n", "queues": [0], "handler": "echo", "options": {"addresses": ["ff02::1"]}}]}`, []string{"none that a station can have"}},
	} {
		specs, err := parse([]byte(one.file))
		if err == nil || specs != nil {
			t.Errorf("%s: got %v, %v", name, specs, err)
			continue
		}
		for _, words := range one.says {
			if !strings.Contains(err.Error(), words) {
				t.Errorf("%s: %q does not say %q", name, err, words)
			}
		}
	}
}

func TestAFileThatIsNotThereIsSaid(t *testing.T) {
	path := filepath.Join(t.TempDir(), "workers.json")
	if _, digest, err := Read(path); err == nil || digest != "" || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, digest, err := Read(path); err == nil || len(digest) != 64 || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
}

func TestCPUsAreChosenNearTheNICAndNobodys(t *testing.T) {
	allowed := []int{0, 1, 2, 3}
	for name, one := range map[string]struct {
		n     int
		near  []int
		taken map[int]bool
		want  []int
	}{
		"any":           {2, nil, nil, []int{0, 1}},
		"near":          {2, []int{2, 3}, nil, []int{2, 3}},
		"near and free": {1, []int{2, 3}, map[int]bool{2: true}, []int{3}},
		"free first":    {2, []int{2, 3}, map[int]bool{2: true, 3: true}, []int{0, 1}},
		"all taken":     {1, []int{3}, map[int]bool{0: true, 1: true, 2: true, 3: true}, []int{3}},
		"too few":       {5, nil, nil, []int{0, 1, 2, 3, 0}},
	} {
		if got := chooseCPUs(one.n, allowed, one.near, one.taken); !slices.Equal(got, one.want) {
			t.Errorf("%s: got %v, want %v", name, got, one.want)
		}
	}
	for list, want := range map[string][]int{"0-2,8": {0, 1, 2, 8}, "5": {5}, "": nil, "1-x": nil} {
		if got := parseCPUs(list); !slices.Equal(got, want) {
			t.Errorf("%q: got %v", list, got)
		}
	}
}

package metrics_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"tripod/go-backend/internal/agent"
	"tripod/go-backend/internal/bpftest"
	"tripod/go-backend/internal/dataplane"
	"tripod/go-backend/internal/metrics"
	"tripod/go-backend/internal/object"
	"tripod/go-backend/internal/workers"
)

func TestMain(m *testing.M) { bpftest.Main(m) }

var silent = slog.New(slog.NewTextHandler(io.Discard, nil))

// slot is where the only list of these tests is counted.
const slot = 7

func collector(root, path string) prometheus.Collector {
	// An agent that is away: slots are told by their numbers.
	names := agent.NewNames(agent.New("/nonexistent/policy.sock"))
	return metrics.NewCollector(dataplane.NewRoot(root), object.Open(path), names, workers.New(dataplane.NewRoot(root), "", silent), silent)
}

// series returns what a scrape of the collector gives, by name and labels as in the text format.
func series(t *testing.T, c prometheus.Collector) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(c); err != nil {
		t.Fatal(err)
	}
	answer := httptest.NewRecorder()
	metrics.Handler(registry, silent).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if answer.Code != http.StatusOK {
		t.Fatalf("%d: %s", answer.Code, answer.Body)
	}
	found := make(map[string]float64)
	for _, line := range strings.Split(answer.Body.String(), "\n") {
		at := strings.LastIndex(line, " ")
		if at < 0 || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "promhttp_") {
			continue
		}
		value, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		found[line[:at]] = value
	}
	return found
}

func expect(t *testing.T, got, want map[string]float64) {
	t.Helper()
	for name, value := range want {
		if found, ok := got[name]; !ok || found != value {
			t.Errorf("%s: got %v (there: %v), want %v", name, found, ok, value)
		}
	}
}

func TestScrapeReadsTheMaps(t *testing.T) {
	h := bpftest.NewHost(t)
	name, gone := h.AddInterface(), h.AddInterface()
	h.Attach(name, nil)
	h.Attach(gone, nil)
	h.SetPolicy(name, bpftest.NewPolicy().List(slot, bpftest.ActionDrop, "192.0.0.0/16"))
	frame := bpftest.UDP("192.0.2.1", 0)
	h.Send(gone, frame, 2)
	h.RemoveInterface(gone)
	c := collector(h.Root, bpftest.Object(t))
	for sent := 3; sent <= 6; sent += 3 {
		h.Send(name, frame, 3)
		sentAt := time.Now()
		found, err := dataplane.NewRoot(h.Root).Interface(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]float64{
			fmt.Sprintf(`tripod_xdp_attached{interface=%q}`, name):                                        1,
			fmt.Sprintf(`tripod_xdp_attached{interface=%q}`, gone):                                        0,
			fmt.Sprintf(`tripod_xdp_packets_total{interface=%q,reason="list_drop",verdict="drop"}`, name): float64(sent),
			fmt.Sprintf(`tripod_xdp_bytes_total{interface=%q,reason="list_drop",verdict="drop"}`, name):   float64(sent * len(frame)),
			// What was counted before the interface went stays counted.
			fmt.Sprintf(`tripod_xdp_packets_total{interface=%q,reason="no_rule",verdict="pass"}`, gone): 2,
			fmt.Sprintf(`tripod_xdp_bytes_total{interface=%q,reason="no_rule",verdict="pass"}`, gone):   float64(2 * len(frame)),
			fmt.Sprintf(`tripod_xdp_program_info{id="%d",interface=%q,mode="native",name="tripod_xdp",tag=%q}`,
				found.Program.ID, name, found.Program.Tag): 1,
			"tripod_xdp_read_errors":        0,
			"tripod_xdp_unexpected_entries": 0,
			"tripod_xdp_object_usable":      1,
			"tripod_ready":                  1,
			"tripod_panics_total":           0,
		}
		for _, state := range dataplane.States() {
			for ifname, is := range map[string]dataplane.State{name: dataplane.Running, gone: dataplane.Absent} {
				key := fmt.Sprintf(`tripod_xdp_interface_state{interface=%q,state=%q}`, ifname, state)
				want[key] = 0
				if state == is {
					want[key] = 1
				}
			}
		}
		for series, value := range map[string]float64{
			"packets_total": float64(sent), "bytes_total": float64(sent * len(frame)),
			"observed_packets_total": 0, "observed_bytes_total": 0,
		} {
			want[fmt.Sprintf(`tripod_policy_%s{id="%d",interface=%q,part="unknown"}`, series, slot, name)] = value
		}
		got := series(t, c)
		last := fmt.Sprintf(`tripod_policy_last_hit_timestamp_seconds{id="%d",interface=%q,part="unknown"}`, slot, name)
		if late := float64(sentAt.Unix()) - got[last]; late < -2 || late > 2 {
			t.Errorf("the last hit is %v s off", late)
		}
		delete(got, last)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got  %v\nwant %v", got, want)
		}
	}
	if problems, err := testutil.CollectAndLint(c); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}

func TestNoSeriesIsLostSilently(t *testing.T) {
	h := bpftest.NewHost(t)
	name, blind := h.AddInterface(), h.AddInterface()
	for _, one := range []string{name, blind} {
		h.Attach(one, nil)
		h.Send(one, bpftest.UDP("192.0.2.1", 0), 2)
	}
	object := filepath.Join(t.TempDir(), "object.o")
	view := filepath.Join(t.TempDir(), "bpf")
	for path, target := range map[string]string{object: bpftest.Object(t), view: h.Root} {
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
	}
	c := collector(view, object)
	packets := fmt.Sprintf(`tripod_xdp_packets_total{interface=%q,reason="no_rule",verdict="pass"}`, name)
	state := func(ifname, state string) string {
		return fmt.Sprintf(`tripod_xdp_interface_state{interface=%q,state=%q}`, ifname, state)
	}
	attached := func(ifname string) string { return fmt.Sprintf(`tripod_xdp_attached{interface=%q}`, ifname) }
	expect(t, series(t, c), map[string]float64{packets: 2, "tripod_xdp_object_usable": 1, "tripod_ready": 1})

	if err := os.Remove(object); err != nil {
		t.Fatal(err)
	}
	expect(t, series(t, c), map[string]float64{
		packets: 2, attached(name): 1, "tripod_xdp_object_usable": 0, "tripod_ready": 0, "tripod_xdp_read_errors": 1,
	})
	fresh := series(t, collector(view, object))
	expect(t, fresh, map[string]float64{strings.Replace(packets, "no_rule", "unknown_0", 1): 2, "tripod_xdp_object_usable": 0})

	if err := os.Remove(h.Map(blind, "counters")); err != nil {
		t.Fatal(err)
	}
	expect(t, series(t, c), map[string]float64{
		packets: 2, state(name, "attached"): 1, attached(blind): 1, state(blind, "damaged"): 1, "tripod_xdp_read_errors": 2,
	})

	// No pin root: its interfaces are not known any more, and that is said of each.
	if err := os.Remove(view); err != nil {
		t.Fatal(err)
	}
	expect(t, series(t, c), map[string]float64{
		state(name, "unreadable"): 1, state(name, "attached"): 0, attached(name): 0, state(blind, "unreadable"): 1,
		"tripod_ready": 0, "tripod_xdp_read_errors": 2,
	})
}

func TestADirectoryOfAnyNameDoesNotStopTheScrape(t *testing.T) {
	h := bpftest.NewHost(t)
	name := h.AddInterface()
	h.Attach(name, nil)
	for _, entry := range []string{"\xff\xfe", "a b", "eth0~1"} {
		if err := os.Mkdir(filepath.Join(h.Root, entry), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(h.Root, name+"~0badcafe"), 0o755); err != nil {
		t.Fatal(err)
	}
	got := series(t, collector(h.Root, bpftest.Object(t)))
	expect(t, got, map[string]float64{"tripod_xdp_unexpected_entries": 3, "tripod_ready": 1, "tripod_panics_total": 0})
	for name := range got {
		if strings.Contains(name, "~") {
			t.Errorf("%s is no interface", name)
		}
	}
}

package metrics_test

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"tripod/go-backend/internal/bpftest"
	"tripod/go-backend/internal/dataplane"
	"tripod/go-backend/internal/metrics"
	"tripod/go-backend/internal/object"
)

func TestMain(m *testing.M) { bpftest.Main(m) }

func collector(root, path string) prometheus.Collector {
	return metrics.NewCollector(dataplane.NewRoot(root), object.Open(path), slog.New(slog.NewTextHandler(io.Discard, nil)))
}

func TestScrapeReadsTheMaps(t *testing.T) {
	h := bpftest.NewHost(t)
	name, gone := h.AddInterface(), h.AddInterface()
	h.Attach(name, nil)
	h.Attach(gone, nil)
	h.RemoveInterface(gone)
	h.Rule(name, "192.0.2.0/24", bpftest.ActionDrop, bpftest.OwnerInventory)
	frame := bpftest.UDP("192.0.2.1", 0)
	c := collector(h.Root, bpftest.Object(t))
	for sent := 3; sent <= 6; sent += 3 {
		h.Send(name, frame, 3)
		found, err := dataplane.NewRoot(h.Root).Interface(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf(`
# HELP tripod_xdp_attached 1 where the interface runs the pinned program, 0 where it runs another or none.
# TYPE tripod_xdp_attached gauge
tripod_xdp_attached{interface=%[1]q} 1
tripod_xdp_attached{interface=%[2]q} 0
# HELP tripod_xdp_bytes_total Bytes of these packets, Ethernet header included.
# TYPE tripod_xdp_bytes_total counter
tripod_xdp_bytes_total{interface=%[1]q,reason="acl_drop",verdict="drop"} %[3]d
# HELP tripod_xdp_packets_total Packets by what the XDP program did with them and why.
# TYPE tripod_xdp_packets_total counter
tripod_xdp_packets_total{interface=%[1]q,reason="acl_drop",verdict="drop"} %[4]d
# HELP tripod_xdp_program_info The attached XDP program; always 1.
# TYPE tripod_xdp_program_info gauge
tripod_xdp_program_info{id="%[5]d",interface=%[1]q,mode="native",name="tripod_xdp",tag=%[6]q} 1
# HELP tripod_xdp_read_errors Interfaces whose pins could not be read in this scrape; the log says why.
# TYPE tripod_xdp_read_errors gauge
tripod_xdp_read_errors 0
`, name, gone, sent*len(frame), sent, found.Program.ID, found.Program.Tag)
		if err := testutil.CollectAndCompare(c, strings.NewReader(want)); err != nil {
			t.Error(err)
		}
	}
	if problems, err := testutil.CollectAndLint(c); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}

func TestUnreadablePinsAreCountedAndDoNotFailTheScrape(t *testing.T) {
	want := `
# HELP tripod_xdp_read_errors Interfaces whose pins could not be read in this scrape; the log says why.
# TYPE tripod_xdp_read_errors gauge
tripod_xdp_read_errors 1
`
	// An ordinary directory is no bpf file system.
	if err := testutil.CollectAndCompare(collector(t.TempDir(), "absent.o"), strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

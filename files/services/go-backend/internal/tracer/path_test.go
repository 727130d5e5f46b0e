package tracer_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"tripod/go-backend/internal/bpftest"
	"tripod/go-backend/internal/dataplane"
	"tripod/go-backend/internal/object"
	"tripod/go-backend/internal/tracer"
)

func TestTrace(t *testing.T) {
	h, name, traces := setUp(t)
	h.SetPolicy(name, bpftest.NewPolicy().
		Trusted("203.0.0.0/16").
		List(1, bpftest.ActionDrop, "10.0.0.0/16").
		List(2, bpftest.ActionPass, "10.1.0.0/16").
		ObservedList(3, bpftest.ActionDrop, "10.2.0.0/16").
		List(4, bpftest.ActionDrop, "2001:c00::/22").
		Rule(5, bpftest.ActionDrop, true).
		Rule(6, bpftest.ActionNone, false).
		Limit(7, 1000, false).
		Limit(8, 0, true).
		Service(9, bpftest.ActionPass).
		ServiceLimit(10, 1000))
	service := "list 2 matched, service 9 pass, limit 10 conformed"
	passed := "rule 5 would matched, rule 6 matched, limit 7 conformed, limit 8 would exceeded, service 9 pass, limit 10 conformed"
	for _, test := range []struct {
		what    string
		frame   []byte
		verdict uint32
		reason  string
		would   string
		path    string
	}{
		{"trusted", bpftest.UDP("203.0.113.1", 0), pass, "trusted", "", "trusted pass"},
		{"dropped by a list", bpftest.UDP("10.0.2.3", 0), drop, "list_drop", "", "list 1 drop"},
		{"passed by a list, and a service", bpftest.UDP("10.1.2.3", 0), pass, "service_pass", "", service},
		{"an observed list", bpftest.UDP("10.2.2.3", 0), pass, "service_pass", "drop list_drop", "list 3 would drop, " + passed},
		{"nothing but rules", bpftest.UDP("192.0.2.1", 0), pass, "service_pass", "drop rule_drop",
			strings.Replace(passed, "would matched", "would drop", 1)},
		{"IPv6 dropped by a list", bpftest.UDP("2001:db8::1", 0), drop, "list_drop", "", "list 4 drop"},
		{"VLAN", bpftest.Tag(bpftest.UDP("10.0.0.1", 0), bpftest.TypeVLAN, 7), drop, "list_drop", "", "list 1 drop"},
		{"two VLANs", bpftest.Tag(bpftest.Tag(bpftest.UDP("2001:db8::1", 0), bpftest.TypeVLAN, 7), bpftest.TypeQinQ, 8),
			drop, "list_drop", "", "list 4 drop"},
		{"ARP", bpftest.Ethernet(bpftest.TypeARP, make([]byte, 28)), pass, "not_ip", "", ""},
		{"bare Ethernet header", bpftest.Ethernet(bpftest.TypeARP, nil), pass, "not_ip", "", ""},
		{"IPv4 cut in its header", cut(bpftest.UDP("10.0.0.1", 0), 30), pass, "malformed", "", ""},
		{"IPv4 of a dropped source, cut behind it", cut(bpftest.UDP("10.0.0.1", 64), 40), drop, "list_drop", "", "list 1 drop"},
		{"IPv4 header and nothing more", bpftest.Ethernet(bpftest.TypeIPv4, nil), pass, "malformed", "", ""},
	} {
		t.Run(test.what, func(t *testing.T) {
			got, err := traces.Trace(t.Context(), name, test.frame)
			if err != nil {
				t.Fatal(err)
			}
			would := ""
			if got.Would != 0 {
				would = []string{drop: "drop", pass: "pass"}[got.Would] + " " + got.WouldReason
			}
			if got.Verdict != test.verdict || got.Reason != test.reason || would != test.would || words(got.Path) != test.path {
				t.Errorf("got %d %s, %q, %q\nwant %d %s, %q, %q",
					got.Verdict, got.Reason, would, words(got.Path), test.verdict, test.reason, test.would, test.path)
			}
			if got.Interface != name || got.Program.Name != object.ProgramName || got.Program.Mode != "native" || got.Extended {
				t.Errorf("answered for %+v", got)
			}
		})
	}
}

// words writes a path on one line.
func words(path []tracer.Step) string {
	steps := make([]string, len(path))
	for i, step := range path {
		words := []string{step.Part}
		if step.Slot != 0 {
			words = append(words, fmt.Sprint(step.Slot))
		}
		if step.Observed {
			words = append(words, "would")
		}
		steps[i] = strings.Join(append(words, step.Says), " ")
	}
	return strings.Join(steps, ", ")
}

func TestWhatNothingMatchesIsTheDefaults(t *testing.T) {
	h, name, traces := setUp(t)
	for action, want := range map[uint8]struct {
		verdict      uint32
		reason, path string
	}{
		bpftest.ActionPass: {pass, "no_rule", "default pass"},
		bpftest.ActionDrop: {drop, "default", "default drop"},
	} {
		h.SetPolicy(name, bpftest.NewPolicy().Default(action))
		got, err := traces.Trace(t.Context(), name, bpftest.UDP("192.0.2.1", 0))
		if err != nil || got.Verdict != want.verdict || got.Reason != want.reason || words(got.Path) != want.path {
			t.Errorf("got %+v, %v", got, err)
		}
	}
}

func TestATraceSpendsNothing(t *testing.T) {
	h, name, traces := setUp(t)
	h.SetPolicy(name, bpftest.NewPolicy().Limit(slot, 3, false))
	frame := bpftest.UDP("192.0.2.1", 0)
	// More often than the burst, of which the packets behind get all.
	for range 10 {
		if got, err := traces.Trace(t.Context(), name, frame); err != nil || got.Verdict != pass || words(got.Path) != "limit 7 conformed, default pass" {
			t.Fatalf("got %+v, %v", got, err)
		}
	}
	h.Send(name, frame, 5)
	if got, err := traces.Trace(t.Context(), name, frame); err != nil || got.Verdict != drop || words(got.Path) != "limit 7 exceeded" {
		t.Errorf("got %+v, %v", got, err)
	}
	found, err := dataplane.NewRoot(h.Root).Interface(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	hits, err := found.Hits()
	if err != nil || len(hits) != 1 || hits[0].Packets != 2 {
		t.Errorf("got %+v, %v, want the two packets that were received beyond the limit", hits, err)
	}
}

func TestAnExtensionIsNotRunByATraceButTold(t *testing.T) {
	h := bpftest.NewHost(t)
	name := h.AddInterface()
	h.Attach(name, func(spec *ebpf.CollectionSpec) {
		if err := spec.Variables[object.ExtendedName].Set(true); err != nil {
			t.Fatal(err)
		}
	})
	traces := tracer.New(dataplane.NewRoot(h.Root), object.Open(bpftest.Object(t)))
	defer traces.Close()
	got, err := traces.Trace(t.Context(), name, bpftest.UDP("192.0.2.1", 0))
	if err != nil || got.Verdict != pass || !got.Extended {
		t.Errorf("got %+v, %v", got, err)
	}
}

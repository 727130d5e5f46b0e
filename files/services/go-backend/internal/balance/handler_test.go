package balance

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tripod/go-backend/internal/checksum"
	"tripod/go-backend/internal/ip"
	"tripod/go-backend/internal/worker"
	"tripod/go-backend/internal/worker/workertest"
)

var (
	nic = NIC{Name: "nic", Index: 1, MAC: workertest.OurMAC, MTU: 1500}
	hop = [6]byte{0x02, 0, 0, 0, 0, 0x09}

	balanced4, balanced6 = netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("2001:db8::80")
	client4, client6     = netip.MustParseAddr("203.0.113.7").AsSlice(), netip.MustParseAddr("2001:db8:7::7").AsSlice()
	source4, source6     = netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")
)

func config(number int) Config {
	return Config{
		Addresses: []netip.Addr{balanced4, balanced6}, Backends: backends(number), Sources: []netip.Addr{source4, source6},
		HealthPort: 80,
	}
}

// newBalancer is one whose backends all live.
func newBalancer(t testing.TB, config Config) *Balancer {
	t.Helper()
	b, err := New(config, nic, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for i := range config.Backends {
		b.learn(i, hop, nil)
	}
	b.publish()
	return b
}

// tcp is a segment.
func tcp(from, to uint16) []byte {
	segment := make([]byte, 40)
	binary.BigEndian.PutUint16(segment, from)
	binary.BigEndian.PutUint16(segment[2:], to)
	segment[12] = 0x50
	return segment
}

func to4(body []byte) []byte { return workertest.IPv4(client4, balanced4.AsSlice(), ip.TCP, body) }
func to6(body []byte) []byte { return workertest.IPv6(client6, balanced6.AsSlice(), ip.TCP, 64, body) }

func TestPacketsGoIntoTunnels(t *testing.T) {
	for _, one := range []struct {
		name, encapsulation string
		backend             netip.Addr
		frame               []byte
		outer               []byte // headers between Ethernet's and the packet, but for lengths, checksums and the source port
	}{
		{"IPv4 in IPv4", "ipip", backends(1)[0].Address, to4(tcp(40000, 80)), []byte{4}},
		{"IPv6 in IPv4", "ipip", backends(1)[0].Address, to6(tcp(40000, 80)), []byte{41}},
		{"IPv4 in IPv6", "ipip", netip.MustParseAddr("fd00::9"), to4(tcp(40000, 80)), []byte{4}},
		{"IPv6 in IPv6", "ipip", netip.MustParseAddr("fd00::9"), to6(tcp(40000, 80)), []byte{41}},
		{"IPv4 in GUE", "gue", backends(1)[0].Address, to4(tcp(40000, 80)), []byte{17, 0, 4, 0, 0}},
		{"IPv6 in GUE over IPv6", "gue", netip.MustParseAddr("fd00::9"), to6(tcp(40000, 80)), []byte{17, 0, 41, 0, 0}},
	} {
		c := config(1)
		c.Backends[0].Address, c.Encapsulation = one.backend, one.encapsulation
		one.frame[15] = 0x02 // of what both families say of congestion or flow
		if one.frame[12] == 8 {
			one.frame[24], one.frame[25] = 0, 0
			checksum.Put(one.frame[24:], checksum.Sum(one.frame[14:34]))
		}
		got, reason := workertest.Handle(t, newBalancer(t, c).Handler(), workertest.Join(one.frame, make([]byte, 6)))
		if reason != "" {
			t.Errorf("%s: %s", one.name, reason)
			continue
		}
		inner := one.frame[14:]
		if !bytes.HasSuffix(got, inner) || [6]byte(got) != hop || [6]byte(got[6:]) != nic.MAC {
			t.Errorf("%s: % x", one.name, got)
			continue
		}
		outer := got[14 : len(got)-len(inner)]
		header, ok := ip.Parse(got[14:], len(got)-14)
		if !ok || header.Length != len(got)-14 || !header.ChecksumHolds() || header.Protocol != one.outer[0] || header.TTL != 64 ||
			!bytes.Equal(header.Destination, one.backend.AsSlice()) || header.V6 != (got[12] == 0x86) {
			t.Errorf("%s: % x", one.name, outer)
		}
		above := outer[len(header.Bytes):]
		if len(above) == 0 != (len(one.outer) == 1) {
			t.Fatalf("%s: % x", one.name, outer)
		}
		if len(above) == 0 {
			continue
		}
		sum := binary.BigEndian.Uint16(above[6:])
		if !bytes.Equal(above[8:], one.outer[1:]) || binary.BigEndian.Uint16(above[2:]) != 6080 || above[0] < 0xc0 ||
			int(binary.BigEndian.Uint16(above[4:])) != len(above)+len(inner) || (sum == 0) == header.V6 {
			t.Errorf("%s: % x", one.name, above)
		}
		datagram := got[14+len(header.Bytes):]
		if pseudo := checksum.Sum(got[22:54]) + 17 + uint64(len(datagram)); header.V6 &&
			checksum.Fold(pseudo+checksum.Sum(datagram)) != 0xffff {
			t.Errorf("%s: its checksum is wrong", one.name)
		}
	}
}

// owner is which backend has the flow of a frame.
func owner(t testing.TB, h worker.Handler, frame []byte) byte {
	t.Helper()
	got, reason := workertest.Handle(t, h, frame)
	if reason != "" {
		t.Fatal(reason)
	}
	return got[14+19] // the last byte of the outer destination
}

func TestConnectionsSurviveTheChangeOfABackend(t *testing.T) {
	b := newBalancer(t, config(10))
	h := b.Handler()
	const flows = 2000
	owners := func() (all [flows]byte) {
		packets := make([]worker.Packet, 1)
		came := workertest.Packet(t, 0, to4(tcp(0, 80)))
		whole := bytes.Clone(came.Data)
		for i := range all {
			packets[0] = came
			copy(packets[0].Data, whole)
			binary.BigEndian.PutUint16(packets[0].Data[34:], uint16(10000+i))
			h.Handle(packets)
			all[i] = packets[0].Data[14+19]
		}
		return all
	}
	before := owners()
	b.report(3, hop, errors.New("it died"))
	if owners() != before {
		t.Error("one check that failed moved flows")
	}
	b.report(3, hop, errors.New("it died"))
	after, moved := owners(), 0
	for i := range before {
		if before[i] != after[i] {
			if moved++; before[i] != 13 {
				t.Fatalf("flow %d went from %d to %d", i, before[i], after[i])
			}
		}
		if after[i] == 13 {
			t.Fatalf("flow %d is the dead one's", i)
		}
	}
	if moved < flows/20 || moved > flows*3/20 {
		t.Errorf("%d flows of %d moved", moved, flows)
	}
	b.report(3, hop, nil)
	b.report(3, hop, nil)
	if owners() != before {
		t.Error("with the backend back, flows are others' than before")
	}
	if status := b.Backends()[3]; !status.Alive || status.Share < 0.08 || status.Share > 0.12 || status.Packets == 0 {
		t.Errorf("%+v", status)
	}
}

func TestAnErrorGoesWhereItsConnectionIs(t *testing.T) {
	h := newBalancer(t, config(10)).Handler()
	router := netip.MustParseAddr("192.0.2.99").AsSlice()
	for port := range uint16(50) {
		segment := to4(tcp(2000+port, 80))
		answer := workertest.IPv4(balanced4.AsSlice(), client4, ip.TCP, tcp(80, 2000+port))[14:]
		message := workertest.IPv4(router, balanced4.AsSlice(), ip.ICMP, workertest.Join([]byte{3, 4, 0, 0, 0, 0, 5, 0}, answer[:28]))
		if owner(t, h, segment) != owner(t, h, message) {
			t.Errorf("port %d: what is too long for its path is said to another backend", port)
		}
	}
	six := workertest.IPv6(balanced6.AsSlice(), client6, ip.TCP, 64, tcp(80, 1))[14:]
	message := workertest.IPv6(client6, balanced6.AsSlice(), ip.ICMPv6, 64, workertest.Join([]byte{2, 0, 0, 0, 0, 0, 5, 0}, six))
	if owner(t, h, to6(tcp(1, 80))) != owner(t, h, message) {
		t.Error("it is said to another backend over IPv6")
	}
}

func TestBalanceDropsByName(t *testing.T) {
	dead, err := New(config(2), nic, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ofLink := netip.MustParseAddr("fe80::7").AsSlice() // whom no message may be sent to
	four := to4(tcp(1, 80))
	fragment := workertest.Changed(four, 20, 0x20)
	fragment[24], fragment[25] = 0, 0
	checksum.Put(fragment[24:], checksum.Sum(fragment[14:34]))
	for name, one := range map[string]struct {
		balancer *Balancer
		frame    []byte
		reason   string
	}{
		"a runt":                   {nil, four[:13], "malformed"},
		"no header":                {nil, four[:30], "malformed"},
		"without ports":            {nil, to4([]byte{1, 2, 3}), "malformed"},
		"a fragment":               {nil, fragment, "fragment"},
		"a fragment of IPv6":       {nil, workertest.IPv6(client6, balanced6.AsSlice(), 44, 64, make([]byte, 30)), "fragment"},
		"ARP":                      {nil, workertest.Changed(four, 13, 6), "unsupported"},
		"to another address":       {nil, workertest.IPv4(client4, client4, ip.TCP, tcp(1, 80)), "not_ours"},
		"to another one of IPv6":   {nil, workertest.IPv6(client6, client6, ip.TCP, 64, tcp(1, 80)), "not_ours"},
		"to a group":               {nil, workertest.Changed(four, 0, 3), "not_ours"},
		"a wrong header checksum":  {nil, workertest.Changed(four, 22, 9), "checksum"},
		"nobody lives":             {dead, four, "no_backend"},
		"too long":                 {nil, workertest.IPv6(ofLink, balanced6.AsSlice(), ip.TCP, 64, make([]byte, 1450)), "too_big"},
		"too long, and may be cut": {nil, to4(make([]byte, 1470)), "too_big"},
	} {
		if one.balancer == nil {
			one.balancer = newBalancer(t, config(2))
		}
		if sent, reason := workertest.Handle(t, one.balancer.Handler(), one.frame); reason != one.reason {
			t.Errorf("%s: %q, sent % x", name, reason, sent)
		}
	}
}

func TestAClientIsToldOfTheTunnelsMTU(t *testing.T) {
	got, reason := workertest.Handle(t, newBalancer(t, config(2)).Handler(), to6(make([]byte, 1450)))
	if reason != "" || got[54] != 2 || binary.BigEndian.Uint32(got[58:]) != 1480 || [6]byte(got) != workertest.TheirMAC ||
		!bytes.Equal(got[22:38], balanced6.AsSlice()) {
		t.Errorf("%q % .80x", reason, got)
	}
}

func TestConfigsThatCannotBe(t *testing.T) {
	bad := Config{
		Addresses:     []netip.Addr{balanced4, balanced4, netip.MustParseAddr("224.0.0.1")},
		Encapsulation: "vxlan", HealthCheck: "ping", HealthPath: "x", HealthInterval: 100, HealthTimeout: 200, HealthFall: 11, GUEPort: 1 << 16,
		Sources: []netip.Addr{source4}, ErrorsPerSecond: -1,
		Backends: []Backend{
			{Name: "a", Address: balanced4}, {Name: "a", Address: netip.MustParseAddr("fd00::1"), Weight: 101},
			{}, {Name: "d", Address: netip.MustParseAddr("fe80::1%eth0")}, {Name: "e", Address: balanced4},
		},
	}
	_, err := New(bad, nic, slog.New(slog.DiscardHandler))
	if err == nil {
		t.Fatal("it was taken")
	}
	for _, says := range []string{
		"address 198.51.100.1 is there twice", "address 224.0.0.1: it is no host's", `encapsulation "vxlan": "ipip" or "gue"`,
		`health check "ping"`, `health_path "x"`, "health_timeout_ms 200: 10 to 100", "health_fall 11: 1 to 10", "health_port 0: 1 to 65535",
		"gue_port 65536", "errors_per_second -1", `backend "a": address 198.51.100.1 is one that clients connect to`,
		`backend "a": address fd00::1: tunnels to it need a source`, `backend "a": weight 101: 1 to 100`, "backend number 2 has no name",
		"address fe80::1%eth0: an address with a zone", `backend "e": "a", 198.51.100.1 is there already`,
	} {
		if !strings.Contains(err.Error(), says) {
			t.Errorf("it does not say %q:\n%v", says, err)
		}
	}
	if _, err := New(Config{HealthPort: 1}, nic, nil); err == nil || !strings.Contains(err.Error(), "0 backends: 1 to 256") ||
		!strings.Contains(err.Error(), "0 of address: 1 to 64") {
		t.Errorf("empty: %v", err)
	}
	if _, err := New(config(1), NIC{Name: "x", MTU: 1300}, nil); err == nil || !strings.Contains(err.Error(), "MTU 1300") {
		t.Errorf("NIC: %v", err)
	}
}

func TestHealthCountsInARow(t *testing.T) {
	fault := errors.New("no")
	for name, one := range map[string]struct {
		results []error
		alive   bool
	}{
		"at first":              {[]error{nil}, true},
		"at first, dead":        {[]error{fault}, false},
		"one that failed":       {[]error{nil, fault}, true},
		"two that failed":       {[]error{nil, fault, fault}, false},
		"not in a row":          {[]error{nil, fault, nil, fault}, true},
		"one that passed":       {[]error{fault, nil}, false},
		"three that passed":     {[]error{fault, nil, nil, nil}, true},
		"passed, but not so":    {[]error{fault, nil, nil, fault, nil, nil}, false},
		"dead and alive again ": {[]error{nil, fault, fault, nil, nil, nil}, true},
	} {
		var h health
		for _, result := range one.results {
			h.take(result, 2, 3)
		}
		if h.alive != one.alive {
			t.Errorf("%s: alive is %t", name, h.alive)
		}
	}
}

func TestBackendsAreAskedUntilTheEnd(t *testing.T) {
	c := config(2)
	c.HealthInterval, c.HealthTimeout = 10, 10
	b, err := New(c, nic, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	b.probe = func(_ context.Context, backend Backend) ([6]byte, error) {
		if backend.Name == "b1" {
			return hop, errors.New("refused")
		}
		return hop, nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	b.Start(ctx, ctx)
	if all := b.Backends(); !all[0].Alive || all[0].Share != 1 || all[1].Alive || all[1].Fault != "refused" {
		t.Errorf("%+v", all)
	}
	cancel()
	b.Wait()
	if d := (Config{}).Detection(); d > 3e9 {
		t.Errorf("a dead backend gets packets for %v", d)
	}
}

// TestABackendThatDoesNotAnswerHoldsNobodyUp has a check of half a minute.
func TestABackendThatDoesNotAnswerHoldsNobodyUp(t *testing.T) {
	c := config(2)
	c.HealthInterval, c.HealthTimeout = 30_000, 30_000
	silent := func(ctx context.Context, backend Backend) ([6]byte, error) {
		if backend.Name == "b0" {
			return hop, nil
		}
		<-ctx.Done()
		return hop, ctx.Err()
	}
	life, end := context.WithCancel(t.Context())
	defer end()
	start := func(former *Balancer, waiting context.Context) (*Balancer, time.Duration) {
		b, err := New(c, nic, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if b.probe = silent; former != nil {
			b.Inherit(former)
		}
		began := time.Now()
		b.Start(life, waiting)
		return b, time.Since(began)
	}
	first, took := start(nil, t.Context())
	if took > 10*time.Second || !first.Backends()[0].Alive || first.Backends()[1].Alive {
		t.Errorf("after %v: %+v", took, first.Backends())
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, took := start(nil, over); took > patience/2 {
		t.Errorf("where nobody waits any more it took %v", took)
	}
	// What is known of both is the successor's before it has asked.
	first.report(1, hop, nil)
	next, took := start(first, t.Context())
	if all := next.Backends(); took > patience/2 || !all[0].Alive || !all[1].Alive || all[1].Share == 0 {
		t.Errorf("after %v: %+v", took, all)
	}
	end()
	first.Wait()
	next.Wait()
}

func TestBalanceDoesNotAllocate(t *testing.T) {
	h := newBalancer(t, config(10)).Handler()
	came := []worker.Packet{workertest.Packet(t, 0, to4(tcp(1, 80))), workertest.Packet(t, 0, to6(tcp(1, 80)))}
	packets, four, six := make([]worker.Packet, 2), bytes.Clone(came[0].Data), bytes.Clone(came[1].Data)
	if n := testing.AllocsPerRun(100, func() {
		copy(packets, came)
		copy(packets[0].Data, four)
		copy(packets[1].Data, six)
		h.Handle(packets)
	}); n != 0 || packets[1].Verdict != worker.Send {
		t.Errorf("%v allocations, verdict %d", n, packets[1].Verdict)
	}
}

func FuzzBalance(f *testing.F) {
	f.Add(to4(tcp(1, 80)))
	f.Add(to6(tcp(1, 80)))
	f.Add(workertest.IPv6(client6, balanced6.AsSlice(), 0, 64, make([]byte, 30)))
	h := newBalancer(f, config(3)).Handler()
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 3000 {
			return
		}
		if got, _ := workertest.Handle(t, h, data); got != nil && [6]byte(got[6:]) != nic.MAC {
			// An error message leaves by the address that the packet came to.
			if [6]byte(got[6:]) != [6]byte(data) {
				t.Errorf("sent from another MAC: % x", got)
			}
		}
	})
}

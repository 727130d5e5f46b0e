package samples

import (
	"testing"

	"tripod/go-backend/internal/bpftest"
)

func TestWhatAPacketSays(t *testing.T) {
	udp4, udp6 := bpftest.UDP("192.0.2.1", 10), bpftest.UDP("2001:db8::1", 10)
	fragment := append([]byte(nil), udp4...)
	fragment[14+7] = 1 // in the middle of a datagram
	for name, test := range map[string]struct {
		frame                       []byte
		source, ports, vlan, length int
	}{
		"IPv4":            {udp4, 4, 53, -1, len(udp4)},
		"IPv6":            {udp6, 16, 53, -1, len(udp6)},
		"a tag":           {bpftest.Tag(udp4, bpftest.TypeVLAN, 0x2007), 4, 53, 7, len(udp4) + 4},
		"two tags":        {bpftest.Tag(bpftest.Tag(udp6, bpftest.TypeVLAN, 9), bpftest.TypeQinQ, 8), 16, 53, 8, len(udp6) + 8},
		"cut off":         {udp4[:14+20+2], 4, -1, -1, len(udp4)},
		"a fragment":      {fragment, 4, -1, -1, len(udp4)},
		"half a header":   {udp4[:14+10], 0, -1, -1, len(udp4)},
		"half a tag":      {bpftest.Tag(udp4, bpftest.TypeVLAN, 7)[:16], 0, -1, -1, 16},
		"no IP":           {bpftest.Ethernet(bpftest.TypeARP, make([]byte, 28)), 0, -1, -1, 42},
		"half a frame":    {udp4[:9], 0, -1, -1, 9},
		"nothing":         {nil, 0, -1, -1, 0},
		"another version": {bpftest.Ethernet(bpftest.TypeIPv6, udp4[14:]), 0, -1, -1, len(udp4)},
	} {
		t.Run(name, func(t *testing.T) {
			got := read(test.frame, test.length)
			if len(got.Source) != test.source || len(got.Destination) != test.source || (got.Protocol != nil) != (test.source > 0) {
				t.Errorf("got %+v", got)
			}
			if value(got.DestinationPort) != test.ports || (got.SourcePort != nil) != (test.ports > 0) {
				t.Errorf("port %d, want %d", value(got.DestinationPort), test.ports)
			}
			if value(got.VLAN) != test.vlan {
				t.Errorf("VLAN %d, want %d", value(got.VLAN), test.vlan)
			}
		})
	}
}

func value(number *uint32) int {
	if number == nil {
		return -1
	}
	return int(*number)
}

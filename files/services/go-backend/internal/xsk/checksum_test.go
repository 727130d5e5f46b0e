package xsk

import (
	"encoding/binary"
	"testing"
)

func TestAChecksumIsCompletedHereWhereNobodyElseDoes(t *testing.T) {
	_, s := newFake(t)
	s.mode = ZeroCopy // whose driver tells of no offload
	for _, one := range []struct {
		packet        []byte
		start, offset uint16
		sum           uint16
	}{
		// The example of RFC 1071, section 3, whose words add up to 0xddf2; the first counts as a pseudo-header's sum.
		{[]byte{9, 9, 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}, 2, 0, ^uint16(0xddf2)},
		// The IPv4 header that Wikipedia's example of it has.
		{[]byte{0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0, 0, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0, 0xc7}, 0, 10, 0xb861},
		// An odd byte is the upper half of a word.
		{[]byte{0, 0, 0xff}, 0, 0, 0x00ff},
		// 0 would say that there is none.
		{[]byte{0, 0, 0xff, 0xff}, 0, 0, 0xffff},
	} {
		d := Desc{Addr: 2048 + 256, Len: uint32(len(one.packet))}
		bytes := s.area.Bytes(d.Addr, d.Len)
		copy(bytes, one.packet)
		s.Checksum(&d, one.start, one.offset)
		got := binary.BigEndian.Uint16(bytes[one.start+one.offset:])
		if got != one.sum || d.Options != 0 {
			t.Errorf("% x: got %04x, expected %04x, options %d", one.packet, got, one.sum, d.Options)
		}
	}
}

func TestMetadataLiesBeforeThePacketInItsFrame(t *testing.T) {
	_, s := newFake(t)
	s.mode, s.group.metadata = Copy, MetadataSize
	d := Desc{Addr: 2048 + 256, Len: 60}
	before := s.area.Bytes(2048+256-24, 24)
	for i := range before {
		before[i] = 0xff
	}
	s.Checksum(&d, 34, 6)
	if d.Options != 2 || binary.NativeEndian.Uint64(before) != 2 || binary.NativeEndian.Uint16(before[8:]) != 34 ||
		binary.NativeEndian.Uint16(before[10:]) != 6 || binary.NativeEndian.Uint64(before[16:]) != 0 {
		t.Errorf("options %d, metadata % x", d.Options, before)
	}
	if s.LaunchAt(&d, 7) {
		t.Error("a NIC that does not tell of it launches at a time")
	}
	s.nic = &NIC{Features: &Features{LaunchTime: true}}
	if !s.LaunchAt(&d, 7) || binary.NativeEndian.Uint64(before) != 2|4 || binary.NativeEndian.Uint64(before[16:]) != 7 {
		t.Errorf("metadata % x", before)
	}
	for name, run := range map[string]func(){
		"a checksum beyond the packet": func() { s.Checksum(&Desc{Addr: 2048 + 256, Len: 60}, 59, 0) },
		"metadata in another frame":    func() { s.Checksum(&Desc{Addr: 2048 + 16, Len: 60}, 34, 6) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			run()
		}()
	}
}

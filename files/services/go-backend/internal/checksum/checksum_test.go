package checksum_test

import (
	"encoding/binary"
	"testing"

	"tripod/go-backend/internal/checksum"
)

func TestSums(t *testing.T) {
	for _, one := range []struct {
		bytes []byte
		sum   uint16
	}{
		{nil, 0},
		// The example of RFC 1071, section 3.
		{[]byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}, 0xddf2},
		{[]byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5}, 0xe6fa},
		// An odd byte is the upper half of a word.
		{[]byte{0x12}, 0x1200},
		{[]byte{0xff, 0xff, 0xff, 0xff, 0xff}, 0xff00},
	} {
		if got := checksum.Fold(checksum.Sum(one.bytes)); got != one.sum {
			t.Errorf("% x: got %04x, expected %04x", one.bytes, got, one.sum)
		}
	}
	long := make([]byte, 1<<16)
	for i := range long {
		long[i] = 0xff
	}
	if got := checksum.Fold(checksum.Sum(long)); got != 0xffff {
		t.Errorf("got %04x of 64 KiB of ones", got)
	}
}

func TestAPutChecksumMakesAllOnes(t *testing.T) {
	packet := []byte{0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0, 0, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0, 0xc7}
	checksum.Put(packet[10:], checksum.Sum(packet))
	if got := binary.BigEndian.Uint16(packet[10:]); got != 0xb861 || checksum.Fold(checksum.Sum(packet)) != 0xffff {
		t.Errorf("got %04x", got)
	}
	zero := []byte{0xff, 0xff, 0, 0}
	if checksum.Put(zero[2:], checksum.Sum(zero)); zero[2] != 0xff || zero[3] != 0xff {
		t.Errorf("a zero is stored as % x", zero[2:])
	}
}

// Package checksum is the Internet checksum (RFC 1071), in the parts that it is put together of.
package checksum

import "encoding/binary"

// Sum is what some bytes add to a checksum: their 16-bit words in network order, an odd last byte followed by 0. Sums of
// pieces may be added up where each but the last is of an even length.
func Sum(b []byte) uint64 {
	var sum uint64
	for ; len(b) >= 4; b = b[4:] {
		sum += uint64(binary.BigEndian.Uint32(b))
	}
	if len(b) >= 2 {
		sum += uint64(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		sum += uint64(b[0]) << 8
	}
	return sum
}

// Fold makes 16 bits of a sum. The checksum is its complement; of a packet with its checksum it is 0xffff.
func Fold(sum uint64) uint16 {
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}

// Put stores the checksum of a sum. A zero is stored as its other form, 0xffff, since of UDP zero says that there is none.
func Put(place []byte, sum uint64) {
	value := ^Fold(sum)
	if value == 0 {
		value = 0xffff
	}
	binary.BigEndian.PutUint16(place, value)
}

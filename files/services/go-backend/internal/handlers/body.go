package handlers

import (
	"math/bits"

	"tripod/go-backend/internal/checksum"
	"tripod/go-backend/internal/worker"
)

// body is what an IP packet carries: its beginning in the packet's first buffer, and perhaps more in further ones.
type body struct {
	head   []byte
	packet *worker.Packet
	length int // of all
}

// carried returns so many bytes of a packet from a place in its first buffer on, and false where it has fewer.
func carried(packet *worker.Packet, from, length int) (body, bool) {
	if from > len(packet.Data) || length > packet.Length()-from {
		return body{}, false
	}
	return body{packet.Data[from:], packet, length}.cut(length), true
}

// cut returns the first bytes of it.
func (b body) cut(length int) body {
	b.head, b.length = b.head[:min(length, len(b.head))], length
	return b
}

// sum is what it adds to a checksum.
func (b body) sum() uint64 {
	sum, at := checksum.Sum(b.head), len(b.head)
	for number := 1; at < b.length; number++ {
		buffer := b.packet.Buffer(number)
		buffer = buffer[:min(len(buffer), b.length-at)]
		more := checksum.Sum(buffer)
		if at%2 == 1 {
			// Its bytes are the other halves of words (RFC 1071, section 2).
			more = uint64(bits.ReverseBytes16(checksum.Fold(more)))
		}
		sum, at = sum+more, at+len(buffer)
	}
	return sum
}

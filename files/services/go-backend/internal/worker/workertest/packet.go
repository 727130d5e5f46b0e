// Package workertest gives packets to handlers as a worker does, without one.
package workertest

import (
	"bytes"
	"encoding/binary"
	"testing"

	"tripod/go-backend/internal/checksum"
	"tripod/go-backend/internal/umem"
	"tripod/go-backend/internal/worker"
	"tripod/go-backend/internal/xsk"
)

// Stations of frames.
var (
	OurMAC   = [6]byte{0x02, 0, 0, 0, 0, 0x02}
	TheirMAC = [6]byte{0x02, 0, 0, 0, 0, 0x01}
)

// Packet returns a frame as it comes by a port, in one buffer or parted into several, in memory of its own.
func Packet(t testing.TB, port int, buffers ...[]byte) worker.Packet {
	t.Helper()
	const size = 4096
	area, err := umem.New(umem.Config{Frames: len(buffers), FrameSize: size, Node: umem.AnyNode})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { area.Close() })
	entries := make([]xsk.Desc, len(buffers))
	for i, buffer := range buffers {
		entries[i] = xsk.Desc{Addr: area.Start(uint64(i * size)), Len: uint32(len(buffer))}
		copy(area.Bytes(entries[i].Addr, entries[i].Len), buffer)
	}
	var p worker.Packet
	p.Set(area, port, entries)
	return p
}

// Handle gives a frame to a handler, in one buffer or in several, and returns what is sent or forwarded, or why nothing is.
func Handle(t testing.TB, h worker.Handler, buffers ...[]byte) (sent []byte, reason string) {
	t.Helper()
	packets := []worker.Packet{Packet(t, 0, buffers...)}
	h.Handle(packets)
	switch verdict := packets[0].Verdict; verdict {
	case worker.Consume:
		return nil, "consumed"
	case worker.Send, worker.Forward:
		for number := range packets[0].Buffers() {
			sent = append(sent, packets[0].Buffer(number)...)
		}
		return sent, ""
	default:
		for i, reason := range h.Reasons() {
			if verdict == worker.Drop(i) {
				return nil, reason
			}
		}
		t.Fatalf("verdict %d", verdict)
		return nil, ""
	}
}

// Join puts pieces of a frame together.
func Join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// Frame is an Ethernet frame.
func Frame(to, from [6]byte, ethertype uint16, payload []byte) []byte {
	return Join(to[:], from[:], binary.BigEndian.AppendUint16(nil, ethertype), payload)
}

// IPv4 is a frame from them to us, with a TTL of 7.
func IPv4(from, to []byte, protocol byte, body []byte) []byte {
	length := binary.BigEndian.AppendUint16(nil, uint16(20+len(body)))
	header := Join([]byte{0x45, 0}, length, []byte{0, 1, 0, 0, 7, protocol, 0, 0}, from, to)
	checksum.Put(header[10:], checksum.Sum(header))
	return Frame(OurMAC, TheirMAC, 0x0800, Join(header, body))
}

// IPv6 is a frame from them to us.
func IPv6(from, to []byte, next, limit byte, body []byte) []byte {
	header := Join([]byte{0x60, 0, 0, 0}, binary.BigEndian.AppendUint16(nil, uint16(len(body))), []byte{next, limit}, from, to)
	return Frame(OurMAC, TheirMAC, 0x86dd, Join(header, body))
}

// Summed stores a checksum in a body, of it and a pseudo-header of addresses and protocol, which is none where that is 0.
func Summed(body []byte, place int, protocol byte, addresses ...[]byte) []byte {
	sum := checksum.Sum(body)
	if protocol != 0 {
		sum += checksum.Sum(Join(addresses...)) + uint64(protocol) + uint64(len(body))
	}
	checksum.Put(body[place:], sum)
	return body
}

// UDP is a datagram without a checksum.
func UDP(from, to uint16, payload string) []byte {
	header := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, from), to)
	return Join(binary.BigEndian.AppendUint16(header, uint16(8+len(payload))), []byte{0, 0}, []byte(payload))
}

// ICMP is a message without a checksum.
func ICMP(kind byte, payload string) []byte {
	return Join([]byte{kind, 0, 0, 0, 0x12, 0x34, 0, 1}, []byte(payload))
}

// Changed is a copy with another byte.
func Changed(b []byte, at int, value byte) []byte {
	b = bytes.Clone(b)
	b[at] = value
	return b
}

package capture

import "encoding/binary"

// Of the pcapng format (draft-ietf-opsawg-pcapng): blocks, their options, and what they say.
const (
	blockSection    = 0x0a0d0d0a
	blockInterface  = 1
	blockStatistics = 5
	blockPacket     = 6

	optionEnd         = 0
	optionApplication = 4  // of a section
	optionName        = 2  // of an interface
	optionResolution  = 9  // of an interface's times
	optionFilter      = 11 // of an interface
	optionReceived    = 4  // of statistics
	optionMissed      = 5  // of statistics
	optionDelivered   = 8  // of statistics

	linkEthernet = 1
	nanoseconds  = 9 // of a second, as a power of ten
)

// block is what a stream is made of. It is written by appending; end completes it.
type block []byte

func newBlock(memory []byte, kind uint32) block {
	b := binary.LittleEndian.AppendUint32(memory[:0], kind)
	return binary.LittleEndian.AppendUint32(b, 0) // its length
}

func (b *block) number(values ...uint32) {
	for _, value := range values {
		*b = binary.LittleEndian.AppendUint32(*b, value)
	}
}

// moment is a time in two halves.
func (b *block) moment(nanoseconds uint64) { b.number(uint32(nanoseconds>>32), uint32(nanoseconds)) }

func (b *block) bytes(bytes []byte) {
	*b = append(*b, bytes...)
	for len(*b)%4 != 0 {
		*b = append(*b, 0)
	}
}

func (b *block) option(code uint16, value []byte) {
	*b = binary.LittleEndian.AppendUint16(*b, code)
	*b = binary.LittleEndian.AppendUint16(*b, uint16(len(value)))
	b.bytes(value)
}

func (b *block) count(code uint16, value uint64) {
	b.option(code, binary.LittleEndian.AppendUint64(nil, value))
}

// end stores the length at both ends.
func (b *block) end() []byte {
	length := uint32(len(*b) + 4)
	binary.LittleEndian.PutUint32((*b)[4:], length)
	b.number(length)
	return *b
}

func section() []byte {
	b := newBlock(nil, blockSection)
	b.number(0x1a2b3c4d, 1, 0xffffffff, 0xffffffff) // byte order, version 1.0, a length that is not known
	b.option(optionApplication, []byte("tripod go-backend"))
	b.option(optionEnd, nil)
	return b.end()
}

func description(name, filter string, most int) []byte {
	b := newBlock(nil, blockInterface)
	b.number(linkEthernet, uint32(most))
	b.option(optionName, []byte(name))
	b.option(optionResolution, []byte{nanoseconds})
	if filter != "" {
		const text = 0 // an expression, not a program
		b.option(optionFilter, append([]byte{text}, filter...))
	}
	b.option(optionEnd, nil)
	return b.end()
}

// packet appends a block to memory's start, and returns it.
func packet(memory []byte, queue int, r record) []byte {
	b := newBlock(memory, blockPacket)
	b.number(uint32(queue))
	b.moment(r.time)
	b.number(uint32(len(r.data)), r.original)
	b.bytes(r.data)
	return b.end()
}

func statistics(queue int, now, seen, missed, delivered uint64) []byte {
	b := newBlock(nil, blockStatistics)
	b.number(uint32(queue))
	b.moment(now)
	b.count(optionReceived, seen)
	b.count(optionMissed, missed)
	b.count(optionDelivered, delivered)
	b.option(optionEnd, nil)
	return b.end()
}

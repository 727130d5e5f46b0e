// Package cbpf compiles expressions in tcpdump's language to programs for the classic BPF machine, and runs them on
// Ethernet frames. See pcap-filter(7) for the language, and docs/handlers.md for the part of it that is known here.
package cbpf

import "encoding/binary"

// Instruction is one of the machine's, as the kernel has it (struct sock_filter in include/uapi/linux/filter.h).
type Instruction struct {
	Code        uint16
	True, False uint8 // how many instructions a jump skips
	K           uint32
}

// Program is what decides on a frame. The empty one takes every frame.
type Program []Instruction

// Parts of codes: classes, sizes, modes, operations and sources (include/uapi/linux/bpf_common.h).
const (
	classLoad, classLoadX, classStore, classStoreX, classALU, classJump, classReturn, classMisc = 0, 1, 2, 3, 4, 5, 6, 7

	sizeWord, sizeHalf, sizeByte = 0x00, 0x08, 0x10

	modeImmediate, modeAbsolute, modeIndexed, modeMemory, modeLength, modeHeader = 0x00, 0x20, 0x40, 0x60, 0x80, 0xa0

	add, subtract, multiply, divide, or, and, shiftLeft, shiftRight, negate, modulo, exclusiveOr = 0x00, 0x10, 0x20, 0x30, 0x40,
		0x50, 0x60, 0x70, 0x80, 0x90, 0xa0

	always, equal, greater, greaterEqual, anyOf = 0x00, 0x10, 0x20, 0x30, 0x40

	sourceX = 0x08
	resultA = 0x10
	toA     = 0x80
)

// words is the machine's memory.
const words = 16

// Run returns how many bytes of a frame are to be taken; 0 says that it is not. Frame is the first bytes of one of length
// bytes. What a program reads behind them ends it with 0.
func (p Program) Run(frame []byte, length uint32) uint32 {
	if len(p) == 0 {
		return ^uint32(0)
	}
	var a, x uint32
	var memory [words]uint32
	for at := 0; at < len(p); at++ {
		i := &p[at]
		switch i.Code & 7 {
		case classLoad:
			value, ok := i.load(frame, length, x, &memory)
			if !ok {
				return 0
			}
			a = value
		case classLoadX:
			switch i.Code & 0xe0 {
			case modeHeader:
				if uint64(i.K) >= uint64(len(frame)) {
					return 0
				}
				x = uint32(frame[i.K]&15) * 4
			default:
				x, _ = i.load(frame, length, x, &memory)
			}
		case classStore:
			memory[i.K%words] = a
		case classStoreX:
			memory[i.K%words] = x
		case classALU:
			value, ok := i.calculate(a, x)
			if !ok {
				return 0
			}
			a = value
		case classJump:
			at += i.skip(a, x)
		case classReturn:
			if i.Code&0x18 == resultA {
				return a
			}
			return i.K
		case classMisc:
			if i.Code&toA != 0 {
				a = x
			} else {
				x = a
			}
		}
	}
	return 0
}

// load is of a value that the program has, or of the frame's; it returns false behind its end.
func (i *Instruction) load(frame []byte, length, x uint32, memory *[words]uint32) (uint32, bool) {
	place := uint64(i.K)
	switch i.Code & 0xe0 {
	case modeImmediate:
		return i.K, true
	case modeMemory:
		return memory[i.K%words], true
	case modeLength:
		return length, true
	case modeIndexed:
		place += uint64(x)
	}
	end := uint64(len(frame))
	switch i.Code & 0x18 {
	case sizeByte:
		if place < end {
			return uint32(frame[place]), true
		}
	case sizeHalf:
		if place+2 <= end {
			return uint32(binary.BigEndian.Uint16(frame[place:])), true
		}
	default:
		if place+4 <= end {
			return binary.BigEndian.Uint32(frame[place:]), true
		}
	}
	return 0, false
}

// calculate returns false where it divides by 0.
func (i *Instruction) calculate(a, x uint32) (uint32, bool) {
	b := i.K
	if i.Code&sourceX != 0 {
		b = x
	}
	switch i.Code & 0xf0 {
	case add:
		a += b
	case subtract:
		a -= b
	case multiply:
		a *= b
	case divide, modulo:
		if b == 0 {
			return 0, false
		}
		if i.Code&0xf0 == divide {
			return a / b, true
		}
		return a % b, true
	case or:
		a |= b
	case and:
		a &= b
	case shiftLeft:
		a <<= b
	case shiftRight:
		a >>= b
	case negate:
		a = -a
	case exclusiveOr:
		a ^= b
	}
	return a, true
}

func (i *Instruction) skip(a, x uint32) int {
	b := i.K
	if i.Code&sourceX != 0 {
		b = x
	}
	var holds bool
	switch i.Code & 0xf0 {
	case always:
		return int(i.K)
	case equal:
		holds = a == b
	case greater:
		holds = a > b
	case greaterEqual:
		holds = a >= b
	case anyOf:
		holds = a&b != 0
	}
	if holds {
		return int(i.True)
	}
	return int(i.False)
}

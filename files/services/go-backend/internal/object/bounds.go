package object

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
)

// checkBounds refuses content that claims to be larger than it is. The readers of ELF and BTF make room for what a length
// says before they read it, and a process that asks for the 60 GiB of a flipped bit cannot be rescued.
func checkBounds(content []byte) error {
	file, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return err
	}
	for _, section := range file.Sections {
		if err := checkSection(file, section, uint64(len(content))); err != nil {
			return fmt.Errorf("section %q: %w", section.Name, err)
		}
	}
	symbols, err := file.Symbols()
	if err != nil && !errors.Is(err, elf.ErrNoSymbols) {
		return err
	}
	for _, symbol := range symbols {
		// Others are reserved numbers, of which nobody reads the content.
		if int(symbol.Section) < len(file.Sections) {
			size := file.Sections[symbol.Section].Size
			if symbol.Section != elf.SHN_UNDEF && !within(symbol.Value, symbol.Size, size) {
				return fmt.Errorf("symbol %q has %d bytes at %d of a section of %d", symbol.Name, symbol.Size, symbol.Value, size)
			}
		}
	}
	return nil
}

func checkSection(file *elf.File, section *elf.Section, size uint64) error {
	switch {
	case section.Flags&elf.SHF_COMPRESSED != 0:
		return errors.New("it is compressed, which no section of ours is")
	case section.Type == elf.SHT_NULL:
		return nil
	case section.Type == elf.SHT_NOBITS:
		if section.Size > maxSize {
			return fmt.Errorf("it has %d bytes, more than %d", section.Size, maxSize)
		}
		return nil
	case !within(section.Offset, section.FileSize, size):
		return fmt.Errorf("it has %d bytes at %d of a file of %d", section.FileSize, section.Offset, size)
	}
	check, ok := map[string]func([]byte, binary.ByteOrder) error{".BTF": checkBTF, ".BTF.ext": checkBTFExt}[section.Name]
	if !ok {
		return nil
	}
	data, err := section.Data()
	if err != nil {
		return err
	}
	return check(data, file.ByteOrder)
}

// within tells whether length bytes from offset on lie inside size.
func within(offset, length, size uint64) bool {
	return offset <= size && length <= size-offset
}

// btfMagic begins the headers of .BTF and .BTF.ext: magic, version, flags, the header's length, and then offsets, which
// count from its end, and lengths in turn (Documentation/bpf/btf.rst in the Linux tree).
const btfMagic = 0xeb9f

// parts returns the parts that a header of BTF describes, at most limit of them.
func parts(data []byte, order binary.ByteOrder, limit int) ([][]byte, error) {
	if len(data) < 8 || order.Uint16(data) != btfMagic {
		return nil, errors.New("it does not begin as BTF does")
	}
	size, header := uint64(len(data)), uint64(order.Uint32(data[4:]))
	if header < 8 || header > size {
		return nil, fmt.Errorf("its header has %d bytes of %d", header, size)
	}
	var found [][]byte
	for at := uint64(8); at+8 <= header && len(found) < limit; at += 8 {
		offset, length := header+uint64(order.Uint32(data[at:])), uint64(order.Uint32(data[at+4:]))
		if !within(offset, length, size) {
			return nil, fmt.Errorf("a part of it has %d bytes at %d of %d", length, offset, size)
		}
		found = append(found, data[offset:offset+length])
	}
	return found, nil
}

// checkBTF looks at the types and the strings.
func checkBTF(data []byte, order binary.ByteOrder) error {
	_, err := parts(data, order, 2)
	return err
}

// checkBTFExt looks at the records on functions, lines and relocations: the size of one, and then for each section its
// name, their number and themselves.
func checkBTFExt(data []byte, order binary.ByteOrder) error {
	found, err := parts(data, order, 3)
	if err != nil {
		return err
	}
	for _, part := range found {
		if len(part) < 4 {
			continue
		}
		record, rest := uint64(order.Uint32(part)), part[4:]
		for len(rest) >= 8 {
			number := uint64(order.Uint32(rest[4:]))
			rest = rest[8:]
			// Both have 32 bits, so the product fits.
			if number*record > uint64(len(rest)) {
				return fmt.Errorf("it has %d records of %d bytes in %d", number, record, len(rest))
			}
			rest = rest[number*record:]
		}
	}
	return nil
}

package umem

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"unsafe"
)

// Placement is what the kernel says of mapped memory in numa_maps.
type Placement struct {
	// Policy is the memory policy, such as "bind:1" or "default".
	Policy string
	// PageSize is in bytes.
	PageSize int
	// Pages are counts by NUMA node.
	Pages map[int]int
}

var errNotMapped = errors.New("not in numa_maps")

// PlacementOf reads where memory of this process is.
func PlacementOf(memory []byte) (Placement, error) {
	file, err := os.Open("/proc/self/numa_maps")
	if err != nil {
		return Placement{}, fmt.Errorf("read where memory is: %w", err)
	}
	defer file.Close()
	placement, err := parsePlacement(file, uint64(uintptr(unsafe.Pointer(&memory[0]))))
	if err != nil {
		return Placement{}, fmt.Errorf("read where memory is: %w", err)
	}
	return placement, nil
}

// parsePlacement returns the line of numa_maps that an address is in: the last that does not begin behind it.
// Source: show_numa_map in fs/proc/task_mmu.c.
func parsePlacement(lines io.Reader, address uint64) (Placement, error) {
	var line string
	scanner := bufio.NewScanner(lines)
	for scanner.Scan() {
		start, _, _ := strings.Cut(scanner.Text(), " ")
		if at, err := strconv.ParseUint(start, 16, 64); err != nil || at > address {
			break
		}
		line = scanner.Text()
	}
	if err := scanner.Err(); err != nil {
		return Placement{}, err
	}
	fields := strings.Fields(line)
	if len(fields) < 2 {
		return Placement{}, errNotMapped
	}
	placement := Placement{Policy: fields[1], Pages: make(map[int]int)}
	for _, field := range fields[2:] {
		key, text, _ := strings.Cut(field, "=")
		value, err := strconv.Atoi(text)
		if err != nil {
			continue
		}
		if key == "kernelpagesize_kB" {
			placement.PageSize = value << 10
		} else if node, err := strconv.Atoi(strings.TrimPrefix(key, "N")); err == nil && key[0] == 'N' {
			placement.Pages[node] = value
		}
	}
	return placement, nil
}

// satisfies says why a placement is not what was requested.
func (p Placement) satisfies(size int, pages PageSize, node int) error {
	if pages.huge() && p.PageSize != pages.bytes() {
		return fmt.Errorf("it has pages of %d bytes", p.PageSize)
	}
	total := 0
	for at, count := range p.Pages {
		total += count
		if node != AnyNode && at != node {
			return fmt.Errorf("%d of its pages are on NUMA node %d instead of %d", count, at, node)
		}
	}
	// Transparent huge pages are counted in ordinary ones; the kernel may have joined this mapping with a neighbour.
	if p.PageSize == 0 || total < size/p.PageSize {
		return fmt.Errorf("%d of its %d pages are present", total, size/max(p.PageSize, 1))
	}
	return nil
}

// String is for people: pages by node, their size and the policy.
func (p Placement) String() string {
	var nodes []string
	for _, node := range slices.Sorted(maps.Keys(p.Pages)) {
		nodes = append(nodes, fmt.Sprintf("%d on node %d", p.Pages[node], node))
	}
	return fmt.Sprintf("pages of %s: %s, policy %s", PageSize(p.PageSize), strings.Join(nodes, ", "), p.Policy)
}

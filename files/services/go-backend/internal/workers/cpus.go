package workers

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"tripod/go-backend/internal/umem"
	"tripod/go-backend/internal/worker"
)

// chooseCPUs returns a CPU for each of n queues out of those allowed: near the NIC and nobody's first, then nobody's, then
// near ones. Where they do not suffice, some are shared.
func chooseCPUs(n int, allowed, near []int, taken map[int]bool) []int {
	rank := func(cpu int) int {
		r := 0
		if taken[cpu] {
			r = 2
		}
		if !slices.Contains(near, cpu) {
			r++
		}
		return r
	}
	ranked := slices.Clone(allowed)
	slices.SortStableFunc(ranked, func(a, b int) int { return rank(a) - rank(b) })
	chosen := make([]int, n)
	for i := range chosen {
		chosen[i] = ranked[i%len(ranked)]
	}
	return chosen
}

// checkCPUs says which CPUs this process may not use.
func checkCPUs(cpus []int) error {
	allowed, err := worker.AllowedCPUs()
	if err != nil {
		return err
	}
	for _, cpu := range cpus {
		if !slices.Contains(allowed, cpu) {
			return fmt.Errorf("CPU %d is not in this process's cpuset, which has %v", cpu, allowed)
		}
	}
	return nil
}

// nodeCPUs returns the CPUs of a NUMA node; of none, or where the kernel does not tell, nothing.
func nodeCPUs(node int) []int {
	if node == umem.AnyNode {
		return nil
	}
	text, err := os.ReadFile(fmt.Sprintf("/sys/devices/system/node/node%d/cpulist", node))
	if err != nil {
		return nil
	}
	return parseCPUs(strings.TrimSpace(string(text)))
}

// parseCPUs reads a list such as 0-3,8 (Documentation/admin-guide/cputopology.rst), as far as it is one.
func parseCPUs(list string) []int {
	var cpus []int
	for _, span := range strings.Split(list, ",") {
		first, last, isSpan := strings.Cut(span, "-")
		from, err := strconv.Atoi(first)
		if err != nil {
			return cpus
		}
		to := from
		if isSpan {
			if to, err = strconv.Atoi(last); err != nil {
				return cpus
			}
		}
		for cpu := from; cpu <= to; cpu++ {
			cpus = append(cpus, cpu)
		}
	}
	return cpus
}

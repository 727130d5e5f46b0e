package worker

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// AnyCPU leaves the CPU to the kernel.
const AnyCPU = -1

// AllowedCPUs returns the CPUs of the process's cpuset, in order. A handler, whose thread has one CPU, gets that.
func AllowedCPUs() ([]int, error) {
	var set unix.CPUSet
	// Not of the main thread, which may be a worker's: the runtime makes new threads from one that is nobody's.
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("read the CPUs that are allowed: %w", err)
	}
	var cpus []int
	for cpu := 0; len(cpus) < set.Count(); cpu++ {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus, nil
}

// Move lets the worker's thread run on another CPU from now on. No packet is lost by that.
func (w *Worker) Move(cpu int) error {
	w.lock.Lock()
	defer w.lock.Unlock()
	if w.ended {
		// The number may be another thread's by now.
		return fmt.Errorf("move to CPU %d: the worker has ended", cpu)
	}
	return pin(w.thread, cpu)
}

// pin binds a thread to a CPU.
func pin(thread, cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	err := unix.SchedSetaffinity(thread, &set)
	if err == nil {
		return nil
	}
	allowed, _ := AllowedCPUs()
	words := make([]string, len(allowed))
	for i, one := range allowed {
		words[i] = strconv.Itoa(one)
	}
	return fmt.Errorf("run on CPU %d: %w: this process may use %s", cpu, err, strings.Join(words, ", "))
}

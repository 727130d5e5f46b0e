package privilege

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"tripod/go-backend/internal/rescue"
)

// tasks are for the thread that may open sockets; nil where there is none.
var tasks chan func()

// Opening calls f where what opening a socket takes may be had: the kernel's refusal says what is missing. Who calls it
// meanwhile waits.
func Opening(f func() error) error {
	if tasks == nil {
		return f()
	}
	done := make(chan error)
	tasks <- func() { done <- rescue.Do("opening of sockets", f) }
	return <-done
}

// startOpener starts the thread that keeps these capabilities over Drop.
func startOpener(capabilities uint64) error {
	started := make(chan error)
	queue := make(chan func())
	go func() {
		// For ever: another goroutine on this thread would have them.
		runtime.LockOSThread()
		err := set(capabilities, capabilities)
		if err == nil {
			err = ignoreCapset()
		}
		started <- err
		if err != nil {
			return // and the thread ends
		}
		for task := range queue {
			task()
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	tasks = queue
	return nil
}

// ignoreCapset makes capset(2) do nothing on this thread and say that it was done. Go's runtime makes a system call on all
// threads or on none, and ends the process where it does not succeed on one as on the others.
func ignoreCapset() error {
	const skip = unix.SECCOMP_RET_ERRNO | 0 // no error
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}, // struct seccomp_data begins with the call's number
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_CAPSET, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: skip},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	// Who may not use SYS_ADMIN must not gain anything by execve behind a filter.
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("keep what opening sockets takes on one thread: %w", err)
	}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&program)))
	runtime.KeepAlive(filter)
	if errno != 0 {
		return fmt.Errorf("keep what opening sockets takes on one thread: seccomp: %w: a kernel with CONFIG_SECCOMP_FILTER is "+
			"needed, whose use the engine's own profile allows", errno)
	}
	return nil
}

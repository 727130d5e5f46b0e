package bpftest

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Refusals lets calls that wake sockets of AF_XDP fail as the kernel lets them: what it refuses it does not do.
type Refusals struct {
	// Answer returns the error of a call, the n-th of all; 0 lets it pass.
	Answer func(n uint64) unix.Errno

	calls, refused atomic.Uint64
}

// Refused is how many calls have failed.
func (r *Refusals) Refused() uint64 { return r.refused.Load() }

// OnThisThread begins with the calling thread, which must be locked and end with its goroutine. See seccomp_unotify(2).
func (r *Refusals) OnThisThread() error {
	// Places in struct seccomp_data: the call's number, and its second argument.
	const number, buffer = 0, 24
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	// Without a buffer, which is what wakes a socket and nothing else.
	filter := []unix.SockFilter{
		load(number),
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_SENDTO, Jt: 1},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_RECVFROM, Jf: 3},
		load(buffer),
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: 0, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("refuse calls: %w", err)
	}
	listener, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER,
		uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return fmt.Errorf("refuse calls: seccomp: %w", errno)
	}
	go r.serve(int(listener))
	return nil
}

// serve answers until the thread has ended.
func (r *Refusals) serve(listener int) {
	defer unix.Close(listener)
	for {
		polled := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
		if _, err := unix.Poll(polled, -1); err != nil && !errors.Is(err, unix.EINTR) {
			panic(err)
		}
		if polled[0].Revents&unix.POLLHUP != 0 {
			return
		}
		if polled[0].Revents&unix.POLLIN == 0 {
			continue
		}
		// struct seccomp_notif, and struct seccomp_notif_resp, of include/uapi/linux/seccomp.h.
		var call struct {
			id         uint64
			pid, flags uint32
			data       [64]byte
		}
		if err := control(listener, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&call)); err != nil {
			continue // the call was interrupted
		}
		answer := struct {
			id    uint64
			value int64
			err   int32
			flags uint32
		}{id: call.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
		if errno := r.Answer(r.calls.Add(1)); errno != 0 {
			answer.err, answer.flags = -int32(errno), 0
			r.refused.Add(1)
		}
		if err := control(listener, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&answer)); err != nil && !errors.Is(err, unix.ENOENT) {
			panic(os.NewSyscallError("ioctl", err))
		}
	}
}

func control(fd int, request uintptr, argument unsafe.Pointer) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(argument))
	if errno != 0 {
		return errno
	}
	return nil
}

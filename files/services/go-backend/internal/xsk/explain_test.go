package xsk

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tripod/go-backend/internal/bpftest"
	"tripod/go-backend/internal/umem"
)

func TestErrorsOfBindAreSaidInWords(t *testing.T) {
	for _, one := range []struct {
		config Config
		err    error
		kernel string
		says   string
	}{
		{Config{MultiBuffer: true}, unix.EINVAL, "6.1.0-28-amd64", "multi-buffer frames need kernel 6.6, this is 6.1.0-28-amd64"},
		{Config{MultiBuffer: true}, unix.EINVAL, "5.15", "need kernel 6.6"},
		{Config{MultiBuffer: true}, unix.EINVAL, "6.12.9", "bind: invalid argument"},
		{Config{}, unix.EINVAL, "6.1", "bind: invalid argument"},
		{Config{}, unix.EBUSY, "6.12", "another AF_XDP socket serves this queue"},
		{Config{Mode: ZeroCopy}, unix.EINVAL, "6.13", "does not offer VIRTIO_F_ACCESS_PLATFORM"},
		{Config{Mode: ZeroCopy}, unix.ENOENT, "6.13", "and VIRTIO_F_RING_RESET"},
		{Config{Mode: ZeroCopy}, unix.EOPNOTSUPP, "6.12", "no zero-copy mode"},
		{Config{}, unix.EOPNOTSUPP, "6.12", "a UMEM of its own"},
		{Config{}, unix.ENODEV, "6.12", "went away"},
	} {
		err := one.config.explainBind(one.err, one.kernel)
		if !errors.Is(err, one.err) || !strings.Contains(err.Error(), one.says) {
			t.Errorf("%v on %s: got %q, expected %q", one.err, one.kernel, err, one.says)
		}
	}
}

func TestReleasesAreCompared(t *testing.T) {
	for kernel, before := range map[string]bool{
		"6.1.0-28-amd64": true, "6.5": true, "6.6.1": false, "6.18.44": false, "5.15.0": true, "7.0.0": false, "odd": false,
	} {
		if older(kernel, 6, 6) != before {
			t.Errorf("%s", kernel)
		}
	}
}

func TestConfigsThatDoNotGoWithTheNIC(t *testing.T) {
	area, err := umem.New(umem.Config{Frames: 16, FrameSize: 4096, Node: umem.AnyNode})
	if err != nil {
		t.Fatal(err)
	}
	defer area.Close()
	for name, one := range map[string]struct {
		config Config
		nic    NIC
		says   []string
	}{
		"good":           {Config{}, NIC{Queues: 1, MTU: 1500}, nil},
		"queue":          {Config{Queue: 4}, NIC{Queues: 4}, []string{"it has 4 queues, 0 to 3"}},
		"negative queue": {Config{Queue: -1}, NIC{Queues: 4}, []string{"it has 4 queues"}},
		"rings":          {Config{Rx: 1000, Tx: 65536}, NIC{Queues: 1}, []string{"rx ring of 1000", "tx ring of 65536", "fill ring of 2000"}},
		"small rings":    {Config{Rx: 16, Tx: 16, MultiBuffer: true}, NIC{Queues: 1}, []string{"rx ring of 16", "tx ring of 16", "18 frames"}},
		"small fill":     {Config{Rx: 1024, Fill: 512}, NIC{Queues: 1}, []string{"fill ring of 512 entries"}},
		"long packets":   {Config{}, NIC{Queues: 1, MTU: 9000}, []string{"MTU 9000: packets of 9018 bytes", "3840", "request multi-buffer"}},
		"multi-buffer":   {Config{MultiBuffer: true}, NIC{Queues: 1, MTU: 9000}, nil},
		"longer packets": {Config{MultiBuffer: true}, NIC{Queues: 1, MTU: 1 << 17}, []string{"18 frames of 3840 bytes"}},
		"generic":        {Config{}, NIC{Queues: 1, Program: true, Generic: true}, []string{"runs in generic mode", "attach it natively"}},
		"generic taken":  {Config{Generic: true}, NIC{Queues: 1, Program: true, Generic: true}, nil},
		"mode":           {Config{Mode: Generic}, NIC{Queues: 1}, []string{"mode 3"}},
		"no zero-copy":   {Config{Mode: ZeroCopy}, NIC{Queues: 1, Features: &Features{}}, []string{"no zero-copy mode"}},
		"not known yet":  {Config{Mode: ZeroCopy}, NIC{Queues: 1}, nil},
		"busy polling":   {Config{BusyPoll: BusyPoll{time.Nanosecond, 1 << 20}}, NIC{Queues: 1}, []string{"1ns", "1048576 packets"}},
	} {
		err := errors.Join(one.config.Check(), one.config.Suits(&one.nic, area.Room()))
		if (err == nil) != (one.says == nil) {
			t.Errorf("%s: got %v", name, err)
			continue
		}
		for _, words := range one.says {
			if !strings.Contains(err.Error(), words) {
				t.Errorf("%s: %q does not say %q", name, err, words)
			}
		}
	}
}

// withoutIPCLock runs on a thread that has given the capability up, and ends with it.
func withoutIPCLock(t *testing.T, run func()) {
	t.Helper()
	finished := make(chan error)
	go func() {
		runtime.LockOSThread()
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var sets [2]unix.CapUserData
		err := unix.Capget(&header, &sets[0])
		sets[0].Effective &^= 1 << unix.CAP_IPC_LOCK
		sets[0].Permitted &^= 1 << unix.CAP_IPC_LOCK
		if err == nil {
			err = unix.Capset(&header, &sets[0])
		}
		if err == nil {
			run()
		}
		finished <- err
	}()
	if err := <-finished; err != nil {
		t.Fatal(err)
	}
}

func TestALowMemlockLimitIsAWarningUntilTheKernelRefuses(t *testing.T) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil || sets[0].Effective&(1<<unix.CAP_IPC_LOCK) == 0 {
		bpftest.Unavailable(t, fmt.Errorf("capability IPC_LOCK is missing: %v", err))
	}
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &before); err != nil {
		t.Fatal(err)
	}
	low := unix.Rlimit{Cur: 1 << 16, Max: 1 << 16}
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &low); err != nil {
		t.Fatal(err)
	}
	// Refused where SYS_RESOURCE is missing; the other tests have IPC_LOCK.
	defer func() { _ = unix.Setrlimit(unix.RLIMIT_MEMLOCK, &before) }()
	area, err := umem.New(umem.Config{Frames: 64, FrameSize: 4096, Node: umem.AnyNode})
	if err != nil {
		t.Fatal(err)
	}
	defer area.Close()
	socket := func() int {
		fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if errors.Is(err, unix.EPERM) {
			t.Skip("AF_XDP sockets need root")
		} else if err != nil {
			t.Fatal(err)
		}
		return fd
	}
	var log bytes.Buffer
	group := NewGroup(area, slog.New(slog.NewTextHandler(&log, nil)))
	fd := socket()
	defer unix.Close(fd)
	if err := group.register(fd); err != nil {
		t.Errorf("with IPC_LOCK: %v", err)
	}
	second := socket()
	defer unix.Close(second)
	var refused error
	withoutIPCLock(t, func() { refused = group.register(second) })
	if raised := !strings.Contains(log.String(), "RLIMIT_MEMLOCK cannot be raised"); raised {
		// With SYS_RESOURCE the limit is raised, and enough.
		if refused != nil {
			t.Errorf("raised, but %v", refused)
		}
		return
	}
	for _, words := range []string{"UMEM of 262144 bytes", "RLIMIT_MEMLOCK is 65536 bytes", "IPC_LOCK"} {
		if refused == nil || !strings.Contains(refused.Error(), words) {
			t.Errorf("%v does not say %q", refused, words)
		}
	}
}

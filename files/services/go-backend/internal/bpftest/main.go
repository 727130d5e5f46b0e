// Package bpftest lets tests attach real XDP programs without touching the host: a test binary runs itself again
// in a network and a mount namespace of its own, with a bpf file system that vanishes with it.
package bpftest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	objectVariable  = "TRIPOD_XDP_OBJECT"
	requireVariable = "TRIPOD_REQUIRE_BPF"
	insideVariable  = "TRIPOD_BPFTEST_INSIDE"
)

var (
	bpffs   string // mount point of this process's own bpf file system
	missing error  // why tests of the kernel cannot run here
)

// Main is the body of TestMain.
func Main(m *testing.M) {
	if os.Getenv(insideVariable) == "" && os.Geteuid() == 0 {
		os.Exit(runInside())
	}
	missing = prepare()
	os.Exit(m.Run())
}

// Object returns the path of the XDP object under test, and skips or fails the test where there is none.
func Object(t testing.TB) string {
	t.Helper()
	path := os.Getenv(objectVariable)
	if path == "" {
		Unavailable(t, fmt.Errorf("%s does not name the XDP object", objectVariable))
	}
	return path
}

// Unavailable skips the test with the reason, or fails it where the run is meant to prove the kernel part.
func Unavailable(t testing.TB, reason error) {
	t.Helper()
	if os.Getenv(requireVariable) == "1" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

func runInside() int {
	// The child must die with its parent, and the kernel means the parent's thread.
	runtime.LockOSThread()
	child := exec.Command("/proc/self/exe", os.Args[1:]...)
	child.Env = append(os.Environ(), insideVariable+"=1")
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	child.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
		Pdeathsig:  syscall.SIGKILL,
	}
	err := child.Start()
	if errors.Is(err, unix.EPERM) {
		// Root without CAP_SYS_ADMIN, as in an image build: go on without, and let the tests say so.
		child = exec.Command(child.Path, os.Args[1:]...)
		child.Env = append(os.Environ(), insideVariable+"=denied")
		child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
		err = child.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bpftest:", err)
		return 1
	}
	_ = child.Wait()
	return child.ProcessState.ExitCode()
}

func prepare() error {
	switch os.Getenv(insideVariable) {
	case "":
		return errors.New("attaching XDP programs needs root")
	case "denied":
		return errors.New("namespaces of its own are denied to this process: it lacks CAP_SYS_ADMIN")
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	// A container shows /proc/sys read-only, where interfaces are told to be silent.
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount proc: %w", err)
	}
	// The one from outside shows the interfaces of outside, and a container's is read-only, where huge pages are reserved.
	if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		return fmt.Errorf("mount sysfs: %w", err)
	}
	// A directory of the file system root, as /tmp of the host must not keep an empty leftover.
	if err := unix.Mount("tmpfs", "/mnt", "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mount tmpfs: %w", err)
	}
	bpffs = "/mnt/bpf"
	if err := os.Mkdir(bpffs, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("bpf", bpffs, "bpf", 0, ""); err != nil {
		return fmt.Errorf("mount bpf file system: %w", err)
	}
	loopback, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(loopback)
}

package privilege

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// droppedVariable makes this test binary one that has dropped what it does not need.
const droppedVariable = "TRIPOD_TEST_DROPPED"

// socket makes and closes an AF_XDP socket.
func socket() error {
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Close(fd)
	}
	return err
}

// threads are what the threads of this process may make effective, by their numbers.
func threads(t *testing.T) map[int]uint64 {
	t.Helper()
	tasks, err := filepath.Glob("/proc/self/task/*")
	if err != nil {
		t.Fatal(err)
	}
	permitted := make(map[int]uint64)
	for _, task := range tasks {
		number, _ := strconv.Atoi(filepath.Base(task))
		if permitted[number], _, err = sets(number); err != nil {
			t.Fatal(err)
		}
	}
	return permitted
}

// TestSocketsAreOneThreadsAlone runs itself again, as what is dropped is so for good.
func TestSocketsAreOneThreadsAlone(t *testing.T) {
	if os.Getenv(droppedVariable) == "" {
		command := exec.Command("/proc/self/exe", "-test.v", "-test.run", "^TestSocketsAreOneThreadsAlone$")
		command.Env = append(os.Environ(), droppedVariable+"=1")
		if said, err := command.CombinedOutput(); err != nil {
			t.Errorf("%v:\n%s", err, said)
		}
		return
	}
	all, _, err := sets(0)
	if err != nil || all&opening != opening {
		t.Skipf("NET_RAW and IPC_LOCK are not this process's to give up: %v", err)
	}
	if err := Opening(socket); err != nil {
		t.Errorf("before: %v", err)
	}
	// What it lacks of the rest, it says; that is no matter here.
	dropped := Drop(true)
	if errors.Is(dropped, unix.ENOTSUP) {
		t.Skip("with cgo, which the race detector takes, Go has no calls on all threads; a test of cmd/go-backend has the service itself")
	}
	if tasks == nil {
		t.Fatal(dropped)
	}
	holder := 0
	if err := Opening(func() error { holder = unix.Gettid(); return socket() }); err != nil {
		t.Errorf("where it may be: %v", err)
	}
	// Each goroutine has a thread of its own, old or new.
	const goroutines = 20
	results, release := make(chan error), make(chan struct{})
	for range goroutines {
		go func() {
			runtime.LockOSThread()
			results <- socket()
			<-release
		}()
	}
	for range goroutines {
		if err := <-results; !errors.Is(err, unix.EPERM) {
			t.Errorf("elsewhere: %v", err)
		}
	}
	for thread, permitted := range threads(t) {
		if has := permitted&opening != 0; has != (thread == holder) {
			t.Errorf("thread %d of holder %d may have %#x", thread, holder, permitted)
		}
	}
	close(release)
	boom := errors.New("boom")
	if err := Opening(func() error { return boom }); !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
	if err := Opening(func() error { panic("on purpose") }); err == nil {
		t.Error("a panic was nothing")
	}
	if err := Opening(socket); err != nil {
		t.Errorf("after a panic: %v", err)
	}
}

func TestAWorkersThreadKeepsWhatItsMapTakes(t *testing.T) {
	all, _, err := sets(0)
	if err != nil || all&(bpf|sysAdmin) == 0 {
		t.Skipf("BPF is not this process's to keep: %v", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and it ends with this goroutine
		if err := ForPackets(); err != nil {
			t.Error(err)
		}
		permitted, effective, err := sets(0)
		if kept := permitted == bpf || permitted == sysAdmin; !kept || effective != permitted || err != nil {
			t.Errorf("%#x, %#x, %v", permitted, effective, err)
		}
		if err := socket(); !errors.Is(err, unix.EPERM) {
			t.Errorf("a socket: %v", err)
		}
	}()
	<-done
}

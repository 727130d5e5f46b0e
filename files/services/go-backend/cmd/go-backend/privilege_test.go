package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tripod/go-backend/internal/bpftest"
	"tripod/go-backend/internal/object"
)

// nobody is a user without any rights.
const nobody = 65534

// TestWorkersNeedEachOfTheirCapabilities runs the service as nobody, and takes them away one by one.
func TestWorkersNeedEachOfTheirCapabilities(t *testing.T) {
	h := bpftest.NewHost(t)
	name := h.AddInterface()
	h.Attach(name, nil)
	h.SetPolicy(name, bpftest.NewPolicy().Service(9, bpftest.ActionAFXDP))
	folder := t.TempDir()
	path := filepath.Join(folder, "workers.json")
	held, busyPoll := []uintptr{unix.CAP_NET_RAW, unix.CAP_IPC_LOCK}, 0
	if permitted(t, unix.CAP_BPF) {
		// NET_ADMIN is there for the tracer, and busy polling takes it too.
		held, busyPoll = append(held, unix.CAP_BPF, unix.CAP_PERFMON, unix.CAP_NET_ADMIN), 20
	} else {
		// As an engine has it that does not know BPF.
		held = append(held, unix.CAP_SYS_ADMIN)
	}
	file := fmt.Sprintf(`{"workers": [{"name": "edge", "nic": %q, "queues": [0], "handler": "sink", "watchdog_ms": 60000, "busy_poll_us": %d}]}`, name, busyPoll)
	if err := os.WriteFile(path, []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Dir(folder), folder} {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// As the host has them: root's, and its group's of the service.
	err := filepath.WalkDir(h.Pins(name), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		mode := fs.FileMode(0o640)
		if entry.Name() == object.SocketsName {
			mode = 0o660
		}
		return errors.Join(os.Chown(path, 0, nobody), os.Chmod(path, mode))
	})
	if err != nil {
		t.Fatal(err)
	}
	binary := build(t)
	fault, served, threads := asNobody(t, binary, h.Root, path, held)
	if fault != "" || served != 1 {
		t.Errorf("with all: %d queues are served: %s", served, fault)
	}
	// One thread may open sockets, one handles packets, and neither may what the other may.
	const opening = 1<<unix.CAP_NET_RAW | 1<<unix.CAP_IPC_LOCK
	knowsBPF, open, handle := permitted(t, unix.CAP_BPF), 0, 0
	for _, may := range threads {
		switch {
		case may&opening == opening:
			open++
		case may == 1<<unix.CAP_BPF:
			handle++
		case may&opening != 0:
			t.Errorf("a thread may %#x", may)
		}
	}
	if open != 1 || knowsBPF && handle != 1 {
		t.Errorf("what threads may: %#x", threads)
	}
	for without, says := range map[uintptr]string{
		unix.CAP_NET_RAW:   "capability NET_RAW is needed",
		unix.CAP_IPC_LOCK:  "add capability IPC_LOCK",
		unix.CAP_NET_ADMIN: "capability NET_ADMIN is needed",
		// The tracer's alone; maps of pins take BPF on kernels before 5.19.
		unix.CAP_BPF:     "",
		unix.CAP_PERFMON: "",
	} {
		fewer := slices.DeleteFunc(slices.Clone(held), func(c uintptr) bool { return c == without })
		if len(fewer) == len(held) {
			continue
		}
		fault, served, _ := asNobody(t, binary, h.Root, path, fewer)
		if !strings.Contains(fault, says) || (fault == "") != (says == "") || (served == 0) != (says != "") {
			t.Errorf("without capability %d: %d queues are served: %s", without, served, fault)
		}
	}
}

// permitted tells whether this process has a capability to give.
func permitted(t *testing.T, capability uint) bool {
	t.Helper()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		t.Fatal(err)
	}
	return data[capability/32].Permitted&(1<<(capability%32)) != 0
}

// build builds the service as its image has it: with cgo, which the race detector takes, Go has no calls on all threads.
func build(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	path := filepath.Join(folder, "go-backend")
	command := exec.Command("go", "build", "-o", path, ".")
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v:\n%s", err, said)
	}
	for _, path := range []string{filepath.Dir(folder), folder} {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// asNobody runs the service with these capabilities and less locked memory than a worker's. It returns what the page of workers
// says, once the service has read the file, and what each thread may make effective.
func asNobody(t *testing.T, binary, root, path string, caps []uintptr) (fault string, served int, threads []uint64) {
	t.Helper()
	env := environment(t)
	// In kilobytes; where the limit is lower already it stays.
	command := exec.Command("/bin/sh", "-c", `ulimit -l 1024; exec "$0"`, binary)
	command.Env = append(os.Environ(), "XDP_PIN_ROOT="+root, "WORKERS_FILE="+path,
		"HTTP_ADDRESS="+env["HTTP_ADDRESS"], "GRPC_ADDRESS="+env["GRPC_ADDRESS"], "XDP_OBJECT=/nonexistent.o")
	command.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, AmbientCaps: caps, Pdeathsig: syscall.SIGKILL,
	}
	var said strings.Builder
	command.Stdout, command.Stderr = &said, &said
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	}()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		response, err := http.Get("http://" + env["HTTP_ADDRESS"] + "/workers")
		if err != nil {
			continue
		}
		var page struct {
			Digest  string `json:"file_sha256"`
			Fault   string `json:"fault"`
			Workers []any  `json:"workers"`
		}
		err = json.NewDecoder(response.Body).Decode(&page)
		response.Body.Close()
		if err == nil && page.Digest != "" {
			return page.Fault, len(page.Workers), threadsOf(t, command.Process.Pid)
		}
	}
	t.Fatalf("the service did not read its file:\n%s", said.String())
	return "", 0, nil
}

// threadsOf returns the permitted capabilities of each thread of a process.
func threadsOf(t *testing.T, process int) []uint64 {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", process))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	var all []uint64
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // a thread that has ended meanwhile
		}
		_, rest, _ := strings.Cut(string(text), "CapPrm:\t")
		line, _, _ := strings.Cut(rest, "\n")
		permitted, err := strconv.ParseUint(line, 16, 64)
		if err != nil {
			t.Fatal(file, err)
		}
		all = append(all, permitted)
	}
	return all
}

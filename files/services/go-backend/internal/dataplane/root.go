// Package dataplane reads the XDP programs and maps that the host has pinned, one directory per interface.
//
// Nothing is kept open between calls: programs are replaced, and interfaces come and go, while the service runs.
package dataplane

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// ErrNotAttached is returned for an interface that carries no program of ours.
var ErrNotAttached = errors.New("no program of ours is attached")

// errUnsettled marks an ErrNotAttached that may be the middle of a replacement.
var errUnsettled = errors.New("pin and kernel disagree")

// Root is the bpffs directory with one directory of pins per interface.
type Root struct {
	path string
}

// NewRoot returns the root at path. The directory need not exist yet.
func NewRoot(path string) Root {
	return Root{path}
}

// Interfaces returns the names of the interfaces with pins, sorted. None is a normal state.
func (r Root) Interfaces() ([]string, error) {
	info, err := os.Stat(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("pin root: %w", err)
	}
	var file unix.Statfs_t
	if err := unix.Statfs(r.path, &file); err != nil {
		return nil, fmt.Errorf("pin root %s: statfs: %w", r.path, err)
	}
	if file.Type != unix.BPF_FS_MAGIC {
		return nil, fmt.Errorf("pin root %s is not on a bpf file system: mount one on /sys/fs/bpf on the host, "+
			"then restart this container", r.path)
	}
	if info.Sys().(*syscall.Stat_t).Nlink == 0 {
		return nil, fmt.Errorf("pin root %s was removed on the host, and its successor cannot be seen through this mount: "+
			"restart this container", r.path)
	}
	entries, err := os.ReadDir(r.path)
	if err != nil {
		return nil, fmt.Errorf("pin root: %w", err)
	}
	var names []string
	for _, entry := range entries {
		if entry.IsDir() {
			names = append(names, strings.ReplaceAll(entry.Name(), ":", "."))
		}
	}
	slices.Sort(names)
	return names, nil
}

// directory returns where an interface's pins are. A BPF file system takes no dot in a name, and an interface has no
// colon in its own, so the host writes eth0.7 as eth0:7.
func (r Root) directory(name string) string {
	return filepath.Join(r.path, strings.ReplaceAll(name, ".", ":"))
}

// Interface returns what is attached on the named interface, which must have pins.
//
// A replacement changes the attached program and then the pin, so a disagreement between both gets a moment to pass
// before it is believed.
func (r Root) Interface(ctx context.Context, name string) (*Interface, error) {
	names, err := r.Interfaces()
	if err != nil {
		return nil, err
	}
	// Names come from the network: only one that the directory lists becomes part of a path.
	if !slices.Contains(names, name) {
		return nil, fmt.Errorf("%w on interface %q: %s holds pins of [%s]",
			ErrNotAttached, name, r.path, strings.Join(names, ", "))
	}
	const attempts = 5
	for attempt := 1; ; attempt++ {
		found, err := open(r.directory(name), name)
		if !errors.Is(err, errUnsettled) || attempt == attempts {
			return found, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Check opens every pin that the service reads, and returns all failures.
// An interface whose program is gone, such as an unplugged one, is no failure.
func (r Root) Check(ctx context.Context) error {
	names, err := r.Interfaces()
	if err != nil {
		return err
	}
	var failures []error
	for _, name := range names {
		found, err := r.Interface(ctx, name)
		if err == nil {
			_, err = found.Counters()
		}
		if err != nil && !errors.Is(err, ErrNotAttached) {
			failures = append(failures, err)
		}
	}
	return errors.Join(failures...)
}

func open(dir, name string) (*Interface, error) {
	attached, err := Attached(name)
	if err != nil {
		return nil, err
	}
	if attached.ProgramID == 0 {
		return nil, fmt.Errorf("%w on interface %s: it runs no XDP program at all", ErrNotAttached, name)
	}
	path := filepath.Join(dir, "prog")
	program, err := ebpf.LoadPinnedProgram(path, &ebpf.LoadPinOptions{ReadOnly: true})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w on interface %s: %w: it runs program %d, and there is no pin %s",
			ErrNotAttached, name, errUnsettled, attached.ProgramID, path)
	}
	if err != nil {
		return nil, pinError(path, err)
	}
	defer program.Close()
	info, err := program.Info()
	if err != nil {
		return nil, fmt.Errorf("read program pinned at %s: %w", path, err)
	}
	id, _ := info.ID()
	if attached.ProgramID != uint32(id) {
		return nil, fmt.Errorf("%w on interface %s: %w: it runs program %d, the pin %s is program %d",
			ErrNotAttached, name, errUnsettled, attached.ProgramID, path, id)
	}
	maps, _ := info.MapIDs()
	return &Interface{
		Name:    name,
		Program: Program{ID: uint32(id), Name: info.Name, Tag: info.Tag, Mode: attached.Mode},
		dir:     dir,
		maps:    maps,
	}, nil
}

// pinError says what permission a refused pin lacks.
func pinError(path string, err error) error {
	hint := ""
	switch {
	case errors.Is(err, unix.EACCES):
		hint = fmt.Sprintf(" (uid %d needs read permission on the pin and search permission on its directories)", os.Getuid())
	case errors.Is(err, unix.EPERM):
		hint = " (CAP_BPF is missing, or the engine's seccomp profile forbids bpf)"
	}
	return fmt.Errorf("open pin %s: %w%s", path, err, hint)
}

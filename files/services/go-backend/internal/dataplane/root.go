// Package dataplane reads the XDP programs and maps that the host has pinned, one directory per interface.
//
// Nothing is kept open between calls: programs are replaced, and interfaces come and go, while the service runs.
// Nothing that is read is trusted: what is damaged becomes a problem with a name, and the rest is read all the same.
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

	"golang.org/x/sys/unix"
)

// A replacement changes maps, program and pins one after another, so a disagreement between them gets a moment to pass
// before it is believed.
const (
	settleAttempts = 5
	settlePause    = 10 * time.Millisecond
)

// ErrNotAttached is returned for an interface that does not run the program that is pinned for it.
var ErrNotAttached = errors.New("no program of ours is attached")

// ErrDamaged is returned where pins cannot be read, or are not those of the program that runs.
var ErrDamaged = errors.New("damaged pins")

// Root is the bpffs directory with one directory of pins per interface.
type Root struct {
	path string
}

// NewRoot returns the root at path.
func NewRoot(path string) Root {
	return Root{path}
}

// Interfaces returns the names of the interfaces with pins, sorted. None is a normal state.
func (r Root) Interfaces() ([]string, error) {
	found, err := r.list()
	return found.interfaces, err
}

// listing is what lies in the pin root.
type listing struct {
	// interfaces are names, sorted.
	interfaces []string
	// unexpected are entries that neither an interface nor the host's own work explains, quoted.
	unexpected []string
}

func (r Root) list() (listing, error) {
	var found listing
	info, err := os.Stat(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return found, fmt.Errorf("%w: pin root %s does not exist: make it on the host (the role xdp does), "+
			"mount it into this container there, and restart the container", ErrDamaged, r.path)
	}
	if err != nil {
		return found, fmt.Errorf("%w: pin root: %w", ErrDamaged, err)
	}
	var file unix.Statfs_t
	if err := unix.Statfs(r.path, &file); err != nil {
		return found, fmt.Errorf("%w: pin root %s: statfs: %w", ErrDamaged, r.path, err)
	}
	if file.Type != unix.BPF_FS_MAGIC {
		return found, fmt.Errorf("%w: pin root %s is not on a bpf file system: mount one on /sys/fs/bpf on the host, "+
			"then restart this container", ErrDamaged, r.path)
	}
	if info.Sys().(*syscall.Stat_t).Nlink == 0 {
		return found, fmt.Errorf("%w: pin root %s was removed on the host, and its successor cannot be seen through this mount: "+
			"restart this container", ErrDamaged, r.path)
	}
	entries, err := os.ReadDir(r.path)
	if err != nil {
		return found, fmt.Errorf("%w: pin root: %w", ErrDamaged, err)
	}
	for _, entry := range entries {
		name, ok := InterfaceName(entry.Name())
		switch {
		case ok && entry.IsDir():
			found.interfaces = append(found.interfaces, name)
		case !hostsOwn(entry.Name()):
			found.unexpected = append(found.unexpected, fmt.Sprintf("%q", entry.Name()))
		}
	}
	slices.Sort(found.interfaces)
	return found, nil
}

// directory returns where an interface's pins are.
func (r Root) directory(name string) string {
	return filepath.Join(r.path, directoryName(name))
}

// Interface returns what is attached on the named interface, which must have pins.
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
	var found *Interface
	settle(ctx, func() bool {
		found, err = open(r.directory(name), name)
		return err == nil || isSettled(err)
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// settle calls read until it returns true, a few times with a pause between.
func settle(ctx context.Context, read func() bool) {
	for attempt := 1; !read() && attempt < settleAttempts; attempt++ {
		select {
		case <-ctx.Done():
			return
		case <-time.After(settlePause):
		}
	}
}

package object

import (
	"fmt"
	"os"
	"sync"
	"syscall"
)

// File follows one object file: it is parsed when first needed and again after it has changed.
type File struct {
	path string

	mu   sync.Mutex
	seen identity
	// object is the last one that was usable, and what seen tells apart.
	object *Object
}

// identity changes whenever a file is replaced or written to.
type identity struct {
	device, inode uint64
	size          int64
	changed       syscall.Timespec
}

// Open returns a File for path. The file need not exist yet.
func Open(path string) *File {
	return &File{path: path}
}

// Object returns the parsed file, the same pointer as long as the file stays the same.
func (f *File) Object() (*Object, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.read()
}

// Names returns the file's names; where it is not usable, its last ones with the error, or those that need no file.
func (f *File) Names() (Names, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	object, err := f.read()
	switch {
	case err == nil:
		return object.Names, nil
	case f.object != nil:
		return f.object.Names, err
	default:
		return kernelNames, err
	}
}

func (f *File) read() (*Object, error) {
	info, err := os.Stat(f.path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w: put the object there on the host (the role xdp does)", ErrUnusable, err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	now := identity{stat.Dev, stat.Ino, stat.Size, stat.Ctim}
	if f.object != nil && f.seen == now {
		return f.object, nil
	}
	object, err := Load(f.path)
	if err != nil {
		return nil, err
	}
	f.seen, f.object = now, object
	return object, nil
}

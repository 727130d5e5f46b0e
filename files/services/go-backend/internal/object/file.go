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

	mu     sync.Mutex
	seen   identity
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
	info, err := os.Stat(f.path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnusable, err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	now := identity{stat.Dev, stat.Ino, stat.Size, stat.Ctim}

	f.mu.Lock()
	defer f.mu.Unlock()
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

package object_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"tripod/go-backend/internal/bpftest"
	"tripod/go-backend/internal/object"
)

func TestLoadReadsNamesFromBTF(t *testing.T) {
	o, err := object.Load(bpftest.Object(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		got, want object.Enum
	}{
		{o.Verdicts, object.Enum{0: "aborted", 1: "drop", 2: "pass", 3: "tx", 4: "redirect"}},
		{o.Reasons, object.Enum{0: "no_rule", 1: "acl_pass", 2: "acl_drop", 3: "not_ip", 4: "malformed"}},
		{o.Actions, object.Enum{bpftest.ActionPass: "pass", bpftest.ActionDrop: "drop"}},
		{o.Owners, object.Enum{bpftest.OwnerInventory: "inventory", bpftest.OwnerAPI: "api"}},
	} {
		if !reflect.DeepEqual(test.got, test.want) {
			t.Errorf("got %v, want %v", test.got, test.want)
		}
	}
	if got := o.Reasons.Name(15); got != "unknown_15" {
		t.Errorf("a value without a name is %q", got)
	}
}

// Load itself compares counter and trace_record; the map definitions must agree with them too.
func TestMapValuesHaveTheSizesOfTheStructs(t *testing.T) {
	o, err := object.Load(bpftest.Object(t))
	if err != nil {
		t.Fatal(err)
	}
	spec := o.Spec()
	for name, want := range map[string]uintptr{
		object.CountersName: reflect.TypeFor[object.Counter]().Size(),
		object.TraceName:    reflect.TypeFor[object.TraceRecord]().Size(),
	} {
		if got := spec.Maps[name].ValueSize; uintptr(got) != want {
			t.Errorf("map %s: value of %d bytes, want %d", name, got, want)
		}
	}
	for name, want := range map[string]uint32{"acl_v4": 8, "acl_v6": 20} {
		if got := spec.Maps[name].KeySize; got != want {
			t.Errorf("map %s: key of %d bytes, want %d", name, got, want)
		}
	}
	var rule *btf.Struct
	if err := spec.Types.TypeByName("acl_rule", &rule); err != nil || rule.Size != 4 {
		t.Errorf("struct acl_rule: %v, %v; tests write 4 bytes", rule, err)
	}
}

func TestUnusableObjects(t *testing.T) {
	write := func(name string, content []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	huge := write("huge.o", nil)
	if err := os.Truncate(huge, 1<<40); err != nil {
		t.Fatal(err)
	}
	for path, says := range map[string]string{
		write("damaged.o", []byte("\x7fELF and no more")): "put the object there again",
		write("empty.o", nil):                             "put the object there again",
		filepath.Join(t.TempDir(), "absent.o"):            "no such file",
		t.TempDir():                                       "no regular file",
		// Would be waited for, or read, for ever.
		pipe:         "no regular file",
		"/dev/zero":  "no regular file",
		huge:         "more than",
		"/bin/true":  "",
		"/proc/self": "no regular file",
	} {
		if _, err := object.Load(path); !errors.Is(err, object.ErrUnusable) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want it to say %q", path, err, says)
		}
	}
}

func TestCompressedSectionsAreRefused(t *testing.T) {
	content, err := os.ReadFile(bpftest.Object(t))
	if err != nil {
		t.Fatal(err)
	}
	file, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	for i, section := range file.Sections {
		if section.Name == ".BTF" {
			// sh_flags in the headers of 64 bytes each, and the section begins with a header that claims 1 TiB.
			at := binary.LittleEndian.Uint64(content[40:]) + uint64(64*i) + 8
			binary.LittleEndian.PutUint64(content[at:], uint64(elf.SHF_COMPRESSED))
			header := binary.LittleEndian.AppendUint64(nil, uint64(elf.COMPRESS_ZLIB))
			copy(content[section.Offset:], binary.LittleEndian.AppendUint64(header, 1<<40))
		}
	}
	path := filepath.Join(t.TempDir(), "object.o")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := object.Load(path); !errors.Is(err, object.ErrUnusable) || !strings.Contains(err.Error(), "compressed") {
		t.Errorf("got %v", err)
	}
}

func TestFileIsReadAgainOnlyWhenItChanges(t *testing.T) {
	content, err := os.ReadFile(bpftest.Object(t))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "object.o")
	file := object.Open(path)
	if _, err := file.Object(); !errors.Is(err, object.ErrUnusable) {
		t.Fatalf("absent file: %v", err)
	}
	// What the kernel defines has its names without any object, and the rest numbers.
	names, err := file.Names()
	if !errors.Is(err, object.ErrUnusable) || names.Verdicts.Name(1) != "drop" || names.Reasons.Name(2) != "unknown_2" {
		t.Errorf("without any object: %v, %v", names, err)
	}
	// As an installer does: written beside, then renamed over.
	install := func(content []byte) {
		if err := os.WriteFile(path+".new", content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	install(content)
	first, err := file.Object()
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := file.Object(); again != first {
		t.Error("an unchanged file was read again")
	}
	install(content[:len(content)/2])
	if _, err := file.Object(); !errors.Is(err, object.ErrUnusable) {
		t.Errorf("truncated file: %v", err)
	}
	if names, err := file.Names(); !errors.Is(err, object.ErrUnusable) || names.Reasons.Name(2) != "acl_drop" {
		t.Errorf("names after the file was damaged: %v, %v", names, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if names, err := file.Names(); !errors.Is(err, object.ErrUnusable) || names.Reasons.Name(2) != "acl_drop" {
		t.Errorf("names after the file was removed: %v, %v", names, err)
	}
	install(content)
	if again, err := file.Object(); err != nil || again == first {
		t.Errorf("the replaced file was not read: %v", err)
	}
}

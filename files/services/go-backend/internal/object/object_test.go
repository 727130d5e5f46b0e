package object_test

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

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
		{o.Reasons, object.Enum{
			0: "no_rule", 1: "list_pass", 2: "list_drop", 3: "not_ip", 4: "malformed", 5: "trusted", 6: "rule_pass", 7: "rule_drop",
			8: "limit", 9: "service_pass", 10: "service_drop", 11: "ban", 12: "syn_cookie", 13: "afxdp", 14: "default",
		}},
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
		object.HitsName:     reflect.TypeFor[object.Hit]().Size(),
		object.TraceName:    reflect.TypeFor[object.TraceRecord]().Size(),
	} {
		if got := spec.Maps[name].ValueSize; uintptr(got) != want {
			t.Errorf("map %s: value of %d bytes, want %d", name, got, want)
		}
	}
	var pins []string
	for name := range spec.Maps {
		pins = append(pins, object.Pin(name))
	}
	for _, name := range append(object.PolicyNames(), object.CountersName, object.HitsName) {
		if !slices.Contains(pins, name) {
			t.Errorf("no map %s", name)
		}
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

// section returns where a section lies in an object, and where its header does.
func section(t *testing.T, content []byte, name string) (*elf.Section, uint64) {
	t.Helper()
	file, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	for i, found := range file.Sections {
		if found.Name == name {
			// e_shoff, and headers of 64 bytes each.
			return found, binary.LittleEndian.Uint64(content[40:]) + uint64(64*i)
		}
	}
	t.Fatalf("no section %s", name)
	return nil, 0
}

// What claims to be larger than it is would be made room for before it is read, and nobody survives that.
func TestLengthsBeyondTheFileAreRefused(t *testing.T) {
	sound, err := os.ReadFile(bpftest.Object(t))
	if err != nil {
		t.Fatal(err)
	}
	put32, put64 := binary.LittleEndian.PutUint32, binary.LittleEndian.PutUint64
	for _, test := range []struct {
		what   string
		damage func(content []byte)
		says   string
	}{
		{"a compressed section of 1 TiB", func(content []byte) {
			found, header := section(t, content, ".BTF")
			put64(content[header+8:], uint64(elf.SHF_COMPRESSED))
			put64(content[found.Offset:], uint64(elf.COMPRESS_ZLIB))
			put64(content[found.Offset+8:], 1<<40)
		}, "compressed"},
		{"a section of zeros of 1 TiB", func(content []byte) {
			_, header := section(t, content, ".rodata")
			put32(content[header+4:], uint32(elf.SHT_NOBITS))
			put64(content[header+32:], 1<<40)
		}, "more than"},
		{"a section behind the end", func(content []byte) {
			_, header := section(t, content, "license")
			put64(content[header+24:], uint64(len(content)-1))
		}, "of a file of"},
		{"a function of 60 GiB", func(content []byte) {
			found, _ := section(t, content, ".symtab")
			for at := found.Offset; at < found.Offset+found.Size; at += 24 {
				if elf.ST_TYPE(content[at+4]) == elf.STT_FUNC {
					put64(content[at+16:], 60<<30)
				}
			}
		}, "of a section of"},
		{"strings of 4 GiB", func(content []byte) {
			found, _ := section(t, content, ".BTF")
			put32(content[found.Offset+20:], 0xffffffff)
		}, "a part of it"},
		{"a header of 4 GiB", func(content []byte) {
			found, _ := section(t, content, ".BTF.ext")
			put32(content[found.Offset+4:], 0xffffffff)
		}, "its header"},
		{"lines of 64 GiB", func(content []byte) {
			found, _ := section(t, content, ".BTF.ext")
			lines := found.Offset + uint64(binary.LittleEndian.Uint32(content[found.Offset+4:])) +
				uint64(binary.LittleEndian.Uint32(content[found.Offset+16:]))
			put32(content[lines+8:], 0xffffffff)
		}, "records"},
		{"no BTF where it should be", func(content []byte) {
			found, _ := section(t, content, ".BTF")
			content[found.Offset] ^= 1
		}, "does not begin"},
	} {
		content := bytes.Clone(sound)
		test.damage(content)
		path := filepath.Join(t.TempDir(), "object.o")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := object.Load(path); !errors.Is(err, object.ErrUnusable) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v, want it to say %q", test.what, err, test.says)
		}
	}
}

func TestAnObjectNamedAfterItsDigestMustHaveIt(t *testing.T) {
	content, err := os.ReadFile(bpftest.Object(t))
	if err != nil {
		t.Fatal(err)
	}
	// As the host lays it out.
	target := filepath.Join(t.TempDir(), fmt.Sprintf("%x.bpf.o", sha256.Sum256(content)))
	path := filepath.Join(t.TempDir(), "object.o")
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	install := func(content []byte) error {
		if err := os.WriteFile(target, content, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := object.Load(path)
		return err
	}
	if err := install(content); err != nil {
		t.Error(err)
	}
	// A flipped bit in the name of a reason is read by every parser without complaint.
	at := bytes.Index(content, []byte("REASON_LIST_DROP"))
	content[at+len("REASON_LIST_DRO")] ^= 1
	if err := install(content); !errors.Is(err, object.ErrUnusable) || !strings.Contains(err.Error(), "digest") {
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
	if names, err := file.Names(); !errors.Is(err, object.ErrUnusable) || names.Reasons.Name(2) != "list_drop" {
		t.Errorf("names after the file was damaged: %v, %v", names, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if names, err := file.Names(); !errors.Is(err, object.ErrUnusable) || names.Reasons.Name(2) != "list_drop" {
		t.Errorf("names after the file was removed: %v, %v", names, err)
	}
	install(content)
	if again, err := file.Object(); err != nil || again == first {
		t.Errorf("the replaced file was not read: %v", err)
	}
}

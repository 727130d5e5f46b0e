package object_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/cilium/ebpf/btf"

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
	damaged := filepath.Join(t.TempDir(), "damaged.o")
	if err := os.WriteFile(damaged, []byte("\x7fELF and no more"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{damaged, filepath.Join(t.TempDir(), "absent.o"), t.TempDir(), "/proc/self/exe"} {
		if _, err := object.Load(path); !errors.Is(err, object.ErrUnusable) {
			t.Errorf("%s: %v, want %v", path, err, object.ErrUnusable)
		}
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
	install(content)
	if again, err := file.Object(); err != nil || again == first {
		t.Errorf("the replaced file was not read: %v", err)
	}
}

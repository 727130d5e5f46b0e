package dataplane_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tripod/go-backend/internal/bpftest"
	"tripod/go-backend/internal/dataplane"
)

// entries are names of directories, and the interfaces that they stand for.
var entries = []struct{ entry, name string }{
	{"eth0", "eth0"},
	{"eth0:7", "eth0.7"},
	{"a", "a"},
	{"enp129s0f1np1v0", "enp129s0f1np1v0"},
	{"wlan-é", "wlan-é"},
	{"{}$\"'\\", "{}$\"'\\"},
	{"\x01", "\x01"},
	{"", ""},
	{":", ""},
	{"::", ""},
	{".", ""},
	{"..", ""},
	{"eth0.7", ""},
	{"enp129s0f1np1v01", ""},
	{"eth0~0badcafe", ""},
	{"eth0~1", ""},
	{"eth0~", ""},
	{"eth0~~", ""},
	{"\xff\xfe", ""},
	{"eth0\xc3", ""},
	{"a b", ""},
	{"a%", ""},
	{"a\tb", ""},
	{"a\nb", ""},
	{"a\x00b", ""},
	{"a/b", ""},
	{"../eth0", ""},
	{"à", ""}, // its second byte is the kernel's no-break space
}

func TestInterfaceName(t *testing.T) {
	for _, test := range entries {
		if name, ok := dataplane.InterfaceName(test.entry); name != test.name || ok != (test.name != "") {
			t.Errorf("%q: got %q, %v, want %q", test.entry, name, ok, test.name)
		}
	}
}

func TestTheKernelAgreesOnNames(t *testing.T) {
	h := bpftest.NewHost(t)
	link, err := netlink.LinkByName(h.AddInterface())
	if err != nil {
		t.Fatal(err)
	}
	defer netlink.LinkDel(link)
	// Before Linux 6.2 the name of one that is up stays.
	if err := netlink.LinkSetDown(link); err != nil {
		t.Fatal(err)
	}
	for _, test := range entries {
		// Refused for reasons of our own, or cut at the NUL before the kernel sees it.
		if test.entry == "" || strings.ContainsAny(test.entry, ":~\x00") || test.entry == "eth0.7" || !utf8.ValidString(test.entry) {
			continue
		}
		err := netlink.LinkSetName(link, test.entry)
		if accepted := err == nil; accepted != (test.name != "") {
			t.Errorf("%q: the kernel says %v, InterfaceName says %q", test.entry, err, test.name)
		}
		if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ERANGE) {
			t.Errorf("%q: %v", test.entry, err)
		}
	}
}

func FuzzInterfaceName(f *testing.F) {
	for _, test := range entries {
		f.Add(test.entry)
	}
	f.Fuzz(func(t *testing.T, entry string) {
		name, ok := dataplane.InterfaceName(entry)
		if !ok {
			return
		}
		if name == "" || name == "." || name == ".." || len(name) >= unix.IFNAMSIZ || !utf8.ValidString(name) ||
			strings.ContainsAny(name, "/:~% \t\n\v\f\r\x00") {
			t.Errorf("%q became %q", entry, name)
		}
		// Two directories of one name would be one series twice.
		if back := strings.ReplaceAll(name, ".", ":"); back != entry {
			t.Errorf("%q became %q, which lies in %q", entry, name, back)
		}
	})
}

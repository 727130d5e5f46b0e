package dataplane

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// maxName is the longest name of an interface, in bytes.
const maxName = unix.IFNAMSIZ - 1

// halfSuffix marks what the host is about to put in a pin's place, or to remove after it has.
const halfSuffix = "~"

// saved is where the host keeps an attachment that a guard may have to give back.
var saved = regexp.MustCompile(`^[^~]+~[0-9a-f]{8}$`)

// InterfaceName returns the interface whose pins a directory of the pin root holds, and whether it can be one at all.
//
// A BPF file system takes no dot in a name, and an interface has no colon in its own, so the host writes eth0.7 as eth0:7.
// A dot is refused, as two directories would otherwise stand for one interface. So is a tilde, which the host uses for
// what is its own, and all that the kernel refuses (dev_valid_name and __dev_alloc_name in net/core/dev.c), as well as what
// is not UTF-8: neither a metric nor a message can carry it.
func InterfaceName(directory string) (string, bool) {
	if strings.ContainsAny(directory, ".~/%") || !utf8.ValidString(directory) {
		return "", false
	}
	name := strings.ReplaceAll(directory, ":", ".")
	if name == "" || name == "." || name == ".." || len(name) > maxName {
		return "", false
	}
	for _, char := range []byte(name) {
		if isSpace(char) {
			return "", false
		}
	}
	return name, true
}

// isSpace is the kernel's isspace, which goes by bytes of Latin-1. The NUL would end the name.
func isSpace(char byte) bool {
	return char == ' ' || char >= '\t' && char <= '\r' || char == 0xa0 || char == 0
}

// directoryName is the inverse of InterfaceName.
func directoryName(name string) string {
	return strings.ReplaceAll(name, ".", ":")
}

// hostsOwn tells whether an entry of the pin root is there by the host's own doing, and soon gone.
func hostsOwn(entry string) bool {
	return saved.MatchString(entry) || strings.HasSuffix(entry, halfSuffix)
}

// clean makes text fit for every wire; all of them want UTF-8.
func clean(text string) string {
	return strings.ToValidUTF8(text, "\uFFFD")
}

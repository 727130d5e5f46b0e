package privilege

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestTheSmallestSufficientSetIsKept(t *testing.T) {
	const other = 1<<unix.CAP_SYS_PTRACE | 1<<unix.CAP_DAC_OVERRIDE
	for _, test := range []struct {
		what            string
		permitted, keep uint64
		missing         string
	}{
		{"as on a current engine", bpf | perfmon | netAdmin, bpf | perfmon | netAdmin, ""},
		{"more than needed", bpf | perfmon | netAdmin | sysAdmin | other, bpf | perfmon | netAdmin, ""},
		{"as on an older engine", sysAdmin | netAdmin | other, sysAdmin, ""},
		{"half the new ones", sysAdmin | netAdmin | bpf, sysAdmin, ""},
		{"nothing", 0, 0, "NET_ADMIN PERFMON BPF"},
		{"without PERFMON", bpf | netAdmin, bpf | netAdmin, "PERFMON"},
		{"without NET_ADMIN", bpf | perfmon | other, bpf | perfmon, "NET_ADMIN"},
	} {
		keep, missing := choose(test.permitted)
		if keep != test.keep || strings.Join(missing, " ") != test.missing {
			t.Errorf("%s: keeps %#x and misses %v, want %#x and %q", test.what, keep, missing, test.keep, test.missing)
		}
	}
}

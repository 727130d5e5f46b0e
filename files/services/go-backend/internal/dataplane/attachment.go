package dataplane

import (
	"errors"

	"github.com/vishvananda/netlink"
)

// Attachment is what the kernel runs on an interface, asked from the kernel and not from the pins.
type Attachment struct {
	// ProgramID is 0 where no XDP program is attached.
	ProgramID uint32
	// Mode is "native", "generic" or "offload".
	Mode string
}

// modes are the values of IFLA_XDP_ATTACHED (linux/if_link.h, XDP_ATTACHED_*).
var modes = map[uint32]string{1: "native", 2: "generic", 3: "offload"}

// Attached reads which XDP program runs on an interface of this network namespace.
//
// Netlink rather than the pinned link: opening a bpf_link always takes write permission on its pin,
// and with it the power to replace the program.
func Attached(name string) (Attachment, error) {
	link, err := netlink.LinkByName(name)
	if err != nil {
		if errors.As(err, new(netlink.LinkNotFoundError)) {
			return Attachment{}, refuse(Absent, "%w: no interface %s in this network namespace", ErrNotAttached, name)
		}
		return Attachment{}, refuse(Unreadable, "%w: ask netlink for interface %s: %w", ErrDamaged, name, err)
	}
	xdp := link.Attrs().Xdp
	if xdp == nil || !xdp.Attached {
		return Attachment{}, nil
	}
	mode, ok := modes[xdp.AttachMode]
	if !ok {
		return Attachment{}, refuse(Foreign, "%w on interface %s alone: it has XDP programs in several modes at once; "+
			"leave one: ip -details link show dev %s", ErrNotAttached, name, name)
	}
	return Attachment{ProgramID: xdp.ProgId, Mode: mode}, nil
}

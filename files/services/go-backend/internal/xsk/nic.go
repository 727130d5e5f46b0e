package xsk

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"tripod/go-backend/internal/umem"
)

// NIC is what the kernel says of a network interface, as far as AF_XDP goes.
type NIC struct {
	Name  string
	Index int
	// MTU is in bytes, without the Ethernet header.
	MTU int
	// Queues is how many it receives on, numbered from 0.
	Queues int
	// Node is its NUMA node, umem.AnyNode where it has none.
	Node int
	// Address is its MAC address.
	Address [6]byte
	// Program tells whether an XDP program is attached, and Generic whether it runs in generic mode only.
	Program, Generic bool
	// Features is what the driver can, nil on kernels before 6.8, which do not tell all.
	Features *Features
}

// Features is what a driver says that it can (Documentation/netlink/specs/netdev.yaml).
type Features struct {
	ZeroCopy       bool // in sockets
	ZeroCopyPieces int  // of a packet at most, in zero-copy mode
	Checksum       bool // of packets sent in zero-copy mode
	LaunchTime     bool // of packets sent in zero-copy mode
}

// LookUp reads what the kernel says of an interface.
func LookUp(name string) (*NIC, error) {
	link, err := netlink.LinkByName(name)
	if missing := (netlink.LinkNotFoundError{}); errors.As(err, &missing) {
		return nil, fmt.Errorf("NIC %s is not there: see `ip link`; a container sees its own network's only", name)
	} else if err != nil {
		return nil, fmt.Errorf("look up NIC %s: %w", name, err)
	}
	attributes := link.Attrs()
	nic := &NIC{Name: name, Index: attributes.Index, MTU: attributes.MTU, Node: node(name)}
	copy(nic.Address[:], attributes.HardwareAddr)
	if xdp := attributes.Xdp; xdp != nil && xdp.Attached {
		nic.Program, nic.Generic = true, xdp.AttachMode == nl.XDP_ATTACHED_SKB
	}
	nic.Queues, err = queues(name)
	if err != nil {
		// Drivers of one queue have no channels to tell of.
		nic.Queues = attributes.NumRxQueues
	}
	nic.Features = features(nic.Index)
	return nic, nil
}

// node is a PCI device's NUMA node.
func node(name string) int {
	text, err := os.ReadFile("/sys/class/net/" + name + "/device/numa_node")
	if err != nil {
		return umem.AnyNode
	}
	number, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || number < 0 {
		return umem.AnyNode
	}
	return number
}

// queues asks the driver for its channels, as the queues that the kernel has made room for may be more.
// Source: struct ethtool_channels in include/uapi/linux/ethtool.h.
func queues(name string) (int, error) {
	var channels struct {
		command                       uint32
		maxRx, maxTx, maxOther, maxCo uint32
		rx, tx, other, combined       uint32
	}
	channels.command = unix.ETHTOOL_GCHANNELS
	var request struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}
	copy(request.name[:unix.IFNAMSIZ-1], name)
	request.data = unsafe.Pointer(&channels)
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(socket)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(socket), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
	if errno != 0 {
		return 0, errno
	}
	if channels.rx+channels.combined == 0 {
		return 0, unix.EOPNOTSUPP
	}
	return int(channels.rx + channels.combined), nil
}

// Of include/uapi/linux/netdev.h.
const (
	netdevFamily     = "netdev"
	devGet           = 1
	devIfindex       = 1
	devXDPFeatures   = 3
	devZeroCopyMax   = 4
	devSocket        = 6
	featureZeroCopy  = 1 << 3
	socketChecksum   = 1 << 1
	socketLaunchTime = 1 << 2
)

// features asks for what a driver can. Kernels that do not tell give nil.
func features(index int) *Features {
	family, err := netlink.GenlFamilyGet(netdevFamily)
	if err != nil {
		return nil
	}
	request := nl.NewNetlinkRequest(int(family.ID), 0)
	// The header by hand, as nl.Genlmsg leaves its reserved bytes to chance and this family looks at them.
	request.AddRawData([]byte{devGet, 1, 0, 0})
	request.AddRawData(nl.NewRtAttr(devIfindex, nl.Uint32Attr(uint32(index))).Serialize())
	answers, err := request.Execute(unix.NETLINK_GENERIC, 0)
	if err != nil || len(answers) != 1 || len(answers[0]) < nl.SizeofGenlmsg {
		return nil
	}
	attributes, err := nl.ParseRouteAttr(answers[0][nl.SizeofGenlmsg:])
	if err != nil {
		return nil
	}
	return readFeatures(attributes)
}

func readFeatures(attributes []syscall.NetlinkRouteAttr) *Features {
	found, told := &Features{ZeroCopyPieces: 1}, false
	for _, attribute := range attributes {
		value := attribute.Value
		switch attribute.Attr.Type {
		case devXDPFeatures:
			found.ZeroCopy = len(value) == 8 && nl.NativeEndian().Uint64(value)&featureZeroCopy != 0
		case devZeroCopyMax:
			if len(value) == 4 {
				found.ZeroCopyPieces = int(nl.NativeEndian().Uint32(value))
			}
		case devSocket:
			if told = len(value) == 8; told {
				bits := nl.NativeEndian().Uint64(value)
				found.Checksum, found.LaunchTime = bits&socketChecksum != 0, bits&socketLaunchTime != 0
			}
		}
	}
	if !told {
		return nil
	}
	return found
}

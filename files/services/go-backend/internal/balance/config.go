// Package balance spreads the connections to some addresses over backends: each packet is hashed by its flow, and sent in a
// tunnel to the backend that has the flow. Backends that do not answer get no packets.
package balance

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"tripod/go-backend/internal/ip"
)

// Config says what is balanced, and onto what. Its JSON is the inventory's.
type Config struct {
	// Addresses are those that clients connect to. Every backend has them too, where only tunnels lead to.
	Addresses []netip.Addr `json:"addresses"`
	// Backends get the packets.
	Backends []Backend `json:"backends"`
	// Encapsulation is "ipip" (IP in IP, RFC 2003, 2473 and 4213) or "gue" (generic UDP encapsulation); "" is "ipip".
	Encapsulation string `json:"encapsulation"`
	// GUEPort is the UDP port of the backends that takes tunnels; 0 is 6080.
	GUEPort int `json:"gue_port"`
	// Sources are what tunnels come from: one address of each family that backends have.
	Sources []netip.Addr `json:"sources"`
	// ErrorsPerSecond is how many ICMP messages a worker sends about packets too long for a tunnel; 0 is 100, as a client that
	// is not told waits for ever.
	ErrorsPerSecond int `json:"errors_per_second"`
	// HealthCheck is how a backend shows that it lives: "tcp" takes connections, "http" answers with a status of 200 to 399,
	// "none" asks nothing; "" is "tcp".
	HealthCheck string `json:"health_check"`
	// HealthPort is the port that is asked.
	HealthPort int `json:"health_port"`
	// HealthPath and HealthHost are of HTTP requests; "" is "/" and the backend's address.
	HealthPath string `json:"health_path"`
	HealthHost string `json:"health_host"`
	// HealthInterval is the time between checks in milliseconds, HealthTimeout how long one may take; 0 is 1000 and 500.
	HealthInterval int `json:"health_interval_ms"`
	HealthTimeout  int `json:"health_timeout_ms"`
	// HealthFall is how many checks in turn fail before a backend is out, HealthRise how many pass before it is back; 0 is 2.
	HealthFall int `json:"health_fall"`
	HealthRise int `json:"health_rise"`
}

// Backend is a host that has the addresses.
type Backend struct {
	// Name is for people and metrics.
	Name string `json:"name"`
	// Address is where tunnels and checks lead to. It says which flows the backend has, whatever its name and place.
	Address netip.Addr `json:"address"`
	// Weight is its share relative to the others', 1 to 100; 0 is 1.
	Weight int `json:"weight"`
}

// NIC is where packets leave by.
type NIC struct {
	Name  string
	Index int
	MAC   [6]byte
	// MTU is in bytes, without the Ethernet header.
	MTU int
}

// Limits.
const (
	maxAddresses = 64
	maxBackends  = 256
	maxWeight    = 100
	maxChecks    = 10
	maxInterval  = time.Minute
	maxErrors    = 100_000
)

// complete fills in what was left to us.
func (c Config) complete() Config {
	text := func(value *string, without string) {
		if *value == "" {
			*value = without
		}
	}
	number := func(value *int, without int) {
		if *value == 0 {
			*value = without
		}
	}
	text(&c.Encapsulation, "ipip")
	text(&c.HealthCheck, "tcp")
	text(&c.HealthPath, "/")
	number(&c.GUEPort, 6080)
	number(&c.ErrorsPerSecond, 100)
	number(&c.HealthInterval, 1000)
	number(&c.HealthTimeout, 500)
	number(&c.HealthFall, 2)
	number(&c.HealthRise, 2)
	c.Backends = append([]Backend(nil), c.Backends...)
	for i := range c.Backends {
		number(&c.Backends[i].Weight, 1)
		c.Backends[i].Address = c.Backends[i].Address.Unmap()
	}
	for _, addresses := range []*[]netip.Addr{&c.Addresses, &c.Sources} {
		all := make([]netip.Addr, len(*addresses))
		for i, address := range *addresses {
			all[i] = address.Unmap()
		}
		*addresses = all
	}
	return c
}

// interval and timeout are of checks.
func (c Config) interval() time.Duration { return time.Duration(c.HealthInterval) * time.Millisecond }
func (c Config) timeout() time.Duration  { return time.Duration(c.HealthTimeout) * time.Millisecond }

// Detection is how long a backend that dies gets packets, at most.
func (c Config) Detection() time.Duration {
	c = c.complete()
	return time.Duration(c.HealthFall)*c.interval() + c.timeout()
}

// Validate returns everything that is wrong.
func (c Config) Validate() error {
	c = c.complete()
	var f faults
	f.addresses("address", c.Addresses, 1, maxAddresses)
	f.addresses("source", c.Sources, 0, 2)
	if n := len(c.Backends); n < 1 || n > maxBackends {
		f.add("%d backends: 1 to %d are possible", n, maxBackends)
	}
	for i, backend := range c.Backends {
		c.checkBackend(&f, i, backend)
	}
	if c.Encapsulation != "ipip" && c.Encapsulation != "gue" {
		f.add("encapsulation %q: \"ipip\" or \"gue\" is possible", c.Encapsulation)
	}
	if c.HealthCheck != "tcp" && c.HealthCheck != "http" && c.HealthCheck != "none" {
		f.add("health check %q: \"tcp\", \"http\" or \"none\" is possible", c.HealthCheck)
	}
	f.between("gue_port", c.GUEPort, 1, 65535)
	if c.HealthCheck != "none" {
		f.between("health_port", c.HealthPort, 1, 65535)
	}
	if c.HealthPath[0] != '/' {
		f.add("health_path %q: it begins with /", c.HealthPath)
	}
	f.between("health_interval_ms", c.HealthInterval, 10, int(maxInterval.Milliseconds()))
	f.between("health_timeout_ms", c.HealthTimeout, 10, c.HealthInterval)
	f.between("health_fall", c.HealthFall, 1, maxChecks)
	f.between("health_rise", c.HealthRise, 1, maxChecks)
	f.between("errors_per_second", c.ErrorsPerSecond, 1, maxErrors)
	return errors.Join(f...)
}

func (c Config) checkBackend(f *faults, number int, backend Backend) {
	name := fmt.Sprintf("backend %q", backend.Name)
	if backend.Name == "" {
		name = fmt.Sprintf("backend number %d", number)
		f.add("%s has no name", name)
	}
	if why := ip.Unicast(backend.Address); why != "" {
		f.add("%s: address %s: %s", name, backend.Address, why)
	} else if !c.source(backend.Address).IsValid() {
		f.add("%s: address %s: tunnels to it need a source of its family", name, backend.Address)
	}
	for _, address := range c.Addresses {
		if address == backend.Address {
			f.add("%s: address %s is one that clients connect to: its own is needed", name, address)
		}
	}
	if backend.Weight < 1 || backend.Weight > maxWeight {
		f.add("%s: weight %d: 1 to %d are possible", name, backend.Weight, maxWeight)
	}
	for _, other := range c.Backends[:number] {
		if other.Name == backend.Name && other.Name != "" || other.Address == backend.Address && other.Address.IsValid() {
			f.add("%s: %q, %s is there already", name, other.Name, other.Address)
		}
	}
}

// source is where tunnels to an address come from.
func (c Config) source(to netip.Addr) netip.Addr {
	for _, source := range c.Sources {
		if source.Is4() == to.Is4() {
			return source
		}
	}
	return netip.Addr{}
}

// fits says what is wrong with a NIC for a config.
func (c Config) fits(nic NIC) error {
	var f faults
	if nic.MAC == [6]byte{} || nic.MAC[0]&1 != 0 {
		f.add("NIC %s: MAC %s is not one station's", nic.Name, net.HardwareAddr(nic.MAC[:]))
	}
	const least = 1280 // of IPv6, and more than enough of IPv4
	if most := ip.V6Header + udpHeader + gueHeader; nic.MTU < least+most || nic.MTU > 65535 {
		f.add("NIC %s: MTU %d: %d to 65535 bytes have room for tunnels", nic.Name, nic.MTU, least+most)
	}
	return errors.Join(f...)
}

// faults are what is wrong.
type faults []error

func (f *faults) add(format string, arguments ...any) {
	*f = append(*f, fmt.Errorf("balance: "+format, arguments...))
}

func (f *faults) between(what string, value, least, most int) {
	if value < least || value > most {
		f.add("%s %d: %d to %d are possible", what, value, least, most)
	}
}

func (f *faults) addresses(what string, all []netip.Addr, least, most int) {
	if n := len(all); n < least || n > most {
		f.add("%d of %s: %d to %d are possible", n, what, least, most)
	}
	seen := make(map[netip.Addr]bool)
	for _, address := range all {
		if why := ip.Unicast(address); why != "" {
			f.add("%s %s: %s", what, address, why)
		}
		if seen[address] {
			f.add("%s %s is there twice", what, address)
		}
		seen[address] = true
	}
}

// Package config reads the environment that go-backend and its health check share.
package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
)

// Config is the service's environment, validated.
type Config struct {
	// HTTPAddress and GRPCAddress are host:port pairs to listen on.
	HTTPAddress, GRPCAddress string
	// PinRoot is the bpffs directory with one directory of pins per interface.
	PinRoot string
	// ObjectPath is the ELF object that the attached programs were loaded from.
	ObjectPath string
	LogLevel   slog.Level
}

// Load reads the configuration through getenv, usually os.Getenv, and reports every mistake at once.
//
// Neither listener authenticates its clients, so both stay on loopback unless told otherwise.
func Load(getenv func(string) string) (Config, error) {
	var mistakes []error
	read := func(name, fallback string, check func(string) error) string {
		value := getenv(name)
		if value == "" {
			value = fallback
		}
		if err := check(value); err != nil {
			mistakes = append(mistakes, fmt.Errorf("%s=%q: %w", name, value, err))
		}
		return value
	}
	var c Config
	c.HTTPAddress = read("HTTP_ADDRESS", "127.0.0.1:8080", checkAddress)
	c.GRPCAddress = read("GRPC_ADDRESS", "127.0.0.1:50051", checkAddress)
	c.PinRoot = read("XDP_PIN_ROOT", "/sys/fs/bpf/tripod", checkAbsolute)
	c.ObjectPath = read("XDP_OBJECT", "/var/lib/tripod/bpf/tripod_xdp.bpf.o", checkAbsolute)
	read("LOG_LEVEL", "info", func(text string) error {
		if c.LogLevel.UnmarshalText([]byte(text)) != nil {
			return errors.New("not a level: use debug, info, warn or error")
		}
		return nil
	})
	return c, errors.Join(mistakes...)
}

func checkAddress(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return errors.New("not host:port, such as 127.0.0.1:8080 or [::1]:8080")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("port %q is not a number from 1 to 65535", port)
	}
	return nil
}

func checkAbsolute(path string) error {
	if !filepath.IsAbs(path) {
		return errors.New("not an absolute path")
	}
	return nil
}

// DialAddress turns an address to listen on into one to connect to from the same host.
// A wildcard becomes loopback by number, as the name localhost may mean ::1 where only IPv4 listens.
func DialAddress(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if host == "" {
		host = "127.0.0.1"
	} else if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip.Is6() {
			host = "::1"
		}
	}
	return net.JoinHostPort(host, port)
}

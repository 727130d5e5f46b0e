// Package config reads the environment that go-backend and its health check share.
package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Config is the service's environment, validated.
type Config struct {
	// HTTPAddress and GRPCAddress are host:port pairs to listen on.
	HTTPAddress, GRPCAddress string
	// PinRoot is the bpffs directory with one directory of pins per interface.
	PinRoot string
	// ObjectPath is the ELF object that the attached programs were loaded from.
	ObjectPath string
	// PolicySocket is where the host's agent listens for changes of policies.
	PolicySocket string
	// PolicySecret is what a caller brings who may see and change policies; empty where nobody may.
	PolicySecret string
	// TLSDirectory holds the certificates by which gRPC's clients and this service know each other; empty where it is plain.
	TLSDirectory string
	// GRPCClients are the names that may call, beside this service's own.
	GRPCClients []string
	// CallbackTargets are the APIs that are told when this service is there; each is host:port.
	CallbackTargets []string
	// WorkersPath is the file that says what AF_XDP workers there are; empty where there are none.
	WorkersPath string
	LogLevel    slog.Level
}

// Load reads the configuration through getenv, usually os.Getenv, and reports every mistake at once.
//
// Without certificates gRPC does not know its clients, so it stays on loopback unless told otherwise, and so does HTTP.
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
	c.PolicySocket = read("POLICY_SOCKET", "/run/tripod-policy/policy.sock", checkAbsolute)
	read("POLICY_SECRET_FILE", "", func(path string) (err error) {
		c.PolicySecret, err = readSecret(path)
		return err
	})
	c.TLSDirectory = read("TLS_DIRECTORY", "", checkAbsoluteIfAny)
	c.GRPCClients = strings.Split(read("GRPC_CLIENTS", "flask-backend", checkNames), ",")
	read("GRPC_PLAIN", "", func(word string) error {
		if word != "" && word != "yes" {
			return errors.New("neither empty nor yes")
		}
		if word == "" && c.TLSDirectory == "" && !isLoopback(c.GRPCAddress) {
			return fmt.Errorf("gRPC on %s would be open to whoever reaches it: name the directory of certificates in TLS_DIRECTORY, or set GRPC_PLAIN=yes", c.GRPCAddress)
		}
		return nil
	})
	if targets := read("CALLBACK_TARGETS", "", func(list string) error { return checkTargets(list, c.TLSDirectory) }); targets != "" {
		c.CallbackTargets = strings.Split(targets, ",")
	}
	c.WorkersPath = read("WORKERS_FILE", "", checkAbsoluteIfAny)
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

func checkAbsoluteIfAny(path string) error {
	if path == "" {
		return nil
	}
	return checkAbsolute(path)
}

func checkNames(list string) error {
	for _, name := range strings.Split(list, ",") {
		if name == "" || strings.ContainsAny(name, " \t") {
			return errors.New("not names with a comma between them, such as flask-backend,connector")
		}
	}
	return nil
}

// checkTargets takes any number of addresses to connect to; who is called has to know who calls.
func checkTargets(list, certificates string) error {
	if list == "" {
		return nil
	}
	if certificates == "" {
		return errors.New("the API takes calls with certificates alone: name their directory in TLS_DIRECTORY")
	}
	targets := strings.Split(list, ",")
	for place, target := range targets {
		if err := checkAddress(target); err != nil {
			return err
		}
		if address, err := netip.ParseAddrPort(target); err != nil || address.Addr().IsUnspecified() {
			return fmt.Errorf("%s is no IP address to connect to, with a port", target)
		}
		if slices.Contains(targets[:place], target) {
			return fmt.Errorf("%s is there twice", target)
		}
	}
	return nil
}

// isLoopback tells whether only this machine reaches an address to listen on.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return true // which is refused as no address
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// minSecret is what nobody guesses (bytes).
const minSecret = 32

// readSecret returns the content of a file, without the newline at its end; nothing where no file is named.
func readSecret(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	secret := strings.TrimSuffix(string(content), "\n")
	if len(secret) < minSecret {
		return "", fmt.Errorf("the file holds %d bytes, at least %d are needed", len(secret), minSecret)
	}
	return secret, nil
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

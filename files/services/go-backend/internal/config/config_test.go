package config

import (
	"log/slog"
	"strings"
	"testing"
)

func env(pairs map[string]string) func(string) string {
	return func(name string) string { return pairs[name] }
}

func TestDefaultsStayOnLoopback(t *testing.T) {
	got, err := Load(env(nil))
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		HTTPAddress: "127.0.0.1:8080",
		GRPCAddress: "127.0.0.1:50051",
		PinRoot:     "/sys/fs/bpf/tripod",
		ObjectPath:  "/var/lib/tripod/bpf/tripod_xdp.bpf.o",
		LogLevel:    slog.LevelInfo,
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestEveryMistakeIsReportedAtOnce(t *testing.T) {
	_, err := Load(env(map[string]string{
		"HTTP_ADDRESS": "8080",
		"GRPC_ADDRESS": "0.0.0.0:70000",
		"XDP_PIN_ROOT": "pins",
		"XDP_OBJECT":   "./x.o",
		"LOG_LEVEL":    "loud",
	}))
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{"HTTP_ADDRESS", "GRPC_ADDRESS", "65535", "XDP_PIN_ROOT", "XDP_OBJECT", "LOG_LEVEL"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q lacks %q", err, part)
		}
	}
}

func TestAddresses(t *testing.T) {
	for _, test := range []struct {
		listen string
		ok     bool
		dial   string
	}{
		{"127.0.0.1:8080", true, "127.0.0.1:8080"},
		{"0.0.0.0:8080", true, "127.0.0.1:8080"},
		{":8080", true, "127.0.0.1:8080"},
		{"[::]:8080", true, "[::1]:8080"},
		{"[2001:db8::1]:8080", true, "[2001:db8::1]:8080"},
		{"172.17.0.1:50051", true, "172.17.0.1:50051"},
		{"host:0", false, "host:0"},
		{"host:http", false, "host:http"},
		{"::1", false, "::1"},
	} {
		_, err := Load(env(map[string]string{"HTTP_ADDRESS": test.listen}))
		if (err == nil) != test.ok {
			t.Errorf("%s: error %v, want ok=%v", test.listen, err, test.ok)
		}
		if got := DialAddress(test.listen); got != test.dial {
			t.Errorf("%s: dial %s, want %s", test.listen, got, test.dial)
		}
	}
}

package config

import (
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
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
		HTTPAddress:  "127.0.0.1:8080",
		GRPCAddress:  "127.0.0.1:50051",
		PinRoot:      "/sys/fs/bpf/tripod",
		ObjectPath:   "/var/lib/tripod/bpf/tripod_xdp.bpf.o",
		PolicySocket: "/run/tripod-policy/policy.sock",
		GRPCClients:  []string{"flask-backend"},
		LogLevel:     slog.LevelInfo,
	}
	if !reflect.DeepEqual(got, want) {
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

		"POLICY_SOCKET":      "policy.sock",
		"POLICY_SECRET_FILE": "/nonexistent/secret",
		"WORKERS_FILE":       "workers.json",
		"TLS_DIRECTORY":      "certificates",
		"GRPC_CLIENTS":       "a,,b",
		"GRPC_PLAIN":         "no",
		"CALLBACK_TARGETS":   "127.0.0.1",
	}))
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{"HTTP_ADDRESS", "GRPC_ADDRESS", "65535", "XDP_PIN_ROOT", "XDP_OBJECT", "LOG_LEVEL", "POLICY_SOCKET", "POLICY_SECRET_FILE", "WORKERS_FILE",
		"TLS_DIRECTORY", "GRPC_CLIENTS", "GRPC_PLAIN", "CALLBACK_TARGETS"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q lacks %q", err, part)
		}
	}
}

func TestTheSecretIsAFileOfEnough(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	variables := env(map[string]string{"POLICY_SECRET_FILE": path})
	for content, want := range map[string]string{
		strings.Repeat("s", 31):          "",
		strings.Repeat("s", 31) + "\n":   "",
		strings.Repeat("s", 32):          strings.Repeat("s", 32),
		strings.Repeat("s", 32) + "\n":   strings.Repeat("s", 32),
		strings.Repeat("s", 31) + "\n\n": strings.Repeat("s", 31) + "\n",
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := Load(variables)
		if (err == nil) != (want != "") || err == nil && got.PolicySecret != want {
			t.Errorf("%q: got %q, %v", content, got.PolicySecret, err)
		}
		if err != nil && strings.Contains(err.Error(), "sss") {
			t.Errorf("the secret is told: %v", err)
		}
	}
}

func TestPlainGRPCStaysOnLoopbackUnlessItIsSaidToBe(t *testing.T) {
	for _, test := range []struct {
		address, directory, plain string
		ok                        bool
	}{
		{"127.0.0.1:50051", "", "", true},
		{"[::1]:50051", "", "", true},
		{"172.18.0.1:50051", "", "", false},
		{":50051", "", "", false},
		{"[::]:50051", "", "", false},
		{"172.18.0.1:50051", "/run/secrets", "", true},
		{"172.18.0.1:50051", "", "yes", true},
	} {
		_, err := Load(env(map[string]string{
			"GRPC_ADDRESS": test.address, "TLS_DIRECTORY": test.directory, "GRPC_PLAIN": test.plain,
		}))
		if (err == nil) != test.ok {
			t.Errorf("%+v: %v", test, err)
		}
		if !test.ok && err != nil && !strings.Contains(err.Error(), "TLS_DIRECTORY") {
			t.Errorf("%v does not tell the way out", err)
		}
	}
}

func TestWhoIsCalledIsAnAddressAndKnowsWhoCalls(t *testing.T) {
	for _, test := range []struct{ targets, directory, says string }{
		{"127.0.0.1:50052", "/run/secrets", ""},
		{"127.0.0.1:50052,[2001:db8::1]:50052", "/run/secrets", ""},
		{"127.0.0.1:50052", "", "TLS_DIRECTORY"},
		{"api.example.com:50052", "/run/secrets", "no IP address"},
		{"0.0.0.0:50052", "/run/secrets", "no IP address"},
		{"127.0.0.1", "/run/secrets", "not host:port"},
		{"127.0.0.1:50052,", "/run/secrets", "not host:port"},
		{"127.0.0.1:50052,127.0.0.1:50052", "/run/secrets", "twice"},
	} {
		got, err := Load(env(map[string]string{"CALLBACK_TARGETS": test.targets, "TLS_DIRECTORY": test.directory}))
		if test.says == "" {
			if err != nil || strings.Join(got.CallbackTargets, ",") != test.targets {
				t.Errorf("%+v: %v, %v", test, got.CallbackTargets, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), "CALLBACK_TARGETS") {
			t.Errorf("%+v: %v", test, err)
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

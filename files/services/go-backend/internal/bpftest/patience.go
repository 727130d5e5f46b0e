package bpftest

import (
	"testing"
	"time"
)

// Patience is how long a test waits for what comes by itself before it fails: long, as an emulated guest of a busy machine
// has next to no CPU. It is no measure of what is tried.
const Patience = 2 * time.Minute

// Eventually waits for what the kernel or another thread does in its own time.
func Eventually(t testing.TB, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(Patience); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not come to pass")
		}
	}
}

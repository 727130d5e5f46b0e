package object

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"tripod/go-backend/internal/rescue"
)

// FuzzParse damages the real object. The readers below may panic at what they meet, as they were not written for it; all
// that must hold is that it ends in an error, and soon.
func FuzzParse(f *testing.F) {
	content := []byte("\x7fELF\x02\x01\x01")
	if path := os.Getenv("TRIPOD_XDP_OBJECT"); path != "" {
		var err error
		if content, err = os.ReadFile(path); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(content, uint32(0), byte(0))
	f.Add(content[:len(content)/2], uint32(0), byte(0))
	// The header, the section headers and a little of everything between.
	for at := 0; at < len(content); at += 1 + len(content)/64 {
		f.Add(content, uint32(at), byte(0xff))
	}
	f.Fuzz(func(t *testing.T, content []byte, at uint32, flip byte) {
		content = bytes.Clone(content)
		if len(content) > 0 {
			content[int(at)%len(content)] ^= flip
		}
		object, err := parse("object.o", content)
		if err != nil {
			if !errors.Is(err, ErrUnusable) {
				t.Errorf("got %v", err)
			}
			return
		}
		// What the tracer does before the kernel has its say; its calls are guarded too.
		_ = rescue.Do("spec", func() error {
			spec := object.Spec()
			return spec.Variables[TracingName].Set(true)
		})
	})
}

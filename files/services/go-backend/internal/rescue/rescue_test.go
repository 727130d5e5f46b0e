package rescue_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"tripod/go-backend/internal/rescue"
)

func nested() { panic("defect") }

func TestAPanicBecomesAnErrorWithItsStackInTheLog(t *testing.T) {
	var logged bytes.Buffer
	before := slog.Default()
	defer slog.SetDefault(before)
	slog.SetDefault(slog.New(slog.NewJSONHandler(&logged, nil)))

	caught := rescue.Caught()
	own := errors.New("own")
	if err := rescue.Do("here", func() error { return own }); err != own || rescue.Caught() != caught || logged.Len() > 0 {
		t.Errorf("an ordinary error became %v, logged %s", err, &logged)
	}
	err := rescue.Do("here", func() error { nested(); return nil })
	if err == nil || !strings.Contains(err.Error(), "here") || !strings.Contains(err.Error(), "defect") {
		t.Errorf("got %v", err)
	}
	if rescue.Caught() != caught+1 || !strings.Contains(logged.String(), "rescue_test.nested") {
		t.Errorf("counted %d, logged %s", rescue.Caught()-caught, &logged)
	}
}

package control

import (
	"encoding/json"
	"fmt"
	"net/http"

	"tripod/go-backend/internal/workers"
)

// HTTPHandler serves /healthz (the process lives), /readyz (what the service exists for works), /metrics, and /workers (what
// became of the file of workers).
func HTTPHandler(health *Health, metrics, workers http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "alive")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := health.Refresh(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	mux.Handle("GET /metrics", metrics)
	mux.Handle("GET /workers", workers)
	return mux
}

// servedQueue is a row of the page of workers.
type servedQueue struct {
	Name  string `json:"name"`
	NIC   string `json:"nic"`
	Queue int    `json:"queue"`
	Mode  string `json:"mode"`
	CPU   int    `json:"cpu"`
}

// workersPage is what the role go_backend reads after it has changed the file of workers.
type workersPage struct {
	// FileSHA256 is of the file as it was last read, once that was carried out; empty before.
	FileSHA256 string `json:"file_sha256"`
	// Fault is why the file was not taken, or which of its workers cannot be what it says.
	Fault   string        `json:"fault"`
	Workers []servedQueue `json:"workers"`
}

// WorkersPage tells which queues are served, and what became of the file of workers.
func WorkersPage(manager *workers.Manager) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		// In this order: a digest that is told is of a change that the rest shows.
		page := workersPage{FileSHA256: manager.Digest(), Workers: []servedQueue{}}
		if err := manager.Err(); err != nil {
			page.Fault = err.Error()
		}
		for _, one := range manager.List() {
			for _, queue := range one.Queues {
				page.Workers = append(page.Workers, servedQueue{one.Name, one.NIC, queue.Queue, queue.Mode.String(), queue.CPU})
			}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(page)
	})
}

package dataplane_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"tripod/go-backend/internal/bpftest"
	"tripod/go-backend/internal/dataplane"
	"tripod/go-backend/internal/object"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// damages are what can become of an interface that is there and has pins.
var damages = []struct {
	what  string
	upset func(t *testing.T, h *bpftest.Host, name string)
	state dataplane.State
	says  string
	// counted: the counters can still be read.
	counted bool
}{
	{"nothing", func(*testing.T, *bpftest.Host, string) {}, dataplane.Running, "", true},
	{"unplugged", func(_ *testing.T, h *bpftest.Host, name string) { h.RemoveInterface(name) },
		dataplane.Absent, "no interface", true},
	{"detached", func(_ *testing.T, h *bpftest.Host, name string) { h.DropLink(name) },
		dataplane.Detached, "no XDP program at all", true},
	{"replaced by another's", func(_ *testing.T, h *bpftest.Host, name string) { h.AttachProgram(name, h.Foreign(), 0) },
		dataplane.Foreign, "the pin", true},
	{"pin of the program lost", func(t *testing.T, h *bpftest.Host, name string) { must(t, os.Remove(h.Pins(name)+"/prog")) },
		dataplane.Unpinned, "no pin", false},
	{"pin of the program is a map", func(t *testing.T, h *bpftest.Host, name string) {
		must(t, os.Rename(h.Map(name, object.TraceName), h.Pins(name)+"/prog"))
	}, dataplane.Unreadable, "prog", false},
	{"pin of the program is a directory", func(t *testing.T, h *bpftest.Host, name string) {
		must(t, os.Remove(h.Pins(name)+"/prog"))
		must(t, os.Mkdir(h.Pins(name)+"/prog", 0o755))
	}, dataplane.Unreadable, "prog", false},
	{"pin of the program is a link that leads nowhere", func(t *testing.T, h *bpftest.Host, name string) {
		must(t, os.Remove(h.Pins(name)+"/prog"))
		must(t, os.Symlink("nowhere", h.Pins(name)+"/prog"))
	}, dataplane.Unpinned, "no pin", false},
	{"pin of the counters lost", func(t *testing.T, h *bpftest.Host, name string) {
		must(t, os.Remove(h.Map(name, object.CountersName)))
	}, dataplane.Damaged, object.CountersName, false},
	{"counters of another program", func(t *testing.T, h *bpftest.Host, name string) {
		pinAnothers(t, h, name, object.CountersName)
	}, dataplane.Damaged, "does not use", false},
	{"pin of the policy lost", func(t *testing.T, h *bpftest.Host, name string) { must(t, os.Remove(h.Map(name, "policy"))) },
		dataplane.Damaged, "maps/policy", true},
	{"pin of the constants lost", func(t *testing.T, h *bpftest.Host, name string) {
		must(t, os.Remove(h.Map(name, object.ConstantsPin)))
	}, dataplane.Damaged, object.ConstantsPin, true},
	{"pin of the hits lost", func(t *testing.T, h *bpftest.Host, name string) { must(t, os.Remove(h.Map(name, object.HitsName))) },
		dataplane.Damaged, object.HitsName, true},
	{"hits of another layout", func(t *testing.T, h *bpftest.Host, name string) {
		h.Detach(name)
		h.Attach(name, func(spec *ebpf.CollectionSpec) { spec.Maps[object.HitsName].MaxEntries = 1 << 14 })
		h.Send(name, bpftest.UDP("192.0.2.1", 0), 2)
	}, dataplane.Damaged, "16384 entries", true},
	{"bans of another program", func(t *testing.T, h *bpftest.Host, name string) { pinAnothers(t, h, name, "bans") },
		dataplane.Damaged, "does not use", true},
	{"a map of nobody", func(t *testing.T, h *bpftest.Host, name string) { pinNew(t, h.Map(name, "stray")) },
		dataplane.Damaged, "stray", true},
	{"a map with a name that is no text", func(t *testing.T, h *bpftest.Host, name string) { pinNew(t, h.Map(name, "\xff")) },
		dataplane.Damaged, "does not use", true},
	{"a program among the maps", func(t *testing.T, h *bpftest.Host, name string) {
		must(t, h.Foreign().Pin(h.Map(name, "program")))
	}, dataplane.Damaged, "maps/program", true},
	{"a directory among the maps", func(t *testing.T, h *bpftest.Host, name string) {
		must(t, os.Mkdir(h.Map(name, "directory"), 0o755))
	}, dataplane.Damaged, "maps/directory", true},
	{"no directory of maps", func(t *testing.T, h *bpftest.Host, name string) {
		must(t, os.RemoveAll(h.Pins(name)+"/maps"))
	}, dataplane.Damaged, "maps", false},
	{"a map in the place of the directory of maps", func(t *testing.T, h *bpftest.Host, name string) {
		must(t, os.RemoveAll(h.Pins(name)+"/maps"))
		pinNew(t, h.Pins(name)+"/maps")
	}, dataplane.Damaged, "maps", false},
	{"the other half of a replacement", func(t *testing.T, h *bpftest.Host, name string) { pinNew(t, h.Map(name, "bans~")) },
		dataplane.Running, "", true},
	{"counters of another layout", func(t *testing.T, h *bpftest.Host, name string) {
		h.Detach(name)
		h.Attach(name, func(spec *ebpf.CollectionSpec) { spec.Maps[object.CountersName].MaxEntries = 1 << 16 })
	}, dataplane.Damaged, "65536 entries", false},
	{"counters of another kind", func(t *testing.T, h *bpftest.Host, name string) {
		h.Detach(name)
		h.Attach(name, func(spec *ebpf.CollectionSpec) { spec.Maps[object.CountersName].Type = ebpf.Array })
	}, dataplane.Damaged, "is Array", false},
	{"no pin at all", func(t *testing.T, h *bpftest.Host, name string) {
		h.DropLink(name)
		must(t, os.RemoveAll(h.Pins(name)))
		must(t, os.Mkdir(h.Pins(name), 0o755))
	}, dataplane.Detached, "no XDP program at all", false},
}

// pinAnothers puts a map of the same layout, as that of another interface, in the place of a pin.
func pinAnothers(t *testing.T, h *bpftest.Host, name, key string) {
	t.Helper()
	spec, err := ebpf.LoadCollectionSpec(bpftest.Object(t))
	must(t, err)
	m, err := ebpf.NewMap(spec.Maps[key])
	must(t, err)
	defer m.Close()
	must(t, os.Remove(h.Map(name, key)))
	must(t, m.Pin(h.Map(name, key)))
}

// pinNew pins a map that no program uses.
func pinNew(t *testing.T, path string) {
	t.Helper()
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	must(t, err)
	defer m.Close()
	must(t, m.Pin(path))
}

func TestOneDamagedInterfaceIsNamedAndCostsTheOthersNothing(t *testing.T) {
	h := bpftest.NewHost(t)
	root, file := dataplane.NewRoot(h.Root), object.Open(bpftest.Object(t))
	sound := h.AddInterface()
	h.Attach(sound, nil)
	h.Send(sound, bpftest.UDP("192.0.2.1", 0), 3)
	// Loading takes the verifier a second or more, so one load serves all.
	loaded := h.Load("none", nil)
	for _, test := range damages {
		t.Run(test.what, func(t *testing.T) {
			broken := h.AddInterface()
			must(t, loaded.Maps[object.CountersName].Put(uint32(2*object.ReasonSlots), make([]object.Counter, ebpf.MustPossibleCPU())))
			h.AttachLoaded(broken, loaded)
			defer os.RemoveAll(h.Pins(broken))
			h.Send(broken, bpftest.UDP("192.0.2.1", 0), 2)
			must(t, dataplane.Take(t.Context(), root, file).Err())
			test.upset(t, h, broken)

			survey := dataplane.Take(t.Context(), root, file)
			byName := make(map[string]dataplane.Report)
			for _, report := range survey.Interfaces {
				byName[report.Name] = report
			}
			got, beside := byName[broken], byName[sound]
			if len(survey.Interfaces) != 2 || got.Name == "" {
				t.Fatalf("got %+v", survey.Interfaces)
			}
			if beside.State != dataplane.Running || beside.Err != nil || len(beside.Counts) != 1 || beside.Counts[0].Packets != 3 {
				t.Errorf("the sound interface: %+v", beside)
			}
			if got.State != test.state || got.Counted != test.counted {
				t.Errorf("got %s, counted %v, want %s, %v: %v", got.State, got.Counted, test.state, test.counted, got.Err)
			}
			if test.counted && (len(got.Counts) != 1 || got.Counts[0].Packets != 2) {
				t.Errorf("its counters: %+v", got.Counts)
			}
			// Only one that is unplugged lets the service be ready all the same.
			healthy := test.state == dataplane.Running || test.state == dataplane.Absent
			if err := survey.Err(); (err == nil) != healthy || !healthy && !strings.Contains(err.Error(), test.says) {
				t.Errorf("readiness: %v", err)
			}
			if test.state == dataplane.Running {
				if len(survey.Problems) > 0 {
					t.Errorf("got %+v", survey.Problems)
				}
				return
			}
			if len(survey.Problems) != 1 {
				t.Fatalf("got %+v", survey.Problems)
			}
			problem := survey.Problems[0]
			if problem.Interface != broken || problem.State != test.state || !strings.Contains(problem.Text, test.says) {
				t.Errorf("got %+v, want it to say %q", problem, test.says)
			}
			_, err := root.Interface(t.Context(), broken)
			if runs := test.state == dataplane.Damaged; (err == nil) != runs {
				t.Errorf("for the tracer: %v", err)
			} else if want := errors.Is(err, dataplane.ErrNotAttached); !runs && want == (test.state == dataplane.Unreadable) {
				t.Errorf("for the tracer: %v", err)
			}
		})
	}
}

func TestAllReasonsAreGivenAtOnce(t *testing.T) {
	h := bpftest.NewHost(t)
	detached, foreign, damaged := h.AddInterface(), h.AddInterface(), h.AddInterface()
	loaded := h.Load("none", nil)
	for _, name := range []string{detached, foreign, damaged} {
		h.AttachLoaded(name, loaded)
	}
	h.DropLink(detached)
	h.AttachProgram(foreign, h.Foreign(), 0)
	must(t, os.Remove(h.Map(damaged, "policy")))
	err := dataplane.Take(t.Context(), dataplane.NewRoot(h.Root), object.Open("/nonexistent/object.o")).Err()
	for _, says := range []string{"/nonexistent/object.o", detached, foreign, damaged} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want it to name %s", err, says)
		}
	}
}

func TestAnEarlierReleaseIsShownAsWhatItIs(t *testing.T) {
	h := bpftest.NewHost(t)
	name := h.AddInterface()
	h.AttachEarlier(name)
	h.Send(name, bpftest.UDP("192.0.2.1", 0), 3)
	root, file := dataplane.NewRoot(h.Root), object.Open(bpftest.Object(t))
	survey := dataplane.TakeWithHits(t.Context(), root, file)
	must(t, survey.Err())
	got := survey.Interfaces[0]
	if got.State != dataplane.Outdated || !got.Runs() || len(got.Counts) != 1 || got.Counts[0].Packets != 3 || got.Hits != nil {
		t.Errorf("got %+v", got)
	}
	if len(survey.Problems) != 1 || !strings.Contains(survey.Notes(), "earlier release") {
		t.Errorf("got %+v", survey.Problems)
	}
	// One list that is lost is worth an alarm in any release.
	must(t, os.Remove(h.Map(name, "acl_v6")))
	survey = dataplane.Take(t.Context(), root, file)
	if got := survey.Interfaces[0]; got.State != dataplane.Damaged || !strings.Contains(survey.Err().Error(), "acl_v6") {
		t.Errorf("got %+v", got)
	}
}

// waits counts how often somebody waited on a context.
type waits struct {
	context.Context
	count int
}

func (w *waits) Done() <-chan struct{} {
	w.count++
	return w.Context.Done()
}

func TestManyBrokenInterfacesTakeNoLongerThanOne(t *testing.T) {
	h := bpftest.NewHost(t)
	var counts []int
	for range 2 {
		for range 10 {
			must(t, os.Mkdir(h.Pins(h.AddInterface()), 0o755))
		}
		ctx := &waits{Context: t.Context()}
		dataplane.Take(ctx, dataplane.NewRoot(h.Root), object.Open(bpftest.Object(t)))
		counts = append(counts, ctx.count)
	}
	if counts[0] == 0 || counts[1] != counts[0] {
		t.Errorf("10 interfaces waited %d times, 20 waited %d times", counts[0], counts[1])
	}
}

// meanwhile is a context that lets something happen when it is first waited on: between two readings.
type meanwhile struct {
	context.Context
	happens func()
}

func (m *meanwhile) Done() <-chan struct{} {
	if m.happens != nil {
		m.happens()
		m.happens = nil
	}
	return m.Context.Done()
}

func TestADetachmentUnderWayIsNoProblem(t *testing.T) {
	h := bpftest.NewHost(t)
	name := h.AddInterface()
	h.Attach(name, nil)
	h.DropLink(name)
	ctx := &meanwhile{t.Context(), func() { must(t, os.RemoveAll(h.Pins(name))) }}
	survey := dataplane.Take(ctx, dataplane.NewRoot(h.Root), object.Open(bpftest.Object(t)))
	if ctx.happens != nil || len(survey.Interfaces) > 0 || len(survey.Problems) > 0 {
		t.Errorf("got %+v, %+v", survey.Interfaces, survey.Problems)
	}
}

func TestAReplacementUnderWayIsNoProblem(t *testing.T) {
	h := bpftest.NewHost(t)
	name := h.AddInterface()
	h.Attach(name, nil)
	next := h.Load(name, nil)
	// As the host does it: first the maps, then the program, then its pin.
	must(t, os.Remove(h.Map(name, object.CountersName)))
	pinNew(t, h.Map(name, object.CountersName))
	ctx := &meanwhile{t.Context(), func() {
		must(t, os.Remove(h.Map(name, object.CountersName)))
		h.AttachLoaded(name, next)
	}}
	survey := dataplane.Take(ctx, dataplane.NewRoot(h.Root), object.Open(bpftest.Object(t)))
	if ctx.happens != nil || len(survey.Problems) > 0 || survey.Interfaces[0].State != dataplane.Running {
		t.Errorf("got %+v, %+v", survey.Interfaces, survey.Problems)
	}
}

func TestWhatIsNoInterfaceIsNotTakenForOne(t *testing.T) {
	h := bpftest.NewHost(t)
	name := h.AddInterface()
	h.Attach(name, nil)
	root, file := dataplane.NewRoot(h.Root), object.Open(bpftest.Object(t))
	// What the host makes while a guard is armed and while it replaces a pin.
	for _, entry := range []string{name + "~0badcafe", "eth0:7~00000000"} {
		must(t, os.Mkdir(filepath.Join(h.Root, entry), 0o755))
	}
	pinNew(t, filepath.Join(h.Root, name+"~"))
	if survey := dataplane.Take(t.Context(), root, file); len(survey.Interfaces) != 1 || len(survey.Problems) != 0 {
		t.Errorf("the host's own: got %+v", survey)
	}

	var made []string
	for _, entry := range []string{"\xff\xfe", "a b", "eth0~1", "sixteen-letters-", strings.Repeat("x", 255), "::", "\n"} {
		must(t, os.Mkdir(filepath.Join(h.Root, entry), 0o755))
		made = append(made, fmt.Sprintf("%q", entry))
	}
	pinNew(t, filepath.Join(h.Root, "eth7"))
	made = append(made, `"eth7"`)
	survey := dataplane.Take(t.Context(), root, file)
	if len(survey.Interfaces) != 1 || survey.Interfaces[0].Name != name || len(survey.Unexpected) != len(made) {
		t.Errorf("got %+v", survey)
	}
	if err := survey.Err(); err != nil {
		t.Errorf("nobody is kept from work, yet: %v", err)
	}
	for _, entry := range made {
		if !strings.Contains(survey.Notes(), entry) {
			t.Errorf("%s is not in %s", entry, survey.Notes())
		}
	}
}

// The readers must survive whatever lies below the pin root.
func FuzzEntries(f *testing.F) {
	f.Add("eth0", "maps", "policy", uint8(0))
	f.Add("\xff", "prog", "\xfe", uint8(1))
	f.Add("eth0~0badcafe", "pins", "x", uint8(2))
	f.Add("lo", "prog", "", uint8(3))
	f.Add("lo", "maps", "counters", uint8(2))
	f.Fuzz(func(t *testing.T, outer, middle, inner string, kind uint8) {
		h := bpftest.NewHost(t)
		// What the kernel refuses to make cannot be met.
		outer, middle, inner = filepath.Base(outer), filepath.Base(middle), filepath.Base(inner)
		directory := filepath.Join(h.Root, outer)
		path := filepath.Join(directory, middle, inner)
		switch kind % 4 {
		case 0:
			_ = os.MkdirAll(path, 0o755)
		case 1:
			_ = os.MkdirAll(filepath.Dir(path), 0o755)
			_ = os.Symlink("..", path)
		case 2:
			_ = os.MkdirAll(filepath.Dir(path), 0o755)
			_ = counted(t).Pin(path)
		case 3:
			_ = os.MkdirAll(directory, 0o755)
			_ = h.Foreign().Pin(filepath.Join(directory, middle))
		}
		survey := dataplane.Take(t.Context(), dataplane.NewRoot(h.Root), object.Open("/nonexistent"))
		if !survey.Listed || len(survey.Interfaces)+len(survey.Unexpected) > 1 {
			t.Errorf("got %+v", survey)
		}
		for _, problem := range survey.Problems {
			if strings.Contains(problem.Text, "internal error") {
				t.Error(problem.Text)
			}
		}
	})
}

// counted is a map like those that the readers look for.
func counted(t *testing.T) *ebpf.Map {
	t.Helper()
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.PerCPUArray, KeySize: 4, ValueSize: 16, MaxEntries: 128})
	must(t, err)
	t.Cleanup(func() { m.Close() })
	return m
}

package deploy

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/internal/cloud"
	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/scripts"
)

// fakeHost stands for a host in the orchestrator's own tests: it keeps what a deployment changes (flag, slots, site, lock) and can be told to
// fail at any verb. What the scripts really do is proved against real hosts, in e2e.
type fakeHost struct {
	t  *testing.T
	mu sync.Mutex

	flag     string          // the active port, empty for none
	running  map[string]bool // by port
	proved   map[string]bool // by port
	loaded   bool            // nginx has the site
	locked   bool
	lost     bool // the link is dead
	calls    []string
	recorded []string
	commit   string       // of the active release; "" for oldCommit
	offer    string       // the manifest it offers; "" for no release to build on
	disk     int          // KiB free
	lacks    bool         // setup has something to do
	received bytes.Buffer // what was uploaded

	store  *fakeStore
	faults map[scripts.Verb]fault
	cancel func()
}

// fault is what happens at a verb, once.
type fault struct {
	kind  string // error, cancel, lost-before, lost-after, panic
	code  int    // of an error
	words string
}

func newFakeHost(t *testing.T) *fakeHost {
	t.Helper()
	return &fakeHost{t: t, flag: "8080", running: map[string]bool{"8080": true}, proved: map[string]bool{"8080": true}, loaded: true, faults: map[scripts.Verb]fault{}}
}

var errLink = &remote.LostError{Err: errors.New("connection reset by peer")}

func (f *fakeHost) dial(context.Context, remote.Host) (Shell, error) { return f, nil }

func (f *fakeHost) String() string { return "fake" }
func (f *fakeHost) Close() error   { return nil }

// Upload takes all there is, or fails like a verb of the name.
func (f *fakeHost) Upload(ctx context.Context, path string, from io.Reader) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, "upload "+path)
	bad, isBad := f.faults["upload"]
	delete(f.faults, "upload")
	if isBad && bad.kind == "error" {
		return errors.New(bad.words)
	}
	if isBad && bad.kind == "cancel" {
		f.cancel()
		<-ctx.Done()
		return context.Cause(ctx)
	}
	_, err := io.Copy(&f.received, from)
	return err
}

func (f *fakeHost) Download(_ context.Context, path string, to io.Writer) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, "download "+path)
	z := gzip.NewWriter(to)
	_, _ = io.WriteString(z, f.offer)
	return z.Close()
}

func (f *fakeHost) Remove(_ context.Context, path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, "remove "+path)
	return nil
}

func (f *fakeHost) Run(ctx context.Context, verb scripts.Verb, v scripts.Values, results, words io.Writer) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lost {
		return errLink
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if verb != scripts.Port && verb != scripts.Check && !f.locked {
		f.t.Errorf("%s ran without the deploy lock", verb)
	}
	f.calls = append(f.calls, call(verb, v))
	if _, err := scripts.Compose(verb, v); err != nil {
		f.t.Errorf("compose %s: %v", verb, err)
	}
	bad, isBad := f.faults[verb]
	delete(f.faults, verb)
	if isBad {
		switch bad.kind {
		case "lost-before":
			f.lost = true
			return errLink
		case "panic":
			panic("at the disco")
		case "error":
			_, _ = fmt.Fprintln(words, bad.words)
			return &remote.ExitError{Code: bad.code}
		}
	}
	_, _ = fmt.Fprintf(results, "login banner\n%s\n%s", scripts.Begin, f.effect(verb, v))
	if isBad {
		switch bad.kind {
		case "cancel":
			f.cancel()
			<-ctx.Done()
			return context.Cause(ctx)
		case "lost-after":
			f.lost = true
			return errLink
		}
	}
	return nil
}

func call(verb scripts.Verb, v scripts.Values) string {
	switch verb {
	case scripts.Switch:
		return fmt.Sprintf("switch %s>%s", v["from"], v["to"])
	case scripts.Hook:
		return v["name"]
	case scripts.Assets:
		return fmt.Sprintf("assets %s %s", v["asset"], v["url"])
	case scripts.Start, scripts.Stop, scripts.Drain:
		return fmt.Sprintf("%s %s", verb, v["port"])
	}
	return string(verb)
}

// effect does to the model what the verb does to a host, and returns what it prints.
func (f *fakeHost) effect(verb scripts.Verb, v scripts.Values) string {
	switch verb {
	case scripts.Check:
		return "installed=\nos=Debian\nsystemd=yes\nipv6=no\nnginx=1.24.0\ndisk_mb=9000\nmemory_mb=900\nskew=0\n"
	case scripts.Port:
		return f.detection()
	case scripts.Fetch:
		if v["active_commit"] == v["ref"] && v["recipe"] == v["active_recipe"] {
			return "commit=" + v["ref"] + "\nunchanged=yes\n"
		}
		return "commit=" + newCommit + "\nrelease=20261123T000000Z-bbbbbbb\n"
	case scripts.Offer:
		base := ""
		if f.offer != "" {
			base = v["active"]
		}
		return fmt.Sprintf("transfer=/t\nbase=%s\ndisk_kb=%d\ninodes=0\n", base, f.disk)
	case scripts.Receive:
		return "received=yes\n"
	case scripts.Build:
		return "built=reused\n"
	case scripts.Assets:
		return "fetched=" + v["size"] + "\n"
	case scripts.Setup:
		changed := ""
		if f.lacks {
			changed, f.lacks = "/etc/systemd/system/ai-server@.service", false
		}
		return "changed=" + changed + "\n"
	case scripts.Start:
		f.running[v["port"]], f.proved[v["port"]] = true, false
		return "log_offset=0\npid=42\nstarttime=4200\n"
	case scripts.Health:
		return "boot_ms=500\ntries=2\n"
	case scripts.Site:
		was := f.loaded
		f.loaded = true
		return "reloaded=" + yes(!was) + "\nedited=no\n"
	case scripts.Switch:
		return f.rename(v["from"], v["to"])
	case scripts.Restore:
		return "restored=already\n"
	case scripts.Verify:
		if f.flag != v["port"] {
			f.t.Errorf("verify of port %s while %q is active", v["port"], f.flag)
		}
		f.proved[v["port"]] = true
		return "live=1795400000000\nprobes=9\n"
	case scripts.Drain:
		if f.flag == v["port"] {
			f.t.Errorf("drain of the active port %s", v["port"])
		}
		return "left=0\ndrain_ms=20\n"
	case scripts.Stop:
		if f.flag == v["port"] {
			f.t.Errorf("stop of the active port %s", v["port"])
		}
		delete(f.running, v["port"])
		return "stopped=yes\nstop_ms=20\n"
	case scripts.Releases:
		return "release_0=20261122T000000Z-aaaaaaa " + oldCommit + " live\nrelease_1=20261121T000000Z-9999999 " + oldCommit + " live\nhistory_0={}\n"
	case scripts.Hook:
		return "hook_ms=5\n"
	case scripts.Prune:
		return "pruned=1\nfreed_mb=5\n"
	case scripts.Record:
		f.recorded = append(f.recorded, v["line"])
		return "recorded=yes\n"
	}
	f.t.Errorf("unknown verb %s", verb)
	return ""
}

func (f *fakeHost) rename(from, to string) string {
	switched := "already"
	if f.flag != to && (to != "" || f.flag == from) {
		f.flag, switched = to, "yes"
	}
	return "switched=" + switched + "\nswitched_at=1795400000000\n"
}

const (
	oldCommit = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	newCommit = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

func (f *fakeHost) detection() string {
	var b strings.Builder
	include, routed := absent, ""
	if f.loaded {
		include, routed = ours, "http://ai_server_"+f.flag
	}
	fmt.Fprintf(&b, "include=%s\nrouted=%s\nstrays=\n", include, routed)
	for _, port := range []string{"8080", "8081"} {
		listen, pid, release := none, 0, ""
		if f.running[port] {
			listen, pid = ours, 7
		}
		if f.running[port] || f.flag == port {
			release = "20261122T000000Z-aaaaaaa"
			fmt.Fprintf(&b, "commit_%s=%s\nrecipe_%s=%s\n", port, cmp.Or(f.commit, oldCommit), port, activeRecipe)
		}
		fmt.Fprintf(&b, "flag_%[1]s=%[2]s\nlisten_%[1]s=%[3]s\npid_%[1]s=%[4]d\nrss_mb_%[1]s=30\nenabled_%[1]s=no\nproved_%[1]s=%[6]s\nrelease_%[1]s=%[5]s\n",
			port, yes(f.flag == port), listen, pid, release, yes(f.proved[port]))
	}
	return b.String()
}

var activeRecipe = "other"

// Hold is the lock.
func (f *fakeHost) Hold(_ context.Context, verb scripts.Verb, _ scripts.Values, results, words io.Writer) (Session, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, string(verb))
	s := &fakeSession{f: f, done: make(chan struct{})}
	bad, isBad := f.faults[verb]
	switch {
	case isBad && bad.kind == "error":
		_, _ = fmt.Fprintln(words, bad.words)
		s.end(&remote.ExitError{Code: bad.code})
	case isBad && bad.kind == "panic":
		panic("at the disco")
	case isBad && bad.kind == "lost-before":
		f.lost = true
		return nil, errLink
	case isBad && bad.kind == "lost-after":
		f.lost = true
		s.end(errLink)
	case isBad: // cancel, while waiting for the other run
		f.cancel()
	default:
		f.locked = true
		_, _ = fmt.Fprintf(results, "%s\nwaited=3\nlocked=yes\n", scripts.Begin)
	}
	return s, nil
}

type fakeSession struct {
	f    *fakeHost
	once sync.Once
	done chan struct{}
	err  error
}

func (s *fakeSession) Beat() error           { return nil }
func (s *fakeSession) Done() <-chan struct{} { return s.done }
func (s *fakeSession) Wait() error           { <-s.done; return s.err }
func (s *fakeSession) Close() {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	s.f.locked = false
	s.end(nil)
}
func (s *fakeSession) end(err error) { s.once.Do(func() { s.err = err; close(s.done) }) }

func (f *fakeHost) ran(call string) bool { return slices.Contains(f.calls, call) }

// fakeStore holds objects by their URL; a look-up and a signature are told apart by their number.
type fakeStore struct {
	objects map[string]cloud.Object
	finds   int
	signs   int
	first   time.Time // how long the first signature lasts, if not as long as the others
	until   time.Time
}

func (f *fakeHost) open(context.Context) (Store, error) {
	if f.store == nil {
		return nil, errors.New("no AWS credentials")
	}
	return f.store, nil
}

func (s *fakeStore) Find(_ context.Context, bucket, key string) (cloud.Object, error) {
	s.finds++
	o, ok := s.objects[bucket+"/"+key]
	if !ok {
		return o, fmt.Errorf("look up s3://%s/%s: no such object", bucket, key)
	}
	o.Bucket, o.Key = bucket, key
	return o, nil
}

func (s *fakeStore) Sign(_ context.Context, o cloud.Object) (string, time.Time, error) {
	s.signs++
	until := s.until
	if s.signs == 1 && !s.first.IsZero() {
		until = s.first
	}
	return fmt.Sprintf("https://%s/%s?signature=%d", o.Bucket, o.Key, s.signs), until, nil
}

func (s *fakeStore) Secrets(context.Context) []string { return []string{"the-secret-key"} }

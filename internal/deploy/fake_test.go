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
	"github.com/clothesme/deploy-action/internal/cloud/s3"
	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/scripts"
)

// fakeHost stands for a host in the orchestrator's own tests: it keeps what a deployment changes
// (flag, slots, site, lock) and can be told to fail at any verb. What the scripts really do is
// proved against real hosts, in e2e.
type fakeHost struct {
	t  *testing.T
	mu sync.Mutex

	flag        string            // the active port, empty for none
	running     map[string]bool   // by port
	proved      map[string]bool   // by port
	standby     map[string]bool   // by port: may stand in for the active one
	boots       map[string]int    // by port, how many looks find its version not listening yet
	releases    map[string]string // by port, of those that were started here
	loaded      bool              // nginx has the site
	holder      string            // the token of who has the deploy lock
	had         string            // the token of who had it last
	done        map[string]string // the results of finished steps, by their id
	session     *fakeSession      // that holds the lock
	lockSays    string            // what it says reaches the run after its result
	lateTo      io.Writer         // takes that
	gone        bool              // nobody gets through to it
	asked       int               // how often something was asked of it, whatever was sent along
	restarts    int
	dials       int
	booting     int               // so many tries to reach it are in vain
	connected   int               // connections now
	mostOpen    int               // at a time
	by          map[string]string // by port: who put it live
	byHand      string            // the port of a version started by hand, which runs there as long as running says so
	adopted     bool              // it is
	calls       []string
	recorded    []string
	pruned      scripts.Values
	commit      string            // of the active release; "" for oldCommit
	offer       string            // the manifest it offers; "" for no release to build on
	disk        int               // KiB free
	lacks       bool              // setup has something to do
	public      bool              // the application listens on every address
	nginx       string            // its version; "" for one that will do
	missing     string            // packages that apt can install
	diskUsed    int               // percent
	note        string            // what check says of the host's nginx
	unwell      bool              // what runs does not answer right
	rssMB       int               // of the running version; 0 for 30
	received    bytes.Buffer      // what was uploaded
	uploaded    chan error        // how that ended
	sockets     map[string]bool   // that systemd holds, by port
	made        string            // the processes of releases that are made here, beside the one that serves
	has         map[string]string // those of a release, by its id
	workers     map[string]string // the release and names of those that run, by port
	workerState string            // "" for running
	madeTimers  string            // of the jobs of releases that are made here
	timers      map[string]string // those of a release, by its id
	schedule    string            // those that are set
	jobState    string            // what the list says of the first of them, "" for one that succeeded
	failedJobs  string
	together    bool          // those of two releases did at once
	noSystemd   bool          // it is not init
	deaf        bool          // it does not notice when nobody sends any more
	frozen      bool          // it answers nothing
	grace       time.Duration // that it has for an answer when it is told to end
	disks       string        // from a fault on: full (what takes back goes on), broken (nothing does)
	onOffer     func()
	misnames    string                          // what it calls a release that it fetches; "" for what it is to be called
	lists       string                          // its releases, in place of the usual three
	branch      string                          // the commit that a branch is here, by now
	words       string                          // what each verb says for people
	gitDown     int                             // how often the git server still answers 503
	socket      bool                            // the active release was deployed with the strategy in-place
	sent        map[scripts.Verb]scripts.Values // the last values of each verb
	// since when visitors get the maintenance page, in seconds; "": they do not
	closed string

	siteTrial string // as site.sh notes it
	kept      string // the certificate of the site of before

	certificate, siteCertificate string   // what names the one that is there, and the files of the one that the site has
	removed                      string   // how far a removal got: "", site or root
	strays                       string   // flags of other ports
	balanced                     []string // what was asked as a load balancer does
	byAddress, byName            string   // what answers a load balancer, and by the site's name; "" for status 200

	store  *fakeStore
	faults map[scripts.Verb]fault
	cancel func()
	does   func(scripts.Verb, scripts.Values) // is told of each verb that does something, before
}

// fault is what happens at a verb, once.
type fault struct {
	// error, cancel, panic; cancel-before: cancel, and nothing is done where that ends it at once; frozen:
	// cancel, and no answer from then on; by-hand: the flag is what words say; slow-back: a replacement
	// goes back, and what served before is healthy again only later; killed: the lock's process is, on
	// the host; full and broken: the disk is, once the verb has done its work; lost- and gone- before and
	// after: the connection is cut, and with gone there is no other
	kind  string
	code  int // of an error
	words string
}

func newFakeHost(t *testing.T) *fakeHost {
	t.Helper()
	return &fakeHost{
		t: t, flag: "8080", running: map[string]bool{"8080": true}, proved: map[string]bool{"8080": true},
		boots:   map[string]int{},
		standby: map[string]bool{}, sockets: map[string]bool{}, releases: map[string]string{}, by: map[string]string{},
		has: map[string]string{}, timers: map[string]string{}, workers: map[string]string{},
		sent: map[scripts.Verb]scripts.Values{}, done: map[string]string{}, loaded: true,
		faults: map[scripts.Verb]fault{}, uploaded: make(chan error, 1),
	}
}

var errLink = &remote.LostError{Err: errors.New("connection reset by peer")}

func (f *fakeHost) dial(_ context.Context, at remote.Host) (host.Shell, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.booting--; f.gone || f.booting >= 0 {
		return nil, &remote.DialError{Host: at, Kind: remote.Timeout, Err: errors.New("no answer")}
	}
	f.dials++
	f.connected++
	f.mostOpen = max(f.mostOpen, f.connected)
	return &fakeShell{fakeHost: f, over: make(chan struct{})}, nil
}

// fakeShell is one connection to the host.
type fakeShell struct {
	*fakeHost
	lost   bool
	closed bool
	over   chan struct{} // closed with it
}

func (s *fakeShell) String() string { return "fake" }

func (s *fakeShell) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut()
	if !s.closed {
		s.closed = true
		close(s.over)
		s.connected--
	}
	return nil
}

// cut loses the connection, and with it the lock.
func (s *fakeShell) cut() {
	if s.lost = true; s.session != nil && s.session.shell == s {
		s.holder = ""
		s.session.end(errLink)
	}
}

// receive is done when the upload is, and has a reason to give if that was cut off.
func (f *fakeHost) receive(ctx context.Context, results, words io.Writer) error {
	_, _ = fmt.Fprintf(results, "%s\nready=yes\n", scripts.Begin)
	select {
	case err := <-f.uploaded:
		if err != nil && f.deaf {
			<-ctx.Done()
			return context.Cause(ctx)
		}
		if err != nil {
			_, _ = fmt.Fprintln(words, "what was sent could not be unpacked")
			return &remote.ExitError{Code: scripts.ExitReceive}
		}
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	_, _ = io.WriteString(results, "received=yes\n")
	return nil
}

// Upload takes all there is, or fails like a verb of the name.
func (f *fakeHost) Upload(ctx context.Context, path string, from io.Reader) (err error) {
	defer func() { f.uploaded <- err }()
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
	_, err = io.Copy(&f.received, from)
	return err
}

func (f *fakeHost) PrepareFiles() {}

func (f *fakeHost) Download(_ context.Context, path string, to io.Writer) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, "download "+path)
	z := gzip.NewWriter(to)
	_, _ = io.WriteString(z, f.offer)
	return z.Close()
}

func (s *fakeShell) Run(ctx context.Context, calls ...host.Call) (int, error) {
	s.mu.Lock()
	if v := calls[0].Values; calls[0].Behind == nil {
		s.asked++
	} else if s.holder != v["lock_token"] || v["behind_lock"] != "yes" {
		s.mu.Unlock()
		return 0, &remote.ExitError{Code: scripts.ExitLockBusy}
	}
	s.mu.Unlock()
	for n, c := range calls {
		if err := s.run(ctx, c.Verb, c.Values, c.Results, c.Words); err != nil {
			for _, later := range calls[n+1:] {
				if later.Skipped != nil && !host.Lost(err) {
					later.Skipped()
				}
			}
			return n, err
		}
		if c.Ended != nil {
			c.Ended()
		}
	}
	return len(calls), nil
}

func (s *fakeShell) run(ctx context.Context, verb scripts.Verb, v scripts.Values, results, words io.Writer) error {
	f := s.fakeHost
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.lost {
		return errLink
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if f.faults[verb].kind == "frozen" {
		f.frozen, f.grace = true, 2*time.Second
		delete(f.faults, verb)
		f.cancel()
	}
	if f.frozen {
		f.mu.Unlock()
		defer f.mu.Lock()
		return s.noAnswer(ctx)
	}
	f.sent[verb] = v
	if f.words != "" {
		_, _ = fmt.Fprintln(words, f.words)
	}
	if _, err := scripts.Compose(verb, v); err != nil {
		f.t.Errorf("compose %s: %v", verb, err)
	}
	if f.lateTo != nil && f.lockSays != "" {
		_, _ = fmt.Fprintln(f.lateTo, f.lockSays)
		f.lockSays = ""
	}
	bad, isBad := f.faults[verb]
	delete(f.faults, verb)
	if verb == scripts.Fetch && f.gitDown > 0 {
		f.gitDown--
		bad, isBad = fault{kind: "error", code: scripts.ExitFetch, words: gitBusy}, true
	}
	if isBad {
		switch bad.kind {
		case "gone-before", "lost-before", "overtaken", "restarted":
			f.gone = bad.kind == "gone-before"
			if bad.kind == "overtaken" {
				f.had = "another-0"
			}
			if bad.kind == "restarted" {
				f.restarts++
			}
			s.cut()
			return errLink
		case "panic":
			panic("at the disco")
		case "error":
			f.calls = append(f.calls, call(verb, v))
			if verb == scripts.Replace && v["back"] != "" && bad.code != scripts.ExitCheck { // which goes back by itself
				f.replaced(v["from"], v["port"], v["release"])
				_, _ = fmt.Fprintf(results, "%s\n%s", scripts.Begin, f.resumed(v["from"], v["port"], v["back"]))
			}
			if verb == scripts.Resume && bad.code == scripts.ExitUnhealthy { // where it was started
				f.resumed(v["from"], v["port"], v["back"])
				f.proved[v["port"]] = false
				_, _ = fmt.Fprintf(results, "%s\nstarted=%s\n", scripts.Begin, v["port"])
			}
			if verb == scripts.Run {
				_, _ = fmt.Fprintf(results, "%s\nstatus=7\nrun_ms=5\n", scripts.Begin)
			}
			_, _ = fmt.Fprintln(words, bad.words)
			return &remote.ExitError{Code: bad.code}
		case "cancel-before":
			f.cancel()
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(time.Second):
			}
		case "slow-back":
			f.calls = append(f.calls, call(verb, v))
			f.flag, f.sockets[v["from"]] = v["from"], true
			_, _ = fmt.Fprintf(results, "%s\nswitched_at=1795400000000\nstarted=%s\n", scripts.Begin, v["from"])
			return &remote.ExitError{Code: scripts.ExitUnhealthy}
		}
	}
	if !lockless[verb] && v["part"] != "list" && (f.disks == "broken" || f.disks == "full" && v["undo"] == "no") {
		f.calls = append(f.calls, call(verb, v))
		return &remote.ExitError{Code: scripts.ExitDisk}
	}
	if !lockless[verb] && v["part"] != "list" && f.holder != v["lock_token"] {
		_, _ = fmt.Fprintln(words, "the deploy lock is held by another run now")
		return &remote.ExitError{Code: scripts.ExitLockLost}
	}
	if verb == scripts.Receive {
		f.calls = append(f.calls, call(verb, v))
		f.mu.Unlock()
		defer f.mu.Lock()
		return f.receive(ctx, results, words)
	}
	answer, again := f.done[v["step_id"]]
	again = again && v["step_id"] != ""
	if !again {
		if verb != scripts.Ask { // which changes nothing, and ends each run that failed
			f.calls = append(f.calls, call(verb, v))
		}
		if verb == scripts.Stop && (f.flag == v["port"] || f.flag == "both") {
			return &remote.ExitError{Code: scripts.ExitFlag}
		}
		if f.does != nil {
			f.does(verb, v)
		}
		answer = f.effect(verb, v)
	}
	if !lockless[verb] {
		f.done[v["step_id"]] = answer
	}
	if isBad && bad.kind == "by-hand" {
		f.flag = bad.words
	}
	if isBad && (bad.kind == "full" || bad.kind == "broken") {
		f.disks = bad.kind
		return &remote.ExitError{Code: scripts.ExitDisk}
	}
	_, _ = fmt.Fprintf(results, "login banner\n%s\n%s", scripts.Begin, answer)
	if isBad {
		switch bad.kind {
		case "cancel":
			f.cancel()
			if v["undo"] == "yes" { // which goes on
				return nil
			}
			<-ctx.Done()
			return context.Cause(ctx)
		case "hang": // for as long as it may
			<-ctx.Done()
			if errors.Is(context.Cause(ctx), host.ErrLeave) {
				return fmt.Errorf("command stopped: %w (%w)", context.Cause(ctx),
					&remote.LostError{Started: true, Err: host.ErrLeave})
			}
			return context.Cause(ctx)
		case "gone-after", "lost-after", "cut-off":
			f.gone = bad.kind == "gone-after"
			if bad.kind == "cut-off" { // once it had done its work, and before its results were kept
				delete(f.done, v["step_id"])
			}
			s.cut()
			return errLink
		}
	}
	return nil
}

// noAnswer waits as long as a conversation does.
func (s *fakeShell) noAnswer(ctx context.Context) error {
	select {
	case <-s.over:
		return errLink
	case <-ctx.Done():
	}
	select {
	case <-s.over:
	case <-time.After(s.grace):
	}
	s.grace = 0
	return fmt.Errorf("command stopped: %w (%w)", context.Cause(ctx), errLink)
}

// lockless are the verbs that change nothing, so that they need no lock and are done again rather
// than remembered.
var lockless = map[scripts.Verb]bool{
	scripts.Port: true, scripts.Check: true, scripts.Health: true, scripts.Verify: true, scripts.Drain: true,
	scripts.Releases: true, scripts.Ask: true,
	scripts.Logs: true, scripts.Run: true,
}

func call(verb scripts.Verb, v scripts.Values) string {
	switch verb {
	case scripts.Switch:
		return fmt.Sprintf("switch %s>%s", v["from"], v["to"])
	case scripts.Hook:
		return v["name"]
	case scripts.Assets:
		return fmt.Sprintf("assets %s %s", v["asset"], v["url"])
	case scripts.Remove:
		return fmt.Sprintf("remove %s", v["part"])
	case scripts.Workers:
		return fmt.Sprintf("workers %s>%s", v["other"], v["port"])
	case scripts.Start, scripts.Stop, scripts.Drain, scripts.Adopt:
		return fmt.Sprintf("%s %s", verb, v["port"])
	}
	return string(verb)
}

// effect does to the model what the verb does to a host, and returns what it prints.
func (f *fakeHost) effect(verb scripts.Verb, v scripts.Values) string {
	switch verb {
	case scripts.Check:
		installed, coming := f.missing, ""
		if v["may_install"] == "yes" {
			f.missing = ""
		} else {
			installed, coming = "", f.missing
		}
		note := ""
		if f.note != "" {
			note = "note_0=" + f.note + "\n"
		}
		return note +
			fmt.Sprintf("rules=yes\ninstalled=%s\ncoming=%s\nos=Debian\nsystemd=%s\nipv6=no\nsite_folder=/etc/nginx/conf.d\n"+
				"one_socket=\nhostless=no\ncertificate=%s\nsite_certificate=%s\nnginx=%s\nrealip=yes\ndisk_mb=9000\n"+
				"disk_used=%d\noccupied=\nmemory_mb=900\nmemory_total_mb=2000\nswap_mb=0\nskew=0\n",
				installed, coming, scripts.Yes(!f.noSystemd), f.certificate, f.siteCertificate,
				cmp.Or(f.nginx, "1.24.0"), f.diskUsed)
	case scripts.Port:
		return f.detection()
	case scripts.Maintenance:
		was := f.closed
		if f.closed = ""; v["door"] == "closed" {
			f.closed = "1795428000"
		}
		return "reloaded=no\nchanged=" + scripts.Yes(was != f.closed) + "\n"
	case scripts.Remove:
		return f.remove(v)
	case scripts.Fetch:
		if f.branch != "" && v["ref"] == "main" {
			v["ref"] = f.branch
		}
		if v["active_commit"] == v["ref"] && v["recipe"] == v["active_recipe"] {
			return "commit=" + v["ref"] + "\nsubject=Fix the basket\nunchanged=yes\n"
		}
		if its, id, _ := strings.Cut(v["known"], " "); its == v["ref"] {
			return "commit=" + its + "\nsubject=Fix the basket\nrelease=" + id + "\n"
		}
		name := v["stamp"] + "-" + v["ref"][:7]
		return "commit=" + v["ref"] + "\nsubject=Fix the basket\nrelease=" + cmp.Or(f.misnames, name) + "\n"
	case scripts.Offer:
		if f.onOffer != nil {
			f.onOffer()
		}
		base := ""
		if f.offer != "" {
			base = v["active"]
		}
		taken := v["known"] != "" && strings.Contains(f.lists, "="+v["known"]+" ")
		return fmt.Sprintf("transfer=/t\nbase=%s\ndisk_kb=%d\ninodes=0\ntaken=%s\n", base, f.disk, scripts.Yes(taken))
	case scripts.Confirm:
		if f.flag != v["port"] {
			f.t.Errorf("confirm of port %s while %q is active", v["port"], f.flag)
		}
		return "tries=1\n"
	case scripts.Build:
		f.has[v["release"]], f.timers[v["release"]] = f.made, f.madeTimers
		return "built=reused\nprocesses=" + f.made + "\ntimers=" + f.madeTimers + "\n"
	case scripts.Assets:
		proved := scripts.Yes(!strings.HasSuffix(v["asset"], "-9"))
		return "fetched=" + v["size"] + "\nfrom=store\nproved=" + proved + "\n"
	case scripts.Setup:
		changed := ""
		if f.lacks {
			changed, f.lacks = "/etc/systemd/system/ai-server@.service", false
		}
		return "changed=" + changed + "\n"
	case scripts.Adopt:
		f.adopted = true
		return "adopted=yes\n"
	case scripts.Start:
		delete(f.standby, v["port"])
		f.running[v["port"]], f.proved[v["port"]], f.releases[v["port"]] = true, false, v["release"]
		return "log_offset=0\npid=42\nstarttime=4200\ngroup=1000 - /system.slice/shop@" + v["port"] + ".service\n"
	case scripts.Health:
		return "boot_ms=500\ntries=2\nopen=" + scripts.Yes(f.public) + "\n"
	case scripts.Site:
		was, before := f.loaded, f.siteCertificate
		f.loaded, f.siteCertificate = true, certificateOf(v["site"])
		if v["trial"] != "" {
			f.siteTrial, f.kept = v["trial"]+" "+v["release"], before
		}
		return "reloaded=" + scripts.Yes(!was) + "\nedited=no\n"
	case scripts.Certificate:
		f.certificate = v["certificate_id"]
		return "certificate=new\n"
	case scripts.Replace:
		f.replaced(v["from"], v["port"], v["release"])
		return "switched_at=1795400000000\nlog_offset=0\npid=42\nstarttime=4200\nboot_ms=500\ntries=2\nopen=no\n" +
			"flag=right\nleft=0\nhand=idle\ndrain_ms=20\nstopped=yes\nstop_ms=20\n"
	case scripts.Resume:
		return f.resumed(v["from"], v["port"], v["back"])
	case scripts.Switch:
		return f.rename(v["from"], v["to"])
	case scripts.Restore:
		kept := f.siteTrial != ""
		if f.siteTrial = ""; kept {
			f.siteCertificate = f.kept
		}
		if f.byHand != "" {
			f.loaded = false
		} else if !kept {
			return "restored=already\n"
		}
		return "restored=yes\n"
	case scripts.Verify:
		if f.flag != v["port"] {
			f.t.Errorf("verify of port %s while %q is active", v["port"], f.flag)
		}
		return "live=1795400000000\nprobes=9\ndenied=\n"
	case scripts.Mark:
		f.proved[v["port"]], f.standby[v["port"]], f.by[v["port"]] = true, true, v["by"]
		f.siteTrial = ""
		return "marked=yes\n"
	case scripts.Drain:
		flag := "right"
		switch f.flag {
		case v["port"]:
			flag = "moved"
		case "both":
			flag = "unclear"
		}
		return "flag=" + flag + "\nleft=0\nhand=idle\ndrain_ms=20\n"
	case scripts.Stop:
		delete(f.standby, v["port"])
		delete(f.running, v["port"])
		delete(f.workers, v["port"])
		return "stopped=yes\nstop_ms=20\n"
	case scripts.Workers:
		return f.work(v)
	case scripts.Releases:
		if f.lists != "" {
			return f.lists + "mb_0=9\nmb_1=8\nmb_2=7\nsizes=\nhistory_0={}\n"
		}
		takes := ""
		if f.socket {
			takes = " socket"
		}
		return "release_0=20261122T000000Z-aaaaaaa " + oldCommit + " 2" + takes + "\nrelease_1=20261121T000000Z-9999999 " +
			oldCommit + " 1\nrelease_2=20261120T000000Z-8888888 " + oldCommit +
			" never\nmb_0=9\nmb_1=8\nmb_2=7\nsizes=releases 24 MB, venvs 119 MB\nhistory_0={}\n"
	case scripts.Hook:
		return "hook_ms=5\n"
	case scripts.Logs:
		return "shown=12\n"
	case scripts.Run:
		return "status=0\nrun_ms=5\n"
	case scripts.Ask:
		return f.answers(v)
	case scripts.Room:
		return "kept=2\ndisk_kb=9000\n"
	case scripts.Prune:
		f.pruned = v
		return "pruned=1\nstuck=\nfreed_mb=5\n"
	case scripts.Sync:
		return "synced=yes\n"
	case scripts.Record:
		f.recorded = append(f.recorded, v["line"])
		return "history_0=not ours\nhistory_1=" + v["line"] + "\nrecorded=yes\n"
	}
	f.t.Errorf("unknown verb %s", verb)
	return ""
}

// replaced has one version at a time.
func (f *fakeHost) replaced(from, port, release string) {
	delete(f.standby, from)
	delete(f.running, from)
	f.running[port], f.proved[port], f.releases[port], f.sockets[port], f.flag = true, false, release, true, port
}

func (f *fakeHost) resumed(from, port, back string) string {
	switched := "already"
	if f.flag == port {
		switched = "yes"
	}
	if f.running[from] {
		delete(f.running, port)
		delete(f.sockets, port)
		f.flag = from
	} else {
		f.running[port], f.proved[port], f.releases[port], f.flag = true, true, back, port
	}
	return "switched=" + switched + "\nserves=" + f.flag + "\n"
}

// work has the workers of one slot run, and those of the other end.
func (f *fakeHost) work(v scripts.Values) string {
	port, other := v["port"], v["other"]
	ended := ""
	if _, names, found := strings.Cut(f.workers[other], " "); found {
		ended = names
	}
	if v["overlap"] == "no" {
		delete(f.workers, other)
	}
	release := f.released(port)
	if port == "" || f.has[release] == "" {
		release = ""
		delete(f.workers, port)
	} else {
		f.workers[port] = release + " " + f.has[release]
		f.together = f.together || f.workers[other] != "" && !strings.HasPrefix(f.workers[other], release+" ")
	}
	delete(f.workers, other)
	if f.schedule = ""; port != "" && v["carries"] == "yes" {
		f.schedule = f.timers[f.released(port)]
	}
	return "working=" + f.has[release] + "\nended=" + ended + "\nscheduled=" + f.schedule + "\n"
}

// released is the release to which the slot's link leads.
func (f *fakeHost) released(port string) string {
	if port == "" {
		return ""
	}
	return cmp.Or(f.releases[port], "20261122T000000Z-aaaaaaa")
}

func (f *fakeHost) rename(from, to string) string {
	delete(f.standby, from)
	if to != "" && f.running[from] && f.proved[from] {
		f.standby[from] = true
	}
	delete(f.standby, to)
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
	include, routed, line := "absent", "", "0"
	switch {
	case f.loaded:
		include, routed = "ours", "http://ai_server_"+f.flag
	case f.byHand != "":
		include, line = "line", f.byHand
	}
	fmt.Fprintf(&b,
		"include=%s\ninclude_app=\ninclude_path=\nlast_repository=\nline_port=%s\nsite=ours\nrouted=%s\n"+
			"strays=%s\nrecipe_key=\nboot=%d\nclosed=%s\nsite_trial=%s\n", include, line, routed, f.strays, f.restarts,
		f.closed, f.siteTrial)
	fmt.Fprintf(&b, "schedule=%s\nfailed_jobs=%s\n", f.schedule, f.failedJobs)
	for _, port := range []string{"8080", "8081"} {
		listen, pid, release := "none", 0, ""
		if f.running[port] {
			listen, pid = "ours", 7
		}
		if f.boots[port]--; f.boots[port] >= 0 {
			listen = "none"
			if f.sockets[port] {
				listen = "held"
			}
		}
		adopted := f.byHand == port && f.adopted && f.running[port]
		if f.byHand == port && f.running[port] {
			if !adopted {
				listen = "foreign"
			}
			fmt.Fprintf(&b, "who_%[1]s=pid 812, user ubuntu, command uvicorn\nholders_%[1]s=812:4711\n"+
				"folder_%[1]s=/home/ubuntu/AI-Server\nclone_%[1]s=/home/ubuntu/AI-Server\nhead_%[1]s=%[2]s\n"+
				"unit_%[1]s=\napp_%[1]s=\n", port, oldCommit)
		} else if f.running[port] || f.flag == port || f.sockets["8080"] || f.sockets["8081"] {
			release = cmp.Or(f.releases[port], "20261122T000000Z-aaaaaaa")
			fmt.Fprintf(&b, "commit_%s=%s\nrecipe_%s=%s\n", port, cmp.Or(f.commit, oldCommit), port, activeRecipe)
		}
		fmt.Fprintf(&b, "processes_%[1]s=%[2]s\nworkers_%[1]s=%[3]s\ntimers_%[1]s=%[4]s\n", port, f.has[release],
			f.workers[port], f.timers[release])
		fmt.Fprintf(&b,
			"flag_%[1]s=%[2]s\nlisten_%[1]s=%[3]s\npid_%[1]s=%[4]d\nrss_mb_%[1]s=%[9]d\nenabled_%[1]s=no\n"+
				"proved_%[1]s=%[6]s\nrelease_%[1]s=%[5]s\nadopted_%[1]s=%[7]s\nby_%[1]s=%[8]s\nclaimed_%[1]s=\n"+
				"mine_%[1]s=yes\nsocket_%[1]s=%[10]s\ngroup_%[1]s=\n",
			port, scripts.Yes(f.flag == port), listen, pid, release, scripts.Yes(f.proved[port]), scripts.Yes(adopted),
			f.by[port], cmp.Or(f.rssMB, 30), scripts.Yes(f.sockets[port]))
	}
	return b.String()
}

// answers are those of the site at this moment.
func (f *fakeHost) answers(v scripts.Values) string {
	if v["balancer"] != "" {
		const right = "HTTP/1.1 200 OK"
		f.balanced = append(f.balanced, v["balancer"])
		return fmt.Sprintf("got=%s\nnamed=%s\n", cmp.Or(f.byAddress, right), cmp.Or(f.byName, right))
	}
	serving := cmp.Or(f.flag, f.byHand)
	right, said := "wrong", "answered 502"
	if f.running[serving] && !f.unwell {
		right, said = "right", "answered 200"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "answer=%s\nsaid=%s\nnginx=%s\n", right, said, serving)
	for _, port := range strings.Fields(v["ports"]) {
		health, uptime := "", ""
		if f.running[port] {
			health, uptime = "right", "90061"
		}
		fmt.Fprintf(&b, "health_%[1]s=%[2]s\nuptime_%[1]s=%[3]s\nrestarts_%[1]s=3\n", port, health, uptime)
		if _, names, found := strings.Cut(f.workers[port], " "); found && v["list"] == "yes" {
			fmt.Fprintf(&b, "worker_0=%s %s %s 61 2 12\n", port, names, cmp.Or(f.workerState, "running"))
		}
	}
	if name, _, found := strings.Cut(f.schedule, "."); found && v["list"] == "yes" {
		fmt.Fprintf(&b, "job_0=%s|%s|Fri 2026-11-27 03:00:00 UTC|Sat 2026-11-28 03:00:00 UTC\n", name,
			cmp.Or(f.jobState, "inactive|success|0"))
	}
	return b.String()
}

var activeRecipe = "other"

// Hold is the lock.
func (s *fakeShell) Hold(_ context.Context, c host.Call) (host.Session, error) {
	f, verb, v, results, words := s.fakeHost, c.Verb, c.Values, c.Results, c.Words
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.lost {
		return nil, errLink
	}
	f.calls = append(f.calls, string(verb))
	held := &fakeSession{shell: s, done: make(chan struct{})}
	bad, isBad := f.faults[verb]
	delete(f.faults, verb)
	switch {
	case isBad && bad.kind == "error":
		_, _ = fmt.Fprintln(words, bad.words)
		held.end(&remote.ExitError{Code: bad.code})
	case isBad && bad.kind == "killed":
		held.end(&remote.ExitError{Code: 137, Signal: "KILL"})
	case isBad && bad.kind == "panic":
		panic("at the disco")
	case isBad && bad.kind == "cancel": // while waiting for the other run
		f.cancel()
	case isBad && strings.HasSuffix(bad.kind, "-before"):
		f.gone = bad.kind == "gone-before"
		s.cut()
		return nil, errLink
	case v["resume"] == "yes" && base(v["lock_token"]) != base(f.had):
		_, _ = fmt.Fprintln(words, "another deployment had the lock")
		held.end(&remote.ExitError{Code: scripts.ExitLockLost})
	default:
		if v["resume"] == "no" {
			f.done = map[string]string{}
		}
		f.had, f.lateTo = v["lock_token"], words
		f.holder, f.session = v["lock_token"], held
		_, _ = fmt.Fprintf(results, "%s\nmachine=%d\nopen=no\nwaited=3\nlocked=yes\n", scripts.Begin, f.restarts)
		if isBad {
			f.gone = bad.kind == "gone-after"
			s.cut()
		}
	}
	return held, nil
}

// base is a lock's token without the number of the connection.
func base(token string) string { return token[:strings.LastIndex(token, "-")] }

type fakeSession struct {
	shell *fakeShell
	once  sync.Once
	done  chan struct{}
	err   error
}

func (s *fakeSession) Beat()                 {}
func (s *fakeSession) Ready()                {}
func (s *fakeSession) Done() <-chan struct{} { return s.done }
func (s *fakeSession) Wait() error           { <-s.done; return s.err }
func (s *fakeSession) Close() {
	s.shell.mu.Lock()
	defer s.shell.mu.Unlock()
	if s.shell.frozen {
		return
	}
	if s.shell.session == s && !s.shell.lost {
		s.shell.holder = ""
	}
	s.end(nil)
}
func (s *fakeSession) end(err error) { s.once.Do(func() { s.err = err; close(s.done) }) }

func (f *fakeHost) ran(call string) bool { return slices.Contains(f.calls, call) }

// fakeStore holds objects by their URL; a look-up and a signature are told apart by their number.
type fakeStore struct {
	mu      sync.Mutex
	objects map[string]s3.Object
	then    map[string]s3.Object // what is found after the first time, where it is something else
	finds   map[string]int
	signs   int
	first   time.Time // how long the first signature lasts, if not as long as the others
	until   time.Time
}

func (f *fakeHost) open(context.Context, *cloud.Account, string) (Store, error) {
	if f.store == nil {
		return nil, errors.New("no AWS credentials")
	}
	return f.store, nil
}

func (s *fakeStore) Find(_ context.Context, bucket, key string) (s3.Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.objects[bucket+"/"+key]
	if other, replaced := s.then[bucket+"/"+key]; replaced && s.finds[bucket+"/"+key] > 0 {
		o = other
	}
	if s.finds == nil {
		s.finds = map[string]int{}
	}
	s.finds[bucket+"/"+key]++
	if !ok {
		return o, fmt.Errorf("look up s3://%s/%s: no such object", bucket, key)
	}
	o.Bucket, o.Key = bucket, key
	return o, nil
}

func (s *fakeStore) Sign(_ context.Context, o s3.Object) (string, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signs++
	until := s.until
	if s.signs == 1 && !s.first.IsZero() {
		until = s.first
	}
	version := ""
	if o.Version != "" {
		version = "&version=" + o.Version
	}
	return fmt.Sprintf("https://%s/%s?signature=%d%s", o.Bucket, o.Key, s.signs, version), until, nil
}

func (s *fakeStore) Secrets(context.Context) []string { return []string{"the-secret-key"} }

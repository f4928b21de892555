package deploy

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/internal/state"
	"github.com/clothesme/deploy-action/internal/workspace"
	"github.com/clothesme/deploy-action/scripts"
)

func checkout(t *testing.T, files map[string]string) *inputs.Inputs {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		// nolint:gosec // a checkout's mode
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	in := testInputs()
	in.Source, in.Workspace, in.WorkspacePath = inputs.Workspace, dir, "."
	in.Run.SHA = newCommit
	return in
}

// names are those in what was uploaded.
func names(t *testing.T, packed []byte) []string {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for in := tar.NewReader(z); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, h.Name)
	}
}

func TestSendWhatTheHostLacks(t *testing.T) {
	in := checkout(t, map[string]string{"a": "1", "b": "2"})
	f := newFakeHost(t)
	f.disk = 1 << 20
	f.offer = fmt.Sprintf("f\t444\t1\t%s\ta\n", "6b86b273ff34fce1")
	result, log, err := deployTo(t, f, in)
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	if got, want := names(t, f.received.Bytes()), []string{
		".deploy-action/minus", ".deploy-action/plus",
		"b",
	}; !slices.Equal(got, want) {
		t.Errorf("sent %q, want %q", got, want)
	}
	if !strings.Contains(log, "1 of 2 files sent") || len(result.Hosts[0].Commit) != 64 ||
		!strings.Contains(f.recorded[0], `"sha":"`+newCommit) {
		t.Errorf("commit %q, recorded %s\n%s", result.Hosts[0].Commit, f.recorded, log)
	}
}

func TestSecretsInTheCheckoutAreWarnedOf(t *testing.T) {
	in := checkout(t, map[string]string{"a": "1", ".env": "PASSWORD=x", "gha-creds-0.json": "{}"})
	f := newFakeHost(t)
	f.disk = 1 << 20
	_, log, err := deployTo(t, f, in)
	if err != nil || !strings.Contains(log, `::warning title=Secrets in the workspace::".env": by its name`) {
		t.Errorf("%v\n%s", err, log)
	}
	if got, want := names(t, f.received.Bytes()), []string{
		".deploy-action/minus", ".deploy-action/plus", ".env",
		"a",
	}; !slices.Equal(got, want) {
		t.Errorf("sent %q, want %q", got, want)
	}
}

// A host that has much that is not in the checkout is sent everything.
func TestSendEverythingWhereThereIsTooMuchElse(t *testing.T) {
	in := checkout(t, map[string]string{"a": "1"})
	f := newFakeHost(t)
	f.disk = 1 << 20
	f.offer = fmt.Sprintf("f\t444\t1\t%s\ta\n", "6b86b273ff34fce1") +
		strings.Repeat("f\t444\t1\t0000000000000000\tgone\n", 1<<20+1)
	_, log, err := deployTo(t, f, in)
	if err != nil || !strings.Contains(log, "1 of 1 files sent") || strings.Contains(log, "the rest is that of") {
		t.Errorf("%v\n%.2000s", err, log)
	}
}

// hashed is the tree of a checkout, by whose id hosts know it.
func hashed(t *testing.T, in *inputs.Inputs) *workspace.Tree {
	t.Helper()
	tree, err := workspace.Read(t.Context(), workspace.Options{Workspace: in.Workspace, Path: ".", ReadOnly: true})
	if err == nil {
		err = tree.Hash(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestSendNothingWhenTheCheckoutServes(t *testing.T) {
	in := checkout(t, map[string]string{"a": "1"})
	tree := hashed(t, in)
	f := newFakeHost(t)
	f.commit = tree.ID
	activeRecipe = assemble(&run{in: in}).recipe.of(&target{})
	t.Cleanup(func() { activeRecipe = "other" })
	result, log, err := deployTo(t, f, in)
	if err != nil || result.Outcome != outcome.Unchanged || f.ran("offer") {
		t.Errorf("%v, outcome %s, calls %q\n%s", err, result.Outcome, f.calls, log)
	}
}

// A host that was away when the others got the checkout gets it under their id, but for one that has
// that id and not by what serves.
func TestSendUnderTheIDOfTheOthers(t *testing.T) {
	in := checkout(t, map[string]string{"a": "1"})
	tree := hashed(t, in)
	activeRecipe = assemble(&run{in: in}).recipe.of(&target{})
	t.Cleanup(func() { activeRecipe = "other" })
	const theirs, before = "20261122T000000Z-aaaaaaa", "20261121T000000Z-9999999"
	for _, has := range []string{before, theirs} {
		fleet := newFleet(t, 4)
		in.Hosts = fleet.inputs().Hosts
		for i, f := range fleet[:3] {
			if f.disk, f.commit = 1<<20, tree.ID; i == 2 {
				f.commit, f.releases["8080"] = oldCommit, before
				f.lists = "release_0=" + has + " " + tree.ID + " 1\n"
			}
		}
		fleet[3].disk, fleet[3].flag, fleet[3].running, fleet[3].loaded = 1<<20, "", map[string]bool{}, false
		result, log, err := fleet.deploy(t, in)
		if err != nil {
			t.Fatalf("%v\n%s", err, log)
		}
		for i, h := range result.Hosts {
			if same := h.Release == theirs; h.Commit != tree.ID || same == (i == 2 && has == theirs) {
				t.Errorf("where web-3 has %s, web-%d got %s as %s", has, i+1, h.Commit, h.Release)
			}
		}
	}
}

// What a host has of a checkout is asked along with the setting up. What receives it and what builds it are
// questions of their own: a connection may be lost while it is received, and it is received anew then.
func TestACheckoutIsTwoQuestionsMoreThanACommit(t *testing.T) {
	asked := map[string]int{}
	for _, in := range []*inputs.Inputs{testInputs(), checkout(t, map[string]string{"a": "1"})} {
		f := newFakeHost(t)
		f.disk = 1 << 20
		f.faults[scripts.Check] = fault{kind: "lost-before"} // meanwhile the checkout is read
		_, log, err := deployTo(t, f, in)
		if err != nil {
			t.Fatalf("%v\n%s", err, log)
		}
		asked[in.Source] = f.asked
	}
	if asked[inputs.Workspace] != asked[inputs.Git]+2 {
		t.Errorf("the host was asked so often: %v", asked)
	}
}

// A checkout that is still being read, and one that serves already, are not asked for ahead.
func TestWhatIsNotOfferedAhead(t *testing.T) {
	in := checkout(t, map[string]string{"a": "1"})
	d := assemble(&run{in: in})
	tree := hashed(t, in)
	d.source.hashed = func() (*workspace.Tree, error) { return tree, nil }
	h := &target{}
	if d.source.offerNext(h) != nil {
		t.Error("it is asked for before the checkout has been read")
	}
	read := make(chan struct{})
	close(read)
	d.source.isHashed = read
	if d.source.offerNext(h) == nil {
		t.Error("it is not asked for")
	}
	h.Active = &state.Slot{
		Listen: state.Ours, Release: "20261122T000000Z-aaaaaaa", Commit: tree.ID, Recipe: d.source.recipe.of(h),
	}
	h.Active.Proved, h.Loaded = true, true
	if d.source.offerNext(h) != nil {
		t.Error("it is asked for although it serves")
	}
	d.source.hashed = func() (*workspace.Tree, error) { return nil, io.ErrUnexpectedEOF }
	if h.Active = nil; d.source.offerNext(h) != nil {
		t.Error("it is asked for although it could not be read")
	}
}

func TestSendFails(t *testing.T) {
	for _, tt := range []struct {
		name, at string // where it fails
		disk     int
		fault    fault
		deaf     bool
		want     string
	}{
		{"no room", "", 1 << 10, fault{}, false, "only 1 MB of disk are free"},
		{
			"the host gives up", "receive", 1 << 20,
			fault{
				kind: "error", code: scripts.ExitReceive,
				words: "tar: no space left\nwhat was sent could not be unpacked",
			},
			false, "tar: no space left",
		},
		{
			"a broken transfer, and the host says why", "upload", 1 << 20,
			fault{kind: "error", words: "EOF"},
			false,
			"what was sent could not be unpacked",
		},
		{
			"a broken transfer that the host does not notice", "upload", 1 << 20,
			fault{kind: "error", words: "the host has no SFTP"},
			true, "the host has no SFTP",
		},
		{"cancelled", "upload", 1 << 20, fault{kind: "cancel"}, false, "cancelled"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFakeHost(t)
			f.disk, f.deaf = tt.disk, tt.deaf
			if tt.at != "" {
				f.faults[scripts.Verb(tt.at)] = tt.fault
			}
			result, log, err := deployTo(t, f, checkout(t, map[string]string{"a": "1"}))
			if err == nil || !strings.Contains(err.Error(), tt.want) || result.Outcome != outcome.Failed ||
				f.flag != "8080" {
				t.Errorf("%v, outcome %s, want an error with %q\n%s", err, result.Outcome, tt.want, log)
			}
		})
	}
}

// The host then complains of half a stream, but that explains nothing.
func TestSendAFileThatChanges(t *testing.T) {
	in := checkout(t, map[string]string{"big": strings.Repeat("x", 1<<20)})
	f := newFakeHost(t)
	f.disk = 1 << 20
	f.onOffer = func() {
		if err := os.WriteFile(filepath.Join(in.Workspace, "big"), []byte(strings.Repeat("y", 1<<20)),
			0o600); err != nil {
			t.Error(err)
		}
	}
	if _, _, err := deployTo(t, f, in); err == nil || !strings.Contains(err.Error(),
		`file "big" of the workspace changed while it was sent`) {
		t.Errorf("err = %v", err)
	}
}

func TestSendIsRefusedBeforeTheHostIsTouched(t *testing.T) {
	in := checkout(t, map[string]string{"a": "1"})
	if err := os.Symlink("/etc/passwd", filepath.Join(in.Workspace, "users")); err != nil {
		t.Fatal(err)
	}
	f := newFakeHost(t)
	result, log, err := deployTo(t, f, in)
	if err == nil || !strings.Contains(err.Error(), `"users" -> "/etc/passwd"`) || result.Outcome != outcome.Failed {
		t.Errorf("%v, outcome %s\n%s", err, result.Outcome, log)
	}
	var failure *outcome.Failure
	if !errors.As(err, &failure) || !strings.Contains(failure.Next, "put right what is named above") {
		t.Errorf("the remedy is not to mend the checkout: %+v", failure)
	}
	if len(f.calls) > 0 {
		t.Errorf("the host was asked for %q", f.calls)
	}
}

// endless is a host whose offer has no end, and names nothing.
type endless struct{ sent int }

func (e *endless) Download(_ context.Context, _ string, to io.Writer) error {
	packed, err := gzip.NewWriterLevel(to, gzip.NoCompression)
	for err == nil {
		var wrote int
		wrote, err = fmt.Fprintf(packed, "f\t%s\t\n", strings.Repeat("x", 32<<10))
		e.sent += wrote
	}
	return err
}

// What is read of an offer is bounded even where nothing of it is kept.
func TestAnOfferWithoutAnEndIsNotReadOn(t *testing.T) {
	offer := &endless{}
	change, err := compare(t.Context(), offer, "/offer", &workspace.Tree{})
	if want := fmt.Sprintf("the host offers more than %d bytes", maxOffer); err == nil ||
		!strings.HasSuffix(err.Error(), want) {
		t.Errorf("%+v, %v; want %s", change, err, want)
	}
	if offer.sent > maxOffer+1<<20 {
		t.Errorf("%d bytes were read of it", offer.sent)
	}
}

package workspace

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/clothesme/deploy-action/internal/exclude"
)

// put makes a file with its folders; a text "-> x" makes a link.
func put(t *testing.T, dir, name, text string, mode os.FileMode) {
	t.Helper()
	full := filepath.Join(dir, name)
	err := os.MkdirAll(filepath.Dir(full), 0o755) //nolint:gosec // a checkout's mode
	if target, isLink := strings.CutPrefix(text, "-> "); err == nil && isLink {
		err = os.Symlink(target, full)
	} else if err == nil {
		err = errors.Join(os.WriteFile(full, []byte(text), 0o600), os.Chmod(full, mode))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func readTree(t *testing.T, o Options) *Tree {
	t.Helper()
	tree, err := Read(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := tree.Hash(t.Context()); err != nil {
		t.Fatal(err)
	}
	return tree
}

func lines(tree *Tree) []string {
	var all []string
	for i := range tree.entries {
		all = append(all, tree.entries[i].line())
	}
	slices.Sort(all)
	return all
}

func TestManifest(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "app/main.py", "x", 0o666)
	put(t, dir, "app/run", "#!", 0o4777)
	put(t, dir, "secret", "x", 0o600)
	put(t, dir, "unreadable for its owner", "x", 0o044)
	put(t, dir, "\xff -n\\t", "", 0o644)
	put(t, dir, "link", "-> app/main.py", 0)
	put(t, dir, "dangling", "-> app/none", 0)
	put(t, dir, "loop", "-> app/../loop", 0)
	for _, left := range []string{".git/config", "app/vendor/.git", ".deploy-action/complete", "cache/x"} {
		put(t, dir, left, "token", 0o644)
	}
	put(t, dir, "app/.deploy-action/x", "", 0o644)
	if err := os.Mkdir(filepath.Join(dir, "empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	const x, none = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	o := Options{Workspace: dir, Path: ".", Exclude: exclude.Patterns{"cache/"}}
	got := strings.Join(lines(readTree(t, o)), "\n")
	for _, want := range []string{
		"d\t755\t-\t-\tapp", "d\t755\t-\t-\tempty", "f\t644\t1\t" + x + "\tapp/main.py", "f\t755\t2\t", "f\t600\t1\t" +
			x + "\tsecret",
		"f\t444\t1\t" + x + "\tunreadable", "f\t644\t0\t" + none +
			"\t\xff -n\\t", "l\t-\t-\tapp/../loop\tloop", "l\t-\t-\tapp/main.py\tlink", "l\t-\t-\tapp/none\tdangling",
		"f\t644\t0\t" + none + "\tapp/.deploy-action/x",
	} {
		if !strings.Contains("\n"+got, "\n"+want) {
			t.Errorf("no line %q in\n%s", want, got)
		}
	}
	for _, never := range []string{".git", "\t.deploy-action", "cache"} {
		if strings.Contains(got, never) {
			t.Errorf("%q is in\n%s", never, got)
		}
	}
	o.ReadOnly = true
	if got := strings.Join(lines(readTree(t, o)), "\n"); !strings.Contains(got, "f\t444\t1\t"+x+"\tapp/main.py") ||
		!strings.Contains(got, "f\t555\t2") {
		t.Errorf("not read-only:\n%s", got)
	}
}

func TestIdentityIsWhatIsInTheTree(t *testing.T) {
	id := func(change func(dir string)) string {
		dir := t.TempDir()
		put(t, dir, "b/c", "x", 0o644)
		put(t, dir, "a", "y", 0o644)
		change(dir)
		return readTree(t, Options{Workspace: dir, Path: "."}).ID
	}
	same := id(func(string) {})
	if again := id(func(dir string) {
		put(t, dir, ".git/index", "other", 0o644)
		if err := os.Chtimes(filepath.Join(dir, "a"), time.Unix(1, 0), time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
	}); again != same || len(same) != 64 {
		t.Errorf("%s and %s for one tree", same, again)
	}
	for name, change := range map[string]func(dir string){
		"contents": func(dir string) { put(t, dir, "a", "z", 0o644) },
		"mode":     func(dir string) { put(t, dir, "a", "y", 0o755) },
		"a file":   func(dir string) { put(t, dir, "d", "", 0o644) },
		"a link":   func(dir string) { put(t, dir, "d", "-> a", 0) },
	} {
		if id(change) == same {
			t.Errorf("another %s, the same identity", name)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	outside := t.TempDir()
	put(t, outside, "secret", "x", 0o644)
	for _, tt := range []struct {
		name, path string
		files      map[string]string
		want       string
	}{
		{"an absolute link", ".", map[string]string{"l": "-> /etc/passwd"}, `"l" -> "/etc/passwd"`},
		{"a link that leaves", ".", map[string]string{"a/l": "-> ../../x"}, `"a/l" -> "../../x"`},
		{
			"a link that leaves by another", ".",
			map[string]string{"here": "-> .", "l": "-> here/../x", "x": ""},
			`"l" -> "here/../x"`,
		},
		{"a chain that leaves", ".", map[string]string{"l": "-> m", "m": "-> " + outside}, `"l" -> "m", "m" -> `},
		{
			"a path that is too long", ".",
			map[string]string{strings.Repeat("folder/", 545) + "x": ""},
			"paths of more than 3800 bytes",
		},
		{"a loop that leaves", ".", map[string]string{"l": "-> ../l"}, `"l" -> "../l"`},
		{
			"a link to what is beside the folder", "app",
			map[string]string{"app/l": "-> ../secret", "secret": ""},
			`"l" -> "../secret"`,
		},
		{"a folder that is a link outside", "app", map[string]string{"app": "-> " + outside}, `folder "app"`},
		{"a folder that is not there", "app", map[string]string{"x": ""}, `folder "app"`},
		{"a line break", ".", map[string]string{"a\nb": ""}, `"a\nb"`},
		{
			"other control characters", ".",
			map[string]string{"d\x1b/a": "", "t\tb": "", "e\x7f": ""},
			`"d\x1b", "e\x7f", "t\tb"`,
		},
		{"a target with a line break", ".", map[string]string{"l": "-> a\nb"}, `"l" -> "a\nb"`},
		{"nothing", ".", map[string]string{".git/x": ""}, "no files"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range tt.files {
				put(t, dir, name, text, 0o644)
			}
			_, err := Read(t.Context(), Options{Workspace: dir, Path: tt.path})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestReadSkipsWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "a", "", 0o644)
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", filepath.Join(dir, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	if tree := readTree(t, Options{Workspace: dir, Path: "."}); !slices.Equal(tree.Skipped,
		[]string{`"pipe"`, `"socket"`}) || tree.Files != 1 {
		t.Errorf("skipped %q, %d files", tree.Skipped, tree.Files)
	}
}

func TestReadStops(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "a", "", 0o644)
	reason := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(reason)
	o := Options{Workspace: dir, Path: "."}
	if _, err := Read(ctx, o); !errors.Is(err, reason) {
		t.Errorf("%v, want the cause", err)
	}
	if err := readTree(t, o).Hash(ctx); !errors.Is(err, reason) {
		t.Errorf("%v, want the cause", err)
	}
}

// unpack returns the names in a packed change, in order, and the texts of the files.
func unpack(t *testing.T, packed io.Reader) (names []string, texts map[string]string) {
	t.Helper()
	z, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	texts = map[string]string{}
	for in := tar.NewReader(z); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return names, texts
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		names, texts[h.Name] = append(names, h.Name), string(text)+h.Linkname
	}
}

func TestPackSendsTheChange(t *testing.T) {
	dir := t.TempDir()
	noise := make([]byte, 3*blockSize)
	_, _ = rand.Read(noise)
	put(t, dir, "d/noise", string(noise), 0o644)
	put(t, dir, "d/text", strings.Repeat("text ", blockSize), 0o644)
	put(t, dir, "a", "old", 0o644)
	put(t, dir, "l", "-> d/text", 0)
	put(t, dir, strings.Repeat("n", 200)+"/\xff", "long", 0o644)
	o := Options{Workspace: dir, Path: "."}
	tree := readTree(t, o)
	var packed bytes.Buffer
	if err := tree.Pack(t.Context(), &packed, tree.All(), true); err != nil {
		t.Fatal(err)
	}
	if packed.Len() > len(noise)*101/100+blockSize/10 {
		t.Errorf("%d bytes packed", packed.Len())
	}
	names, texts := unpack(t, &packed)
	want := []string{
		".deploy-action/minus", ".deploy-action/plus", "d/", strings.Repeat("n", 200) + "/", "a",
		"d/noise", "d/text", strings.Repeat("n", 200) + "/\xff", "l",
	}
	if !slices.Equal(names, want) || texts["d/noise"] != string(noise) || texts["l"] != "d/text" ||
		texts[".deploy-action/minus"] != "" {
		t.Errorf("names %q", names)
	}

	var brief []string
	for i := range tree.entries {
		brief = append(brief, tree.entries[i].brief())
	}
	put(t, dir, "a", "new", 0o644)
	if err := os.Remove(filepath.Join(dir, "d/noise")); err != nil {
		t.Fatal(err)
	}
	next := readTree(t, o)
	change, err := next.Compare(t.Context(), strings.NewReader(strings.Join(brief, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	packed.Reset()
	if err := next.Pack(t.Context(), &packed, change, true); err != nil {
		t.Fatal(err)
	}
	names, texts = unpack(t, &packed)
	if want := []string{".deploy-action/minus", ".deploy-action/plus", "a", "l"}; !slices.Equal(names, want) ||
		change.Files != 1 || texts["a"] != "new" {
		t.Errorf("names %q, want %q", names, want)
	}
	// What the host does: its lines less those of minus, and those of plus, are the new manifest.
	gone := strings.Split(texts[".deploy-action/minus"], "\n")
	kept := slices.DeleteFunc(lines(tree), func(line string) bool {
		return slices.Contains(gone,
			line[strings.LastIndex(line, "\t")+1:])
	})
	kept = append(kept, strings.Split(strings.TrimSpace(texts[".deploy-action/plus"]), "\n")...)
	slices.Sort(kept)
	if got := identity(kept); got != next.ID {
		t.Errorf("the lists lead to %s, want %s", got, next.ID)
	}
}

func TestPackRefusesAFileThatChanged(t *testing.T) {
	big := strings.Repeat("abc", smallFile)
	for name, text := range map[string]string{"shorter": big[:smallFile+1], "other": strings.Repeat("xyz", smallFile)} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, dir, "a", big, 0o644)
			tree := readTree(t, Options{Workspace: dir, Path: "."})
			put(t, dir, "a", text, 0o644)
			if err := tree.Pack(t.Context(), io.Discard, tree.All(), true); err == nil ||
				!strings.Contains(err.Error(), `"a"`) {
				t.Errorf("%v, want an error that names the file", err)
			}
		})
	}
}

// The kernel's files say that they are larger than what they give, like one that shrinks.
func TestReadRefusesAFileThatShrinks(t *testing.T) {
	tree, err := Read(t.Context(), Options{
		Workspace: "/sys/devices/system/clocksource", Path: "clocksource0", Memory: 1 << 20,
		Exclude: exclude.Patterns{"power/", "subsystem", "unbind*", "uevent"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := tree.Hash(t.Context()); err == nil || !strings.Contains(err.Error(),
		"of the workspace changed while it was read") {
		t.Errorf("%v, want an error that says so", err)
	}
}

// A small file is sent as it was when it was hashed, whatever became of it; more than there is
// memory for is read again.
func TestPackSendsWhatWasHashed(t *testing.T) {
	for name, room := range map[string]int64{"all kept": 1 << 20, "one kept": 3, "none kept": 0} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, dir, "a", "abc", 0o644)
			put(t, dir, "b", "def", 0o644)
			o := Options{Workspace: dir, Path: ".", Memory: room}
			tree := readTree(t, o)
			kept := 0
			for _, e := range tree.entries {
				if e.data != nil {
					kept++
					put(t, dir, e.path, "changed since", 0o644)
				}
			}
			if want := int(min(room/3, 2)); kept != want {
				t.Errorf("%d files kept in memory, want %d", kept, want)
			}
			var packed bytes.Buffer
			if err := tree.Pack(t.Context(), &packed, tree.All(), true); err != nil {
				t.Fatal(err)
			}
			if _, texts := unpack(t, &packed); texts["a"] != "abc" || texts["b"] != "def" {
				t.Errorf("sent %q", texts)
			}
		})
	}
}

func TestPackReturnsTheWritersError(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "a", "abc", 0o644)
	tree := readTree(t, Options{Workspace: dir, Path: "."})
	pr, pw := io.Pipe()
	reason := errors.New("gone")
	_ = pr.CloseWithError(reason)
	if err := tree.Pack(t.Context(), pw, tree.All(), true); !errors.Is(err, reason) {
		t.Errorf("%v, want the writer's own error", err)
	}
}

func TestOnlyWhatShrinksIsCompressed(t *testing.T) {
	dir := t.TempDir()
	noise := make([]byte, 4*blockSize)
	_, _ = rand.Read(noise)
	put(t, dir, "model", string(noise), 0o644)
	put(t, dir, "small", "small", 0o644)
	o := Options{Workspace: dir, Path: "."}
	tree := readTree(t, o)
	if shrinks, err := tree.Shrinks(tree.All()); shrinks || err != nil {
		t.Errorf("noise shrinks: %t, %v", shrinks, err)
	}
	var packed bytes.Buffer
	if err := tree.Pack(t.Context(), &packed, tree.All(), false); err != nil || !bytes.Contains(packed.Bytes(), noise) {
		t.Errorf("%v, or not packed as it is", err)
	}
	put(t, dir, "text", strings.Repeat("text ", blockSize), 0o644)
	tree = readTree(t, o)
	if shrinks, err := tree.Shrinks(tree.All()); !shrinks || err != nil {
		t.Errorf("text shrinks: %t, %v", shrinks, err)
	}
	put(t, dir, "text", fmt.Sprintf("%x", noise)+fmt.Sprintf("%x", noise), 0o644) // without repetitions near each other
	tree = readTree(t, o)
	if shrinks, err := tree.Shrinks(tree.All()); !shrinks || err != nil {
		t.Errorf("hexadecimal digits shrink: %t, %v", shrinks, err)
	}
	packed.Reset()
	// by which of two ways a block is compressed, a sample of it decides
	if err := tree.Pack(t.Context(), &packed, tree.All(), true); err != nil ||
		packed.Len() > len(noise)+4*len(noise)*7/10 {
		t.Errorf("%v, %d bytes of noise and %d of digits became %d", err, len(noise), 4*len(noise), packed.Len())
	}
	if shrinks, err := tree.Shrinks(&Change{}); !shrinks || err != nil {
		t.Errorf("nothing shrinks: %t, %v", shrinks, err)
	}
}

// Which level a block gets does not hang on a repetition that its sample has by chance: of
// hexadecimal digits every 25th had one.
func TestEveryBlockOfFewValuesIsCoded(t *testing.T) {
	for name, encode := range map[string]func([]byte) string{
		"hexadecimal digits": hex.EncodeToString,
		"base64":             base64.StdEncoding.EncodeToString,
		"numbers": func(noise []byte) string {
			var b strings.Builder
			for i := 0; i+4 <= len(noise); i += 4 {
				fmt.Fprintln(&b, binary.BigEndian.Uint32(noise[i:]))
			}
			return b.String()
		},
	} {
		t.Run(name, func(t *testing.T) {
			noise := make([]byte, 32<<10)
			for range 100 {
				_, _ = rand.Read(noise)
				block := []byte(encode(noise))
				if n := len(compress(block)); n > len(block)*8/10 {
					t.Fatalf("a block of %d bytes became %d", len(block), n)
				}
			}
		})
	}
}

// What a host offers costs no more than its limits say, however it is made, and to read it can be
// given up.
func TestAnOfferIsBounded(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "a", "abc", 0o644)
	tree := readTree(t, Options{Workspace: dir, Path: "."})
	mine := tree.entries[0].brief() + "\n"
	cancelled, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	cancel(gone)
	for _, tt := range []struct {
		name  string
		ctx   context.Context //nolint:containedctx // of the row
		offer io.Reader
		err   error  // the one it wraps, or
		words string // in it
	}{
		{"a line without an end", t.Context(), again("x"), bufio.ErrTooLong, ""},
		{"lines without an end that are ours", t.Context(), again(mine), nil, "more than 268435456 bytes"},
		{"the shortest lines that are not", t.Context(), again("\n"), nil, ""},
		{"long lines that are not", t.Context(), again(strings.Repeat("x", 4095) + "\n"), nil, ""},
		{"a run that is cancelled", cancelled, again(mine), gone, ""},
		{"a connection that breaks", t.Context(), iotest.ErrReader(gone), gone, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			change, err := tree.Compare(tt.ctx, tt.offer)
			runtime.ReadMemStats(&after)
			if tt.err == nil && tt.words == "" {
				if err != nil || !change.Anew || change.Files != tree.Files || len(change.minus) > 0 {
					t.Errorf("%+v, %v, want everything to be sent", change, err)
				}
			} else if change != nil || err == nil || !strings.Contains(err.Error(), tt.words) || tt.err != nil &&
				!errors.Is(err, tt.err) {
				t.Errorf("%v, %v", change, err)
			}
			if kept := int64(after.Sys) - int64(before.Sys); kept > 200<<20 {
				t.Errorf("it took %d MB", kept>>20)
			}
		})
	}
}

// again reads a text over and over.
func again(text string) io.Reader { return &repeated{text: strings.Repeat(text, 1+1<<16/len(text))} }

type repeated struct {
	text string
	at   int
}

func (r *repeated) Read(p []byte) (int, error) {
	n := copy(p, r.text[r.at:])
	r.at = (r.at + n) % len(r.text)
	return n, nil
}

// FuzzOffer: whatever a host offers, the lists that are sent turn what it has into the tree.
func FuzzOffer(f *testing.F) {
	dir := f.TempDir()
	for _, name := range []string{"a", "b/c", "b/d"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o750); err != nil {
			f.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			f.Fatal(err)
		}
	}
	tree, err := Read(f.Context(), Options{Workspace: dir, Path: "."})
	if err == nil {
		err = tree.Hash(f.Context())
	}
	if err != nil {
		f.Fatal(err)
	}
	all := tree.All()
	var brief []string
	for i := range tree.entries {
		brief = append(brief, tree.entries[i].brief())
	}
	f.Add(strings.Join(brief, "\n") + "\n")
	f.Add(brief[1] + "\n" + brief[1] + "\r\n\t\n" + "f\t644\t1\t0123456789abcdef\tgone\n")
	f.Add("\x00\xff\t\t\t\t\t")
	f.Fuzz(func(t *testing.T, offer string) {
		c, err := tree.Compare(t.Context(), strings.NewReader(offer))
		if err != nil || c.Anew {
			return
		}
		offered := map[string]bool{}
		lines := bufio.NewScanner(strings.NewReader(offer))
		for lines.Scan() {
			offered[lines.Text()] = true
		}
		// What is kept was offered, and what was not is sent.
		if len(c.plus) > len(all.plus) || c.Files > all.Files || c.Bytes+c.Kept != all.Bytes ||
			c.Entries != len(c.send) {
			t.Errorf("%+v of %+v", c, all)
		}
		sent := map[string]bool{}
		for _, e := range c.send {
			sent[e.path] = true
		}
		for i := range tree.entries {
			if e := &tree.entries[i]; sent[e.path] == offered[e.brief()] {
				t.Errorf("%q: sent %v, offered %v", e.path, sent[e.path], offered[e.brief()])
			}
		}
		for _, name := range c.minus {
			if strings.ContainsAny(name, "\t\n") {
				t.Errorf("%q goes, which is no name in a line", name)
			}
		}
	})
}

// What holds secrets by its name is sent, and named; what an earlier step keeps for itself never
// is.
func TestSecretsInTheWorkspace(t *testing.T) {
	dir := t.TempDir()
	certificate, key := "-----BEGIN CERTIFICATE-----\n", "-----BEGIN PRIVATE KEY-----\n"
	for name, text := range map[string]string{
		"main.py": "x", "gha-creds-0123456789abcdef.json": "{}", "sub/gha-creds-f.json": "{}", "creds.json": "{}",
		".env": "A=1", "sub/.env.production": "A=1", ".env.example": "A=", ".npmrc": "x", "sub/key.pem": key,
		"x.pem":           "x",
		"authorities.pem": certificate, "both.pem": certificate + key, "environment.py": "x",
	} {
		put(t, dir, name, text, 0o644)
	}
	tree, err := Read(t.Context(), Options{Workspace: dir, Path: ".", Exclude: exclude.Patterns{"x.pem"}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`".env"`, `".npmrc"`, `"both.pem"`, `"sub/.env.production"`, `"sub/key.pem"`}
	if !slices.Equal(tree.Secrets, want) {
		t.Errorf("secrets %v, want %v", tree.Secrets, want)
	}
	for i := range tree.entries {
		if name := tree.entries[i].path; strings.Contains(name, "gha-creds") {
			t.Errorf("%s is sent", name)
		}
	}
	if tree.Files != 10 {
		t.Errorf("%d files", tree.Files)
	}
}

package workspace

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// kind is what an entry is, as find(1) and the manifest write it.
type kind byte

const (
	file   kind = 'f'
	folder kind = 'd'
	link   kind = 'l'
)

// entry is one file, folder or link of a tree.
type entry struct {
	path string // from the root of the tree, with slashes; any bytes but control characters
	kind kind
	mode uint32 // permissions on the host; of a link: none
	size int64  // of a file
	sum  string // of a file: SHA-256, hexadecimal; of a link: where it points

	changed time.Time // of a file: when it was
	data    []byte    // of a small file: what is in it; nil when it is to be read again
}

// line is the entry in the manifest: five fields between tabs, which no name can hold.
func (e *entry) line() string {
	switch e.kind {
	case file:
		return "f\t" + strconv.FormatUint(uint64(e.mode), 8) + "\t" + strconv.FormatInt(e.size, 10) + "\t" + e.sum + "\t" + e.path
	case folder:
		return "d\t755\t-\t-\t" + e.path
	default:
		return "l\t-\t-\t" + e.sum + "\t" + e.path
	}
}

// brief is the line with the hash cut, as a host offers it.
func (e *entry) brief() string {
	if e.kind != file {
		return e.line()
	}
	short := *e
	short.sum = e.sum[:briefSum]
	return short.line()
}

const briefSum = 16

// identity names a tree by all that is in it: the SHA-256 of its manifest, whose lines are sorted by their bytes.
func identity(lines []string) string {
	hash := sha256.New()
	for _, line := range lines {
		_, _ = io.WriteString(hash, line+"\n")
	}
	return fmt.Sprintf("%x", hash.Sum(nil))
}

// maxManifest bounds what a host can make us keep; the names of a million files fit.
const maxManifest = 256 << 20

// ReadManifest reads the lines that a host offers: what of a release it has unchanged. A host that lies gains nothing: the release that
// comes of it has to add up to the identity that was sent.
func ReadManifest(r io.Reader) (map[string]bool, error) {
	offered := map[string]bool{}
	limited := &io.LimitedReader{R: r, N: maxManifest}
	lines := bufio.NewScanner(limited)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		offered[lines.Text()] = true
	}
	if lines.Err() != nil {
		return nil, fmt.Errorf("read manifest of the host: %w", lines.Err())
	}
	if limited.N == 0 {
		return nil, fmt.Errorf("read manifest of the host: more than %d bytes", maxManifest)
	}
	return offered, nil
}

// Change is what turns what a host offers into a tree.
type Change struct {
	Files, Entries int      // to be sent: files, and all there is
	Bytes          int64    // what those files hold
	Kept           int64    // bytes of the files that the host has
	plus, minus    []string // lines of the manifest that come, paths that go
	send           []*entry
}

// Change compares the tree with what a host offers. Links are always sent: they are smaller than a comparison.
func (t *Tree) Change(offered map[string]bool) *Change {
	c := &Change{}
	kept := map[string]bool{}
	for i := range t.entries {
		e := &t.entries[i]
		if line := e.brief(); e.kind != link && offered[line] {
			kept[line] = true
			c.Kept += e.size
			continue
		}
		c.plus = append(c.plus, e.line())
		c.send = append(c.send, e)
		c.Entries++
		if e.kind == file {
			c.Files++
			c.Bytes += e.size
		}
	}
	for line := range offered {
		if !kept[line] {
			c.minus = append(c.minus, line[strings.LastIndexByte(line, '\t')+1:])
		}
	}
	slices.Sort(c.plus)
	slices.Sort(c.minus)
	return c
}

func text(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}

package workspace

import (
	"bufio"
	"context"
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
		return "f\t" + strconv.FormatUint(uint64(e.mode), 8) + "\t" + strconv.FormatInt(e.size, 10) + "\t" + e.sum +
			"\t" + e.path
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

// identity names a tree by all that is in it: the SHA-256 of its manifest, whose lines are sorted
// by their bytes.
func identity(lines []string) string {
	hash := sha256.New()
	for _, line := range lines {
		_, _ = io.WriteString(hash, line+"\n")
	}
	return fmt.Sprintf("%x", hash.Sum(nil))
}

// What a host may have us read and keep of its offer. Nothing is kept of what we have too; the
// names that are to go are.
const (
	maxManifest = 256 << 20 // bytes read; the names of a million files fit
	maxLine     = 64 << 10  // bytes
	maxGone     = 32 << 20  // bytes of names to go
	maxGoners   = 1 << 20   // how many
	betweenEnds = 1 << 12   // lines, between two looks at the context
)

// Change is what turns what a host offers into a tree.
type Change struct {
	Files, Entries int      // to be sent: files, and all there is
	Bytes          int64    // what those files hold
	Kept           int64    // bytes of the files that the host has
	Anew           bool     // the host offered so much else that everything is sent, and nothing of it is used
	plus, minus    []string // lines of the manifest that come, paths that go
	send           []*entry
}

// ID names what a change sends: of one tree, equal ones are packed to the same bytes.
func (c *Change) ID() string { return identity(slices.Concat(c.plus, []string{""}, c.minus)) }

// Size is what a change packs to at most, in bytes: files, the lists, and what a tar has around
// them.
func (c *Change) Size() int64 {
	size := c.Bytes + 2048*int64(c.Entries)
	for _, lines := range [][]string{c.plus, c.minus} {
		for _, line := range lines {
			size += 3 * int64(len(line)) // in its list and, where its name is long, in the tar's headers
		}
	}
	return size
}

// All sends everything.
func (t *Tree) All() *Change { return t.change(make([]bool, len(t.entries)), nil) }

// Compare compares the tree with the lines that a host offers: what of a release it has unchanged.
// Links are always sent: they are smaller than a comparison. A host that lies gains nothing: the
// release that comes of it has to add up to the identity that was sent.
func (t *Tree) Compare(ctx context.Context, offer io.Reader) (*Change, error) {
	index := make(map[string]int, len(t.entries))
	for i := range t.entries {
		if e := &t.entries[i]; e.kind != link {
			index[e.brief()] = i
		}
	}
	has := make([]bool, len(t.entries))
	var gone []string
	bytes := 0
	limited := &io.LimitedReader{R: offer, N: maxManifest}
	lines := bufio.NewScanner(limited)
	lines.Buffer(nil, maxLine)
	for n := 0; lines.Scan(); n++ {
		if n%betweenEnds == 0 && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if i, ours := index[string(lines.Bytes())]; ours {
			has[i] = true
			continue
		}
		name := lines.Text()
		name = strings.Clone(name[strings.LastIndexByte(name, '\t')+1:])
		if bytes += len(name); bytes > maxGone || len(gone) == maxGoners {
			c := t.All()
			c.Anew = true
			return c, nil
		}
		gone = append(gone, name)
	}
	if lines.Err() != nil {
		return nil, fmt.Errorf("read manifest of the host: %w", lines.Err())
	}
	if limited.N == 0 {
		return nil, fmt.Errorf("read manifest of the host: more than %d bytes", maxManifest)
	}
	return t.change(has, gone), nil
}

func (t *Tree) change(has []bool, gone []string) *Change {
	c := &Change{minus: gone}
	for i := range t.entries {
		e := &t.entries[i]
		if has[i] {
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
	slices.Sort(c.plus)
	slices.Sort(c.minus)
	return c
}

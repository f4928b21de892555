package workspace

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// Subject returns the first line of the message of the commit that is checked out in a folder, as
// far as its .git tells: nothing in a checkout without one, or of a commit that git keeps as a
// difference to another. It takes no git, which the runner's container has not.
func Subject(folder string) string {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return ""
	}
	defer func() { _ = root.Close() }()
	id, err := head(root)
	if err != nil {
		return ""
	}
	commit, err := loose(root, id)
	if err != nil {
		commit, err = packed(root, id)
	}
	if err != nil {
		return ""
	}
	_, message, _ := strings.Cut(string(commit), "\n\n")
	line, _, _ := strings.Cut(strings.TrimSpace(message), "\n")
	return strings.TrimSpace(line)
}

// maxCommit is what is read of a file of git's, in bytes.
const maxCommit = 1 << 20

// head returns the id of the commit that is checked out, in hexadecimal digits.
func head(root *os.Root) (string, error) {
	text, err := readSome(root, ".git/HEAD")
	ref, isRef := strings.CutPrefix(text, "ref: ")
	if err == nil && isRef {
		name := ref
		if text, err = readSome(root, ".git/"+name); err != nil {
			text, err = packedRef(root, name)
		}
	}
	if id, bad := hex.DecodeString(text); err != nil || bad != nil || len(id) != 20 {
		return "", fs.ErrNotExist
	}
	return text, err
}

func packedRef(root *os.Root, name string) (string, error) {
	all, err := readSome(root, ".git/packed-refs")
	for line := range strings.Lines(all) {
		if id, ok := strings.CutSuffix(strings.TrimSpace(line), " "+name); ok {
			return id, nil
		}
	}
	return "", errors.Join(err, fs.ErrNotExist)
}

func readSome(root *os.Root, name string) (string, error) {
	f, err := openGit(root, name)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxCommit))
	return strings.TrimSpace(string(text)), err
}

func openGit(root *os.Root, name string) (*os.File, error) {
	f, _, err := openIn(root, name, name)
	return f, err
}

// loose reads an object from a file of its own (gitformat-loose(5)).
func loose(root *os.Root, id string) ([]byte, error) {
	f, err := openGit(root, ".git/objects/"+id[:2]+"/"+id[2:])
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	text, err := inflate(f)
	kind, commit, _ := bytes.Cut(text, []byte{0})
	if err != nil || !bytes.HasPrefix(kind, []byte("commit ")) {
		return nil, fs.ErrNotExist
	}
	return commit, nil
}

func inflate(r io.Reader) ([]byte, error) {
	z, err := zlib.NewReader(r)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(z, maxCommit))
}

// packed reads it from one of the packs that a fetch leaves.
func packed(root *os.Root, id string) ([]byte, error) {
	indexes, err := fs.Glob(root.FS(), ".git/objects/pack/*.idx")
	if err != nil {
		return nil, err
	}
	for _, name := range indexes {
		at, err := offset(root, name, id)
		if err != nil {
			continue
		}
		return whole(root, strings.TrimSuffix(name, ".idx")+".pack", at)
	}
	return nil, fs.ErrNotExist
}

// offset looks an object up in the index of a pack, of version 2 (gitformat-pack(5)): of 256 numbers
// the n-th says how many ids begin with n at most; the ids follow, sorted, then as many checksums, and
// offsets.
func offset(root *os.Root, name, id string) (int64, error) {
	f, err := openGit(root, name)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	const table, ids = 8, 8 + 256*4
	number := func(at int64) int64 {
		var b [4]byte
		if _, bad := f.ReadAt(b[:], at); bad != nil {
			err = bad
		}
		return int64(binary.BigEndian.Uint32(b[:]))
	}
	wanted, _ := hex.DecodeString(id)
	if number(0) != 0xff744f63 || number(4) != 2 {
		return 0, fs.ErrInvalid
	}
	first, last, all := int64(0), number(table+4*int64(wanted[0])), number(table+4*255)
	if wanted[0] > 0 {
		first = number(table + 4*(int64(wanted[0])-1))
	}
	for err == nil && first < last {
		middle := (first + last) / 2
		var have [20]byte
		if _, err = f.ReadAt(have[:], ids+20*middle); err != nil {
			break
		}
		switch order := bytes.Compare(have[:], wanted); {
		case order < 0:
			first = middle + 1
		case order > 0:
			last = middle
		default:
			at := number(ids + 24*all + 4*middle)
			if at>>31 == 0 {
				return at, err
			}
			last = first // beyond 2 GB: another table has it
		}
	}
	return 0, errors.Join(err, fs.ErrNotExist)
}

// whole reads a commit that is in a pack as a whole: its kind and size, then its text, compressed.
func whole(root *os.Root, name string, at int64) ([]byte, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	r := bufio.NewReader(io.NewSectionReader(f, at, maxCommit))
	first, err := r.ReadByte()
	for b := first; err == nil && b&0x80 != 0; {
		b, err = r.ReadByte()
	}
	if err != nil || first>>4&7 != 1 {
		return nil, errors.Join(err, fs.ErrNotExist)
	}
	return inflate(r)
}

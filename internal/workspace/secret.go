package workspace

import (
	"bytes"
	"io"
	"path"
	"slices"
	"strings"
)

// credentials tells of a file that an earlier step of the job has left in the workspace for itself,
// and that gives away what the job may do in a cloud: google-github-actions/auth writes
// gha-creds-<random>.json there. It is part of no release.
func credentials(base string) bool {
	return strings.HasPrefix(base, "gha-creds-") && strings.HasSuffix(base, ".json")
}

// secret tells of a file that people keep secrets in, by its name. It may be meant; who did not
// mean it wants to know.
func (t *Tree) secret(name, base string) bool {
	switch {
	case base == ".env" || base == ".npmrc":
		return true
	case strings.HasPrefix(base, ".env."):
		return !slices.Contains(examples, path.Ext(base))
	case path.Ext(base) == ".pem":
		return !t.public(name)
	}
	return false
}

// examples are kept in a repository to be read.
var examples = []string{".example", ".sample", ".template", ".dist", ".defaults"}

// public tells of a .pem that holds certificates and no key, such as the authorities that many
// packages bring.
func (t *Tree) public(name string) bool {
	f, err := t.open(&entry{path: name})
	if err != nil {
		return false // to read it fails later, and says so
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, 4<<20))
	return err == nil && bytes.Contains(text, []byte("-----BEGIN CERTIFICATE-----")) &&
		!bytes.Contains(text, []byte("PRIVATE KEY"))
}

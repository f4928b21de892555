package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
)

// gitBranch is the branch that commits go to, the default branch of a fresh repository on GitHub.
const gitBranch = "main"

// Repo is a bare repository behind a Git server.
type Repo struct {
	name string // owner/name
	dir  string
	home string

	mu     sync.Mutex
	public bool
	head   string // the last commit, empty before the first
	lfs    map[string]string
}

// Name is "owner/name", as in GITHUB_REPOSITORY.
func (r *Repo) Name() string { return r.name }

// SetPublic lets everybody read the repository without a token, or only who has it.
func (r *Repo) SetPublic(public bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.public = public
}

func (r *Repo) isPublic() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.public
}

// Commit adds a commit to the branch main and returns its SHA. The commit holds the files of base
// (nil: none) with files put on top, and nothing else: what the commit before had is not carried
// over. A text of files that begins with "#!" is executable; folders of base named __pycache__,
// which trying an application leaves behind, stay out.
func (r *Repo) Commit(ctx context.Context, message string, base fs.FS, files map[string]string) (string, error) {
	tree := make(map[string]gitFile)
	if base != nil {
		if err := readTree(base, tree); err != nil {
			return "", fmt.Errorf("commit to %s: %w", r.name, err)
		}
	}
	for name, text := range files {
		mode := "100644"
		if strings.HasPrefix(text, "#!") {
			mode = "100755"
		}
		tree[name] = gitFile{mode: mode, data: []byte(text)}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	stream, err := importStream(message, r.head, tree)
	if err != nil {
		return "", fmt.Errorf("commit to %s: %w", r.name, err)
	}
	if _, err := r.git(ctx, stream, "fast-import", "--quiet", "--date-format=now"); err != nil {
		return "", fmt.Errorf("commit to %s: %w", r.name, err)
	}
	out, err := r.git(ctx, nil, "rev-parse", "--verify", gitBranch+"^{commit}")
	if err != nil {
		return "", fmt.Errorf("commit to %s: %w", r.name, err)
	}
	r.head = strings.TrimSpace(string(out))
	return r.head, nil
}

// Git runs git in the repository, for what Commit can't make, and returns what it printed, trimmed.
func (r *Repo) Git(ctx context.Context, stdin string, args ...string) (string, error) {
	out, err := r.git(ctx, []byte(stdin), append([]string{"-c", "user.name=Lab", "-c", "user.email=lab@example.com"},
		args...)...)
	return strings.TrimSpace(string(out)), err
}

func (r *Repo) create(ctx context.Context) error {
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return err
	}
	if _, err := r.git(ctx, nil, "init", "--quiet", "--bare", "--initial-branch="+gitBranch); err != nil {
		return err
	}
	// What GitHub allows, and a deployment rests on: fetching one commit by its SHA, and partial
	// clones.
	for _, key := range []string{
		"uploadpack.allowTipSHA1InWant", "uploadpack.allowReachableSHA1InWant",
		"uploadpack.allowFilter",
	} {
		if _, err := r.git(ctx, nil, "config", key, "true"); err != nil {
			return err
		}
	}
	return nil
}

func (r *Repo) git(ctx context.Context, stdin []byte, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", r.dir}, args...)...)
	cmd.Env = append(gitEnv(r.home), "PATH="+os.Getenv("PATH"))
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil, fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(exit.Stderr))
	}
	if err != nil {
		return nil, fmt.Errorf("git %s: %w", args[0], err)
	}
	return out, nil
}

type gitFile struct {
	mode string
	data []byte
}

func readTree(base fs.FS, tree map[string]gitFile) error {
	return fs.WalkDir(base, ".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == "__pycache__":
			return fs.SkipDir
		case entry.IsDir():
			return nil
		case !entry.Type().IsRegular():
			return fmt.Errorf("read %q: not a regular file", path)
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		data, err := fs.ReadFile(base, path)
		if err != nil {
			return err
		}
		mode := "100644"
		if info.Mode()&0o111 != 0 {
			mode = "100755"
		}
		tree[path] = gitFile{mode: mode, data: data}
		return nil
	})
}

// importStream writes one commit in the language of git fast-import, which needs neither a work
// tree nor an index.
func importStream(message, parent string, tree map[string]gitFile) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "commit refs/heads/%s\ncommitter Lab <lab@example.com> now\ndata %d\n%s\n", gitBranch, len(message),
		message)
	if parent != "" {
		fmt.Fprintf(&b, "from %s\n", parent)
	}
	b.WriteString("deleteall\n")
	names := make([]string, 0, len(tree))
	for name := range tree {
		if !fs.ValidPath(name) || strings.ContainsAny(name, "\n\"") {
			return nil, fmt.Errorf("add %q: not a path inside a repository", name)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		file := tree[name]
		fmt.Fprintf(&b, "M %s inline %s\ndata %d\n", file.mode, name, len(file.data))
		b.Write(file.data)
		b.WriteByte('\n')
	}
	return b.Bytes(), nil
}

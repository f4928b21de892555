package lab

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

// gitUser is the user name that GitHub asks for beside an installation token.
const gitUser = "x-access-token"

// maxGitBody bounds a request to the git server; a fetch sends a few kilobytes of haves and wants.
const maxGitBody = 64 << 20

var repoName = regexp.MustCompile(`^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$`)

// Git stands in for github.com: real `git http-backend` over smart HTTP, in this process. Like
// GitHub it answers 401 to everybody without the token, for a repository that is not there just as
// for a private one, 404 for what is missing to who has the token, and it refuses a wrong token
// even for a public repository.
type Git struct {
	root    string
	backend string
	token   string
	url     string
	server  *http.Server
	served  chan struct{}

	mu       sync.Mutex
	repos    map[string]*Repo
	requests []GitRequest
	busy     int // how many requests are still answered with 503
}

// GitRequest is one request as the server saw it, so that a test can prove what was sent and what
// was not.
type GitRequest struct {
	Time       time.Time
	Method     string
	Target     string // path and query as sent: a token must never show up here
	Authorized bool   // an Authorization header came with it
	TokenValid bool   // and it was the right one
	Status     int
	Bytes      int    // of the answer
	Stderr     string // what git said on its standard error
}

// ServeGit listens on addr ("127.0.0.1:0", or the gateway of a container network) until Close or
// the end of ctx.
func ServeGit(ctx context.Context, addr string) (*Git, error) {
	execPath, err := exec.CommandContext(ctx, "git", "--exec-path").Output()
	if err != nil {
		return nil, fmt.Errorf("find git: %w", err)
	}
	backend := filepath.Join(strings.TrimSpace(string(execPath)), "git-http-backend")
	if _, err := os.Stat(backend); err != nil {
		return nil, fmt.Errorf("find git http-backend: %w", err)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for git: %w", err)
	}
	root, err := os.MkdirTemp("", "lab-git-")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make git root: %w", err), listener.Close())
	}
	g := &Git{
		root:    root,
		backend: backend,
		token:   "ghs_" + rand.Text(),
		url:     "http://" + listener.Addr().String(),
		served:  make(chan struct{}),
		repos:   make(map[string]*Repo),
	}
	g.server = &http.Server{Handler: g, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = g.server.Close() })
	go func() {
		defer close(g.served)
		defer stop()
		_ = g.server.Serve(listener) // always an error; the one that matters, a lost listener, shows in every fetch
	}()
	return g, nil
}

// Close stops the server and removes every repository.
func (g *Git) Close() error {
	err := g.server.Close()
	<-g.served
	return errors.Join(err, os.RemoveAll(g.root))
}

// URL is what GITHUB_SERVER_URL holds for this server: no trailing slash, no credentials.
func (g *Git) URL() string { return g.url }

// Token is the one password that the server accepts, for the user x-access-token.
func (g *Git) Token() string { return g.token }

// Requests are all requests so far, oldest first.
func (g *Git) Requests() []GitRequest {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]GitRequest(nil), g.requests...)
}

// Busy answers the next requests with 503, as GitHub does when it has too much to do.
func (g *Git) Busy(requests int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.busy = requests
}

// isBusy takes one of those that are left.
func (g *Git) isBusy() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.busy = max(0, g.busy) - 1
	return g.busy >= 0
}

// Repo is the repository "owner/name", made empty and private on first use.
func (g *Git) Repo(ctx context.Context, name string) (*Repo, error) {
	if !repoName.MatchString(name) || strings.Contains(name, "..") {
		return nil, fmt.Errorf("make repository %q: want owner/name", name)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if r, ok := g.repos[name]; ok {
		return r, nil
	}
	r := &Repo{name: name, dir: filepath.Join(g.root, name+".git"), home: g.root}
	if err := r.create(ctx); err != nil {
		return nil, fmt.Errorf("make repository %q: %w", name, err)
	}
	g.repos[name] = r
	return r, nil
}

// ServeHTTP answers one request and records it.
func (g *Git) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	seen := GitRequest{Time: time.Now(), Method: r.Method, Target: r.URL.RequestURI()}
	seen.Authorized = r.Header.Get("Authorization") != ""
	user, password, ok := r.BasicAuth()
	seen.TokenValid = ok && user == gitUser && subtle.ConstantTimeCompare([]byte(password), []byte(g.token)) == 1

	out := &statusWriter{ResponseWriter: w, status: http.StatusOK}
	seen.Stderr = g.answer(out, r, seen.Authorized, seen.TokenValid)
	seen.Status, seen.Bytes = out.status, out.bytes

	g.mu.Lock()
	defer g.mu.Unlock()
	g.requests = append(g.requests, seen)
}

// answer returns what git wrote to its standard error.
func (g *Git) answer(w http.ResponseWriter, r *http.Request, authorized, valid bool) string {
	name, rest := splitRepoPath(r.URL.Path)
	g.mu.Lock()
	repo := g.repos[name]
	g.mu.Unlock()
	switch {
	case g.isBusy():
		http.Error(w, "No server is currently available to service your request.", http.StatusServiceUnavailable)
		return ""
	case !valid && (authorized || repo == nil || !repo.isPublic()):
		w.Header().Set("WWW-Authenticate", `Basic realm="GitHub"`)
		http.Error(w, "Repository not found or no access.", http.StatusUnauthorized)
		return ""
	case repo == nil:
		http.Error(w, "Repository not found.", http.StatusNotFound)
		return ""
	}
	if strings.HasPrefix(rest, "info/lfs/") {
		repo.serveLFS(w, r, strings.TrimPrefix(rest, "info/lfs/"))
		return ""
	}
	// The CGI handler refuses chunked bodies, which git sends when a request outgrows
	// http.postBuffer.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxGitBody))
	if err != nil {
		http.Error(w, "Request too large.", http.StatusRequestEntityTooLarge)
		return ""
	}
	r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
	r.URL.Path = "/" + name + ".git/" + rest
	r.Header.Del("Authorization") // git has no use for it, and must not be able to print it

	var stderr bytes.Buffer
	backend := cgi.Handler{
		Path: g.backend, Root: "/", Dir: g.root, Stderr: &stderr,
		Env: append(gitEnv(g.root), "GIT_PROJECT_ROOT="+g.root, "GIT_HTTP_EXPORT_ALL=1"),
	}
	backend.ServeHTTP(w, r)
	return stderr.String()
}

// splitRepoPath takes "/owner/name.git/info/refs" apart; the ".git" is optional, as on GitHub.
func splitRepoPath(path string) (name, rest string) {
	parts := strings.SplitN(strings.TrimPrefix(path, "/"), "/", 3)
	if len(parts) < 3 {
		return "", ""
	}
	return parts[0] + "/" + strings.TrimSuffix(parts[1], ".git"), parts[2]
}

// gitEnv keeps git away from the configuration of whoever runs the tests.
func gitEnv(home string) []string {
	return []string{"HOME=" + home, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0"}
}

type statusWriter struct {
	http.ResponseWriter
	status int
	bytes  int
}

func (w *statusWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.bytes += n
	return n, err
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

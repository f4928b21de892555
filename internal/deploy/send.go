package deploy

import (
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/internal/state"
	"github.com/clothesme/deploy-action/internal/workspace"
	"github.com/clothesme/deploy-action/scripts"
)

// shares reports whether releases may have files in common. A build command may write to any file
// of its release, and must not by that write to the release that serves.
func (s *source) shares() bool { return s.in.Build == "" }

// readAhead begins to read the workspace, which takes its time while the host has the word.
func (s *source) readAhead(ctx context.Context) {
	s.tree = sync.OnceValues(func() (*workspace.Tree, error) {
		return workspace.Read(ctx, workspace.Options{
			Workspace: s.in.Workspace, Path: s.in.WorkspacePath, Exclude: s.in.Exclude, ReadOnly: s.shares(),
			Memory: keptContents,
		})
	})
	s.hashed = sync.OnceValues(func() (*workspace.Tree, error) {
		tree, err := s.tree()
		if err != nil {
			return nil, err
		}
		return tree, tree.Hash(ctx)
	})
	if !s.sendsNothing(nil) {
		ended := make(chan struct{})
		s.isHashed = ended
		go func() {
			defer close(ended)
			_, _ = s.hashed()
		}()
	}
}

// keptContents is how much of the small files is kept until they are packed, in bytes: it stays in
// memory for the whole run. To read again what is more costs a checkout of 3,000 files less than the
// garbage collector did, which has GOMEMLIMIT (Dockerfile) to keep to.
const keptContents = 16 << 20

// readCheckout looks at what there is to send. What can't be stops the run here, before the host is
// touched.
func (s *source) readCheckout(context.Context) (string, error) {
	tree, err := s.tree()
	if err != nil {
		return "", err
	}
	if len(tree.Skipped) > 0 {
		s.rep.Warn("Not sent",
			"sockets, pipes and devices are not part of a release: "+strings.Join(tree.Skipped[:min(5,
				len(tree.Skipped))], ", "))
	}
	if len(tree.Secrets) > 0 {
		s.rep.Warn("Secrets in the workspace", fmt.Sprintf("%s: by its name such a file holds secrets, and it becomes "+
			"part of the release; leave it out with the input \"exclude\", and give the application what it needs "+
			"by the input \"env\"",
			strings.Join(tree.Secrets[:min(5, len(tree.Secrets))], ", ")))
	}
	return grouped(int64(tree.Files)) + " files", nil
}

// send makes a release of the runner's checkout: what the host has of it already stays there, the
// rest goes over as one stream.
func (s *source) send(ctx context.Context, h *target) (string, error) {
	tree, err := s.hashed()
	if err != nil {
		return "", err
	}
	h.commit = tree.ID
	subject := s.subject(s.in.Run.Commit, func() string { return workspace.Subject(s.in.Workspace) })
	h.subject = state.CutText(subject, maxSubject)
	if s.isServed(h, tree) {
		h.unchanged, h.release = true, h.Active.Release
		return fmt.Sprintf("release %s already serves this checkout, made the same way", h.release), nil
	}
	joined := s.joins(h, tree)
	o, change, err := s.offer(ctx, h, tree, joined)
	if err != nil {
		return "", err
	}
	if err := s.fits(o, change); err != nil {
		if err := s.makeRoom(ctx, h, change); err != nil {
			return "", err
		}
		if o, change, err = s.offer(ctx, h, tree, joined); err != nil { // what it was based on may be gone
			return "", err
		}
		if err := s.fits(o, change); err != nil {
			return "", err
		}
	}
	h.release = s.stamp() + "-" + tree.ID[:7]
	if joined != "" && !o.taken {
		h.release = joined
	}
	sent, res, err := s.transfer(ctx, h, tree, o, change)
	if err != nil {
		return "", err
	}
	res.OneOf("received", "yes")
	line := fmt.Sprintf("%d of %d files sent, %s bytes, as release %s", change.Files, tree.Files, grouped(sent),
		h.release)
	if o.base != "" {
		line += "; the rest is that of " + o.base
	}
	return line, res.Err()
}

func (s *source) isServed(h *target, tree *workspace.Tree) bool {
	return s.recipe.servesAlready(h) && h.Active.Commit == tree.ID && h.Active.Recipe == s.recipe.of(h)
}

// joins returns the id that other hosts have the checkout by, or nothing. It stays what the host was
// asked about first: what an offer says is of that id.
func (s *source) joins(h *target, tree *workspace.Tree) string {
	if h.joins == nil {
		h.joins = new(string)
		for line := range strings.Lines(s.known(h)) {
			if commit, id, _ := strings.Cut(strings.TrimSpace(line), " "); commit == tree.ID {
				*h.joins = id
			}
		}
	}
	return *h.joins
}

// offerNext: what is sent before it does not wait for a checkout that is still being read.
func (s *source) offerNext(h *target) *upcoming {
	select {
	case <-s.isHashed:
	default:
		return nil
	}
	tree, err := s.hashed()
	if err != nil || s.isServed(h, tree) {
		return nil
	}
	return &upcoming{verb: scripts.Offer, own: offering(h, s.joins(h, tree)), early: true}
}

func offering(h *target, id string) scripts.Values {
	return scripts.Values{"active": h.activeRelease(), "known": id, "step_id": ""}
}

// offered is what a host has of a checkout, and room for.
type offered struct {
	transfer, base string
	free, inodes   int64 // bytes and files; inodes is 0 where the file system has no limit
	taken          bool  // the id that it was asked about is that of a complete release already
}

// offer asks a host what it has of the checkout, and says what that leaves to be sent. It may be sent under
// an id that other hosts have it by.
func (s *source) offer(
	ctx context.Context, h *target, tree *workspace.Tree, id string,
) (*offered, *workspace.Change, error) {
	res, err := h.Exec(ctx, scripts.Offer, offering(h, id))
	if err != nil {
		return nil, nil, err
	}
	o := &offered{
		transfer: res.Text("transfer"), base: res.Form("base", state.ReleaseOr),
		free: int64(res.Int("disk_kb")) << 10, inodes: int64(res.Int("inodes")),
		taken: res.Yes("taken"),
	}
	if res.Err() != nil || o.base == "" {
		return o, tree.All(), res.Err()
	}
	from := downloader(h)
	if res.Has("offer") {
		from = inline(res.Text("offer"))
	}
	change, err := compare(ctx, from, o.transfer+"/offer", tree)
	if err == nil && change.Anew {
		o.base = ""
	}
	return o, change, err
}

// downloader is a host whose files can be read.
type downloader interface {
	Download(ctx context.Context, path string, to io.Writer) error
}

// inline is an offer that came among the results, as base64.
type inline string

func (i inline) Download(_ context.Context, _ string, to io.Writer) error {
	_, err := io.Copy(to, base64.NewDecoder(base64.StdEncoding, strings.NewReader(string(i))))
	return err
}

// compare reads an offer while it comes. It ends with the first byte that is too many.
func compare(ctx context.Context, from downloader, path string, tree *workspace.Tree) (*workspace.Change, error) {
	pr, pw := io.Pipe()
	over := make(chan error, 1)
	go func() {
		err := from.Download(ctx, path, &capped{w: pw})
		_ = pw.CloseWithError(err)
		over <- err
	}()
	change, err := func() (*workspace.Change, error) {
		plain, err := gzip.NewReader(pr)
		if err != nil {
			return nil, fmt.Errorf("read manifest of the host: %w", err)
		}
		return tree.Compare(ctx, plain)
	}()
	_ = pr.CloseWithError(errors.Join(err, io.ErrClosedPipe)) // what still comes is too much
	unread := <-over
	if host.Lost(unread) || err == nil && unread != nil && !change.Anew {
		return nil, unread
	}
	return change, err
}

// capped refuses more than a host has reason to send.
type capped struct {
	w io.Writer
	n int
}

const maxOffer = 64 << 20

func (c *capped) Write(p []byte) (int, error) {
	if c.n += len(p); c.n > maxOffer {
		return 0, fmt.Errorf("the host offers more than %d bytes", maxOffer)
	}
	return c.w.Write(p)
}

// makeRoom has the host delete what no release needs and, if that is not enough, older releases.
func (s *source) makeRoom(ctx context.Context, h *target, c *workspace.Change) error {
	res, err := h.Exec(ctx, scripts.Room, scripts.Values{"need_kb": strconv.FormatInt(s.needs(c)>>10, 10)})
	if err != nil {
		return err
	}
	s.warnOfRoom(h, res)
	return res.Err()
}

// needs is what a release takes on the host besides what is there, in bytes.
func (s *source) needs(c *workspace.Change) int64 {
	need := c.Bytes + int64(c.Entries)*4096 + spare
	if !s.shares() {
		need += c.Kept
	}
	return need
}

// fits compares what is needed with what is free.
func (s *source) fits(o *offered, c *workspace.Change) error {
	if need := s.needs(c); o.free < need {
		return fmt.Errorf("only %d MB of disk are free at %s, with all deleted that no release needs, and sending "+
			"needs %d MB: give the host a bigger disk, or send less with the input \"exclude\"",
			o.free>>20, s.in.Path, need>>20)
	}
	if o.inodes > 0 && o.inodes < int64(c.Entries)+1000 {
		return fmt.Errorf("the file system of %s takes only %d more files, and %d are to be sent: delete what is "+
			"not needed, or send less with the input \"exclude\"", s.in.Path, o.inodes, c.Entries)
	}
	return nil
}

// transfer has the host unpack the stream while it arrives. When one side fails the other stops.
func (s *source) transfer(
	ctx context.Context, h *target, tree *workspace.Tree, o *offered, change *workspace.Change,
) (int64, *scripts.Results, error) {
	compressed, err := tree.Shrinks(change)
	if err != nil {
		return 0, nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var res scripts.Results
	ready := res.Came("ready")
	var sent int64
	var unsent error
	over := make(chan struct{})
	go func() {
		defer close(over)
		select {
		case <-ready:
		case <-ctx.Done():
			return
		}
		sent, unsent = s.upload(ctx, h, o.transfer+"/stream", change, change.ID()+scripts.Yes(compressed), func(
			ctx context.Context, w io.Writer,
		) error {
			err := tree.Pack(ctx, w, change, compressed)
			if err != nil && ctx.Err() == nil {
				err = &unreadError{err}
			}
			return err
		})
		if unsent != nil {
			// The host ends by itself what nobody sends to any more, and may have a reason to give.
			time.AfterFunc(lastWords, func() { cancel(unsent) })
		}
	}()
	err = h.ExecInto(ctx, &res, scripts.Receive, scripts.Values{
		"step_id":  "",
		"transfer": o.transfer, "base": o.base, "identity": tree.ID, "share": scripts.Yes(s.shares()),
		"compressed": scripts.Yes(compressed), "release": h.release, "recipe": s.recipe.of(h), "sha": s.in.Run.SHA,
	})
	if err != nil {
		cancel(err)
	}
	<-over
	var unread *unreadError
	var no *host.Error
	if err != nil && unsent != nil && (errors.As(unsent, &unread) || !errors.As(err, &no)) {
		err = unsent
	}
	return sent, &res, err
}

// lastWords is how long a host may take to say why it let go of the stream.
const lastWords = 2 * time.Second

// unreadError is a fault of the workspace: what the host says of the half that it got explains
// nothing then.
type unreadError struct{ error }

func (e *unreadError) Unwrap() error { return e.error }

// upload streams a change to the host; name names what is in the stream.
func (s *source) upload(
	ctx context.Context, h *target, path string, change *workspace.Change, name string, pack packer,
) (int64, error) {
	if len(s.hosts) == 1 || !s.packs.roomFor(change.Size()) {
		return uploadOne(ctx, h, path, pack)
	}
	made, err := s.packs.open(ctx, name, pack)
	if err != nil {
		return 0, err
	}
	defer s.packs.leave(name)
	counted := &counter{r: made.reader()}
	err = h.Upload(ctx, path, counted)
	return counted.n.Load(), err
}

// uploadOne streams what is made for this host alone.
func uploadOne(ctx context.Context, h *target, path string, pack packer) (int64, error) {
	packing, cancel := context.WithCancel(ctx)
	defer cancel()
	pr, pw := io.Pipe()
	packed := make(chan struct{})
	go func() {
		defer close(packed)
		_ = pw.CloseWithError(pack(packing, pw)) // to the upload, which then fails with it
	}()
	counted := &counter{r: pr}
	err := h.Upload(ctx, path, counted)
	_ = pr.Close()
	cancel()
	<-packed
	return counted.n.Load(), err
}

// counter counts what passes.
type counter struct {
	r io.Reader
	n atomic.Int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// grouped writes 1234567 as 1,234,567.
func grouped(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

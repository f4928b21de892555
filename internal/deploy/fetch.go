package deploy

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/state"
	"github.com/clothesme/deploy-action/internal/workspace"
	"github.com/clothesme/deploy-action/scripts"
)

// source brings the code of the release to the hosts, from git or from the workspace, and builds it
// there.
type source struct {
	*run
	assets     *assets
	recipe     *recipe
	work       *work
	tree       func() (*workspace.Tree, error) // walks through the workspace, once
	hashed     func() (*workspace.Tree, error) // and hashes it, once
	isHashed   <-chan struct{}                 // closed when that has ended; nil where nothing is sent
	packs      packs                           // of what is sent to several hosts
	fetches    chan struct{}                   // holds the turns that are taken
	fetchPause time.Duration                   // before the second try
	wanted     chan string                     // of several hosts: has the commit that one has found ref to be
}

func newSource(r *run, assets *assets, recipe *recipe, work *work) *source {
	return &source{
		run: r, assets: assets, recipe: recipe, work: work, fetches: make(chan struct{}, fetchesAtOnce),
		fetchPause: firstPause, wanted: make(chan string, 1),
	}
}

func (s *source) fetch(ctx context.Context, h *target) (string, error) {
	if s.in.Source == inputs.Workspace {
		return s.send(ctx, h)
	}
	ref, err := s.oneRef(ctx, h)
	if err != nil {
		return "", err
	}
	expected := s.releaseOf(h) // by what was sent ahead
	res, err := s.fetchWith(ctx, h, s.fetching(h, ref))
	if err != nil {
		return "", err
	}
	s.warnOfRoom(h, res)
	h.commit = res.Form("commit", state.CommitForm)
	if h == s.finder() {
		s.found(h.commit)
	}
	h.subject = state.CutText(s.subject(h.commit, func() string { return res.Text("subject") }), maxSubject)
	if res.Has("unchanged") {
		h.unchanged = res.Yes("unchanged")
		h.release = h.Active.Release
		if expected != "" {
			return "", fmt.Errorf("bug in deploy-action: %s serves something else, and calls this unchanged", h.Address)
		}
		return fmt.Sprintf("release %s already serves this commit, made the same way", h.release), res.Err()
	}
	h.release = res.Form("release", state.ReleaseForm)
	if expected != "" && expected != h.release {
		return "", fmt.Errorf("bug in deploy-action: %s calls the release %s, and not %s", h.Address, h.release, expected)
	}
	return fmt.Sprintf("commit %.7s as release %s", h.commit, h.release), res.Err()
}

func (s *source) fetching(h *target, ref string) scripts.Values {
	values := s.fetchValues(h, ref)
	values["known"] = s.known(h)
	if ref == s.in.Run.Commit && strings.EqualFold(s.in.Repository, s.in.Run.Repository) {
		values["branch"] = s.in.Run.Branch
	}
	if s.recipe.servesAlready(h) {
		values["active_commit"], values["active_recipe"] = h.Active.Commit, h.Active.Recipe
	}
	return values
}

// fetchNext: where it takes turns, or one host finds out for the others, nothing is sent ahead.
func (s *source) fetchNext(h *target, _ string) *upcoming {
	if s.in.Source == inputs.Workspace {
		return s.offerNext(h)
	}
	isName := !fullCommit.MatchString(s.in.Ref)
	if len(s.present()) > fetchesAtOnce || isName && !s.isAlone(h) {
		return nil
	}
	return &upcoming{verb: scripts.Fetch, own: s.fetching(h, s.in.Ref), early: true}
}

// fullCommit is what lib/ref.sh takes for one.
var fullCommit = regexp.MustCompile(`^[0-9a-f]{40}$`)

// releaseOf is the release that a host gets, also before it has been fetched where its id is known by
// then; else nothing. fetch.sh calls it the same, name_it.
func (s *source) releaseOf(h *target) string {
	switch {
	case h.release != "":
		return h.release
	case !s.op.makes || s.in.Source != inputs.Git || !fullCommit.MatchString(s.in.Ref):
		return ""
	case strings.Contains("\n"+s.known(h), "\n"+s.in.Ref+" "): // it has had that id, or not
		return ""
	case s.recipe.servesAlready(h) && h.Active.Commit == s.in.Ref && h.Active.Recipe == s.recipe.of(h): // unchanged
		return ""
	}
	return s.stamp() + "-" + s.in.Ref[:7]
}

func (s *source) fetchValues(h *target, ref string) scripts.Values {
	return scripts.Values{
		"git_url": strings.TrimSuffix(s.in.ServerURL, "/") + "/" + s.in.Repository + ".git",
		"ref":     ref, "token": s.in.Token.Reveal(),
		"stamp": s.stamp(), "recipe": s.recipe.of(h), "active_commit": "", "active_recipe": "",
		"branch": "", "known": "",
	}
}

// fetchWith has a host fetch in its turn. What the git server or the way to it is to blame for is
// tried again, since it mostly passes, in pauses that grow and differ from host to host.
func (s *source) fetchWith(ctx context.Context, h *target, values scripts.Values) (*scripts.Results, error) {
	for try, pause := 1, s.fetchPause; ; try, pause = try+1, 3*pause {
		res, err := s.fetchInTurn(ctx, h, values)
		if try == fetchTries || !gitServerFailed(err) {
			return res, err
		}
		rest := pause/2 + rand.N(pause)
		s.rep.Info(fmt.Sprintf("%s: trying again in %s, %d of %d", h.Address.Name, rest.Round(100*time.Millisecond), try+1,
			fetchTries))
		if err := wait(ctx, rest); err != nil {
			return nil, err
		}
	}
}

// What a git server is asked for: by as many hosts at once as a fleet's worth of clones does not
// make it refuse some, and so often by each.
const (
	fetchesAtOnce = 10
	fetchTries    = 4
	firstPause    = 2 * time.Second
)

func (s *source) fetchInTurn(ctx context.Context, h *target, values scripts.Values) (*scripts.Results, error) {
	select {
	case s.fetches <- struct{}{}:
		defer func() { <-s.fetches }()
		return h.Exec(ctx, scripts.Fetch, values)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// oneRef is what a host is to fetch: the same commit as the others, although the branch may move
// meanwhile. One finds out.
func (s *source) oneRef(ctx context.Context, h *target) (string, error) {
	if h == s.finder() || fullCommit.MatchString(s.in.Ref) { // one in full needs no finding out
		return s.in.Ref, nil
	}
	select {
	case commit := <-s.wanted:
		s.found(commit) // for the next one
		return commit, nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// known are the ids under which other hosts serve a commit that was made as this run makes it, so
// that one which gets it later has it under the same: that of most of them.
func (s *source) known(h *target) string {
	votes := map[string]int{}
	best := map[string]string{} // by commit
	for _, other := range s.hosts {
		if other == h || !s.recipe.servesAlready(other) || !s.alike(other) {
			continue
		}
		id, commit := other.Active.Release, other.Active.Commit
		if votes[id]++; votes[id] > votes[best[commit]] {
			best[commit] = id
		}
	}
	var lines []string
	for commit, id := range best {
		if id != h.activeRelease() { // which would be made anew, being bad
			lines = append(lines, commit+" "+id)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// alike tells whether the active release is made as this run makes one. All hosts ask that about all
// others, and a recipe takes its time: it is worked out once.
func (s *source) alike(h *target) bool {
	h.alike.Do(func() { h.isAlike = h.Active.Recipe == s.recipe.of(h) })
	return h.isAlike
}

// found tells the others; who finds out may do so twice, when its connection was lost.
func (s *source) found(commit string) {
	select {
	case s.wanted <- commit:
	default:
	}
}

// subject is the first line of a commit's message: as the event of this run has it, since a pull
// request's title says more than the message of its merge; else as git says.
func (s *source) subject(commit string, git func() string) string {
	if commit == s.in.Run.Commit && s.in.Run.Subject != "" {
		return s.in.Run.Subject
	}
	return git()
}

// maxSubject is what is kept of the first line of a commit's message, in bytes.
const maxSubject = 200

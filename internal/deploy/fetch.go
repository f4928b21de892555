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
	"github.com/clothesme/deploy-action/scripts"
)

func (d *Deployment) fetch(ctx context.Context, h *target) (string, error) {
	if d.in.Source == inputs.Workspace {
		return d.send(ctx, h)
	}
	ref, err := d.oneRef(ctx, h)
	if err != nil {
		return "", err
	}
	expected := d.releaseOf(h) // by what was sent ahead
	res, err := d.fetchWith(ctx, h, d.fetching(h, ref))
	if err != nil {
		return "", err
	}
	d.warnOfRoom(h, res)
	h.commit = res.Form("commit", state.CommitForm)
	if h == d.finder() {
		d.found(h.commit)
	}
	h.subject = state.CutText(d.subject(h.commit, func() string { return res.Text("subject") }), maxSubject)
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

func (d *Deployment) fetching(h *target, ref string) scripts.Values {
	values := d.fetchValues(h, ref)
	values["known"] = d.known(h)
	if ref == d.in.Run.Commit && strings.EqualFold(d.in.Repository, d.in.Run.Repository) {
		values["branch"] = d.in.Run.Branch
	}
	if d.servesAlready(h) {
		values["active_commit"], values["active_recipe"] = h.Active.Commit, h.Active.Recipe
	}
	return values
}

// fetchNext: where it takes turns, or one host finds out for the others, nothing is sent ahead.
func (d *Deployment) fetchNext(h *target, _ string) *upcoming {
	isName := !fullCommit.MatchString(d.in.Ref)
	if d.in.Source != inputs.Git || len(d.present()) > fetchesAtOnce || isName && !d.isAlone(h) {
		return nil
	}
	return &upcoming{verb: scripts.Fetch, own: d.fetching(h, d.in.Ref), early: true}
}

// fullCommit is what lib/ref.sh takes for one.
var fullCommit = regexp.MustCompile(`^[0-9a-f]{40}$`)

// releaseOf is the release that a host gets, also before it has been fetched where its id is known by
// then; else nothing. fetch.sh calls it the same, name_it.
func (d *Deployment) releaseOf(h *target) string {
	switch {
	case h.release != "":
		return h.release
	case !d.op.makes || d.in.Source != inputs.Git || !fullCommit.MatchString(d.in.Ref):
		return ""
	case strings.Contains("\n"+d.known(h), "\n"+d.in.Ref+" "): // it has had that id, or not
		return ""
	case d.servesAlready(h) && h.Active.Commit == d.in.Ref && h.Active.Recipe == d.recipe(h): // unchanged
		return ""
	}
	return d.stamp() + "-" + d.in.Ref[:7]
}

func (d *Deployment) fetchValues(h *target, ref string) scripts.Values {
	return scripts.Values{
		"git_url": strings.TrimSuffix(d.in.ServerURL, "/") + "/" + d.in.Repository + ".git",
		"ref":     ref, "token": d.in.Token.Reveal(),
		"stamp": d.stamp(), "recipe": d.recipe(h), "active_commit": "", "active_recipe": "",
		"branch": "", "known": "",
	}
}

// fetchWith has a host fetch in its turn. What the git server or the way to it is to blame for is
// tried again, since it mostly passes, in pauses that grow and differ from host to host.
func (d *Deployment) fetchWith(ctx context.Context, h *target, values scripts.Values) (*scripts.Results, error) {
	for try, pause := 1, d.fetchPause; ; try, pause = try+1, 3*pause {
		res, err := d.fetchInTurn(ctx, h, values)
		if try == fetchTries || !gitServerFailed(err) {
			return res, err
		}
		rest := pause/2 + rand.N(pause)
		d.rep.Info(fmt.Sprintf("%s: trying again in %s, %d of %d", h.Address.Name, rest.Round(100*time.Millisecond), try+1,
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

func (d *Deployment) fetchInTurn(ctx context.Context, h *target, values scripts.Values) (*scripts.Results, error) {
	select {
	case d.fetches <- struct{}{}:
		defer func() { <-d.fetches }()
		return h.Exec(ctx, scripts.Fetch, values)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// oneRef is what a host is to fetch: the same commit as the others, although the branch may move
// meanwhile. One finds out.
func (d *Deployment) oneRef(ctx context.Context, h *target) (string, error) {
	if h == d.finder() || fullCommit.MatchString(d.in.Ref) { // one in full needs no finding out
		return d.in.Ref, nil
	}
	select {
	case commit := <-d.wanted:
		d.found(commit) // for the next one
		return commit, nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// finder is the host that finds out: one that serves the newest release, since others may get that
// from a run that the first hosts have no part in.
func (d *Deployment) finder() *target {
	newest := d.first
	for _, h := range d.present() {
		if h.activeRelease() > newest.activeRelease() {
			newest = h
		}
	}
	return newest
}

// known are the ids under which other hosts serve a commit that was made as this run makes it, so
// that one which gets it later has it under the same: that of most of them.
func (d *Deployment) known(h *target) string {
	votes := map[string]int{}
	best := map[string]string{} // by commit
	for _, other := range d.hosts {
		if other == h || !d.servesAlready(other) || !d.alike(other) {
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
func (d *Deployment) alike(h *target) bool {
	h.alike.Do(func() { h.isAlike = h.Active.Recipe == d.recipe(h) })
	return h.isAlike
}

// found tells the others; who finds out may do so twice, when its connection was lost.
func (d *Deployment) found(commit string) {
	select {
	case d.wanted <- commit:
	default:
	}
}

// subject is the first line of a commit's message: as the event of this run has it, since a pull
// request's title says more than the message of its merge; else as git says.
func (d *Deployment) subject(commit string, git func() string) string {
	if commit == d.in.Run.Commit && d.in.Run.Subject != "" {
		return d.in.Run.Subject
	}
	return git()
}

// maxSubject is what is kept of the first line of a commit's message, in bytes.
const maxSubject = 200

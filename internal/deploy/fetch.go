package deploy

import (
	"context"
	"fmt"
	"strings"

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
	values := scripts.Values{
		"git_url": strings.TrimSuffix(d.in.ServerURL, "/") + "/" + d.in.Repository + ".git",
		"ref":     ref, "token": d.in.Token.Reveal(),
		"stamp": d.stamp(), "recipe": d.recipe(h), "active_commit": "", "active_recipe": "",
		"branch": "",
	}
	if ref == d.in.Run.Commit && strings.EqualFold(d.in.Repository, d.in.Run.Repository) {
		values["branch"] = d.in.Run.Branch
	}
	if d.servesAlready(h) {
		values["active_commit"], values["active_recipe"] = h.Active.Commit, h.Active.Recipe
	}
	res, err := h.Exec(ctx, scripts.Fetch, values)
	if err != nil {
		return "", err
	}
	d.warnOfRoom(h, res)
	h.commit = res.Form("commit", state.CommitForm)
	if h == d.first {
		d.found(h.commit)
	}
	h.subject = state.CutText(d.subject(h.commit, func() string { return res.Text("subject") }), maxSubject)
	if res.Has("unchanged") {
		h.unchanged = res.Yes("unchanged")
		h.release = h.Active.Release
		return fmt.Sprintf("release %s already serves this commit, made the same way", h.release), res.Err()
	}
	h.release = res.Form("release", state.ReleaseForm)
	return fmt.Sprintf("commit %.7s as release %s", h.commit, h.release), res.Err()
}

// oneRef is what a host is to fetch: the same commit as the others, although the branch may move
// meanwhile. The first one finds out.
func (d *Deployment) oneRef(ctx context.Context, h *target) (string, error) {
	if h == d.first || shortCommit(d.in.Ref) != d.in.Ref { // one in full needs no finding out
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

// found tells the others; the first one may find out twice, when its connection was lost.
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

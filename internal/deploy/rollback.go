package deploy

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/state"
	"github.com/clothesme/deploy-action/scripts"
)

// choice finds the release to put live among those that hosts have, and one for all of them.
type choice struct {
	*run
	assets *assets
	recipe *recipe
	roster *roster
	site   *site
	source *source
	before earlier // the run before, in a pass for hosts that came while it was under way
}

// choose takes fetch's place in a rollback.
func (c *choice) choose(ctx context.Context, h *target) (string, error) {
	var err error
	if h.releases, err = c.releasesOf(ctx, h); err != nil {
		return "", err
	}
	if len(c.hosts) > 1 { // one answer for all of them: see chooseForAll
		return fmt.Sprintf("%d complete releases", len(h.releases)), nil
	}
	c.sameAgain()
	chosen, why, err := state.ChooseRelease(h.releases, h.activeRelease(), c.in.Release)
	if err != nil {
		return "", err
	}
	if err := chosen.Fits(c.in.Strategy); err != nil {
		return "", err
	}
	c.goBackTo(h, chosen)
	if h.unchanged {
		return fmt.Sprintf("%s is active already", chosen.ID), nil
	}
	return fmt.Sprintf("%s, commit %.7s: %s", chosen.ID, chosen.Commit, why), nil
}

// sameAgain has an attempt that follows one of the same run go to the release that this has gone back to,
// and not back by one more.
func (c *choice) sameAgain() {
	for _, h := range c.voters() {
		if c.in.Release == "" && h.Active != nil && h.Active.By.WentBack(c.in.Run) {
			c.in.Release = h.Active.Release
			c.rep.Info(fmt.Sprintf("an earlier attempt of this run has gone back to %s, so this one goes there too",
				c.in.Release))
		}
	}
}

// chooseForAll is choose's second half, where there are several hosts.
func (c *choice) chooseForAll(context.Context) (string, error) {
	c.sameAgain()
	members, voters := c.members(), c.voters()
	for i, h := range c.present() {
		if !slices.Contains(voters, h) {
			members[i].Active = "" // it has it from its image, and has no part in what the others go back from
		}
	}
	chosen, err := state.ChooseForAll(members, c.in.Release, c.in.Source != inputs.Workspace)
	if err != nil {
		return "", err
	}
	if err := chosen.Fits(c.in.Strategy); err != nil {
		return "", err
	}
	var lacking []*target
	for _, h := range c.present() {
		its := chosen.Release
		if own := chosen.Own[h.Address.String()]; own != "" {
			c.rep.Info(fmt.Sprintf("%s has %s as %s", h.Address.Name, its.ID, own))
			its.ID = own
		}
		if c.goBackTo(h, its); !h.unchanged {
			c.saveRelease(h, h.release) // for the post step of a run that is cut off before this host has its turn
		}
		if h.lacks = slices.Contains(chosen.Lack, h.Address.String()); h.lacks {
			lacking = append(lacking, h)
		}
	}
	if len(lacking) > 0 {
		c.rep.Warn("Rollback", fmt.Sprintf("%d of %d hosts do not have %s, and fetch commit %.7s: %s; there it gets its "+
			"environment, its build and its start command from the inputs of this run", len(lacking), len(c.present()),
			chosen.ID, chosen.Commit, namesOf(lacking)))
		c.recipe.warnOfEmpty()
	}
	if len(c.in.Assets) == 0 { // else it is known once they are looked up
		err = c.assets.sameAssets()
	}
	return fmt.Sprintf("%s, commit %.7s: %s", chosen.ID, chosen.Commit, chosen.Why), err
}

// hasIt tells whether a rollback finds its release on the host.
func hasIt(h *target) bool { return !h.lacks }

// fetchLacking makes the release that the other hosts go back to, under the same id.
func (c *choice) fetchLacking(ctx context.Context, h *target) (string, error) {
	values := c.source.fetchValues(h, h.commit)
	values["known"] = h.commit + " " + h.release
	res, err := c.source.fetchWith(ctx, h, values)
	if err != nil {
		return "", err
	}
	c.warnOfRoom(h, res)
	h.subject = state.CutText(c.source.subject(h.commit, func() string { return res.Text("subject") }), maxSubject)
	h.release = res.Form("release", state.ReleaseForm)
	return fmt.Sprintf("commit %.7s as release %s", h.commit, h.release), res.Err()
}

func (c *choice) goBackTo(h *target, chosen state.Release) {
	h.release, h.commit, h.served, h.works = chosen.ID, chosen.Commit, chosen.Live, chosen.Works
	h.unchanged = chosen.ID == h.activeRelease() && c.recipe.servesAlready(h)
}

// members are the hosts, for what is decided for all of them.
func (c *choice) members() []state.Member {
	var all []state.Member
	for _, h := range c.present() {
		all = append(all, state.Member{Host: h.Address.String(), Active: h.activeRelease(), Releases: h.releases})
	}
	return all
}

// compare warns of hosts that serve different releases: this run mends that. It leaves as they are
// what several ids have that are made alike. One more pass of a run ends here where another run has
// put something else live since.
func (c *choice) compare(context.Context) (string, error) {
	if err := c.unlessNewer(); err != nil {
		return "", err
	}
	skew := state.Skew(c.members())
	if skew == nil {
		return "all hosts serve the same", nil
	}
	if c.recipe.serveAlike(c.present()) {
		return "all hosts serve the same, under several ids", nil
	}
	if c.joins {
		return "hosts differ", nil // which is why they are gone through once more
	}
	c.rep.Warn("Hosts differ", "not all hosts serve the same release now: "+strings.Join(skew, "; "))
	return "hosts differ", nil
}

func (c *choice) releasesOf(ctx context.Context, h *target) ([]state.Release, error) {
	res, err := h.Exec(ctx, scripts.Releases, scripts.Values{"history": "0", "list": "no"})
	if err != nil {
		return nil, err
	}
	releases, _, err := state.ReadReleases(res)
	return releases, err
}

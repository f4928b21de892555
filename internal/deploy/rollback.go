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

// choose takes fetch's place in a rollback.
func (d *Deployment) choose(ctx context.Context, h *target) (string, error) {
	var err error
	if h.releases, err = d.releasesOf(ctx, h); err != nil {
		return "", err
	}
	if len(d.hosts) > 1 { // one answer for all of them: see chooseForAll
		return fmt.Sprintf("%d complete releases", len(h.releases)), nil
	}
	d.sameAgain()
	chosen, why, err := state.ChooseRelease(h.releases, h.activeRelease(), d.in.Release)
	if err != nil {
		return "", err
	}
	if err := chosen.Fits(d.in.Strategy); err != nil {
		return "", err
	}
	d.goBackTo(h, chosen)
	if h.unchanged {
		return fmt.Sprintf("%s is active already", chosen.ID), nil
	}
	return fmt.Sprintf("%s, commit %.7s: %s", chosen.ID, chosen.Commit, why), nil
}

// sameAgain has an attempt that follows one of the same run go to the release that this has gone back to,
// and not back by one more.
func (d *Deployment) sameAgain() {
	for _, h := range d.voters() {
		if d.in.Release == "" && h.Active != nil && h.Active.By.WentBack(d.in.Run) {
			d.in.Release = h.Active.Release
			d.rep.Info(fmt.Sprintf("an earlier attempt of this run has gone back to %s, so this one goes there too",
				d.in.Release))
		}
	}
}

// chooseForAll is choose's second half, where there are several hosts.
func (d *Deployment) chooseForAll(context.Context) (string, error) {
	d.sameAgain()
	members, voters := d.members(), d.voters()
	for i, h := range d.present() {
		if !slices.Contains(voters, h) {
			members[i].Active = "" // it has it from its image, and has no part in what the others go back from
		}
	}
	chosen, err := state.ChooseForAll(members, d.in.Release, d.in.Source != inputs.Workspace)
	if err != nil {
		return "", err
	}
	if err := chosen.Fits(d.in.Strategy); err != nil {
		return "", err
	}
	var lacking []*target
	for _, h := range d.present() {
		its := chosen.Release
		if own := chosen.Own[h.Address.String()]; own != "" {
			d.rep.Info(fmt.Sprintf("%s has %s as %s", h.Address.Name, its.ID, own))
			its.ID = own
		}
		if d.goBackTo(h, its); !h.unchanged {
			d.saveRelease(h, h.release) // for the post step of a run that is cut off before this host has its turn
		}
		if h.lacks = slices.Contains(chosen.Lack, h.Address.String()); h.lacks {
			lacking = append(lacking, h)
		}
	}
	if len(lacking) > 0 {
		d.rep.Warn("Rollback", fmt.Sprintf("%d of %d hosts do not have %s, and fetch commit %.7s: %s; there it gets its "+
			"environment, its build and its start command from the inputs of this run", len(lacking), len(d.present()),
			chosen.ID, chosen.Commit, namesOf(lacking)))
		d.warnOfEmpty()
	}
	if len(d.in.Assets) == 0 { // else it is known once they are looked up
		err = d.sameAssets()
	}
	return fmt.Sprintf("%s, commit %.7s: %s", chosen.ID, chosen.Commit, chosen.Why), err
}

// hasIt tells whether a rollback finds its release on the host.
func hasIt(h *target) bool { return !h.lacks }

// fetchLacking makes the release that the other hosts go back to, under the same id.
func (d *Deployment) fetchLacking(ctx context.Context, h *target) (string, error) {
	values := d.fetchValues(h, h.commit)
	values["known"] = h.commit + " " + h.release
	res, err := d.fetchWith(ctx, h, values)
	if err != nil {
		return "", err
	}
	d.warnOfRoom(h, res)
	h.subject = state.CutText(d.subject(h.commit, func() string { return res.Text("subject") }), maxSubject)
	h.release = res.Form("release", state.ReleaseForm)
	return fmt.Sprintf("commit %.7s as release %s", h.commit, h.release), res.Err()
}

func (d *Deployment) goBackTo(h *target, chosen state.Release) {
	h.release, h.commit, h.served, h.works = chosen.ID, chosen.Commit, chosen.Live, chosen.Works
	h.unchanged = chosen.ID == h.activeRelease() && d.servesAlready(h)
}

// members are the hosts, for what is decided for all of them.
func (d *Deployment) members() []state.Member {
	var all []state.Member
	for _, h := range d.present() {
		all = append(all, state.Member{Host: h.Address.String(), Active: h.activeRelease(), Releases: h.releases})
	}
	return all
}

// compare warns of hosts that serve different releases: this run mends that. It leaves as they are
// what several ids have that are made alike. One more pass of a run ends here where another run has
// put something else live since.
func (d *Deployment) compare(context.Context) (string, error) {
	if err := d.unlessNewer(); err != nil {
		return "", err
	}
	skew := state.Skew(d.members())
	if skew == nil {
		return "all hosts serve the same", nil
	}
	if d.serveAlike(d.present()) {
		return "all hosts serve the same, under several ids", nil
	}
	if d.joins {
		return "hosts differ", nil // which is why they are gone through once more
	}
	d.rep.Warn("Hosts differ", "not all hosts serve the same release now: "+strings.Join(skew, "; "))
	return "hosts differ", nil
}

// serveAlike tells whether hosts serve what is made alike.
func (d *Deployment) serveAlike(hosts []*target) bool {
	return !slices.ContainsFunc(hosts, func(h *target) bool { return !d.servesAlready(h) }) && d.madeAlike(hosts)
}

// madeAlike tells whether hosts have one commit, made as this run makes it, whether it is healthy or
// not. It does not keep how they were made (see alike): not all that is in a recipe need be known yet,
// and then they pass for different.
func (d *Deployment) madeAlike(hosts []*target) bool {
	return !slices.ContainsFunc(hosts, func(h *target) bool {
		return h.Active == nil || h.Active.Commit != hosts[0].Active.Commit || h.Active.Recipe != d.recipe(h)
	})
}

func (d *Deployment) releasesOf(ctx context.Context, h *target) ([]state.Release, error) {
	res, err := h.Exec(ctx, scripts.Releases, scripts.Values{"history": "0", "list": "no"})
	if err != nil {
		return nil, err
	}
	releases, _, err := state.ReadReleases(res)
	return releases, err
}

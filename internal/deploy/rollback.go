package deploy

import (
	"context"
	"fmt"
	"strings"

	"github.com/clothesme/deploy-action/internal/state"
	"github.com/clothesme/deploy-action/scripts"
)

// choose takes fetch's place in a rollback.
func (d *Deployment) choose(ctx context.Context, h *target) (string, error) {
	var err error
	if h.releases, err = d.releasesOf(ctx, h); err != nil {
		return "", err
	}
	if err != nil {
		return "", err
	}
	if len(d.hosts) > 1 { // one answer for all of them: see chooseForAll
		return fmt.Sprintf("%d complete releases", len(h.releases)), nil
	}
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

// chooseForAll is choose's second half, where there are several hosts.
func (d *Deployment) chooseForAll(context.Context) (string, error) {
	chosen, why, err := state.ChooseForAll(d.members(), d.in.Release)
	if err != nil {
		return "", err
	}
	if err := chosen.Fits(d.in.Strategy); err != nil {
		return "", err
	}
	for _, h := range d.present() {
		d.goBackTo(h, chosen)
	}
	return fmt.Sprintf("%s, commit %.7s: %s", chosen.ID, chosen.Commit, why), nil
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

// compare warns of hosts that serve different releases: this run mends that.
func (d *Deployment) compare(context.Context) (string, error) {
	skew := state.Skew(d.members())
	if skew == nil {
		return "all hosts serve the same", nil
	}
	d.rep.Warn("Hosts differ", "not all hosts serve the same release now: "+strings.Join(skew, "; "))
	return "hosts differ", nil
}

func (d *Deployment) releasesOf(ctx context.Context, h *target) ([]state.Release, error) {
	res, err := h.Exec(ctx, scripts.Releases, scripts.Values{"history": "0", "list": "no"})
	if err != nil {
		return nil, err
	}
	releases, _, err := state.ReadReleases(res)
	return releases, err
}

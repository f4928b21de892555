package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/internal/state"
	"github.com/clothesme/deploy-action/scripts"
)

// switchOver sends new requests to the new slot: by the rename alone, but for the first time or when the site's own files changed.
func (d *Deployment) switchOver(ctx context.Context, h *target) (string, error) {
	h.route, h.routed = routeMaybe, true
	d.ahead(h, "verify", scripts.Verify, d.verification(h))
	var site, flag scripts.Results
	err := h.ExecAll(ctx, d.siteFor(h, h.release, &site), host.Asked{
		Verb: scripts.Switch, Own: scripts.Values{"from": h.activePort(), "to": h.idlePort()}, Results: &flag,
	})
	var no *host.Error
	if errors.As(err, &no) && no.Verb == scripts.Site { // the flag was not asked for
		h.route, h.routed = routeOld, false
		return "", err
	}
	if err == nil || site.Has("reloaded") {
		err = cmp.Or(err, d.sited(h, &site))
	}
	if err != nil {
		return "", err
	}
	h.route = routeNew
	h.switchedAt = time.UnixMilli(flag.Millis("switched_at").Milliseconds())
	how := "renamed the flag, no reload"
	if h.reloaded {
		how = "nginx has loaded the site (one reload, the last)"
	}
	return fmt.Sprintf("requests go to port %s: %s", h.idlePort(), how), flag.Err()
}

// putSite has nginx load the site and the include, where it does not have them; the files they replace are kept under a name.
func (d *Deployment) putSite(ctx context.Context, h *target, keep string) error {
	var site scripts.Results
	if err := h.ExecAll(ctx, d.siteFor(h, keep, &site)); err != nil {
		return err
	}
	return d.sited(h, &site)
}

func (d *Deployment) siteFor(h *target, keep string, results *scripts.Results) host.Asked {
	values := d.siteValues(h)
	values["release"], values["default_site"], values["late"] = keep, scripts.Yes(h.app.Default()), h.app.LateConf()
	return host.Asked{Verb: scripts.Site, Own: values, Results: results}
}

// sited reads what became of the site.
func (d *Deployment) sited(h *target, res *scripts.Results) error {
	h.reloaded = res.Yes("reloaded")
	if res.Yes("edited") {
		d.rep.Warn("Site of "+h.Address.Name, h.app.SiteFile()+" was edited since this action wrote it, and is left "+
			"as it is; edits are safer in a file of their own")
	}
	return res.Err()
}

// siteValues are the texts of the site, and how to ask nginx for them.
func (d *Deployment) siteValues(h *target) scripts.Values {
	fallback := h.Idle.Port
	if h.Active != nil {
		fallback = h.Active.Port
	}
	return scripts.Values{
		"nginx_include": d.in.NginxInclude, "site_file": h.app.SiteFile(), "site": h.app.SiteConf(), "include": h.app.IncludeConf(fallback), "site_id": h.app.SiteID(), "verify_host": d.verifyHost(),
	}
}

// switchBack is switch's undo: the rename the other way, then the nginx files as they were. Both verbs say "already" when there is nothing
// to take back, so what is not known of an interrupted switch does not matter.
func (d *Deployment) switchBack(ctx context.Context, h *target) error {
	res, err := h.Exec(ctx, scripts.Switch, scripts.Values{"from": h.idlePort(), "to": h.activePort()})
	if err != nil {
		return err
	}
	switch {
	case res.OneOf("switched", "yes", "already") == "yes", h.route == routeNew:
		// What is back already is so by somebody's hand, or from before the connection was lost.
		h.route = routeBack
	case h.route == routeMaybe:
		h.route = routeOld
	}
	if _, err := h.Exec(ctx, scripts.Restore, scripts.Values{"release": h.release}); err != nil {
		return err
	}
	return res.Err()
}

// settle is how long nginx may take until a request provably reaches the new slot; the rename acts at once, a reload within a second.
const settle = 10 * time.Second

// verification are the values of verify.sh.
func (d *Deployment) verification(h *target) scripts.Values {
	return d.process(h, scripts.Values{
		"release": h.release, "verify_host": d.verifyHost(), "site": h.site(), "nginx_include": d.in.NginxInclude,
		"settle": scripts.Millis(settle), "watch_for": scripts.Millis(d.in.WatchFor),
		"by": d.by(h),
	})
}

func (d *Deployment) verify(ctx context.Context, h *target) (string, error) {
	var live time.Time
	res, err := h.Exec(ctx, scripts.Verify, d.verification(h))
	if live = res.At("live"); !live.IsZero() {
		h.live = live.Sub(d.begin)
	}
	if err != nil {
		return "", err
	}
	if denied := res.Form("denied", state.StatusOr); denied != "" {
		d.rep.Warn("Access to "+h.Address.Name, fmt.Sprintf("nginx answers GET %s with status %s: it asks visitors "+
			"for a password, lets in certain addresses only, or limits how often one may ask; "+
			"the application was asked past that, and is right", d.in.Health.Path, denied))
	}
	return fmt.Sprintf("%d right answers through nginx, all from port %s, over %s", res.Int("probes"), h.idlePort(), d.in.WatchFor), res.Err()
}

// site says whose server block answers.
func (h *target) site() string {
	if h.TheirSite {
		return state.Theirs
	}
	return state.Ours
}

// verifyHost is the name under which the site is asked for through nginx: its own, or any when it answers for all.
func (d *Deployment) verifyHost() string {
	name, _, _ := strings.Cut(d.in.ServerName, " ")
	if name == "_" {
		return d.in.Health.Host
	}
	return strings.Replace(name, "*.", "www.", 1)
}

// anyHost is a name that nobody has: by it a site that answers for any is asked for, where another one has the name it is asked for first. Such is
// localhost, which the package of nginx.org gives to its welcome page.
func (d *Deployment) anyHost() string {
	if d.in.ServerName == "_" {
		return d.in.App + ".invalid"
	}
	return ""
}

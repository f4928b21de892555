package deploy

import (
	"cmp"
	"context"
	"strings"

	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/state"
	"github.com/clothesme/deploy-action/scripts"
)

// putSite has nginx load the site and the include, where it does not have them; the files they
// replace are kept under a name.
func (d *Deployment) putSite(ctx context.Context, h *target, trial string) error {
	var site scripts.Results
	if err := h.ExecAll(ctx, d.siteFor(h, d.keepAs(h), trial, &site)); err != nil {
		return err
	}
	return d.sited(h, &site)
}

// trial says for which release the site is written, and the host which one to go back to, until that
// has proved itself.
func (h *target) trial() string { return h.idlePort() + " " + h.release }

// keepAs names what the site's files were before this run. What an earlier deployment of the same
// release has replaced, which may be a host without the site, has another name.
func (d *Deployment) keepAs(h *target) string {
	return cmp.Or(h.release, string(d.in.Operation)) + "-" + d.stamp()
}

func (d *Deployment) siteFor(h *target, keep, trial string, results *scripts.Results) host.Asked {
	values := d.siteValues(h)
	values["release"], values["trial"] = keep, trial
	values["default_site"], values["late"] = scripts.Yes(h.app.Default()), h.app.LateConf()
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
		"nginx_include": d.in.NginxInclude, "site_file": h.app.SiteFile(), "site": h.app.SiteConf(),
		"include": h.app.IncludeConf(fallback), "site_id": h.app.SiteID(), "verify_host": d.verifyHost(),
		"entry_file": h.app.EntryFile(), "entry": h.app.EntryConf(),
	}
}

// site says whose server block answers.
func (h *target) site() string {
	if h.TheirSite {
		return state.Theirs
	}
	return state.Ours
}

// siteURL is where visitors find the site: by its first name that is one, else by the host's own.
func siteURL(in *inputs.Inputs, tls bool) string {
	name := scripts.PlainName(in.ServerName)
	if name == "" && len(in.Hosts) == 0 { // none was found
		return ""
	}
	if name == "" {
		name = in.Hosts[0].Name
	}
	if strings.Contains(name, ":") {
		name = "[" + name + "]"
	}
	if tls {
		return "https://" + name + "/"
	}
	return "http://" + name + "/"
}

// verifyHost is the name under which the site is asked for through nginx: its own, or any when it
// answers for all.
func (d *Deployment) verifyHost() string {
	name, _, _ := strings.Cut(d.in.ServerName, " ")
	if name == "_" {
		return d.in.Health.Host
	}
	return strings.Replace(name, "*.", "www.", 1)
}

// anyHost is a name that nobody has: by it a site that answers for any is asked for, where another
// one has the name it is asked for first. Such is localhost, which the package of nginx.org gives
// to its welcome page.
func (d *Deployment) anyHost() string {
	if d.in.ServerName == "_" {
		return d.in.App + ".invalid"
	}
	return ""
}

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

// site is the application's site in nginx, over HTTPS where it has a certificate.
type site struct{ *run }

// putSite has nginx load the site and the include, where it does not have them; the files they
// replace are kept under a name.
func (s *site) putSite(ctx context.Context, h *target, trial string) error {
	var site scripts.Results
	if err := h.ExecAll(ctx, s.siteFor(h, s.keepAs(h), trial, &site)); err != nil {
		return err
	}
	return s.sited(h, &site)
}

// trial says for which release the site is written, and the host which one to go back to, until that
// has proved itself.
func (h *target) trial() string { return h.idlePort() + " " + h.release }

// keepAs names what the site's files were before this run. What an earlier deployment of the same
// release has replaced, which may be a host without the site, has another name.
func (s *site) keepAs(h *target) string {
	return cmp.Or(h.release, string(s.in.Operation)) + "-" + s.stamp()
}

func (s *site) siteFor(h *target, keep, trial string, results *scripts.Results) host.Asked {
	values := s.siteValues(h)
	values["release"], values["trial"] = keep, trial
	values["default_site"], values["late"] = scripts.Yes(h.app.Default()), h.app.LateConf()
	return host.Asked{Verb: scripts.Site, Own: values, Results: results}
}

// sited reads what became of the site.
func (s *site) sited(h *target, res *scripts.Results) error {
	h.reloaded = res.Yes("reloaded")
	if res.Yes("edited") {
		s.rep.Warn("Site of "+h.Address.Name, h.app.SiteFile()+" was edited since this action wrote it, and is left "+
			"as it is; edits are safer in a file of their own")
	}
	return res.Err()
}

// siteValues are the texts of the site, and how to ask nginx for them.
func (s *site) siteValues(h *target) scripts.Values {
	fallback := h.Idle.Port
	if h.Active != nil {
		fallback = h.Active.Port
	}
	return scripts.Values{
		"nginx_include": s.in.NginxInclude, "site_file": h.app.SiteFile(), "site": h.app.SiteConf(),
		"include": h.app.IncludeConf(fallback), "site_id": h.app.SiteID(), "verify_host": s.verifyHost(),
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
func (s *site) verifyHost() string {
	name, _, _ := strings.Cut(s.in.ServerName, " ")
	if name == "_" {
		return s.in.Health.Host
	}
	return strings.Replace(name, "*.", "www.", 1)
}

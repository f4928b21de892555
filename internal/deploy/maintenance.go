package deploy

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/scripts"
)

// maintenance puts a page up in the site's place.
type maintenance struct {
	*run
	site *site
}

// plainPage is what visitors get without an input maintenance-page.
//
//go:embed maintenance.html
var plainPage string

func (m *maintenance) title() string {
	if m.in.Maintenance {
		return "Putting the maintenance page up"
	}
	return "Taking the maintenance page down"
}

// maintain puts the page up, or takes it down.
func (m *maintenance) maintain(ctx context.Context, h *target) (string, error) {
	app := scripts.App{Name: m.in.App, Guests: m.in.MaintenanceAllow, HealthPath: m.in.Health.Path}
	door := "open"
	if m.in.Maintenance {
		door = "closed"
	}
	h.turning = true
	res, err := h.Exec(ctx, scripts.Maintenance, scripts.Values{
		"door": door, "page": m.in.MaintenancePage, "plain_page": strings.TrimSpace(plainPage), "active": h.activePort(),
		"entry_file": app.EntryFile(), "entry": app.EntryConf(), "entry_id": app.EntryID(),
		"verify_host": m.site.verifyHost(),
	})
	var no *host.Error
	h.turning = err != nil && (!errors.As(err, &no) || ctx.Err() != nil)
	if err != nil {
		return "", err
	}
	// A repeated attempt finds done what one had done that was cut off: detection has told what was before.
	h.unchanged = !res.Yes("changed") && h.closedSince.IsZero() != m.in.Maintenance
	h.reloaded = res.Yes("reloaded")
	switch {
	case !m.in.Maintenance:
		h.closedSince = time.Time{}
		if h.unchanged {
			return "visitors get the application already", res.Err()
		}
		return "visitors get the application again", res.Err()
	case h.unchanged:
		return "visitors get that page already", res.Err()
	case h.closedSince.IsZero():
		h.closedSince = m.now()
	}
	if path, _, _ := strings.Cut(m.in.Health.Path, "?"); path == "/" {
		m.rep.Warn("Maintenance of "+h.Address.Name, "the health path is /, which gets through for everyone, and which "+
			"visitors ask for too: give the application another one, and name it with the input \"health-path\"")
	}
	line := "visitors get status 503 and that page; the health path"
	if len(m.in.MaintenanceAllow) > 0 {
		line += " and " + strings.Join(m.in.MaintenanceAllow, ", ")
	}
	line += " get through"
	if h.reloaded {
		line += " (nginx was reloaded once, since others did before)"
	}
	return line, res.Err()
}

// halfClosed tells whether visitors get the maintenance page on some hosts and the application on
// others, of those that said so.
func halfClosed(hosts []*target) bool {
	closed, open := false, false
	for _, h := range hosts {
		if h.Idle.Port != 0 {
			closed, open = closed || !h.closedSince.IsZero(), open || h.closedSince.IsZero()
		}
	}
	return closed && open
}

// sayClosed: a run that does not end the maintenance says that it goes on.
func (m *maintenance) sayClosed(h *target) {
	if h.closedSince.IsZero() || m.op.success == outcome.Maintenance {
		return
	}
	m.warnOnce(h, "Maintenance of "+h.Address.Name, fmt.Sprintf("the site is in maintenance since %s UTC: visitors get "+
		"status 503, and this run leaves that so; operation \"maintenance\" with maintenance \"off\" ends it",
		h.closedSince.UTC().Format(time.DateTime)))
}

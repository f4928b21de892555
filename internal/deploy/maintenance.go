package deploy

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/scripts"
)

// plainPage is what visitors get without an input maintenance-page.
//
//go:embed maintenance.html
var plainPage string

// maintenanceSteps never write the site: this run need not have the inputs that it was written by.
func maintenanceSteps(d *Deployment, deployment []step) []step {
	return slices.Concat(
		only(deployment, "connect", "lock", "detect"),
		prepare.of([]step{{name: "maintenance", title: d.maintenanceTitle(), each: d.maintain, within: brief}}),
		only(deployment, "unlock"),
	)
}

func (d *Deployment) maintenanceTitle() string {
	if d.in.Maintenance {
		return "Putting the maintenance page up"
	}
	return "Taking the maintenance page down"
}

// maintain puts the page up, or takes it down.
func (d *Deployment) maintain(ctx context.Context, h *target) (string, error) {
	app := scripts.App{Name: d.in.App, Guests: d.in.MaintenanceAllow, HealthPath: d.in.Health.Path}
	door := "open"
	if d.in.Maintenance {
		door = "closed"
	}
	h.turning = true
	res, err := h.Exec(ctx, scripts.Maintenance, scripts.Values{
		"door": door, "page": d.in.MaintenancePage, "plain_page": strings.TrimSpace(plainPage), "active": h.activePort(),
		"entry_file": app.EntryFile(), "entry": app.EntryConf(), "entry_id": app.EntryID(), "verify_host": d.verifyHost(),
	})
	var no *host.Error
	h.turning = err != nil && (!errors.As(err, &no) || ctx.Err() != nil)
	if err != nil {
		return "", err
	}
	// A repeated attempt finds done what one had done that was cut off: detection has told what was before.
	h.unchanged = !res.Yes("changed") && h.closedSince.IsZero() != d.in.Maintenance
	h.reloaded = res.Yes("reloaded")
	switch {
	case !d.in.Maintenance:
		h.closedSince = time.Time{}
		if h.unchanged {
			return "visitors get the application already", res.Err()
		}
		return "visitors get the application again", res.Err()
	case h.unchanged:
		return "visitors get that page already", res.Err()
	case h.closedSince.IsZero():
		h.closedSince = d.now()
	}
	if path, _, _ := strings.Cut(d.in.Health.Path, "?"); path == "/" {
		d.rep.Warn("Maintenance of "+h.Address.Name, "the health path is /, which gets through for everyone, and which "+
			"visitors ask for too: give the application another one, and name it with the input \"health-path\"")
	}
	line := "visitors get status 503 and that page; the health path"
	if len(d.in.MaintenanceAllow) > 0 {
		line += " and " + strings.Join(d.in.MaintenanceAllow, ", ")
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
func (d *Deployment) sayClosed(h *target) {
	if h.closedSince.IsZero() || d.op.success == outcome.Maintenance {
		return
	}
	d.warnOnce(h, "Maintenance of "+h.Address.Name, fmt.Sprintf("the site is in maintenance since %s UTC: visitors get "+
		"status 503, and this run leaves that so; operation \"maintenance\" with maintenance \"off\" ends it",
		h.closedSince.UTC().Format(time.DateTime)))
}

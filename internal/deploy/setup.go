package deploy

import (
	"context"
	"strconv"

	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/scripts"
)

func (d *Deployment) setup(ctx context.Context, h *target) (string, error) {
	values := d.siteValues(h)
	values["repository"], values["certificate_id"] = d.in.Repository, d.certificateID()
	values["template"], values["socket_template"], values["swap"] = h.app.Unit(), h.app.Socket(), ""
	values["process_template"], values["thorough"] = "", scripts.Yes(d.op.success == outcome.SetUp)
	// Those that the inputs name no more end by it, within the stop-timeout that this run waits for.
	if d.hasProcesses() || h.hasWorkers() {
		values["process_template"] = h.app.ProcessUnit()
	}
	// Those of jobs that are to run are not there yet.
	values["rules_known"] = scripts.Yes(h.rulesStand && len(d.in.Jobs) == 0 && h.coming == "")
	values["job_template"], values["job_timers"] = "", d.jobTimers()
	if len(d.in.Jobs) > 0 {
		values["job_template"] = h.app.JobUnit()
	}
	if d.in.SwapMB > 0 {
		values["swap"] = strconv.Itoa(d.in.SwapMB)
	}
	d.goOn(h)
	res, err := h.Exec(ctx, scripts.Setup, values)
	if err != nil {
		return "", err
	}
	if changed := res.Text("changed"); changed != "" {
		h.changed = true
		return "wrote " + changed, res.Err()
	}
	return "already", res.Err()
}

// setUpSite is switch's first half, for a host that is only set up.
func (d *Deployment) setUpSite(ctx context.Context, h *target) (string, error) {
	if err := d.putSite(ctx, h, ""); err != nil {
		return "", err
	}
	line := "already: nginx has the site loaded"
	if h.reloaded {
		h.changed = true
		line = "nginx has loaded the site"
	}
	if h.Active == nil {
		line += "; it answers 502 until the first deployment"
	}
	return line, nil
}

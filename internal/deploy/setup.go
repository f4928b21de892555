package deploy

import (
	"context"
	"strconv"

	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/scripts"
)

func (m *machine) setup(ctx context.Context, h *target) (string, error) {
	values := m.site.siteValues(h)
	values["repository"], values["certificate_id"] = m.in.Repository, m.site.certificateID()
	values["template"], values["socket_template"], values["swap"] = h.app.Unit(), h.app.Socket(), ""
	values["process_template"], values["thorough"] = "", scripts.Yes(m.op.success == outcome.SetUp)
	// Those that the inputs name no more end by it, within the stop-timeout that this run waits for.
	if m.work.hasProcesses() || h.hasWorkers() {
		values["process_template"] = h.app.ProcessUnit()
	}
	// Those of jobs that are to run are not there yet.
	values["rules_known"] = scripts.Yes(h.rulesStand && len(m.in.Jobs) == 0 && h.coming == "")
	values["job_template"], values["job_timers"] = "", m.work.jobTimers()
	if len(m.in.Jobs) > 0 {
		values["job_template"] = h.app.JobUnit()
	}
	if m.in.SwapMB > 0 {
		values["swap"] = strconv.Itoa(m.in.SwapMB)
	}
	m.goOn(h)
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
func (m *machine) setUpSite(ctx context.Context, h *target) (string, error) {
	if err := m.site.putSite(ctx, h, ""); err != nil {
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

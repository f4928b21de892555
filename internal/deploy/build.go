package deploy

import (
	"context"
	"strings"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/scripts"
)

func (d *Deployment) build(ctx context.Context, h *target) (string, error) {
	d.goOn(h)
	res, err := h.Exec(ctx, scripts.Build, d.building(h, h.release))
	if err != nil {
		return "", err
	}
	d.warnOfRoom(h, res)
	h.works = res.Text("processes")+res.Text("timers") != ""
	switch res.OneOf("built", "command", "venv", "reused", "nothing") {
	case "command":
		return "the build command succeeded", res.Err()
	case "venv":
		return "a new venv for changed requirements", res.Err()
	case "reused":
		return "requirements unchanged, venv reused", res.Err()
	default:
		return "no requirements.txt and no build command: nothing to do", res.Err()
	}
}

func (d *Deployment) building(h *target, release string) scripts.Values {
	return scripts.Values{
		"release": release, "keep": h.keep(release), "build": d.in.Build, "shared": strings.Join(d.in.Shared, " "),
		"start_file": scripts.StartFile(d.in.Start), "environment": d.environment(),
		"more": scripts.Yes(!d.noAssets(h)), "clone": h.Clone(),
		"takes_socket": scripts.Yes(d.in.Strategy == inputs.InPlace), "process_lines": d.processLines(),
		"procfile": scripts.Yes(d.in.Procfile), "job_lines": d.jobLines(),
	}
}

func (d *Deployment) buildNext(h *target, _ string) *upcoming {
	release := d.releaseOf(h)
	if release == "" {
		return nil
	}
	return &upcoming{verb: scripts.Build, own: d.building(h, release), early: true}
}

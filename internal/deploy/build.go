package deploy

import (
	"context"
	"strings"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/scripts"
)

func (s *source) build(ctx context.Context, h *target) (string, error) {
	s.goOn(h)
	res, err := h.Exec(ctx, scripts.Build, s.building(h, h.release))
	if err != nil {
		return "", err
	}
	s.warnOfRoom(h, res)
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

func (s *source) building(h *target, release string) scripts.Values {
	return scripts.Values{
		"release": release, "keep": h.keep(release), "build": s.in.Build, "shared": strings.Join(s.in.Shared, " "),
		"start_file": scripts.StartFile(s.in.Start), "environment": s.recipe.environment(),
		"more": scripts.Yes(!s.assets.none(h)), "clone": h.Clone(),
		"takes_socket": scripts.Yes(s.in.Strategy == inputs.InPlace), "process_lines": s.work.processLines(),
		"procfile": scripts.Yes(s.in.Procfile), "job_lines": s.work.jobLines(),
	}
}

func (s *source) buildNext(h *target, _ string) *upcoming {
	release := s.releaseOf(h)
	if release == "" {
		return nil
	}
	return &upcoming{verb: scripts.Build, own: s.building(h, release), early: true}
}

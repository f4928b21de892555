package deploy

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/clothesme/deploy-action/internal/state"
	"github.com/clothesme/deploy-action/scripts"
)

func (m *machine) detectNext(*target, string) *upcoming {
	return &upcoming{verb: scripts.Port, own: m.detection(), early: true}
}

func (m *machine) detect(ctx context.Context, h *target) (string, error) {
	f, err := m.facts(ctx, h)
	if err != nil {
		return "", err
	}
	if h.Position, err = state.Decide(&f, m.in.NginxInclude); err != nil {
		return "", err
	}
	h.seen, h.closedSince, h.schedule, h.groups = f.Slots, f.ClosedSince, f.Schedule, map[string]string{}
	for _, s := range f.Slots {
		h.groups[strconv.Itoa(int(s.Port))] = s.Group
	}
	if f.FailedJobs != "" {
		m.warnOnce(h, "Jobs of "+h.Address.Name, "the last run of these jobs failed: "+f.FailedJobs+"; the operation "+
			"logs shows why, with log-of: job:NAME")
	}
	m.maintenance.sayClosed(h)
	if last := f.LastRepository; last != "" && !strings.EqualFold(last, m.in.Repository) {
		m.rep.Warn("Repository of "+m.in.App, fmt.Sprintf("until now %s came from %s, and this run deploys %s: if "+
			"that is another application, give it a name and a folder of its own with the inputs app and path",
			m.in.App, last, m.in.Repository))
	}
	if err := m.inPlace.canReplace(h); err != nil {
		return "", err
	}
	if err := m.choice.hasRelease(h); err != nil {
		return "", err
	}
	if err := cmp.Or(m.site.canSecure(h), m.site.chooseTLS(h)); err != nil {
		return "", err
	}
	h.app.TheirSite = h.TheirSite
	for _, note := range h.Notes {
		m.rep.Warn("State of "+h.Address.Name, note)
	}
	if h.Active == nil {
		return fmt.Sprintf("first deployment; it goes to port %d", h.Idle.Port), nil
	}
	if h.memoryMB > 0 && h.Active.RSSMB > h.memoryMB {
		m.rep.Warn("Memory of "+h.Address.Name, fmt.Sprintf("the running version uses %d MB and %d MB are free: two "+
			"versions may not fit at once", h.Active.RSSMB, h.memoryMB))
	}
	return fmt.Sprintf("port %d is active with %s; port %d is idle",
		h.Active.Port, h.Active.Version(), h.Idle.Port), nil
}

// rebirth is how long a proved version may be down before the one that stands in for it is taken for what
// serves: one that is only started anew is there again by then.
const rebirth = 10 * time.Second

// succession is how long that is not worth a word where requests wait at its socket.
const succession = 2 * time.Second

// facts looks at the host, and again while a version is about to listen whose flag would go, or whose
// visitors wait.
func (m *machine) facts(ctx context.Context, h *target) (f state.Facts, err error) {
	for begin := m.now(); ; {
		res, err := h.Exec(ctx, scripts.Port, m.detection())
		if err != nil {
			return f, err
		}
		h.bootID, h.recipeKey = res.Text("boot"), res.Form("recipe_key", state.KeyForm)
		f, err = state.ReadFacts(res, m.in.Ports, m.in.Repository)
		f.App = m.in.App
		past := m.now().Sub(begin)
		comes := f.BetweenLives() && past <= rebirth || f.VisitorsWait() && past <= succession
		if err != nil || !comes {
			return f, err
		}
		if err := wait(ctx, time.Second); err != nil {
			return f, err
		}
	}
}

// detection are the values of port.sh.
func (m *machine) detection() scripts.Values {
	return scripts.Values{
		"nginx_include": m.in.NginxInclude, "verify_host": m.site.verifyHost(),
		"repository": m.in.Repository,
	}
}

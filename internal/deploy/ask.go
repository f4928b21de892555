package deploy

import (
	"context"
	"fmt"
	"regexp"
	"sync"
	"time"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/scripts"
)

// asking asks hosts what they serve and run, and changes nothing.
type asking struct {
	*run
	site *site
	work *work
}

var secondsOr = regexp.MustCompile(`^[0-9]{0,12}$`)

// ask asks the site; log is for the application's last lines, too.
func (as *asking) ask(ctx context.Context, h *target, log bool) error {
	res, err := h.Exec(ctx, scripts.Ask, as.askValues(h, log))
	if err != nil {
		return err
	}
	a := answer{
		Right: res.OneOf("answer", "wrong", "right") == "right", Said: res.Text("said"),
		Slots: map[uint16]slotAnswer{},
	}
	if res.Text("nginx") != "" {
		a.Port = res.Port("nginx")
	}
	for _, port := range as.in.Ports {
		key := func(name string) string { return fmt.Sprintf("%s_%d", name, port) }
		health := res.OneOf(key("health"), "", "right", "wrong")
		up, _ := time.ParseDuration(res.Form(key("uptime"), secondsOr) + "s")
		a.Slots[port] = slotAnswer{
			Listens: health != "", Right: health == "right", Uptime: up,
			Restarts: res.Form(key("restarts"), secondsOr),
		}
	}
	a.Workers, a.Jobs = readWorkers(res), readJobs(res)
	if res.Err() == nil {
		h.answer = &a
	}
	return res.Err()
}

func (as *asking) askValues(h *target, log bool) scripts.Values {
	return scripts.Values{
		"active": h.activePort(), "health_host": as.in.Health.Host, "verify_host": as.site.verifyHost(), "site": h.site(),
		"log": scripts.Yes(log), "list": scripts.Yes(as.op.asks), "step_id": "", "balancer": "",
	}
}

// askNow is a step: what the site answers is said in words that later steps, the result and a
// failure use.
func (as *asking) askNow(ctx context.Context, h *target) (string, error) {
	if err := as.ask(ctx, h, as.in.Operation == inputs.Status && h.Active != nil); err != nil {
		return "", err
	}
	as.work.showWorkers(h)
	as.work.showJobs(h)
	if h.answer.Right {
		return fmt.Sprintf("GET %s through nginx %s", as.in.Health.Path, h.answer.Said), nil
	}
	line := fmt.Sprintf("the site does not answer right: GET %s for %s through nginx: %s", as.in.Health.Path,
		as.site.verifyHost(), h.answer.Said)
	if h.Active == nil && h.Outside == nil {
		return "nothing was deployed yet; " + line, nil
	}
	as.rep.Warn("Site of "+h.Address.Name, line)
	return "the site does not answer right", nil
}

// downError is a site that does not answer right when somebody asks for its status.
type downError struct{ path, host, said string }

func (e *downError) Error() string {
	return fmt.Sprintf("the site is down: GET %s for %s through nginx: %s", e.path, e.host, e.said)
}

// isUp ends an operation that reports, after it has reported all, when the site is down.
func (as *asking) isUp(_ context.Context, h *target) (string, error) {
	if h.answer.Right || h.Active == nil && h.Outside == nil || as.in.AllowDown {
		return "looked", nil
	}
	return "", &downError{as.in.Health.Path, as.site.verifyHost(), h.answer.Said}
}

// askAll asks all hosts that can still be asked, for a failure: what serves is said as it is then,
// not as it was when the run began.
func (as *asking) askAll(ctx context.Context, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var wg sync.WaitGroup
	for _, h := range as.present() {
		h.answer = nil
		if h.Idle.Port == 0 { // it was not asked what is there, let alone changed
			continue
		}
		wg.Go(func() {
			if err := as.ask(ctx, h, false); err != nil {
				as.rep.Debug(fmt.Sprintf("ask on %s: %v", h.Address, err))
			}
		})
	}
	wg.Wait()
}

// serving says what the site answered, where a version should serve.
func (a *answer) serving(h *target) string {
	version := fmt.Sprintf("%s on port %d", h.Active.Version(), h.Active.Port)
	switch {
	case a.Right && (a.Port == 0 || a.Port == h.Active.Port):
		return version + " serves"
	case a.Right:
		return fmt.Sprintf("port %d serves, and not %s", a.Port, version)
	case h.ailing:
		return fmt.Sprintf("it does not answer right, as it did not when this run began (%s); %s is active", a.Said,
			version)
	case !a.Slots[h.Active.Port].Listens:
		return fmt.Sprintf("it is down (%s): nothing of %s listens", a.Said, version)
	}
	return fmt.Sprintf("it does not answer right (%s); %s is active", a.Said, version)
}

// restartCommand is what starts the active version again, by hand.
func (as *asking) restartCommand(h *target) string {
	if h.Active == nil {
		return "sudo systemctl status nginx"
	}
	return fmt.Sprintf("sudo systemctl restart %s@%d", as.in.App, h.Active.Port)
}

func (as *asking) step() step {
	return step{name: "ask", title: "Asking the site", each: as.askNow, within: brief}
}

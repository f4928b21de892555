package deploy

import (
	"context"
	"fmt"
	"strings"

	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/internal/report"
	"github.com/clothesme/deploy-action/internal/state"
	"github.com/clothesme/deploy-action/scripts"
)

// removal takes an application off its hosts.
type removal struct {
	*run
	machine *machine
	site    *site
	slots   *slots
}

// detectToRemove is detect for who wants no deployment: what stands in the way of one does not stand
// in the way of this, since nothing that is not this application's is touched. But the ports must be
// those that it has.
func (r *removal) detectToRemove(ctx context.Context, h *target) (string, error) {
	res, err := h.Exec(ctx, scripts.Port, r.machine.detection())
	if err != nil {
		return "", err
	}
	h.bootID = res.Text("boot")
	f, err := state.ReadFacts(res, r.in.Ports, r.in.Repository)
	if err != nil {
		return "", err
	}
	f.App, h.seen, h.closedSince = r.in.App, f.Slots, f.ClosedSince
	if len(f.Strays) > 0 {
		return "", &state.ChoiceError{
			Cause: fmt.Errorf("%s runs on port %s on this host, which is not one of the input ports", r.in.App,
				strings.Join(f.Strays, " and ")),
			Next: "set the input \"ports\" as the deployments of this application have it, and run this workflow again",
		}
	}
	if h.Position, err = state.Decide(&f, r.in.NginxInclude); err != nil {
		r.rep.Info(h.Address.Name + ": a deployment would be refused: " + strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	for i, s := range h.seen { // if it can't be told which one is active, neither is
		if h.Idle.Port == 0 && h.Active == nil {
			h.Idle = h.seen[i]
		}
		if s.Adopted {
			r.rep.Warn("Not this action's on "+h.Address.Name, fmt.Sprintf("%s on port %d was started by hand, and goes "+
				"on", s.Version(), s.Port))
		}
	}
	var runs []string
	for _, s := range h.ours() {
		runs = append(runs, fmt.Sprintf("%s on port %d", s.Version(), s.Port))
	}
	if len(runs) == 0 {
		return "nothing of " + r.in.App + " runs", nil
	}
	return strings.Join(runs, " and ") + " runs", nil
}

// ours are the slots in which something of this action's runs, or would after a reboot.
func (h *target) ours() []state.Slot {
	var slots []state.Slot
	for _, s := range h.seen {
		if !s.Adopted && (s.Runs() || s.Socket || s.Workers != "") {
			slots = append(slots, s)
		}
	}
	return slots
}

func (r *removal) removing(part string) scripts.Values {
	return scripts.Values{
		"part": part, "sure": scripts.Yes(!r.op.asks), "shared_too": scripts.Yes(r.in.RemoveShared),
		"nginx_include": r.in.NginxInclude, "verify_host": r.site.verifyHost(),
	}
}

// listRemoval says what goes, or would, as the host has it now.
func (r *removal) listRemoval(ctx context.Context, h *target) (string, error) {
	values := r.removing("list")
	values["step_id"] = ""
	res, err := h.Exec(ctx, scripts.Remove, values)
	if err != nil {
		return "", err
	}
	goes, stays := numbered(res, "go"), numbered(res, "stay")
	details := "\nOn " + report.MarkdownCode(h.Address.String()) + ":\n\n"
	lines := []string{"on " + h.Address.String() + ":"}
	say := func(what string, found []string) {
		for _, line := range found {
			lines = append(lines, "  "+what+" "+line)
			details += "- " + what + " " + report.MarkdownText(line) + "\n"
		}
	}
	say(map[bool]string{true: "would go:", false: "goes:"}[r.op.asks], goes)
	say("stays:", stays)
	h.unchanged = len(goes) == 0
	if h.unchanged {
		details += "nothing of " + r.in.App + "\n"
	}
	if !r.op.asks {
		details = ""
	}
	r.tell(lines, details)
	switch {
	case h.unchanged:
		return "nothing of " + r.in.App + " is on this host", res.Err()
	case r.op.asks:
		return fmt.Sprintf("%s would go, and nothing is changed; the input confirm with the name %s takes it off the "+
			"host", things(len(goes)), r.in.App), res.Err()
	}
	return things(len(goes)) + " to go", res.Err()
}

// numbered are the results KEY_0, KEY_1, and so on.
func numbered(res *scripts.Results, key string) []string {
	var all []string
	for n := 0; res.Has(fmt.Sprintf("%s_%d", key, n)); n++ {
		all = append(all, res.Text(fmt.Sprintf("%s_%d", key, n)))
	}
	return all
}

func (r *removal) removeSite(ctx context.Context, h *target) (string, error) {
	h.leaving = true
	res, err := h.Exec(ctx, scripts.Remove, r.removing("site"))
	if err != nil {
		h.leaving = host.Lost(err)
		return "", err
	}
	h.gone, h.reloaded = true, res.Yes("reloaded")
	if h.reloaded {
		return "nginx was reloaded, and sends it nothing any more", res.Err()
	}
	return "nginx has none of it", res.Err()
}

// drainAll: what nginx had accepted before its reload comes to its end.
func (r *removal) drainAll(ctx context.Context, h *target) (string, error) {
	var lines []string
	for _, s := range h.ours() {
		left, err := r.slots.drainSlot(ctx, h, fmt.Sprint(s.Port), "", r.in.DrainTimeout)
		if err != nil {
			return "", err
		}
		h.drained += left.took
		h.connections += left.connections
		lines = append(lines, left.text(s.Port, r.in.DrainTimeout))
	}
	return strings.Join(append(lines, "done"), "; "), nil
}

func (r *removal) stopAll(ctx context.Context, h *target) (string, error) {
	for _, s := range h.ours() {
		if err := r.slots.stopSlot(ctx, h, fmt.Sprint(s.Port), ""); err != nil {
			return "", err
		}
	}
	return "nothing of it runs", nil
}

func (r *removal) removeFiles(ctx context.Context, h *target) (string, error) {
	_, err := h.Exec(ctx, scripts.Remove, r.removing("files"))
	return "the services, the rules and the flag are gone", err
}

// removeRoot is not begun a second time when the connection is lost: the lock goes with it.
func (r *removal) removeRoot(ctx context.Context, h *target) (string, error) {
	res, err := h.Exec(ctx, scripts.Remove, r.removing("root"))
	if host.Lost(err) && ctx.Err() == nil {
		return "", fmt.Errorf("the connection was lost while the last of it was deleted, and how far that got is not "+
			"known: %w", err)
	}
	if err != nil {
		return "", err
	}
	if stuck := strings.TrimSpace(res.Text("stuck")); stuck != "" {
		r.rep.Warn("Could not delete", fmt.Sprintf("%s on %s: the user %s may not delete it", stuck, h.Address.Name,
			h.Address.User))
	}
	stays := numbered(res, "stay")
	if len(stays) == 0 {
		return r.in.Path + " is gone", res.Err()
	}
	return "left: " + strings.Join(stays, ", "), res.Err()
}

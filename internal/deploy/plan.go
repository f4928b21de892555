package deploy

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/internal/report"
)

// plan says what a run is to do.
type plan struct {
	*run
	batches *batches
	recipe  *recipe
	site    *site
	work    *work
}

// intent is the log's first sentence.
func (p *plan) intent() string {
	in := p.in
	var targets []string
	for i, h := range p.hosts {
		if i == mostNames && len(p.hosts) > mostNames+1 {
			targets = append(targets, fmt.Sprintf("%d more", len(p.hosts)-mostNames))
			break
		}
		targets = append(targets, h.Address.String())
	}
	what := string(in.Operation) + " of " + in.App
	switch {
	case p.op.makes && in.Source == inputs.Workspace:
		what += " from the workspace"
	case p.op.makes:
		what += fmt.Sprintf(": %s at %s", in.Repository, shortCommit(in.Ref))
	case in.Release != "":
		what += " to " + in.Release
	case in.Operation == inputs.Remove && p.op.asks:
		what += ", a list of what would go"
	case in.Operation == inputs.Maintenance:
		what += ": " + map[bool]string{true: "on", false: "off"}[in.Maintenance]
	}
	if in.DryRun {
		what = "dry run: " + what
	}
	if in.Run.Actor != "" {
		what += ", started by " + in.Run.Actor
	}
	return what + ", on " + strings.Join(targets, ", ") + p.batches.text()
}

// show says what is about to be done to this host, by what detection found; a dry run ends with
// it.
func (p *plan) show(_ context.Context, h *target) (string, error) {
	return p.tellPlan(h.Address.String(), p.site.planHTTPS(h, p.of(h))), nil
}

// showAll is show for many hosts: the plan of several is shown once.
func (p *plan) showAll(context.Context) (string, error) {
	var plans [][]string
	var whose [][]*target
	for _, h := range p.present() {
		plan := p.site.planHTTPS(h, p.of(h))
		at := slices.IndexFunc(plans, func(other []string) bool { return slices.Equal(plan, other) })
		if at < 0 {
			at, plans, whose = len(plans), append(plans, plan), append(whose, nil)
		}
		whose[at] = append(whose[at], h)
	}
	said := ""
	for i, plan := range plans {
		said = p.tellPlan(namesOf(whose[i]), plan)
	}
	if len(plans) > 1 {
		return fmt.Sprintf("%d plans", len(plans)), nil
	}
	return said, nil
}

func (p *plan) tellPlan(who string, plan []string) string {
	lines := []string{"plan for " + who + ":"}
	details := "\nPlan for " + report.MarkdownCode(who) + ":\n\n"
	for n, line := range plan {
		lines = append(lines, fmt.Sprintf("  %d. %s", n+1, line))
		details += fmt.Sprintf("%d. %s\n", n+1, report.MarkdownText(line))
	}
	if !p.in.DryRun {
		p.tell(lines, "")
		return things(len(plan)) + " to do"
	}
	p.tell(lines, details)
	return things(len(plan)) + " to do, none done"
}

func things(n int) string {
	if n == 1 {
		return "1 thing"
	}
	return fmt.Sprintf("%d things", n)
}

// shortCommit shortens a commit, and nothing else.
func shortCommit(ref string) string {
	if len(ref) >= 40 && strings.Trim(ref, "0123456789abcdef") == "" {
		return ref[:7]
	}
	return ref
}

// of lists in plain words what a deployment does to a host in this position. It is pure:
// detection has gathered all it needs.
func (p *plan) of(h *target) []string {
	in := p.in
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	if h.coming != "" {
		add("install %s", h.coming)
	}
	if in.Operation == inputs.RunIt {
		add("run in %s, with its environment: %s", h.Active.Version(), firstLine(in.Command))
		return lines
	}
	if p.recipe.servesAlready(h) && p.op.makes && in.Ref == h.Active.Commit && p.recipe.of(h) == h.Active.Recipe {
		add("leave everything as it is if %s is healthy: it already serves commit %.7s, made the same way",
			h.Active.Release, in.Ref)
		return lines
	}
	if p.op.success == outcome.SetUp {
		add("install what is missing of the commands that a deployment needs and of these packages: %s",
			cmp.Or(strings.Join(in.Packages, " "), "none"))
		add("make the folders in %s and the flag's folder, the service %s@, and the rules for sudo, where they are "+
			"missing or differ", in.Path, in.App)
		add("write the nginx site for %s, test it and reload nginx once, unless it has just that loaded", in.ServerName)
		return lines
	}
	if h.Idle.Runs() {
		add("drain and stop what an earlier run left on port %d", h.Idle.Port)
	}
	switch {
	case p.op.again && h.Active != nil:
		add("start %s again, with %s", h.Active.Version(), p.recipe.environmentText())
	case !p.op.makes:
		add("choose the release: %s", cmp.Or(in.Release, "the newest that is older than the active one and has "+
			"served before"))
	default:
		if in.Source == inputs.Workspace {
			add("send the workspace's folder %s into %s/releases", in.WorkspacePath, in.Path)
		} else {
			add("fetch %s at %s into %s/releases", in.Repository, shortCommit(in.Ref), in.Path)
		}
		add("build it: %s", cmp.Or(firstLine(in.Build), "a venv from requirements.txt where there is one, reused "+
			"while it is unchanged"))
	}
	switch {
	case in.BeforeStart == "" || p.op.again:
	case !p.op.makes:
		add("run before-start if that release has never served: %s", firstLine(in.BeforeStart))
	default:
		add("run before-start: %s", firstLine(in.BeforeStart))
	}
	start := firstLine(in.Start)
	if !p.op.makes {
		start = "as it was deployed"
	}
	if in.Strategy == inputs.InPlace {
		return append(lines, p.planReplacement(h, start)...)
	}
	add("start it on port %d: %s", h.Idle.Port, start)
	add("ask GET %s there until it answers with status %d, for %s at most", in.Health.Path, in.Health.Status,
		in.Health.Timeout)
	switch {
	case h.Loaded:
		add("rename the flag, so that requests go to port %d instead of %s, without a reload unless the site's "+
			"files differ", h.Idle.Port, h.activePort())
	case h.TheirSite:
		add("make %s this action's, keeping it as it is beside its place, test it, reload nginx once, and send "+
			"requests to port %d", in.NginxInclude, h.Idle.Port)
	default:
		add("write the nginx site for %s, test it, reload nginx once, and send requests to port %d", in.ServerName,
			h.Idle.Port)
	}
	add("ask through nginx until the answer comes from port %d, and on for %s", h.Idle.Port, in.WatchFor)
	lines = append(append(lines, p.work.planWorkers(h)...), p.work.planJobs(h)...)
	if in.AfterSwitch != "" {
		add("run after-switch: %s", firstLine(in.AfterSwitch))
	}
	if h.Active != nil {
		add("drain port %d for %s at most, and stop %s", h.Active.Port, in.DrainTimeout, h.Active.Version())
	}
	add("delete all but the %d newest releases that have served, the active one and the one before it", in.KeepReleases)
	return lines
}

// planReplacement is the rest of the plan for one version at a time.
func (p *plan) planReplacement(h *target, start string) []string {
	in := p.in
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	if !h.Loaded {
		add("have nginx load the site for %s, reloading it once", in.ServerName)
	}
	add("open a socket at port %d, which systemd holds", h.Idle.Port)
	if h.Active != nil {
		add("rename the flag, so that visitors wait there; drain port %d for %s at most, and stop %s",
			h.Active.Port, in.DrainTimeout, h.Active.Version())
	}
	add("start it at the socket: %s", start)
	back := "stop it"
	if h.Active != nil {
		back = "start " + h.Active.Version() + " again"
	}
	add("ask GET %s there until it answers with status %d, for %s at most; else %s", in.Health.Path, in.Health.Status,
		in.Health.Timeout, back)
	add("ask through nginx until the answer comes from port %d, and on for %s", h.Idle.Port, in.WatchFor)
	lines = append(append(lines, p.work.planWorkers(h)...), p.work.planJobs(h)...)
	if in.AfterSwitch != "" {
		add("run after-switch: %s", firstLine(in.AfterSwitch))
	}
	add("delete all but the %d newest releases that have served, the active one and the one before it", in.KeepReleases)
	return lines
}

func firstLine(s string) string {
	line, rest, _ := strings.Cut(strings.TrimSpace(s), "\n")
	if rest != "" {
		line += " …"
	}
	return line
}

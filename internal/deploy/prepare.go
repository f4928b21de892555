package deploy

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/internal/state"
	"github.com/clothesme/deploy-action/scripts"
)

// Commands that every deployment needs on the host; a build of ours needs more.
const needs = "awk cmp curl flock grep nginx pgrep sed sync timeout xargs"

// needs of a source.
var sourceNeeds = map[string]string{inputs.Git: " git", inputs.Workspace: " gzip sha256sum tar"}

// pythonic is a build that may well make a virtual environment, whose module is a package of its own.
var pythonic = regexp.MustCompile(`\b(python3?|pip3?|venv|virtualenv)\b`)

// check looks at all that a deployment needs, and changes nothing.
func (d *Deployment) check(ctx context.Context, h *target) (string, error) {
	return d.examine(ctx, h, false)
}

// install brings what check found missing, once it is known that nothing else is in the way, and checks again.
func (d *Deployment) install(ctx context.Context, h *target) (string, error) {
	line, err := d.examine(ctx, h, true)
	h.app.TheirSite = h.TheirSite
	return line, err
}

// nothingToInstall: with setup "always" apt is asked for newer versions, too.
func (d *Deployment) nothingToInstall(h *target) bool {
	return h.coming == "" && d.in.Setup != inputs.SetupAlways
}

func (d *Deployment) examine(ctx context.Context, h *target, install bool) (string, error) {
	need := needs
	if d.op.tools {
		need += sourceNeeds[d.in.Source]
	}
	if (d.in.Build == "" || pythonic.MatchString(d.in.Build)) && d.op.tools {
		need += " python3"
	}
	if !install { // what detection asks for does not depend on it
		d.ahead(h, "detect", scripts.Port, d.detection())
	}
	res, err := h.Exec(ctx, scripts.Check, scripts.Values{
		"needs": need, "clock": strconv.FormatInt(d.now().Unix(), 10),
		"list": scripts.Yes(d.op.asks), "setup": string(d.in.Setup),
		"may_install": d.mayInstall(install), "packages": strings.Join(d.in.Packages, " "),
		"server_name": d.in.ServerName, "verify_host": d.verifyHost(), "nginx_include": d.in.NginxInclude,
	})
	for n := 0; res.Has(fmt.Sprintf("note_%d", n)); n++ {
		d.warnOnce(h, "Nginx of "+h.Address.Name, res.Text(fmt.Sprintf("note_%d", n)))
	}
	if err != nil {
		return "", withFaults(err, res)
	}
	h.systemd, h.memoryMB = res.Yes("systemd"), res.Int("memory_mb")
	memory := fmt.Sprintf("%d of %d MB of memory and %s", h.memoryMB, res.Int("memory_total_mb"), swapText(res.Int("swap_mb")))
	h.app = scripts.App{
		Name: d.in.App, User: h.Address.User, Path: d.in.Path, Ports: d.in.Ports, Include: d.in.NginxInclude,
		ServerName: d.in.ServerName, IPv6: res.Yes("ipv6"), OneSocket: res.OneOf("listen", "both", "v6") == "v6",
		Folder: res.Form("site_folder", state.FolderForm), StopSecs: int(d.in.StopTimeout / time.Second),
		NoRealIP: !res.Yes("realip"), MaxBodySize: d.in.MaxBodySize, ResponseTimeout: d.in.ResponseTimeout,
		TrustedProxies: d.in.TrustedProxies,
	}
	if h.app.NoRealIP && len(h.app.TrustedProxies) > 0 {
		return "", errors.New("nginx has no realip module, which the input trusted-proxies needs: install a build that has it, " +
			"as all distributions' have")
	}
	installed := res.Text("installed")
	if installed != "" {
		h.changed = true
		installed = "; installed " + installed
	}
	switch h.coming = res.Text("coming"); {
	case h.coming != "" && (d.op.asks || d.in.DryRun):
		installed = "; the next deployment installs " + h.coming
	case h.coming != "":
		installed = "; missing, and yet to be installed: " + h.coming
	case installed == "" && d.op.success == outcome.SetUp:
		installed = "; all packages are there already"
	}
	os, version, disk, skew := res.Text("os"), res.Text("nginx"), res.Int("disk_mb"), res.Int("skew")
	if err := res.Err(); err != nil {
		return "", err
	}
	occupied := res.Text("occupied")
	if disk < minDiskMB && occupied == "" && d.op.makes { // with releases there room can be made
		return "", fmt.Errorf("only %d MB of disk are free at %s, and a first release needs at least %d MB: give the host a bigger disk, or delete there what is not needed", disk, d.in.Path, minDiskMB)
	}
	if used := res.Int("disk_used"); used > fullDisk {
		d.warnOnce(h, "Disk of "+h.Address.Name, fmt.Sprintf("the disk of %s is %d %% full at %s, with "+
			"%d MB free (%s)", h.Address, used, d.in.Path, disk, cmp.Or(occupied, "no release is there yet")))
	}
	if d.op.asks && occupied != "" {
		d.rep.Info(d.in.Path + " has " + occupied)
	}
	if olderThan(version, neededNginx) {
		return "", fmt.Errorf("nginx %s is too old: keepalive_timeout in an upstream, by which an old version's connections come to an end, needs %s; upgrade it", version, neededNginx)
	}
	h.app.NoDryRun = olderThan(version, dryRunNginx)
	if olderThan(version, keptNginx) {
		d.warnOnce(h, "Nginx of "+h.Address.Name, fmt.Sprintf("nginx %s works, and no distribution that is still "+
			"maintained has one older than %s: upgrade the host", version, keptNginx))
	}
	if skew > maxSkew || skew < -maxSkew {
		d.warnOnce(h, "Clock of "+h.Address.Name, fmt.Sprintf("the clock of %s differs from the runner's by %d s: "+
			"enable time synchronisation", h.Address, skew))
	}
	if !h.systemd {
		d.warnOnce(h, "No systemd on "+h.Address.Name, "systemd is not init here: the application is started with "+
			"nohup and does not come back after a crash or a reboot")
	}
	return fmt.Sprintf("%s, %s, %.1f GB of disk free, %s%s", os, nginxText(version), float64(disk)/1024, memory, installed), nil
}

func (d *Deployment) mayInstall(now bool) string {
	if !now && !d.op.asks && !d.in.DryRun {
		return "later"
	}
	return scripts.Yes(now)
}

// warnOnce leaves out what was said of the host before.
func (d *Deployment) warnOnce(h *target, title, text string) {
	if !slices.Contains(h.warned, text) {
		h.warned = append(h.warned, text)
		d.rep.Warn(title, text)
	}
}

func swapText(mb int) string {
	if mb == 0 {
		return "no swap"
	}
	return fmt.Sprintf("%d MB of swap", mb)
}

// withFaults puts what check.sh found wrong, all of it, in the place of its last words.
func withFaults(err error, res *scripts.Results) error {
	var no *host.Error
	if !errors.As(err, &no) || !res.Has("fault_0") {
		return err
	}
	var faults []string
	for n := 0; res.Has(fmt.Sprintf("fault_%d", n)); n++ {
		faults = append(faults, res.Text(fmt.Sprintf("fault_%d", n)))
	}
	no.Reason, no.Evidence = strings.Join(faults, "\n"), nil
	return err
}

const (
	minDiskMB = 200
	fullDisk  = 85  // percent, from where on it is said
	maxSkew   = 300 // seconds; certificates and signatures tolerate about that much
)

const (
	neededNginx = "1.15.3" // nginx.org/en/docs/http/ngx_http_upstream_module.html#keepalive_timeout
	dryRunNginx = "1.17.6" // nginx.org/en/docs/http/ngx_http_limit_conn_module.html#limit_conn_dry_run
	keptNginx   = "1.18.0" // of Debian 11 and Ubuntu 20.04
)

func nginxText(version string) string {
	if version == "" {
		return "no nginx yet"
	}
	return "nginx " + version
}

// olderThan compares versions of nginx; one that is none is not older.
func olderThan(version, other string) bool {
	var v, o [3]int
	if n, _ := fmt.Sscanf(version, "%d.%d.%d", &v[0], &v[1], &v[2]); n < 3 {
		return false
	}
	_, _ = fmt.Sscanf(other, "%d.%d.%d", &o[0], &o[1], &o[2])
	return slices.Compare(v[:], o[:]) < 0
}

func (d *Deployment) detect(ctx context.Context, h *target) (string, error) {
	res, err := h.Exec(ctx, scripts.Port, d.detection())
	if err != nil {
		return "", err
	}
	h.bootID, h.recipeKey = res.Text("boot"), res.Form("recipe_key", state.KeyForm)
	f, err := state.ReadFacts(res, d.in.Ports, d.in.Repository)
	f.App = d.in.App
	if err != nil {
		return "", err
	}
	if h.Position, err = state.Decide(&f, d.in.NginxInclude); err != nil {
		return "", err
	}
	h.seen = f.Slots
	if last := f.LastRepository; last != "" && !strings.EqualFold(last, d.in.Repository) {
		d.rep.Warn("Repository of "+d.in.App, fmt.Sprintf("until now %s came from %s, and this run deploys %s: if that is another application, give it a name and a folder of its own with the inputs app and path",
			d.in.App, last, d.in.Repository))
	}
	if err := d.canReplace(h); err != nil {
		return "", err
	}
	h.app.TheirSite = h.TheirSite
	for _, note := range h.Notes {
		d.rep.Warn("State of "+h.Address.Name, note)
	}
	if h.Active == nil {
		return fmt.Sprintf("first deployment; it goes to port %d", h.Idle.Port), nil
	}
	if h.memoryMB > 0 && h.Active.RSSMB > h.memoryMB {
		d.rep.Warn("Memory of "+h.Address.Name, fmt.Sprintf("the running version uses %d MB and %d MB are free: two "+
			"versions may not fit at once", h.Active.RSSMB, h.memoryMB))
	}
	return fmt.Sprintf("port %d is active with %s; port %d is idle",
		h.Active.Port, h.Active.Version(), h.Idle.Port), nil
}

// detection are the values of port.sh.
func (d *Deployment) detection() scripts.Values {
	return scripts.Values{
		"nginx_include": d.in.NginxInclude, "verify_host": d.verifyHost(),
		"repository": d.in.Repository,
	}
}

func (d *Deployment) setup(ctx context.Context, h *target) (string, error) {
	values := d.siteValues(h)
	values["repository"] = d.in.Repository
	values["template"], values["socket_template"], values["swap"] = h.app.Unit(), h.app.Socket(), ""
	if d.in.SwapMB > 0 {
		values["swap"] = strconv.Itoa(d.in.SwapMB)
	}
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

// adopt writes down that a version started by hand is the active slot's: before the flag, so that a version that has it is one that later
// runs know.
func (d *Deployment) adopt(ctx context.Context, h *target) (string, error) {
	res, err := h.Exec(ctx, scripts.Adopt, scripts.Values{
		"port": h.activePort(), "holders": h.Active.Process.Holders, "clone": h.Active.Process.Clone,
	})
	if err != nil {
		return "", err
	}
	h.changed = true
	return fmt.Sprintf("%s is the active slot's from now on", h.Active.Version()), res.Err()
}

// heal puts flags right that a dead run, or somebody's hand, has left wrong.
func (d *Deployment) heal(ctx context.Context, h *target) (string, error) {
	if h.Heal.Back != "" {
		res, err := h.Exec(ctx, scripts.Resume, d.replacing(h.Heal.From, h.Heal.To, h.Heal.Back))
		if err != nil {
			return "", err
		}
		h.changed = true
		h.servesOn(res.Port("serves"))
		return fmt.Sprintf("%s serves again, on port %d", h.Heal.Back, h.Active.Port), res.Err()
	}
	if _, err := h.Exec(ctx, scripts.Switch, scripts.Values{"from": h.Heal.From, "to": h.Heal.To}); err != nil {
		return "", err
	}
	h.changed = true
	return "the flag is on port " + h.Heal.To, nil
}

// setUpSite is switch's first half, for a host that is only set up.
func (d *Deployment) setUpSite(ctx context.Context, h *target) (string, error) {
	if err := d.putSite(ctx, h, d.stamp()+"-setup"); err != nil {
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

// clear ends what a dead run left in the idle slot: a version never switched to, or one that was never retired.
func (d *Deployment) clear(ctx context.Context, h *target) (string, error) {
	instead := ""
	if h.Active != nil && h.Active.Serves() {
		instead = h.activePort()
	}
	if _, err := d.drainSlot(ctx, h, h.idlePort(), instead, d.in.DrainTimeout); err != nil {
		return "", err
	}
	if err := d.stopSlot(ctx, h, h.idlePort(), instead); err != nil {
		return "", err
	}
	return fmt.Sprintf("stopped what an earlier run left on port %d", h.Idle.Port), nil
}

// recipe names how a release is made, apart from its commit: two deployments that agree in both are
// the same. It is told by a key of the host's: values of env are in it, and whoever reads it must
// not be able to find them by trying. recipe_keys in scripts/lib/files.sh makes the same of those
// that were written without a key.
func (d *Deployment) recipe(h *target) string {
	parts := []string{
		d.in.Repository, d.in.Build, d.in.Start, strings.Join(d.in.Shared, " "), d.environment(),
		d.in.ServerName, d.in.NginxInclude, fmt.Sprint(d.in.Ports),
		fmt.Sprint(d.in.TrustedProxies), d.in.MaxBodySize, d.in.ResponseTimeout.String(),
	}
	if d.in.Source == inputs.Workspace {
		parts = append(parts, d.in.Source)
	}
	if d.in.Strategy == inputs.InPlace {
		parts = append(parts, string(d.in.Strategy))
	}
	for _, a := range h.assets {
		parts = append(parts, a.Path, a.id())
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	if h.recipeKey == "" { // nothing was deployed yet by a version that has one
		return fmt.Sprintf("%x", sum[:8])
	}
	return fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "%s%x\n", h.recipeKey, sum[:8])))
}

// warnOfEmpty: a secret that does not exist is empty, and the application finds out late.
func (d *Deployment) warnOfEmpty() {
	var empty []string
	for _, v := range d.in.Env {
		if v.Value == "" {
			empty = append(empty, v.Name)
		}
	}
	if len(empty) > 0 && d.op.makes {
		d.rep.Warn("Empty in env", fmt.Sprintf("%s: empty, as a secret or variable that does not exist is; if that is meant, leave it out of the input \"env\"", strings.Join(empty, ", ")))
	}
}

func (d *Deployment) environment() string {
	variables := make([][2]string, len(d.in.Env))
	for i, v := range d.in.Env {
		variables[i] = [2]string{v.Name, v.Value.Reveal()}
	}
	return scripts.Environment(variables)
}

// stamp begins the ids of this run's releases.
func (d *Deployment) stamp() string { return d.begin.UTC().Format("20060102T150405Z") }

func (d *Deployment) fetch(ctx context.Context, h *target) (string, error) {
	if d.in.Source == inputs.Workspace {
		return d.send(ctx, h)
	}
	values := scripts.Values{
		"git_url": strings.TrimSuffix(d.in.ServerURL, "/") + "/" + d.in.Repository + ".git", "ref": d.in.Ref, "token": d.in.Token.Reveal(),
		"stamp": d.stamp(), "recipe": d.recipe(h), "active_commit": "", "active_recipe": "",
		"branch": "",
	}
	if d.in.Ref == d.in.Run.Commit && strings.EqualFold(d.in.Repository, d.in.Run.Repository) {
		values["branch"] = d.in.Run.Branch
	}
	if d.servesAlready(h) {
		values["active_commit"], values["active_recipe"] = h.Active.Commit, h.Active.Recipe
	}
	res, err := h.Exec(ctx, scripts.Fetch, values)
	if err != nil {
		return "", err
	}
	d.warnOfRoom(h, res)
	h.commit = res.Form("commit", state.CommitForm)
	if res.Has("unchanged") {
		h.unchanged = res.Yes("unchanged")
		h.release = h.Active.Release
		return fmt.Sprintf("release %s already serves this commit, made the same way", h.release), res.Err()
	}
	h.release = res.Form("release", state.ReleaseForm)
	return fmt.Sprintf("commit %.7s as release %s", h.commit, h.release), res.Err()
}

func (d *Deployment) build(ctx context.Context, h *target) (string, error) {
	res, err := h.Exec(ctx, scripts.Build, scripts.Values{
		"release": h.release, "build": d.in.Build, "shared": strings.Join(d.in.Shared, " "),
		"start_file": scripts.StartFile(d.in.Start), "environment": d.environment(),
		"more": scripts.Yes(!d.noAssets(h)), "clone": h.Clone(),
		"takes_socket": scripts.Yes(d.in.Strategy == inputs.InPlace),
	})
	if err != nil {
		return "", err
	}
	d.warnOfRoom(h, res)
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

// warnOfRoom says that older releases had to go for a new one.
func (d *Deployment) warnOfRoom(h *target, res *scripts.Results) {
	if res.Has("kept") {
		d.rep.Warn("Disk of "+h.Address.Name, fmt.Sprintf("the disk has no room for %d releases besides a new one: "+
			"all but %d that have served were deleted; a bigger disk has room for more to roll back to",
			d.in.KeepReleases, res.Int("kept")))
	}
}

func (d *Deployment) beforeStart(ctx context.Context, h *target) (string, error) {
	return d.hook(ctx, h, "before-start", d.in.BeforeStart)
}

func (d *Deployment) hook(ctx context.Context, h *target, name, command string) (string, error) {
	res, err := h.Exec(ctx, scripts.Hook, scripts.Values{
		"release": h.release, "port": h.idlePort(), "name": name, "command": command,
	})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("the command succeeded after %s", res.Millis("hook_ms")), res.Err()
}

func (d *Deployment) start(ctx context.Context, h *target) (string, error) {
	d.save(StateRelease, h.release)
	own := d.asksHealth(h)
	own["started"] = h.NextID() // has what is not known yet: the process
	d.ahead(h, "health", scripts.Health, own)
	res, err := h.Exec(ctx, scripts.Start, scripts.Values{
		"port": h.idlePort(), "release": h.release, "active": h.activePort(),
	})
	if err != nil {
		return "", err
	}
	h.pid, h.starttime = res.Form("pid", state.NumberForm), res.Form("starttime", state.NumberForm)
	h.logOffset = res.Form("log_offset", state.NumberForm)
	return fmt.Sprintf("%s on port %s, pid %s", h.release, h.idlePort(), h.pid), res.Err()
}

// stopNew is start's undo. A version that may have been switched to may still be answering requests: it is drained like an old one.
func (d *Deployment) stopNew(ctx context.Context, h *target) error {
	if h.routed {
		limit := d.in.DrainTimeout
		if deadline, ok := ctx.Deadline(); ok {
			limit = min(limit, time.Until(deadline)/2)
		}
		if _, err := d.drainSlot(ctx, h, h.idlePort(), "", limit); err != nil {
			return err
		}
	}
	return d.stopSlot(ctx, h, h.idlePort(), "")
}

// process are the values that name the new process and say how to judge its answers.
func (d *Deployment) process(h *target, own scripts.Values) scripts.Values {
	own["port"], own["pid"], own["starttime"], own["log_offset"] = h.idlePort(), h.pid, h.starttime, h.logOffset
	return own
}

func (d *Deployment) asksHealth(h *target) scripts.Values {
	return d.process(h, scripts.Values{
		"health_host": d.in.Health.Host, "health_timeout": scripts.Seconds(d.in.Health.Timeout), "started": "",
	})
}

func (d *Deployment) health(ctx context.Context, h *target) (string, error) {
	res, err := h.Exec(ctx, scripts.Health, d.asksHealth(h))
	if err != nil {
		return "", err
	}
	h.boot = res.Millis("boot_ms")
	if res.Yes("open") {
		d.rep.Warn("Port "+h.idlePort()+" of "+h.Address.Name,
			fmt.Sprintf("the application listens on more than 127.0.0.1: whoever reaches port %s of the host gets "+
				"past nginx; have the input \"start\" name 127.0.0.1, and the security group let nobody in there",
				h.idlePort()))
	}
	return fmt.Sprintf("pid %s answers right, %.1fs after its start", h.pid, h.boot.Seconds()), res.Err()
}

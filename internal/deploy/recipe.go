package deploy

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/clothesme/deploy-action/internal/cloud"
	"github.com/clothesme/deploy-action/internal/cloud/parameters"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/scripts"
)

// recipe is how this run makes a release, and what it makes one of besides a commit.
type recipe struct {
	*run
	site           *site
	work           *work
	openParameters func(context.Context, *cloud.Account) (Parameters, error)
	fromAWS        []inputs.Variable // none before the step env-from
	assets         []asset           // as the step resolve found them
}

// Parameters is where AWS keeps variables.
type Parameters interface {
	Below(ctx context.Context, path string) ([]parameters.Variable, error)
	Secret(ctx context.Context, name string) ([]parameters.Variable, error)
}

// of names how a release is made, apart from its commit: two deployments that agree in both are
// the same. It is told by a key of the host's: values of env are in it, and whoever reads it must
// not be able to find them by trying. recipe_keys in scripts/lib/hold.sh makes the same of those
// that were written without a key.
func (r *recipe) of(h *target) string {
	parts := []string{
		r.in.Repository, r.in.Build, r.in.Start, strings.Join(r.in.Shared, " "), r.environment(),
		r.in.ServerName, r.in.NginxInclude, fmt.Sprint(r.in.Ports),
		fmt.Sprint(r.in.TrustedProxies), r.in.MaxBodySize, r.in.ResponseTimeout.String(),
	}
	parts = append(parts, r.site.httpsRecipe()...)
	if r.in.Source == inputs.Workspace {
		parts = append(parts, r.in.Source)
	}
	if r.in.Strategy == inputs.InPlace {
		parts = append(parts, string(r.in.Strategy))
	}
	if r.work.hasProcesses() {
		parts = append(parts, r.work.processLines(), fmt.Sprint(r.in.Procfile))
	}
	if len(r.in.Jobs) > 0 {
		parts = append(parts, "schedule", r.work.jobLines())
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

func (r *recipe) environment() string {
	var variables [][2]string
	for _, v := range slices.Concat(r.fromAWS, r.in.Env) {
		variables = append(variables, [2]string{v.Name, v.Value.Reveal()})
	}
	return scripts.Environment(variables)
}

// warnOfEmpty: a secret that does not exist is empty, and the application finds out late.
func (r *recipe) warnOfEmpty() {
	var empty []string
	for _, v := range r.in.Env {
		if v.Value == "" {
			empty = append(empty, v.Name)
		}
	}
	if len(empty) > 0 {
		r.rep.Warn("Empty in env", fmt.Sprintf("%s: empty, as a secret or variable that does not exist is; if that "+
			"is meant, leave it out of the input \"env\"", strings.Join(empty, ", ")))
	}
}

// servesAlready tells whether the active release is there to be left alone: one that does not serve
// is not.
func (r *recipe) servesAlready(h *target) bool {
	return h.Active != nil && h.Active.Serves() && h.Active.Proved && h.Loaded && !h.ailing
}

func (r *recipe) environmentText() string {
	if r.renewed() == "" {
		return "the environment that it has"
	}
	return "the environment of this run"
}

// renewed is the environment that a release gets which is started again, empty where it keeps its
// own.
func (r *recipe) renewed() string {
	if !r.op.again || len(r.in.Env)+len(r.in.EnvFrom) == 0 {
		return ""
	}
	return r.environment()
}

// madeAlike tells whether hosts have one commit, made as this run makes it, whether it is healthy or
// not. It does not keep how they were made (see alike): not all that is in a recipe need be known yet,
// and then they pass for different.
func (r *recipe) madeAlike(hosts []*target) bool {
	return !slices.ContainsFunc(hosts, func(h *target) bool {
		return h.Active == nil || h.Active.Commit != hosts[0].Active.Commit || h.Active.Recipe != r.of(h)
	})
}

// serveAlike tells whether hosts serve what is made alike.
func (r *recipe) serveAlike(hosts []*target) bool {
	return !slices.ContainsFunc(hosts, func(h *target) bool { return !r.servesAlready(h) }) && r.madeAlike(hosts)
}

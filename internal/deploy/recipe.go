package deploy

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/scripts"
)

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
	parts = append(parts, d.httpsRecipe()...)
	if d.in.Source == inputs.Workspace {
		parts = append(parts, d.in.Source)
	}
	if d.in.Strategy == inputs.InPlace {
		parts = append(parts, string(d.in.Strategy))
	}
	if d.hasProcesses() {
		parts = append(parts, d.processLines(), fmt.Sprint(d.in.Procfile))
	}
	if len(d.in.Jobs) > 0 {
		parts = append(parts, "schedule", d.jobLines())
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

func (d *Deployment) environment() string {
	var variables [][2]string
	for _, v := range slices.Concat(d.fromAWS, d.in.Env) {
		variables = append(variables, [2]string{v.Name, v.Value.Reveal()})
	}
	return scripts.Environment(variables)
}

// stamp begins the ids of this run's releases.
func (d *Deployment) stamp() string { return stampOf(d.begin) }

// stampOf is another one in tests, whose clock begins before the releases that they have.
var stampOf = func(begin time.Time) string { return begin.UTC().Format("20060102T150405Z") }

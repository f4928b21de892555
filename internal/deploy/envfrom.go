package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/clothesme/deploy-action/internal/cloud"
	"github.com/clothesme/deploy-action/internal/cloud/parameters"
	"github.com/clothesme/deploy-action/internal/inputs"
)

func openParameters(ctx context.Context, account *cloud.Account) (Parameters, error) {
	return parameters.Open(ctx, account)
}

// lacksNoEnvFrom is noEnvFrom for hosts that a rollback has fetch its release.
func (r *recipe) lacksNoEnvFrom(h *target) bool { return !h.lacks || len(r.in.EnvFrom) == 0 }

// noEnvFrom: hosts that join while a run is under way get what it has read.
func (r *recipe) noEnvFrom(*target) bool {
	return len(r.in.EnvFrom) == 0 || r.joins || !r.op.makes && !r.op.asks && !r.op.again
}

// readEnvFrom reads them before any host is dialled, and says all that is wrong with them at once.
// Nothing of a value goes into an error or the log.
func (r *recipe) readEnvFrom(ctx context.Context) (string, error) {
	from, err := r.openParameters(ctx, r.account)
	if err != nil {
		return "", err
	}
	var errs []error
	var all []inputs.Variable
	var names []string
	for _, source := range r.in.EnvFrom {
		var found []parameters.Variable
		var err error
		if source.Secret != "" {
			found, err = from.Secret(ctx, source.Secret)
		} else {
			found, err = from.Below(ctx, source.Parameters)
		}
		errs = append(errs, err)
		for _, v := range found {
			one := inputs.Variable{Name: v.Name, Value: inputs.Secret(v.Value)}
			r.rep.Mask(r.in.SecretsOf(one)...)
			if err := inputs.CheckVariable(v.Name); err != nil {
				errs = append(errs, fmt.Errorf("%s: %q can't be a variable: %w", v.From, v.Name, err))
				continue
			}
			if strings.ContainsRune(v.Value, 0) {
				errs = append(errs, fmt.Errorf("%s: the value of %s has a NUL in it, which no variable can hold", v.From, v.Name))
				continue
			}
			if at := slices.IndexFunc(all, func(o inputs.Variable) bool { return o.Name == v.Name }); at >= 0 {
				all[at] = one
				continue
			}
			all = append(all, one)
			names = append(names, v.Name)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return "", err
	}
	isGiven := func(v inputs.Variable) bool {
		return slices.ContainsFunc(r.in.Env, func(o inputs.Variable) bool { return o.Name == v.Name })
	}
	r.fromAWS = slices.DeleteFunc(all, isGiven)
	line := strings.Join(names, ", ")
	if given := len(all) - len(r.fromAWS); given > 0 {
		line += fmt.Sprintf("; %d of them as the input env has them", given)
	}
	return line, nil
}

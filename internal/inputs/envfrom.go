package inputs

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// EnvSource is where further variables of the application's environment are.
type EnvSource struct {
	Parameters string // a path of the Parameter Store, between slashes; "" for
	Secret     string // the name or ARN of a secret in Secrets Manager
}

func (s EnvSource) String() string {
	if s.Secret != "" {
		return "secretsmanager:" + s.Secret
	}
	return "ssm:" + s.Parameters
}

// What AWS lets them be called:
// docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-su-create.html and
// docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html
var (
	parameterPath = regexp.MustCompile(`^/([A-Za-z0-9_.-]+/){0,15}$`)
	secretName    = regexp.MustCompile(`^[A-Za-z0-9/_+=.@:-]{1,1000}$`)
)

// setEnvFrom reads lines such as ssm:/shop/ and secretsmanager:shop/env. What is there is read before
// anything is touched.
func setEnvFrom(p *parser, value string) error {
	var errs []error
	for _, item := range items(value) {
		kind, name, _ := strings.Cut(item, ":")
		var source EnvSource
		switch {
		case kind == "ssm" && parameterPath.MatchString(name):
			source.Parameters = name
		case kind == "ssm":
			errs = append(errs, fmt.Errorf("must name a path of parameters between slashes, such as \"ssm:/shop/\" %s",
				gotItem(value, item)))
			continue
		case kind == "secretsmanager" && secretName.MatchString(name):
			source.Secret = name
		case kind == "secretsmanager":
			errs = append(errs, fmt.Errorf("must name a secret, such as \"secretsmanager:shop/env\" %s",
				gotItem(value, item)))
			continue
		default:
			errs = append(errs, fmt.Errorf("must be lines such as \"ssm:/shop/\" or \"secretsmanager:shop/env\" %s",
				gotItem(value, item)))
			continue
		}
		if slices.Contains(p.in.EnvFrom, source) {
			errs = append(errs, fmt.Errorf("must not name a place twice %s", gotItem(value, item)))
			continue
		}
		p.in.EnvFrom = append(p.in.EnvFrom, source)
	}
	return errors.Join(errs...)
}

// CheckVariable says what is wrong with a name of a variable of the application's environment.
func CheckVariable(name string) error {
	switch {
	case !variableName.MatchString(name):
		return errors.New("the name must have only letters, digits and _ in it, and not begin with a digit")
	case slices.Contains(ownVariables, name):
		return fmt.Errorf("%s is set by the action; choose another name", name)
	case slices.Contains(bashVariables, name):
		return fmt.Errorf("%s is bash's own, which starts the application and would not give it on; choose another name",
			name)
	}
	return nil
}

// Secrets returns what of a variable's value must be masked: its lines, but for short and common
// ones.
func (v Variable) Secrets() []string {
	var secrets []string
	for line := range strings.SplitSeq(v.Value.Reveal(), "\n") {
		if line = strings.TrimSuffix(line, "\r"); masked(line) {
			secrets = append(secrets, line)
		}
	}
	return secrets
}

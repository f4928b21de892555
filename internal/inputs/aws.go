package inputs

import (
	"errors"
	"fmt"
	"regexp"
)

// Identity is where GitHub gives the job tokens that prove which workflow it is of. Both are empty
// where the workflow does not let it have any.
type Identity struct {
	URL    string
	Bearer Secret
}

// docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
var roleARN = regexp.MustCompile(`^arn:aws(-[a-z]+)*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]{1,512}$`)

func setRole(p *parser, value string) error {
	switch {
	case value == "":
		return nil
	case !roleARN.MatchString(value):
		return fmt.Errorf("must be the ARN of a role, such as \"arn:aws:iam::123456789012:role/deploy\" %s", got(value))
	case p.in.Identity.URL == "" || p.in.Identity.Bearer == "":
		return errors.New("takes the role by the job's token, and the job has none: give the workflow, or the job, " +
			"permissions: {contents: read, id-token: write} (a pull request from a fork gets no token)")
	}
	p.in.Role = value
	return nil
}

// Package cloud finds how AWS is asked: region, server and credentials, as AWS's own tools find them.
//
// Its errors carry their remedy in their own text.
package cloud

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
)

// lookupTime bounds the search for credentials: without any it ends at the metadata service, which
// need not be there to say no.
const lookupTime = 10 * time.Second

// ErrNoCredentials is what there is where no credentials are.
var ErrNoCredentials = errors.New("no AWS credentials: run aws-actions/configure-aws-credentials before this step, " +
	"or give the step AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in its env")

var errNoRegion = errors.New("no AWS region: set the input \"aws-region\", or AWS_REGION in the environment of the " +
	"step (aws-actions/configure-aws-credentials does)")

// Config returns all three, with credentials that are there; without a region it is the
// environment's.
func Config(ctx context.Context, region string) (aws.Config, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lookupTime, fmt.Errorf("no answer within %s", lookupTime))
	defer cancel()
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion(region))
	var profile config.SharedConfigProfileNotExistError
	switch {
	case errors.As(err, &profile):
		return cfg, fmt.Errorf("no AWS profile %q: AWS_PROFILE is set, but a container action does not see the "+
			"runner's ~/.aws; take it out of the environment, and use aws-actions/configure-aws-credentials", profile.Profile)
	case err != nil:
		return cfg, fmt.Errorf("read AWS configuration: %w", err)
	case cfg.Region == "":
		return cfg, errNoRegion
	}
	if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return cfg, fmt.Errorf("%w (%w)", ErrNoCredentials, err)
	}
	return cfg, nil
}

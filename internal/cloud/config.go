// Package cloud finds how AWS is asked: region, server and credentials, as AWS's own tools find them.
//
// Its errors carry their remedy in their own text.
package cloud

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// Account is as whom AWS is asked, and where. What it leaves empty comes from the environment. One
// serves a whole run, so that its role is taken once.
type Account struct {
	Region  string
	Role    string // the ARN of one that is taken by Token
	Token   Token
	Session string                  // is what CloudTrail calls whoever has the role
	Mask    func(secrets ...string) // gets what must not be shown before anything is done with it

	mu  sync.Mutex
	cfg *aws.Config // nil before it was found
}

// lookupTime bounds the search for credentials: without any it ends at the metadata service, which
// need not be there to say no. To take a role is two questions over the internet, either of which
// may have to be asked again.
const (
	lookupTime = 10 * time.Second
	roleTime   = 40 * time.Second
)

// ErrNoCredentials is what there is where no credentials are.
var ErrNoCredentials = errors.New("no AWS credentials: give the input \"role-to-assume\", or run " +
	"aws-actions/configure-aws-credentials before this step, " +
	"or give the step AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in its env")

var errNoRegion = errors.New("no AWS region: set the input \"aws-region\", or AWS_REGION in the environment of the " +
	"step (aws-actions/configure-aws-credentials does)")

// Config returns all three, with credentials that are there.
func (a *Account) Config(ctx context.Context) (aws.Config, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.cfg != nil {
		return *a.cfg, nil
	}
	limit, options := lookupTime, []func(*config.LoadOptions) error{config.WithRegion(a.Region)}
	if a.Role != "" {
		limit = roleTime
		options = append(options, config.WithCredentialsProvider(aws.AnonymousCredentials{}))
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer within %s", limit))
	defer cancel()
	cfg, err := config.LoadDefaultConfig(ctx, options...)
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
	if a.Role != "" {
		cfg.Credentials = aws.NewCredentialsCache(&role{a, newSTS(cfg)}, func(o *aws.CredentialsCacheOptions) {
			o.ExpiryWindow = 5 * time.Minute // what was begun with them has that long
		})
	}
	creds, err := cfg.Credentials.Retrieve(ctx)
	if err == nil {
		a.mask(creds.SecretAccessKey, creds.SessionToken)
		a.cfg = &cfg
		return cfg, nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	var refused *RoleError // without what the cache puts before it
	switch {
	case errors.As(err, &refused):
		return cfg, refused
	case a.Role != "":
		return cfg, &RoleError{a.Role, err}
	}
	return cfg, fmt.Errorf("%w (%w)", ErrNoCredentials, err)
}

func (a *Account) mask(secrets ...string) {
	if a.Mask != nil {
		a.Mask(secrets...)
	}
}

func newSTS(cfg aws.Config) *sts.Client {
	return sts.NewFromConfig(cfg, func(o *sts.Options) { o.Retryer = patient(o.Retryer) })
}

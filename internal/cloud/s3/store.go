// Package s3 finds objects in S3, and signs URLs by which somebody without credentials may fetch
// them. It knows nothing of deployments.
//
// Its errors carry their remedy in their own text.
package s3

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
)

// Config says where the objects are; what it leaves empty comes from the environment, as AWS's own
// tools take it.
type Config struct {
	Region   string
	Endpoint string // URL of a server other than AWS
}

// Store finds and signs with the credentials of the default chain.
type Store struct {
	client *awss3.Client
	region string
	creds  aws.CredentialsProvider
}

// lookupTime bounds the search for credentials: without any it ends at the metadata service, which
// need not be there to say no.
const lookupTime = 10 * time.Second

var (
	errNoRegion = errors.New("no AWS region: set the input \"aws-region\", or AWS_REGION in the environment of the " +
		"step " +
		"(aws-actions/configure-aws-credentials does)")
	errNoCredentials = errors.New("no AWS credentials: run aws-actions/configure-aws-credentials before this step, " +
		"or give the step AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in its env")
)

// Open finds region, server and credentials.
func Open(ctx context.Context, c Config) (*Store, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lookupTime, fmt.Errorf("no answer within %s", lookupTime))
	defer cancel()
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion(c.Region))
	var profile config.SharedConfigProfileNotExistError
	switch {
	case errors.As(err, &profile):
		return nil, fmt.Errorf("no AWS profile %q: AWS_PROFILE is set, but a container action does not see the "+
			"runner's ~/.aws; "+
			"take it out of the environment, and use aws-actions/configure-aws-credentials", profile.Profile)
	case err != nil:
		return nil, fmt.Errorf("read AWS configuration: %w", err)
	case cfg.Region == "":
		return nil, errNoRegion
	}
	if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("%w (%w)", errNoCredentials, err)
	}
	client := awss3.NewFromConfig(cfg, func(o *awss3.Options) {
		if c.Endpoint != "" {
			o.BaseEndpoint = aws.String(c.Endpoint)
		}
		// Servers other than AWS have no DNS name for each bucket, but by their administrator's
		// effort.
		o.UsePathStyle = o.BaseEndpoint != nil
	})
	return &Store{client: client, region: cfg.Region, creds: cfg.Credentials}, nil
}

// Secrets returns what must be masked.
func (s *Store) Secrets(ctx context.Context) []string {
	creds, err := s.creds.Retrieve(ctx)
	if err != nil {
		return nil
	}
	return []string{creds.SecretAccessKey, creds.SessionToken}
}

// signed is how long a URL lasts. It is asked for at the start of a request only, so a download may
// take longer.
const signed = 15 * time.Minute

// Sign returns a URL by which anybody can GET the object, all of it or ranges, and when it ends:
// its own time, or that of the credentials. It names the version that was found, so what is fetched
// later is the same object.
func (s *Store) Sign(ctx context.Context, o Object) (url string, until time.Time, err error) {
	creds, err := s.creds.Retrieve(ctx)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("%w (%w)", errNoCredentials, err)
	}
	until = time.Now().Add(signed)
	if creds.CanExpire && creds.Expires.Before(until) {
		until = creds.Expires
	}
	request, err := awss3.NewPresignClient(s.client).PresignGetObject(ctx, &awss3.GetObjectInput{
		Bucket: &o.Bucket, Key: &o.Key, VersionId: optional(o.Version),
	}, awss3.WithPresignExpires(signed))
	if err != nil {
		return "", time.Time{}, fmt.Errorf("sign a URL for %s: %w", o, err)
	}
	return request.URL, until, nil
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

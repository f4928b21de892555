// Package s3 finds objects in S3, and signs URLs by which somebody without credentials may fetch
// them. It knows nothing of deployments.
//
// Its errors carry their remedy in their own text.
package s3

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/clothesme/deploy-action/internal/cloud"
)

// Store finds and signs with an account's credentials.
type Store struct {
	client *awss3.Client
	region string
	creds  aws.CredentialsProvider
}

// Open finds region, server and credentials; endpoint is the URL of a server other than AWS, empty
// for the environment's, or AWS.
func Open(ctx context.Context, account *cloud.Account, endpoint string) (*Store, error) {
	cfg, err := account.Config(ctx)
	if err != nil {
		return nil, err
	}
	client := awss3.NewFromConfig(cfg, func(o *awss3.Options) {
		if endpoint != "" {
			o.BaseEndpoint = aws.String(endpoint)
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
		return "", time.Time{}, fmt.Errorf("%w (%w)", cloud.ErrNoCredentials, err)
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

package cloud

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

// role gives the credentials of one, which is taken by a new token each time that the ones before
// end.
type role struct {
	account *Account
	client  *sts.Client
}

func (r *role) Retrieve(ctx context.Context) (aws.Credentials, error) {
	creds, err := r.take(ctx)
	if err != nil {
		return creds, &RoleError{r.account.Role, err}
	}
	return creds, nil
}

// RoleError is why a role was not had.
type RoleError struct {
	Role string
	Err  error
}

func (e *RoleError) Error() string { return fmt.Sprintf("role %s: %v", e.Role, e.Err) }

func (e *RoleError) Unwrap() error { return e.Err }

func (r *role) take(ctx context.Context) (aws.Credentials, error) {
	token, err := r.account.Token.get(ctx)
	if err != nil {
		return aws.Credentials{}, err
	}
	r.account.mask(token)
	taken, err := r.client.AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: &r.account.Role, RoleSessionName: &r.account.Session, WebIdentityToken: &token,
	})
	if err != nil {
		return aws.Credentials{}, Passing(err, explainRole(err, subject(token)))
	}
	creds := aws.Credentials{
		AccessKeyID: aws.ToString(taken.Credentials.AccessKeyId), Source: "role-to-assume",
		SecretAccessKey: aws.ToString(taken.Credentials.SecretAccessKey),
		SessionToken:    aws.ToString(taken.Credentials.SessionToken),
		CanExpire:       true, Expires: aws.ToTime(taken.Credentials.Expiration),
	}
	r.account.mask(creds.SecretAccessKey, creds.SessionToken)
	return creds, nil
}

// patient has a call made again, too, when AWS could not ask GitHub for its keys.
func patient(r aws.Retryer) aws.Retryer {
	return retry.AddWithErrorCodes(r, byProvider...)
}

// withIDs is the subject of a repository that was made since 15 July 2026: repo:OWNER@1/NAME@2:…
var withIDs = regexp.MustCompile(`^repo:[^:/]+@[0-9]+/[^:/]+@[0-9]+:`)

// explainRole says what to do about a role that AWS does not give:
// docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
func explainRole(err error, subject string) error {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return fmt.Errorf("AWS can't be asked: %w", err)
	}
	code, message := api.ErrorCode(), api.ErrorMessage()
	switch {
	case code == "AccessDenied" || strings.HasPrefix(message, "Not authorized to perform"):
		whose := ""
		if subject != "" {
			whose = fmt.Sprintf(", whose subject is %q", subject)
		}
		if withIDs.MatchString(subject) {
			whose += "; repositories made since 15 July 2026 have ids in it, which a trust policy written as before does " +
				"not allow"
		}
		return fmt.Errorf("AWS refuses sts:AssumeRoleWithWebIdentity: the role must be there, and its trust policy must "+
			"allow this workflow%s; docs/aws-credentials.md has a policy that does (%s: %s)", whose, code, message)
	case code == "InvalidIdentityToken":
		return fmt.Errorf("AWS does not take GitHub's token: the role's account must have the identity provider "+
			"https://token.actions.githubusercontent.com with the audience %s, see docs/aws-credentials.md (%s: %s)", audience,
			code, message)
	}
	return fmt.Errorf("AWS refuses: %s: %s", code, message)
}

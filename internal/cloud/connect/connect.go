// Package connect has EC2 Instance Connect let a key in on an instance, for a minute. It knows nothing
// of SSH.
//
// Its errors carry their remedy in their own text.
package connect

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"

	"github.com/clothesme/deploy-action/internal/cloud"
	"github.com/clothesme/deploy-action/internal/cloud/query"
)

// Push lets a public key, as a line of authorized_keys has it, in as a user: the next login within a
// minute may be by it. Errors that may pass are *[cloud.PassingError].
func Push(ctx context.Context, account *cloud.Account, instance, user, key string) error {
	cfg, err := account.Config(ctx)
	if err != nil {
		return err
	}
	err = query.New(cfg).AskJSON(ctx, query.InstanceConnect, "SendSSHPublicKey", map[string]string{
		"InstanceId": instance, "InstanceOSUser": user, "SSHPublicKey": key,
	}, nil)
	explained := explain(err, instance, user)
	var asked *query.Error
	if errors.As(err, &asked) && slices.Contains(passing, asked.Code) {
		return &cloud.PassingError{Err: explained}
	}
	return cloud.Passing(err, explained)
}

// passing are the codes of what an instance does not do now, and may in a while.
var passing = []string{"EC2InstanceStateInvalidException", "EC2InstanceUnavailableException"}

const action = "ec2-instance-connect:SendSSHPublicKey"

// denied are the codes of what a policy does not allow.
var denied = []string{"AccessDeniedException", "AccessDenied", "AuthException", "UnauthorizedOperation"}

// remedies are AWS's reasons, with what to do about each:
// docs.aws.amazon.com/ec2-instance-connect/latest/APIReference/API_SendSSHPublicKey.html
var remedies = map[string]string{
	"EC2InstanceNotFoundException": "there is no such instance in this region: correct it, or the input \"aws-region\"",
	"EC2InstanceStateInvalidException": "the instance does not run, or it is just starting or ending: run this workflow " +
		"again once it runs",
	"EC2InstanceUnavailableException": "the instance can't be asked at the moment: run this workflow again",
	"ExpiredTokenException": "the credentials have expired: give the input \"role-to-assume\", " +
		"which takes new ones",
}

var named = regexp.MustCompile(`not authorized to perform: ([a-z0-9-]+:[A-Za-z]+)`)

func explain(err error, instance, user string) error {
	var asked *query.Error
	place := fmt.Sprintf("let a key in on %s by Instance Connect", instance)
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &asked):
		return fmt.Errorf("%s: AWS can't be asked: %w", place, err)
	// What stands before AWS, such as a proxy, and its stand-ins say no in another language.
	case asked.Code == "" && (asked.Status == http.StatusForbidden || asked.Status == http.StatusUnauthorized):
		return refused(place, user, fmt.Sprintf("status %d", asked.Status))
	case asked.Err != nil:
		return fmt.Errorf("%s: AWS can't be asked: %w", place, asked.Err)
	case asked.Code == "":
		return fmt.Errorf("%s: %w", place, err)
	case slices.Contains(denied, asked.Code):
		said := asked.Code
		if found := named.FindStringSubmatch(asked.Text); found != nil {
			said += ", " + found[1]
		}
		return refused(place, user, said)
	case remedies[asked.Code] != "":
		return errors.New(place + ": " + remedies[asked.Code] + " (" + asked.Code + ")")
	}
	return fmt.Errorf("%s: %w", place, err)
}

func refused(place, user, said string) error {
	return fmt.Errorf("%s: the role must be allowed %s on the instance, for the user %q where its policy has a "+
		"condition on ec2:osuser (%s)", place, action, user, said)
}

package parameters

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/clothesme/deploy-action/internal/cloud/query"
)

// remedies are AWS's reasons, with what to do about each:
// docs.aws.amazon.com/systems-manager/latest/APIReference/CommonErrors.html and
// docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
var remedies = map[string]string{
	"ExpiredTokenException": "the credentials have expired: run aws-actions/configure-aws-credentials just before this " +
		"step",
	"UnrecognizedClientException": "there is no such access key, or AWS_SESSION_TOKEN is not its own: all three of " +
		"AWS's variables must come from one place",
	"InvalidSignatureException": "the secret key is not this access key's, or the runner's clock is wrong: correct " +
		"AWS_SECRET_ACCESS_KEY",
	"InvalidClientTokenId": "there is no such access key: correct AWS_ACCESS_KEY_ID",
	"InvalidKeyId": "the KMS key that it is encrypted with can't be used: it must be enabled, and the role allowed " +
		"kms:Decrypt with it",
	"DecryptionFailure": "the KMS key that it is encrypted with can't be used: it must be enabled, and the role allowed " +
		"kms:Decrypt with it",
	"ResourceNotFoundException": "there is no such secret: correct its name in the input \"env-from\", or the input " +
		"\"aws-region\"",
	"InvalidRequestException": "it can't be read in the state that it is in: a secret that is to be deleted has to be " +
		"restored first",
	"ThrottlingException": "AWS was asked too often, and went on saying so: let fewer deployments run at once, or raise " +
		"the Parameter Store's throughput in its settings",
	"TooManyUpdates": "AWS was asked too often, and went on saying so: run this workflow again",
}

// explain says what to do about an error of a call, which takes an action of IAM.
func (s *Store) explain(from, action string, err error) error {
	var no *query.Error
	switch {
	case !errors.As(err, &no):
		return fmt.Errorf("%s: %w", from, err) // the context's
	case no.Code == "" && (no.Status == http.StatusForbidden || no.Status == http.StatusUnauthorized):
		// What stands before AWS, such as a proxy, and its stand-ins say no in another language.
		return fmt.Errorf("%s: the credentials are refused (status %d): they must be valid, and the role must be "+
			"allowed %s on it", from, no.Status, action)
	case no.Code == "" && no.Err != nil:
		return fmt.Errorf("%s: AWS in region %s can't be asked: %w", from, s.aws.Region(), no.Err)
	case no.Code == "":
		return fmt.Errorf("%s: %w", from, err)
	}
	code, message := no.Code, no.Text
	if remedy := remedies[code]; remedy != "" {
		return errors.New(from + ": " + remedy + " (" + code + ", region " + s.aws.Region() + ")")
	}
	if code == "AccessDeniedException" || code == "AccessDenied" {
		action = no.Denied()
		if action == "kms:Decrypt" {
			return fmt.Errorf("%s: the role must be allowed kms:Decrypt with the key that it is encrypted with (%s: %s)", from,
				code, message)
		}
		return fmt.Errorf("%s: the role must be allowed %s on it (%s: %s)", from, action, code, message)
	}
	return fmt.Errorf("%s: AWS refuses: %s: %s", from, code, message)
}

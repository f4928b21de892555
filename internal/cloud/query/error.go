package query

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
)

// Error is why a question got no answer. It is one of the SDK's, too.
type Error struct {
	Action string // as a policy names it, such as "ec2:DescribeInstances"
	Region string
	Status int    // of HTTP; 0 for no answer at all
	Code   string // AWS's; "" where what answered was not AWS
	Text   string // AWS's
	Err    error  // where AWS had no part in it
}

// ErrorCode is what the SDK looks at to tell whether to ask again, as are those below.
func (e *Error) ErrorCode() string { return e.Code }

// ErrorMessage is AWS's.
func (e *Error) ErrorMessage() string { return e.Text }

// ErrorFault is not told.
func (e *Error) ErrorFault() smithy.ErrorFault { return smithy.FaultUnknown }

// HTTPStatusCode is that of the answer.
func (e *Error) HTTPStatusCode() int { return e.Status }

// ConnectionError tells whether the connection ended before the answer did: net/http asks once more by
// itself only where a question changes nothing, which it can't know of a POST. Those that change
// something may be asked twice: they name what they make, or find it made.
func (e *Error) ConnectionError() bool {
	return errors.Is(e.Err, io.EOF) || errors.Is(e.Err, io.ErrUnexpectedEOF)
}

func (e *Error) Unwrap() error { return e.Err }

// read takes what AWS says out of its answer: EC2 puts it into a list, others that talk XML do not;
// in JSON the code may have a namespace before it.
func (e *Error) read(text []byte, unmarshal func([]byte, any) error) {
	type said struct {
		Code    string
		Message string
	}
	var answer struct {
		One     said   `xml:"Error" json:"-"`
		Of      said   `xml:"Errors>Error" json:"-"`
		Type    string `xml:"-" json:"__type"`
		Message string `xml:"-" json:"message"` // or Message
	}
	if unmarshal(text, &answer) != nil {
		return // what stands before AWS, such as a proxy, has another language
	}
	for _, s := range []said{answer.One, answer.Of, {answer.Type, answer.Message}} {
		if s.Code != "" {
			e.Code, e.Text = s.Code[strings.LastIndex(s.Code, "#")+1:], s.Message
		}
	}
}

// refused are the codes of what a policy does not allow.
var refused = []string{"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "UnauthorizedAccess"}

// remedies are AWS's reasons, with what to do about each, in the words of services that talk XML and of
// those that talk JSON: docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html,
// docs.aws.amazon.com/autoscaling/ec2/APIReference/CommonErrors.html and
// docs.aws.amazon.com/systems-manager/latest/APIReference/CommonErrors.html
var remedies = map[string]string{
	"AuthFailure": "the credentials are refused: correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the runner's " +
		"clock is wrong",
	"SignatureDoesNotMatch":       wrongSecret,
	"InvalidSignatureException":   wrongSecret,
	"InvalidClientTokenId":        unknownKey,
	"UnrecognizedClientException": unknownKey,
	"ExpiredToken":                expired,
	"ExpiredTokenException":       expired,
	"RequestExpired": "the credentials have expired, or the runner's clock is wrong: run " +
		"aws-actions/configure-aws-credentials just before this step",
	"OptInRequired": "the account is not open to this region: enable it, or correct the input \"aws-region\"",
}

const (
	wrongSecret = "the secret key is not this access key's, or the runner's clock is wrong: correct " +
		"AWS_SECRET_ACCESS_KEY"
	unknownKey = "there is no such access key, or AWS_SESSION_TOKEN is not its own: all three of AWS's variables must " +
		"come from one place"
	expired  = "the credentials have expired: run aws-actions/configure-aws-credentials just before this step"
	tooOften = "AWS was asked too often, and went on saying so: let fewer workflows ask it at once, and run this one " +
		"again"
)

// remedy is what to do about a code; "" where that is not known. Which codes say that a service was
// asked too often, of which each has its own, the SDK knows.
func remedy(code string) string {
	if _, often := retry.DefaultThrottleErrorCodes[code]; often {
		return tooOften
	}
	return remedies[code]
}

// deniedAction is how AWS names it, which need not be the one that was asked for.
var deniedAction = regexp.MustCompile(`not authorized to perform: ([a-z0-9-]+:[A-Za-z]+)`)

func (e *Error) Error() string {
	place := e.Action + " in region " + e.Region
	switch {
	case e.Err != nil:
		return fmt.Sprintf("%s: AWS can't be asked: %v", place, e.Err)
	case e.Code == "" && (e.Status == http.StatusForbidden || e.Status == http.StatusUnauthorized):
		return fmt.Sprintf("%s: the credentials are refused (status %d): they must be valid, and the role be allowed %s",
			place, e.Status, e.Action)
	case e.Code == "":
		return fmt.Sprintf("%s: what answers there is not AWS (status %d): see AWS_ENDPOINT_URL in the environment of the "+
			"step", place, e.Status)
	}
	if slices.Contains(refused, e.Code) {
		return fmt.Sprintf("the role must be allowed %s: put %s into its policy (%s in region %s: %s)", e.Denied(),
			statement(e.Denied(), e.Region), e.Code, e.Region, e.Text)
	}
	if remedy := remedy(e.Code); remedy != "" {
		return fmt.Sprintf("%s: %s (%s)", place, remedy, e.Code)
	}
	return fmt.Sprintf("%s: AWS refuses: %s: %s", place, e.Code, e.Text)
}

// statement is what a policy lacks that does not allow an action, as docs/iam.md has it. What is more
// than to list is limited there to resources, by names that are not known here.
func statement(action, region string) string {
	if _, name, _ := strings.Cut(action, ":"); !strings.HasPrefix(name, "Describe") {
		return "the statement of docs/iam.md that has it"
	}
	return fmt.Sprintf(`{"Effect": "Allow", "Action": %q, "Resource": "*", `+
		`"Condition": {"StringEquals": {"aws:RequestedRegion": %q}}}`, action, region)
}

// Denied is the action that is not allowed, where one is not. Who may ask for what is encrypted, but may
// not use its key, hears of that from KMS, which has its own words for it.
func (e *Error) Denied() string {
	if named := deniedAction.FindStringSubmatch(e.Text); named != nil {
		return named[1]
	}
	if strings.Contains(e.Text, "ciphertext") || strings.Contains(e.Text, "KMS") {
		return "kms:Decrypt"
	}
	return e.Action
}

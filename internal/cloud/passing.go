package cloud

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
)

// PassingError is why AWS has not done what it was asked for where it may the next time: it was busy,
// or was not reached. Its text is that of Err.
type PassingError struct{ Err error }

func (e *PassingError) Error() string { return e.Err.Error() }

func (e *PassingError) Unwrap() error { return e.Err }

// Passing marks the explanation of an error as one if that error passes. What AWS refuses does not.
func Passing(err, explanation error) error {
	if err == nil || !passes(err) {
		return explanation
	}
	return &PassingError{explanation}
}

// byProvider are the codes of a role that was not had since AWS could not ask GitHub for its keys.
var byProvider = []string{"IDPCommunicationError", "InvalidIdentityToken"}

func passes(err error) bool {
	var marked *PassingError
	var said smithy.APIError
	var unreached net.Error // also what net/http says of a question without an answer
	switch {
	case errors.As(err, &marked), errors.Is(err, context.DeadlineExceeded), errors.Is(err, io.ErrUnexpectedEOF):
		return true
	case errors.As(err, &said) && slices.Contains(byProvider, said.ErrorCode()):
		return true
	case errors.As(err, &unreached):
		return !errors.Is(err, context.Canceled)
	}
	return retry.IsErrorRetryables(retry.DefaultRetryables).IsErrorRetryable(err) == aws.TrueTernary
}

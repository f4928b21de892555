package deploy

import (
	"errors"

	"github.com/clothesme/deploy-action/internal/cloud"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/report"
	"github.com/clothesme/deploy-action/remote"
)

// Account is as whom a run asks AWS.
func Account(in *inputs.Inputs, rep *report.Report) *cloud.Account {
	session := "deploy-action"
	if in.Run.ID != "" {
		session += "-" + in.Run.ID
	}
	return &cloud.Account{
		Region: in.AWSRegion, Role: in.Role, Session: session, Mask: rep.Mask,
		Token: cloud.Token{URL: in.Identity.URL, Bearer: in.Identity.Bearer.Reveal()},
	}
}

// passing tells what AWS may do the next time as SSH is told it.
func passing(err error) error {
	var passes *cloud.PassingError
	if errors.As(err, &passes) {
		return &remote.PassingError{Err: err}
	}
	return err
}

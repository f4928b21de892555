package images

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/clothesme/deploy-action/internal/cloud/query"
)

// Launch has groups launch an image from now on: by a version of their launch template that is the one in
// use but for the image, and has a description. It says what was done; groups that launch the image
// already are left as they are.
//
// A template that is changed gets a newer version, which groups that launch the latest one get at once.
// So these come last, and get one that is made of theirs.
func (i *Images) Launch(ctx context.Context, groups []Group, image, description string) ([]string, error) {
	groups = slices.Clone(groups)
	slices.SortStableFunc(groups, func(a, b Group) int { return latestLast(a) - latestLast(b) })
	type source struct {
		template string
		version  int
	}
	made, newest := map[source]int{}, map[string]int{}
	var done []string
	var errs []error
	for _, g := range groups {
		of := source{g.Template, g.InUse.Number}
		number := made[of]
		if g.InUse.Image == image && (g.Version != Latest || newest[g.Template] == 0) {
			continue
		}
		var err error
		if number == 0 || g.Version == Latest && number != newest[g.Template] {
			if number, err = i.addVersion(ctx, g, image, description); err == nil {
				made[of], newest[g.Template] = number, number
			}
		}
		if err == nil {
			err = i.use(ctx, g, number)
		}
		if err == nil {
			done = append(done, fmt.Sprintf("%s launches it by version %d of %s", g.Name, number, g.Template))
		}
		errs = append(errs, err)
	}
	return done, errors.Join(errs...)
}

func latestLast(g Group) int {
	if g.Version == Latest {
		return 1
	}
	return 0
}

func (i *Images) addVersion(ctx context.Context, g Group, image, description string) (int, error) {
	number := strconv.Itoa(g.InUse.Number)
	// The same again, when AWS's answer was lost, makes no second one.
	token := sha256.Sum256([]byte(strings.Join([]string{g.Template, number, image, description}, "\n")))
	var made struct {
		Number int `xml:"launchTemplateVersion>versionNumber"`
	}
	err := i.aws.Ask(ctx, query.EC2, "CreateLaunchTemplateVersion", url.Values{
		"LaunchTemplateId": {g.Template}, "SourceVersion": {number}, "LaunchTemplateData.ImageId": {image},
		"VersionDescription": {description}, "ClientToken": {fmt.Sprintf("%x", token)},
	}, &made)
	if err == nil && made.Number == 0 {
		err = fmt.Errorf("AWS does not number the version that it makes of launch template %s", g.Template)
	}
	return made.Number, err
}

// use has a group launch a version as it names them: by its number, or by what the default one is. What is
// the latest it launches already.
func (i *Images) use(ctx context.Context, g Group, number int) error {
	version := strconv.Itoa(number)
	switch g.Version {
	case Latest:
		return nil
	case Default:
		return i.aws.Ask(ctx, query.EC2, "ModifyLaunchTemplate", url.Values{
			"LaunchTemplateId": {g.Template}, "SetDefaultVersion": {version},
		}, nil)
	}
	values := url.Values{"LaunchTemplate.LaunchTemplateId": {g.Template}, "LaunchTemplate.Version": {version}}
	if g.policy != nil {
		values = maps.Clone(g.policy)
		values.Set(policyTemplate+"Version", version)
	}
	values.Set("AutoScalingGroupName", g.Name)
	err := i.aws.Ask(ctx, query.AutoScaling, "UpdateAutoScalingGroup", values, nil)
	// It is tried out as if it were launched, in the name of who asks:
	// docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-launch-template-permissions.html
	var no *query.Error
	if errors.As(err, &no) && no.Status == http.StatusForbidden && strings.Contains(no.Text, "launch template") {
		return fmt.Errorf("the role must be allowed ec2:RunInstances with what launch template %s names, and iam:PassRole "+
			"for the role of its instances: AWS wants both of who gives a group a version by its number; or have the group "+
			"launch $Latest or $Default (%s: %s)", g.Template, no.Code, no.Text)
	}
	return err
}
